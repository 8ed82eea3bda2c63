"""``his-server import`` and ``his-server regions migrate`` as an operator runs them."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from his_server.actor import SYSTEM
from modules.kernel.masterdata.cli import import_
from modules.kernel.patients.cli import regions
from modules.kernel.patients.models import Person
from tests.factories.people import Window


@pytest.fixture
def runner(window: Window, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """Runs commands in the house of ``window``."""

    class House:
        database = window.db

    for module in ("modules.kernel.masterdata.cli", "modules.kernel.patients.cli"):
        monkeypatch.setattr(f"{module}.house", lambda: House)
    return CliRunner()


@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_an_import_says_what_it_did_and_what_is_wrong(runner: CliRunner, tmp_path: Path) -> None:
    path = tmp_path / "科室.csv"
    path.write_text("编码,名称,类别\n1001,内科,临床\n1002,外科,临床\n", "gb18030")
    first, second = (runner.invoke(import_, ["departments", str(path)]) for _ in range(2))
    assert (first.output, first.exit_code) == ("共 2 行：新增 2，修改 0，未变 0\n", 0)
    assert second.output == "共 2 行：新增 0，修改 0，未变 2\n"
    path.write_text("编码,名称,类别\n1003,内科,别的\n", "utf-8")
    wrong = runner.invoke(import_, ["departments", str(path)])
    assert wrong.exit_code == 1
    assert "第 2 行，类别：只能是：临床" in wrong.output
    assert runner.invoke(import_, ["unicorns", str(path)]).exit_code == 1


@pytest.mark.requirement("M1.4")
@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_the_migration_of_regions_reports_and_repeats(runner: CliRunner, window: Window) -> None:
    person = window.create(name="周全")["id"]
    with window.db.begin() as session:
        session.info["actor"] = SYSTEM
        session.get_one(Person, person).home_region = "320611"
    dry, done, again = (runner.invoke(regions, ["migrate", *more]) for more in (["--dry-run"], [], []))
    line = "home_region: 320611 江苏省南通市港闸区 → 320613 江苏省南通市崇川区: 1 人\n"
    assert (dry.output, done.output, again.output) == (
        f"{line}将转换 1 处地址\n", f"{line}已转换 1 处地址\n", "已转换 0 处地址\n")
    assert window.show(person)["home_region"]["original_code"] == "320611"
