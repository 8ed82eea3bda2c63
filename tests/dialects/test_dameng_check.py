"""``his-server dameng check`` over the stand-in: what it reports of a good server, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import create_engine, make_url, text

from dialects.dameng import check as checks
from his_server.cli.dameng import INCOMPLETE, UNREACHABLE, UNSAFE, check, verdict
from tests.dameng_standin import Standin, start_standin

DRILLS = {"encrypted", "switch_over", "dsc"}


@pytest.fixture(scope="module")
def asked(dialects_postgres_url: str) -> Iterator[Standin]:
    """A stand-in whose settings a test may change."""
    running = start_standin(dialects_postgres_url, database="checked")
    yield running
    running.stop()


@pytest.fixture
def setting(dialects_postgres_url: str, asked: Standin) -> Iterator[Callable[[str, str], None]]:
    """``setting(name, value)`` as if chosen at dminit or granted; taken back after the test."""
    engine = create_engine(make_url(dialects_postgres_url).set(database="checked"))
    before: dict[str, str] = {}

    def change(name: str, value: str) -> None:
        with engine.begin() as connection:
            found = connection.scalar(text('SELECT "PARA_VALUE" FROM sys."STANDIN_SETTING" WHERE "PARA_NAME" = :n'), {"n": name})
            before.setdefault(name, found or "")
            connection.execute(text('UPDATE sys."STANDIN_SETTING" SET "PARA_VALUE" = :v WHERE "PARA_NAME" = :n'),
                               {"n": name, "v": value})

    yield change
    for name, value in before.items():
        change(name, value)
    asked.order(reset=True)
    engine.dispose()


def run(url: str, folder: Path, *only: str) -> tuple[Result, dict[str, Any]]:
    """The command's result, and its report's answers by name."""
    result = CliRunner().invoke(check, [url, "--output", str(folder), *(part for name in only for part in ("--only", name))])
    path = folder / "dameng-check.json"
    report = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"answers": []}
    return result, {"report": report, **{answer["name"]: answer for answer in report["answers"]}}


@pytest.mark.requirement("XC-06", "XC-07")
def test_every_question_is_answered_and_nothing_is_left_behind(asked: Standin, tmp_path: Path) -> None:
    result, answers = run(asked.url, tmp_path)
    assert result.exit_code == 0, result.output
    outcomes = {name: answers[name]["outcome"] for name in (question.name for question in checks.QUESTIONS)}
    assert {name for name, outcome in outcomes.items() if outcome != checks.PASSED} == DRILLS, result.output
    assert all((answers[name]["outcome"] == checks.NOT_ASKED and "演练" in answers[name]["finding"]) or name == "encrypted"
               for name in DRILLS)
    report = answers["report"]
    assert report["asking"] is None and "可以使用" in report["verdict"]
    told = (tmp_path / "dameng-check.txt").read_text(encoding="utf-8")
    assert "Standin_2026" not in told + json.dumps(report)  # no password in what is sent away
    assert told.count("\n  通过  ") == len(checks.QUESTIONS) - len(DRILLS)
    engine = create_engine(asked.url)
    with engine.connect() as connection:
        assert not connection.scalars(text("SELECT TABLE_NAME FROM ALL_TABLES WHERE TABLE_NAME LIKE 'HIS_CHECK%'")).all()
    engine.dispose()


@pytest.mark.requirement("XC-06")
@pytest.mark.parametrize(("question", "name", "value", "says"), [
    ("page_size", "PAGE_SIZE", "8192", "PAGE_SIZE=32"), ("charset", "CHARSET", "0", "CHARSET=1"),
    ("compatible_mode", "COMPATIBLE_MODE", "2", "COMPATIBLE_MODE=2"), ("roles", "ROLES", "PUBLIC,DBA", "DBA"),
    ("privileges", "PRIVILEGES", "CREATE TABLE,SELECT ANY TABLE", "SELECT ANY TABLE"),
])
def test_an_unsafe_choice_is_refused(asked: Standin, setting: Callable[[str, str], None], tmp_path: Path, question: str,
                                     name: str, value: str, says: str) -> None:
    setting(name, value)
    result, answers = run(asked.url, tmp_path, question)
    assert result.exit_code == UNSAFE
    assert answers[question]["outcome"] == checks.FAILED and says in answers[question]["finding"]
    assert "不可使用" in result.output


def test_the_administrators_account_is_refused(asked: Standin, tmp_path: Path) -> None:
    url = make_url(asked.url).set(username="SYSDBA").render_as_string(hide_password=False)
    result, answers = run(url, tmp_path, "account")
    assert result.exit_code == UNSAFE and "SYSDBA" in answers["account"]["finding"]


@pytest.mark.parametrize(("question", "match", "code", "outcome"), [
    ("merge", "^MERGE", -2007, checks.FAILED), ("violations", "INSERT .*HIS_CHECK", -6699, checks.FAILED),
    ("deadlock", "UPDATE .*HIS_CHECK", -6499, checks.FAILED), ("sessions", "DM_INI", -5504, checks.NOT_ASKED),
    ("recursive", "^WITH", -2007, checks.FAILED), ("skip_locked", "SKIP LOCKED", -2007, checks.FAILED),
])
def test_a_server_that_does_otherwise_is_found(asked: Standin, setting: Callable[[str, str], None], tmp_path: Path,
                                               question: str, match: str, code: int, outcome: str) -> None:
    asked.order(fail={"match": match, "code": code, "times": 50})
    result, answers = run(asked.url, tmp_path, question)
    assert answers[question]["outcome"] == outcome, result.output
    assert result.exit_code == (UNSAFE if outcome == checks.FAILED else 0)


def test_a_server_that_is_away_is_told_plainly(asked: Standin, tmp_path: Path) -> None:
    url = make_url(asked.url).set(port=1).render_as_string(hide_password=False)
    result, answers = run(url, tmp_path)
    assert result.exit_code == UNREACHABLE and "连不上" in answers["report"]["verdict"]


@pytest.mark.parametrize("url", ["sqlite://", "dm+dmpython://u:p@h/?what=1", "dm+dmpython://"])
def test_a_wrong_url_is_refused(url: str, tmp_path: Path) -> None:
    assert CliRunner().invoke(check, [url, "--output", str(tmp_path)]).exit_code == 2


def test_a_necessary_question_without_an_answer_is_no_pass() -> None:
    silent = checks.Answer("x", "g", "某项", "must", checks.NOT_ASKED, "")
    assert verdict([silent])[0] == INCOMPLETE
    assert verdict([checks.Answer("x", "g", "某项", "fact", checks.FAILED, "")])[0] == 0
