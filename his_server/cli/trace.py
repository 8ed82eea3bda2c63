"""``trace``: which test proves which line of the tender, and whether it passes: the acceptance document."""

from __future__ import annotations

import ast
import subprocess
import sys
import tempfile
import tomllib
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click

CATALOGUES = ("docs/requirements.toml", "docs/compliance.toml")
PRODUCT = ("modules", "interfaces", "his_server", "crypto", "dialects")
RESULTS = {"passed": "通过", "failed": "不通过", "skipped": "未执行", "": "未运行"}
PARTLY = "通过（部分用例未运行）"
"""What ran has passed; others of its tests didn't run, most of them long ones (``make test-long``)."""


@dataclass(frozen=True)
class Proof:
    """A test function that carries an ID, and the product's packages that its file imports."""

    path: Path
    name: str
    packages: tuple[str, ...]

    @property
    def node(self) -> str:
        return f"{self.path.as_posix()}::{self.name}"


@dataclass
class Matrix:
    """Proofs and implementing packages by requirement ID, and IDs that no catalogue has."""

    texts: dict[str, dict[str, str]]
    proofs: dict[str, list[Proof]] = field(default_factory=dict)
    implements: dict[str, set[str]] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)


def collect(root: Path) -> Matrix:
    """Read catalogues, tests (marks) and sources (``Implements: M1.3 …`` in module docstrings)."""
    matrix = Matrix({identifier: entry for name in CATALOGUES
                     for identifier, entry in tomllib.loads((root / name).read_text(encoding="utf-8")).items()})
    for path in sorted((root / "tests").rglob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        packages = tuple(sorted(set(_packages(tree))))
        for name, identifiers in _marked(tree):
            for identifier in identifiers:
                if identifier in matrix.texts:
                    matrix.proofs.setdefault(identifier, []).append(Proof(path.relative_to(root), name, packages))
                else:
                    matrix.unknown.append(f"{path.relative_to(root)}::{name}: {identifier}")
    for package in PRODUCT:
        for path in sorted((root / package).rglob("*.py")):
            for identifier in _declared(path):
                place = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
                matrix.implements.setdefault(identifier, set()).add(place)
    return matrix


def _declared(path: Path) -> list[str]:
    if "node_modules" in path.parts:
        return []
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return [word.strip("., ") for line in text.splitlines() if line.startswith("Implements:")
            for word in line.removeprefix("Implements:").replace(",", " ").split()]


def _marked(tree: ast.Module) -> Iterator[tuple[str, list[str]]]:
    everywhere = [i for node in tree.body if isinstance(node, ast.Assign)
                  and any(isinstance(t, ast.Name) and t.id == "pytestmark" for t in node.targets)
                  for i in _identifiers(node.value)]
    for node in tree.body:
        inner = node.body if isinstance(node, ast.ClassDef) else [node]
        outer = [i for d in node.decorator_list for i in _identifiers(d)] if isinstance(node, ast.ClassDef) else []
        for function in inner:
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and function.name.startswith("test"):
                own = [i for decorator in function.decorator_list for i in _identifiers(decorator)]
                yield function.name, list(dict.fromkeys([*own, *outer, *everywhere]))


def _identifiers(node: ast.AST) -> list[str]:
    """The arguments of every ``requirement(…)`` call below a decorator or ``pytestmark`` value."""
    return [str(argument.value) for call in ast.walk(node)
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "requirement"
            for argument in call.args if isinstance(argument, ast.Constant)]


def _packages(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in PRODUCT:
            parts = str(node.module).split(".")
            deep = 3 if parts[:2] == ["modules", "kernel"] else 2
            if parts in (["modules"], ["interfaces"], ["modules", "kernel"]):
                yield from (".".join([*parts, alias.name]) for alias in node.names)
            else:
                yield ".".join(parts[:deep])


def run(root: Path, matrix: Matrix) -> dict[str, str]:
    """Run all proving tests; result by ``module.function``: the worst of its parameters counts."""
    nodes = sorted({proof.node for proofs in matrix.proofs.values() for proof in proofs})
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        subprocess.run([sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *nodes], cwd=root, check=False,
                       stdout=sys.stderr)
        return results(report)


def results(*reports: Path) -> dict[str, str]:
    """Outcomes in JUnit reports, by ``module.function``."""
    order = {"skipped": 1, "passed": 2, "failed": 3}
    found: dict[str, str] = {}
    for case in (case for report in reports for case in ElementTree.parse(report).iter("testcase")):
        name = f"{case.get('classname')}.{str(case.get('name')).partition('[')[0]}"
        broken = case.find("failure") is not None or case.find("error") is not None
        outcome = "failed" if broken else "skipped" if case.find("skipped") is not None else "passed"
        if order[outcome] > order.get(found.get(name, ""), 0):
            found[name] = outcome
    return found


def render(matrix: Matrix, outcomes: dict[str, str]) -> str:
    """The matrix as Markdown: every line of the tender, then the compliance checks that tests name."""
    tender = {i: entry for i, entry in matrix.texts.items() if "works_when" in entry}
    proved = [i for i in tender if _verdict(matrix, i, outcomes).startswith(RESULTS["passed"])]
    lines = ["# 需求跟踪矩阵", "", "`his-server trace --run` 生成，请勿手工修改。", "",
             f"招标需求 {len(tender)} 条，有测试 {sum(i in matrix.proofs for i in tender)} 条，"
             f"测试通过 {len(proved)} 条。", ""]
    group = ""
    for identifier, entry in matrix.texts.items():
        if identifier not in tender and identifier not in matrix.proofs:
            continue
        if entry["group"] != group:
            group = entry["group"]
            lines += ["", f"## {group}", "", "| 编号 | 需求 | 实现 | 测试 | 结果 |", "|---|---|---|---|---|"]
        proofs = matrix.proofs.get(identifier, [])
        places = matrix.implements.get(identifier) or {p for proof in proofs for p in proof.packages}
        cells = [identifier, entry["text"], "<br>".join(sorted(places)), "<br>".join(f"`{p.node}`" for p in proofs),
                 _verdict(matrix, identifier, outcomes)]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _verdict(matrix: Matrix, identifier: str, outcomes: dict[str, str]) -> str:
    proofs = matrix.proofs.get(identifier, [])
    if not proofs:
        return "无测试"
    seen = {outcomes.get(".".join((*p.path.with_suffix("").parts, p.name)), "") for p in proofs}
    # tests that were skipped or not run prove nothing, but don't refute what others prove
    worst = next(outcome for outcome in ("failed", "passed", "", "skipped") if outcome in seen)
    return PARTLY if worst == "passed" and "" in seen else RESULTS[worst]


@click.command()
@click.option("--run", "running", is_flag=True, help="运行有标记的测试并写入结果")
@click.option("--results", "reports", type=click.Path(path_type=Path, exists=True, dir_okay=False), multiple=True,
              help="已有运行的 JUnit 报告（pytest --junitxml），可多次")
@click.option("--write/--no-write", default=True, help="写入 docs/trace.md")
@click.option("--root", type=click.Path(path_type=Path, exists=True, file_okay=False), default=Path("."))
def trace(running: bool, reports: tuple[Path, ...], write: bool, root: Path) -> None:
    """需求跟踪矩阵：编号、需求、实现、测试、结果"""
    matrix = collect(root.resolve())
    outcomes = run(root.resolve(), matrix) if running else results(*reports)
    text = render(matrix, outcomes)
    if write:
        (root / "docs" / "trace.md").write_text(text, encoding="utf-8")
    click.echo(text)
    for line in matrix.unknown:
        click.echo(f"未知编号 {line}", err=True)
    if matrix.unknown or "failed" in outcomes.values():
        raise SystemExit(1)
