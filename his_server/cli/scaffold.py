"""``new-module`` and ``new-interface``: all rooms with a small working example, and its tests."""

from __future__ import annotations

import re
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

import click

TEMPLATES = resources.files("his_server.cli") / "templates"
ROOT = click.option("--root", type=click.Path(path_type=Path, exists=True, file_okay=False), default=Path("."))


def make(kind: str, name: str, title: str, root: Path, **more: str) -> list[Path]:
    """Write the rooms of a ``module`` or ``interface`` and its tests below ``root``; returns the files.

    :raises ValueError: the name isn't a package name. :raises FileExistsError: the folder is there.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]{1,39}", name) or name == "kernel":
        raise ValueError(f"{name}: lower-case letters, digits and underscores, please")
    folder = root / f"{kind}s" / name
    if folder.exists():
        raise FileExistsError(f"{folder} exists")
    words = {"name": name, "NAME": name.upper(), "title": title, "slug": name.replace("_", "-"),
             "Name": "".join(part.capitalize() for part in name.split("_")), **more}
    made = _render(TEMPLATES / kind, folder, words)
    tests = root / "tests" / f"{kind}s" / name
    tests.mkdir(parents=True)
    for package in (tests.parent, tests):
        (package / "__init__.py").touch()
    test = tests / f"test_{name}.py"
    test.write_text(Template((TEMPLATES / "tests" / f"{kind}.py.txt").read_text(encoding="utf-8")).substitute(words),
                    encoding="utf-8")
    return [*made, test]


def _render(source: Traversable, target: Path, words: dict[str, str]) -> list[Path]:
    made: list[Path] = []
    target.mkdir(parents=True)
    for entry in source.iterdir():
        if entry.is_dir():
            made += _render(entry, target / entry.name, words)
        elif entry.name.endswith(".txt"):
            path = target / entry.name.removesuffix(".txt")
            path.write_text(Template(entry.read_text(encoding="utf-8")).substitute(words), encoding="utf-8")
            made.append(path)
    return made


def _tell(made: list[Path]) -> None:
    for path in sorted(made):
        click.echo(path)


def _make(kind: str, name: str, title: str, root: Path, **more: str) -> None:
    try:
        _tell(make(kind, name, title, root, **more))
    except (ValueError, FileExistsError) as error:
        raise click.ClickException(str(error)) from error


@click.command("new-module")
@click.argument("name")
@click.option("--title", default="新模块", show_default=True, help="中文名")
@ROOT
def new_module(name: str, title: str, root: Path) -> None:
    """开发者：新建业务模块的全部文件与测试"""
    _make("module", name, title, root)


@click.command("new-interface")
@click.argument("name")
@click.option("--title", default="新接口", show_default=True, help="中文名")
@click.option("--id", "identifier", default="H0", show_default=True, help="接口编号")
@ROOT
def new_interface(name: str, title: str, identifier: str, root: Path) -> None:
    """开发者：新建外部接口的全部文件与测试"""
    _make("interface", name, title, root, id=identifier)
