"""lint-layout finds each broken habit; the scaffolds and the house itself keep them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from his_server.cli import layout, scaffold

ROOT = Path(__file__).parents[2]


def test_the_house_keeps_its_habits() -> None:
    assert layout.check(ROOT) == []


@pytest.mark.parametrize(("kind", "more"), [("module", {}), ("interface", {"id": "H0"})])
def test_a_scaffold_is_clean_and_its_tests_pass(tmp_path: Path, kind: str, more: dict[str, str]) -> None:
    for package in ("modules", "modules/kernel", "interfaces", "tests"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    made = scaffold.make(kind, "blood_bank", "输血科", tmp_path, **more)
    assert layout.check(tmp_path) == []
    ruff = [sys.executable, "-m", "ruff", "check", "--config", str(ROOT / "ruff.toml"), "--no-cache", str(tmp_path)]
    done = subprocess.run(ruff, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    # the new packages seen as parts of the house's own
    (tmp_path / "conftest.py").write_text(
        "import interfaces, modules, tests\n"
        "for package in (interfaces, modules, tests):\n"
        f"    package.__path__.append({str(tmp_path)!r} + '/' + package.__name__)\n"
        "pytest_plugins = ['tests.conftest']\n")
    test = next(path for path in made if path.name == "test_blood_bank.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", "-c", "/dev/null",
         f"--rootdir={tmp_path}", "-k", "sqlite or not postgresql", str(test)],
        cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with pytest.raises(FileExistsError):
        scaffold.make(kind, "blood_bank", "输血科", tmp_path, **more)


@pytest.mark.parametrize("name", ["Blood", "1a", "a-b", "kernel", "../x", ""])
def test_a_scaffold_needs_a_package_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="letters"):
        scaffold.make("module", name, "x", tmp_path)


@pytest.mark.parametrize(("path", "content", "told"), [
    ("modules/x/helpers.py", '"""x"""\n', "not a room"),
    ("modules/x/rules.py", "def f() -> int:\n    return 1\n", "no docstring"),
    ("modules/x/rules.py", "A = 0.5\n", "floats"),
    ("modules/x/rules.py", "def _f(a: float) -> None: ...\n", "floats"),
    ("modules/x/service.py", "def _f(session): session.commit()\n", "commit"),
    ("modules/x/service.py", "import datetime\nA = datetime.datetime.now()\n", "clock"),
    ("modules/x/service.py", "from datetime import date\nA = date.today()\n", "clock"),
    ("modules/x/service.py", "import random\n", "chance"),
    ("modules/x/service.py", "from sqlalchemy import text\n", "raw SQL"),
    ("modules/x/service.py", "import urllib.request\n", "network"),
    ("modules/x/service.py", "\n" * 451, "over 450 lines"),
    ("modules/x/service/a.py", '"""x"""\n', "stands beside"),
    ("interfaces/x/client.py", "", "needs manifest.toml"),
    ("packaging/__init__.py", "", "shadow"),
])
def test_each_broken_habit_is_found(tmp_path: Path, path: str, content: str, told: str) -> None:
    for needed in ("modules/x/__init__.py", "modules/x/service.py", path):
        (tmp_path / needed).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / needed).write_text("")
    if told == "stands beside":
        (tmp_path / "modules/x/service.py").write_text("")
    else:
        (tmp_path / "modules/x/service.py").unlink()
    (tmp_path / path).write_text(content)
    assert any(told in problem.message for problem in layout.check(tmp_path)), layout.check(tmp_path)
