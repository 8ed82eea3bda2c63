"""The suite itself: verdicts, what counts as not run, the signed report, the command (issue 7, item 4)."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from crypto import get_provider, pem
from his_server.cli import main
from his_server.compliance import checks as declared
from his_server.compliance import report
from his_server.compliance.algorithms import suspects
from his_server.compliance.checks import crypto_algorithms, platform
from his_server.compliance.checks.program import HOUSES, weaknesses
from his_server.compliance.client import Answer
from his_server.compliance.frame import (
    BAD,
    CHECKS,
    GOOD,
    NOT_APPLICABLE,
    NOT_RUN,
    PARTLY,
    Check,
    Evidence,
    NotApplicable,
    NotRun,
    Result,
    catalogue,
    chosen,
    judge,
)
from his_server.compliance.run import compared, count, derived, run, run_one
from his_server.compliance.tables import Tables
from his_server.compliance.target import Done, Target
from his_server.db.base import Base
from his_server.registry import Hospital
from tests.compliance.controls import CONTROLS

UNCONTROLLED: dict[str, str] = {
    "XC-01": "test_the_stack_is_told_and_only_the_declared_one_passes",
    "XC-06": "test_dameng_alone_is_asked_for_its_parameters",
    "XC-07": "test_dameng_alone_is_asked_for_its_semantics",
}
"""Check → the test of its own that is its control, because this machine is no such place."""
ENTRY = catalogue()["DB-01"]


def target() -> Target:
    """Nothing is there."""
    return Target(lambda method, path, headers, body: Answer(404, (), b""))


def test_the_catalogue_is_whole_and_every_check_is_run_or_has_its_reason() -> None:
    assert declared.__all__ and len(catalogue()) == 158
    for entry in catalogue().values():
        assert entry.mode in ("A", "S", "D") and entry.clause and entry.title
        assert (entry.id in CHECKS) == (entry.rest == ""), entry.id
        if entry.rest:
            kind, _, text = entry.rest.partition(" ")
            assert kind in "=!?@" and len(text) > 3 and (entry.mode != "D" or kind == "?"), entry.id
    assert len(chosen("all")) == 158 and {entry.profile for entry in chosen("等保")} == {"等保"}


def test_every_check_has_a_negative_control() -> None:
    assert set(CHECKS) - {id for id, _, _ in CONTROLS} == set(UNCONTROLLED)


def seen(*oks: bool, missing: str = "", lesser: bool = False) -> Evidence:
    evidence = Evidence(missing=[missing] if missing else [])
    for ok in oks:
        evidence.see(ok, "问", "答", vital=not lesser)
    return evidence


@pytest.mark.parametrize(
    ("evidence", "verdict"),
    [
        (seen(True, True), GOOD),
        (seen(True, False), BAD),
        (seen(False), BAD),
        (seen(True, False, lesser=True), PARTLY),
        (seen(True, missing="一部分"), PARTLY),
        (seen(), NOT_RUN),
        (seen(missing="全部"), NOT_RUN),
        (seen(False, missing="一部分"), BAD),
    ],
)
def test_verdicts(evidence: Evidence, verdict: str) -> None:
    assert judge(ENTRY, evidence).verdict == verdict


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (NotRun("没有"), NOT_RUN),
        (NotApplicable("不涉及"), NOT_APPLICABLE),
        (KeyError("x"), NOT_RUN),
        (OSError("refused"), NOT_RUN),
    ],
)
def test_an_exception_is_never_a_pass(monkeypatch: pytest.MonkeyPatch, error: Exception, verdict: str) -> None:
    def broken(where: Target, evidence: Evidence) -> None:
        evidence.see(True, "先看到一项好的")
        raise error

    monkeypatch.setitem(CHECKS, "DB-01", Check("DB-01", (), broken))
    result = run_one(target(), ENTRY)
    assert result.verdict == verdict and result.reason

    def bad_then_broken(where: Target, evidence: Evidence) -> None:
        evidence.see(False, "先看到一项坏的")
        raise error

    monkeypatch.setitem(CHECKS, "DB-01", Check("DB-01", (), bad_then_broken))
    assert run_one(target(), ENTRY).verdict in (BAD, NOT_APPLICABLE)


def test_what_is_needed_and_not_there_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crypto_algorithms, "SAMPLES", 0)  # MP-18 needs nothing, and takes its time
    results = run(target(), chosen("all"))
    assert {one.verdict for one in results} <= {NOT_RUN, GOOD, PARTLY} and all(
        one.reason for one in results if one.verdict == NOT_RUN
    )
    assert count(results).of[NOT_RUN] > 130 and sum(count(results).of.values()) == 158


def test_a_derived_verdict_is_the_worst() -> None:
    entry = catalogue()["DB-24"]
    ids = entry.rest.removeprefix("=").split()
    for worst in (GOOD, PARTLY, NOT_RUN, BAD):
        done = {id: Result(catalogue()[id], GOOD) for id in ids} | {ids[0]: Result(catalogue()[ids[0]], worst)}
        assert derived(entry, done).verdict == worst
    assert derived(entry, {}).verdict == NOT_RUN


def test_what_commands_of_the_product_need_is_handed_to_the_services_account(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given: list[tuple[Any, int, int]] = []
    monkeypatch.setattr(os, "chown", lambda path, user, group: given.append((path, user, group)))
    made, owner = target(), tmp_path.stat()
    for root, data, times in ((0, None, 0), (1000, tmp_path, 0), (0, tmp_path, 2)):
        monkeypatch.setattr(os, "geteuid", lambda root=root: root)
        made.data_dir = data
        with made.workplace() as folder:
            assert folder.is_dir() and made.hand_over(folder / "file") == folder / "file"
        assert not folder.exists() and len(given) == times, (root, data)
    assert given == [(folder, owner.st_uid, owner.st_gid), (folder / "file", owner.st_uid, owner.st_gid)]


@pytest.mark.long
@pytest.mark.requirement("DB-22")
def test_nothing_in_the_programs_own_sources_lets_somebody_in() -> None:
    folder = Path(__file__).parents[2]
    files = [path for house in HOUSES for path in (folder / house).rglob("*.py") if "node_modules" not in path.parts]
    found = [one for path in files for one in weaknesses(path.relative_to(folder).as_posix(), path.read_text("utf-8"))]
    assert len(files) > 500 and found == []


def other_run(**verdicts: str) -> dict[str, Any]:
    return {"stack": {"数据库": "postgresql 15"}, "results": [{"id": id, "verdict": one} for id, one in verdicts.items()]}


@pytest.mark.requirement("XC-05")
@pytest.mark.requirement("MP-04")
def test_every_column_for_a_digest_is_declared(hospital: Hospital) -> None:
    """Whatever the tables hold on the day of the assessment: a table that was empty in our tests has rows in a hospital."""
    kinds = ("digest", "hash", "mac", "index", "fingerprint")
    made = {f"{table.name}.{column.name}" for table in Base.metadata.tables.values() for column in table.columns
            if getattr(column.type, "length", None) == 64 and column.name.rpartition("_")[2] in kinds}
    assert len(made) > 15 and suspects([(place, "0" * 64) for place in sorted(made)]) == set()


def test_a_run_on_another_database_is_compared() -> None:
    entry, made = catalogue()["XC-05"], target()
    made.tables = Tables("sqlite://")
    done = {id: Result(one, GOOD) for id, one in list(catalogue().items())[:12]}
    same = {id: GOOD for id in done}
    assert compared(entry, done, made).verdict == NOT_RUN  # nothing to compare with
    for there, verdict in ((GOOD, GOOD), (PARTLY, PARTLY), (NOT_RUN, PARTLY), (BAD, BAD)):
        made.other = other_run(**{**same, "MP-03": there})
        result = compared(entry, done, made)
        assert result.verdict == verdict and ("MP-03" in str(result.evidence.seen)) == (verdict != GOOD)
    done["MP-03"] = Result(catalogue()["MP-03"], BAD)  # wrong here only
    made.other = other_run(**same)
    assert compared(entry, done, made).verdict == BAD
    made.tables = Tables("postgresql+psycopg://x")  # the same kind of database proves nothing
    done["MP-03"] = Result(catalogue()["MP-03"], GOOD)
    assert compared(entry, done, made).verdict == BAD


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, bytes]:
    """A report with a secret and personal numbers in its evidence, and its signing key's public half."""
    evidence = seen(True)
    evidence.see(False, "口令 Secret#123456", "110101199003074514 与 13912345679")
    provider = get_provider("openssl")
    private, public = provider.sm2_generate()
    moment = datetime(2026, 3, 2, tzinfo=UTC)
    content = report.document(
        [judge(ENTRY, evidence)],
        profile="等保",
        stack={"数据库": "sqlite"},
        began=moment,
        ended=moment,
        secrets=["Secret#123456"],
        mark="hgcs0",
    )
    return report.write(tmp_path / "out", content, provider, private), public


def test_the_report_holds_no_secret_and_no_whole_number(written: tuple[Path, bytes]) -> None:
    path, _ = written
    for name in ("report.json", "report.html"):
        text = path.with_name(name).read_text("utf-8")
        assert "不符合" in text and "（略）" in text
        assert "Secret#123456" not in text and "110101199003074514" not in text and "13912345679" not in text
    assert path.with_name("report.pdf").read_bytes()[:5] == b"%PDF-"


def test_a_report_is_verified_offline_and_every_change_shows(written: tuple[Path, bytes], tmp_path: Path) -> None:
    path, public = written
    key = tmp_path / "key.pem"
    key.write_text(pem.public_to_pem(public))

    def verify(*more: str) -> tuple[int, str]:
        done = CliRunner().invoke(main, ["compliance", "verify", str(path), *more])
        return done.exit_code, done.output

    assert verify("--public", str(key))[0] == 0 and "未核验签名者" in verify()[1]
    other = tmp_path / "other.pem"
    other.write_text(pem.public_to_pem(get_provider("openssl").sm2_generate()[1]))
    assert verify("--public", str(other))[0] == 1
    text = path.read_text("utf-8")
    changes: list[Any] = [
        lambda c: c["results"][0].update(verdict=GOOD),
        lambda c: c["counts"].update({GOOD: 99}),
        lambda c: c["results"].clear(),
        lambda c: c.update(version="9"),
        lambda c: c["signature"].update(value="00" * 64),
    ]
    for change in changes:
        content = json.loads(text)
        change(content)
        path.write_text(json.dumps(content, ensure_ascii=False), "utf-8")
        assert verify()[0] == 1
    path.write_text(text, "utf-8")
    page = path.with_name("report.html")
    page.write_text(page.read_text("utf-8").replace("不符合", "符合"), "utf-8")
    assert "report.html" in verify()[1] and verify()[0] == 1
    path.write_text("{}", "utf-8")
    assert verify()[0] == 1


def test_the_list_says_how_each_is_done() -> None:
    done = CliRunner().invoke(main, ["compliance", "list"])
    assert done.exit_code == 0 and len(done.output.strip().splitlines()) == 158


@pytest.mark.requirement("DB-28")
def test_the_catalogue_of_personal_data_is_printed() -> None:
    done = CliRunner().invoke(main, ["compliance", "personal-data"])
    assert done.exit_code == 0 and "person.id_no_sealed" in done.output and done.output.count("\n") > 12


def on(system: str, dialect: str, monkeypatch: pytest.MonkeyPatch, code: int = 0) -> Target:
    """A target on another system and database, by what they say of themselves."""
    made = target()
    monkeypatch.setattr(platform, "_os_release", lambda: {"ID": system})
    monkeypatch.setattr(platform, "banner", lambda where: "DM 8.1")
    monkeypatch.setattr(platform, "processor", lambda: "鲲鹏")
    made.tables = Tables("sqlite://")
    made.tables.dialect = dialect
    made.command = lambda arguments, more: Done(code, "")
    return made


def test_the_stack_is_told_and_only_the_declared_one_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = catalogue()["XC-01"]
    assert run_one(on("kylin", "dm", monkeypatch), entry).verdict == GOOD
    for system, dialect in (("debian", "dm"), ("kylin", "postgresql"), ("", "")):
        result = run_one(on(system, dialect, monkeypatch), entry)
        assert result.verdict == NOT_RUN and result.reason and len(result.evidence.seen) > 4


def test_dameng_alone_is_asked_for_its_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = catalogue()["XC-06"]
    verdicts = [
        run_one(on("kylin", dialect, monkeypatch, code), entry).verdict for dialect, code in (("dm", 0), ("dm", 1), ("sqlite", 0))
    ]
    assert verdicts == [GOOD, BAD, NOT_APPLICABLE]


@pytest.mark.parametrize(
    ("dialect", "outcomes", "code", "verdict"),
    [
        ("dm", ("通过", "通过"), 0, GOOD),
        ("dm", ("通过", "不通过"), 1, BAD),
        ("dm", ("通过", "未执行"), 3, BAD),
        ("dm", (), 2, NOT_RUN),
        ("postgresql", ("通过",), 0, NOT_APPLICABLE),
    ],
)
def test_dameng_alone_is_asked_for_its_semantics(
    monkeypatch: pytest.MonkeyPatch, dialect: str, outcomes: tuple[str, ...], code: int, verdict: str
) -> None:
    made = on("kylin", dialect, monkeypatch)

    def command(arguments: Any, more: Any) -> Done:
        answers = [{"group": "语义", "title": f"第{n}项", "need": "must", "outcome": one, "finding": "见报告"}
                   for n, one in enumerate(outcomes)]
        if outcomes:
            (Path(arguments[-1]) / "dameng-check.json").write_text(json.dumps({"answers": answers}), "utf-8")
        return Done(code, "连不上")

    made.command = command
    assert run_one(made, catalogue()["XC-07"]).verdict == verdict
