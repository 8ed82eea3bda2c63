"""``lint-layout``: keeps folders alike and the house's habits kept (DESIGN sections 2, 3, 7)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

LONGEST_FILE = 450
MODULE_ROOMS = {
    "__init__.py", "models.py", "rules.py", "service.py", "queries.py", "schemas.py", "routes.py", "settings.py",
    "ports.py", "reports.py", "vouchers.py", "cli.py",
}
MODULE_FOLDERS = {"models", "ports", "service", "queries", "routes", "reports", "schemas", "importing", "pages", "data"}
INTERFACE_ROOMS = {
    "__init__.py", "manifest.toml", "envelope.py", "contract.py", "mapping.py", "client.py", "inbound.py", "subscriptions.py",
    "simulator.py", "settings.py", "models.py", "routes.py", "queries.py", "schemas.py",
}
"""The last three where an interface has a screen of its own for the staff."""
INTERFACE_FOLDERS = {"fixtures", "pages", "data", "client", "mapping", "simulator"}
INTERFACE_NEEDS = ("__init__.py", "manifest.toml", "simulator.py")
HUB = {"hub"}
"""Interface folders that aren't an outside system."""
LINES = {Path("interfaces/hub/transport.py"), Path("interfaces/hub/simulating.py")}
CLOCKS = {"now", "utcnow", "today"}
NETWORK = {"socket", "urllib", "http", "requests", "httpx", "ftplib", "smtplib"}
PRODUCT = ("crypto", "dialects", "his_server", "modules", "interfaces")


@dataclass(frozen=True)
class Problem:
    """A broken habit: where and what."""

    path: Path
    line: int
    message: str


def check(root: Path) -> list[Problem]:
    """All problems below ``root`` (the repository)."""
    found = [*_rooms(root), *_lengths(root)]
    for package in PRODUCT:
        for path in sorted((root / package).rglob("*.py")):
            if not {"node_modules", "versions", "dev-mock"} & set(path.parts):
                found += _code(path, path.relative_to(root))
    return sorted(found, key=lambda p: (str(p.path), p.line))


def _rooms(root: Path) -> Iterator[Problem]:
    modules = [*_packages(root / "modules", skip={"kernel"}), *_packages(root / "modules" / "kernel")]
    for folder in modules:
        yield from _entries(folder, root, MODULE_ROOMS, MODULE_FOLDERS)
    for folder in _packages(root / "interfaces", skip=HUB):
        yield from _entries(folder, root, INTERFACE_ROOMS, INTERFACE_FOLDERS)
        for name in INTERFACE_NEEDS:
            if not (folder / name).exists() and not (folder / name.removesuffix(".py")).is_dir():
                yield Problem(folder.relative_to(root), 0, f"an interface needs {name}")
    if (root / "packaging" / "__init__.py").exists():
        yield Problem(Path("packaging/__init__.py"), 0, "would shadow the PyPI package 'packaging'")


def _packages(folder: Path, skip: frozenset[str] | set[str] = frozenset()) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(entry for entry in folder.iterdir()
                  if entry.is_dir() and entry.name not in skip and not entry.name.startswith(("_", ".")))


def _entries(folder: Path, root: Path, rooms: set[str], folders: set[str]) -> Iterator[Problem]:
    if not (folder / "__init__.py").exists():
        yield Problem(folder.relative_to(root), 0, "no __init__.py with the declaration")
    for entry in sorted(folder.iterdir()):
        known = entry.name in folders if entry.is_dir() else entry.name in rooms
        if not known and not entry.name.startswith(("__pycache__", ".")):
            yield Problem(entry.relative_to(root), 0, f"not a room: put it into one of {', '.join(sorted(rooms))}")
        twin = folder / f"{entry.name}.py"
        if entry.is_dir() and twin.exists():
            yield Problem(twin.relative_to(root), 0, f"stands beside the folder {entry.name}/")


def _lengths(root: Path) -> Iterator[Problem]:
    for package in (*PRODUCT, "tests"):
        for path in sorted((root / package).rglob("*")):
            if path.suffix not in {".py", ".vue", ".ts"} or {"node_modules", "dist", "versions"} & set(path.parts):
                continue
            lines = len(path.read_text(encoding="utf-8").splitlines())
            if lines > LONGEST_FILE:
                yield Problem(path.relative_to(root), lines, f"over {LONGEST_FILE} lines: split it by use case")


def _code(path: Path, shown: Path) -> Iterator[Problem]:
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and _undocumented(node):
            yield Problem(shown, node.lineno, f"{node.name} has no docstring")
    if shown.parts[0] not in {"modules", "interfaces"}:
        return
    outward = shown.parts[0] == "interfaces"
    asked = {id(name) for call in ast.walk(tree) if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
             and call.func.id == "isinstance" for name in ast.walk(call)}
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if _is_float(node) and id(node) not in asked:  # to ask whether something is a float is fine
            yield Problem(shown, line, "floats are never used here: amounts and quantities are Decimal")
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from _imports(node, shown, outward)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield from _calls(node.func, shown, line)


def _undocumented(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    return not node.name.startswith("_") and not ast.get_docstring(node)


def _is_float(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, float)
    return isinstance(node, ast.Name) and node.id in {"float", "Float"}


def _imports(node: ast.Import | ast.ImportFrom, shown: Path, outward: bool) -> Iterator[Problem]:
    names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
    for name in names:
        top = name.partition(".")[0]
        if top == "random" and "simulat" not in shown.name:
            yield Problem(shown, node.lineno, "chance is not for hospital work; secrets for tokens")
        if top in NETWORK and not (outward and (shown.name in {"client.py", "simulator.py"} or shown in LINES)):
            yield Problem(shown, node.lineno, f"{top}: only an interface's client.py talks to the network")
    if isinstance(node, ast.ImportFrom) and node.module == "sqlalchemy" and shown.stem != "queries" \
            and any(alias.name == "text" for alias in node.names):
        yield Problem(shown, node.lineno, "raw SQL belongs into dialects/")


def _calls(function: ast.Attribute, shown: Path, line: int) -> Iterator[Problem]:
    if function.attr in {"commit", "rollback"}:
        yield Problem(shown, line, f"{function.attr}(): services flush; the unit of work commits")
    owner = function.value
    name = owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else ""
    if (name in {"datetime", "date"} and function.attr in CLOCKS) or (name == "time" and function.attr == "time"):
        yield Problem(shown, line, f"{name}.{function.attr}(): use the injected clock (db.now, db.today)")
    if function.attr == "exec_driver_sql":
        yield Problem(shown, line, "raw SQL belongs into dialects/")


@click.command("lint-layout")
@click.option("--root", type=click.Path(path_type=Path, exists=True, file_okay=False), default=Path("."))
def lint_layout(root: Path) -> None:
    """开发者：检查目录结构与书写约定"""
    problems = check(root.resolve())
    for problem in problems:
        click.echo(f"{problem.path}:{problem.line}: {problem.message}")
    if problems:
        raise SystemExit(1)
