"""Data for tests and research leave without persons: what is listed, coarse, in groups of k, and nothing of protected files."""

from __future__ import annotations

import csv
import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from his_server.actor import SYSTEM
from his_server.cli import main
from his_server.db import Database
from his_server.security.audit import AuditRow
from modules.discipline import cli, rules
from modules.kernel.patients.service import access
from tests.factories import insured as make
from tests.factories.hospital import World


@pytest.fixture
def export(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Runs the command on the world's database; the exit code, what it said, and the files."""
    monkeypatch.setattr(cli, "the_database", lambda: world.db)

    def run(name: str, *more: str) -> tuple[int, str, dict[str, list[dict[str, str]]]]:
        folder = tmp_path / name
        given = ["anonymize", "--out", str(folder), "--from", "2026-03-01", "--to", "2026-03-31", "--reason", "教学", *more]
        done = CliRunner().invoke(main, given)
        files = {path.name: list(csv.DictReader(path.read_text("utf-8-sig").splitlines())) for path in folder.glob("*.csv")}
        return done.exit_code, done.output, files

    return run


def _visit(world: World, name: str, serial: int) -> int:
    person = make.insured_person(world, make.id_no(2, serial), name)
    encounter = world.encounter(world.register(person))
    world.prescribe(encounter)
    world.ok(world.pay_all(person))
    return person


@pytest.mark.requirement("PR-12")
def test_nobody_can_be_found_in_what_leaves(world: World, db: Database, export: Any, tmp_path: Path) -> None:
    for serial in range(1, 7):
        _visit(world, f"张小{serial}明", serial)
    alone = make.insured_person(world, make.id_no(2, 50), "欧阳独一")
    world.ok(world.post("cashier", "/api/outpatient-billing/registrations", {
        "person_id": alone, "session_id": world.ids["emergency_session"], "expected_total": "20.00",
        "payments": [{"method": "cash", "covers": "20.00"}]}))
    code, said, files = export("one")
    assert code == 0 and "导出 6 次就诊" in said and "1 次因同组不足 5 人未导出" in said, said
    assert {name: len(rows) for name, rows in files.items()} == {"就诊.csv": 6, "用药.csv": 6, "费用.csv": 12}
    visit = files["就诊.csv"][0]
    assert set(visit) == {"visit", "person", "sex", "age_band", "city", "month", "department", "kind", "diagnoses"}
    assert (visit["age_band"], visit["month"], visit["department"]) == ("45-49", "2026-03", "呼吸内科")
    assert {row["amount"] for row in files["费用.csv"]} == {"20", "24"} and len({row["person"] for row in files["就诊.csv"]}) == 6
    text = "".join(path.read_text("utf-8") for path in (tmp_path / "one").iterdir())
    for hidden in ("张小", "欧阳", make.id_no(2, 1)[:14], "单文渊", "急诊科"):
        assert hidden not in text, hidden
    assert len({row["visit"] for row in files["就诊.csv"]} & {row["visit"] for row in export("two")[2]["就诊.csv"]}) == 0
    with db.begin(write=False) as session:
        logged = session.query(AuditRow).filter_by(event="research.export").all()
        assert len(logged) == 2 and json.loads(logged[0].detail)["rows"] == 6 and "教学" in logged[0].detail
    assert export("one")[0] == 1, "never into a folder that holds something"


@pytest.mark.requirement("PR-12")
@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_what_is_protected_stays(world: World, db: Database, export: Any) -> None:
    persons = [_visit(world, f"李{serial}四", serial) for serial in range(1, 7)]
    with db.begin() as session:
        session.info["actor"] = SYSTEM
        access.protect(session, SYSTEM, persons[0], level=4, kinds=["hiv"], locked=False, reason="测试")
    code, said, files = export("one")
    assert code == 0 and "1 次因病人受保护未导出" in said and len(files["就诊.csv"]) == 5
    with db.begin() as session:
        session.info["actor"] = SYSTEM
        access.protect(session, SYSTEM, persons[1], level=3, kinds=[], locked=True, reason="测试")
    assert "导出 0 次就诊" in export("two")[1], "four are too few to hide among"


@pytest.mark.requirement("PR-12")
def test_ages_places_and_amounts_are_coarse() -> None:
    on = date(2026, 3, 2)
    births = (date(1980, 3, 2), date(1980, 3, 3), date(1936, 3, 2), date(2026, 1, 1), None)
    assert [rules.age_band(born, on) for born in births] == ["45-49", "45-49", "90+", "00-04", ""]
    assert rules.age_band(date(1976, 3, 3), on) == "45-49" and rules.age_band(date(1976, 3, 2), on) == "50-54"
    assert [rules.city(one) for one in ("320613001", "320685", None)] == ["320600", "320600", ""]
    assert [rules.category(one) for one in ("J20.900", "A15.0", None)] == ["J20", "A15", ""]
    assert [rules.coarse(Decimal(one)) for one in ("0.49", "0.50", "-12.60")] == [0, 1, -13]
