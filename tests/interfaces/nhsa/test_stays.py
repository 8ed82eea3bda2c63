"""A whole stay against the strict centre, and thousands of fee lines that go up once each whatever happens (M5.2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from his_server.clock import ManualClock
from his_server.db import Database
from his_server.messaging.outbox import LostAnswer, NotSent
from interfaces.hub.simulating import Faults, Rule
from interfaces.nhsa.client import uploads
from interfaces.nhsa.client.stays import Stays
from interfaces.nhsa.mapping.inpatient import Stay, StayDiagnosis, StayLine
from interfaces.nhsa.settings import Settings
from interfaces.nhsa.simulator.catalogue import code_of
from modules.kernel.charging.ports import CONFIRMED, REFUSED, Credential
from tests.factories import insured as make
from tests.factories.insurer import Simulated, bind

sqlite = pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
WARD, DOCTOR = ("1201", "呼吸内科病区"), ("D320602000001", "单文渊")


def _stay(db: Database, port: Simulated, ending: str = "0000") -> Stay:
    member = port.identify(Credential("ecode", make.id_no(2) + ending), "").member
    assert member is not None
    at = db.clock.now()
    return Stay(number="ZY20260302001", stay_no="26030201", member_no=member.member_no, insurance="310", area="320602",
                med_type="21", admitted_at=at, department=WARD, bed="12", doctor=DOCTOR,
                diagnoses=(StayDiagnosis("J18.900", "肺炎", True, at, WARD[0], DOCTOR),))


def _lines(db: Database, count: int, *, first: int = 1) -> Iterator[StayLine]:
    for n in range(first, first + count):
        yield StayLine(line_id=n, code=f"ZL{n % 40}", national=code_of("201", f"ZL{n % 40}", "01"), price=Decimal("12.50"),
                       quantity=Decimal(2), amount=Decimal("25.00"), charged_at=db.clock.now(), department=WARD,
                       doctor=DOCTOR, order=f"YZ{n}")


def _again(call: Any) -> Any:
    """Repeat as a worker does until the line carries it."""
    for _ in range(8):
        try:
            answer = call()
        except (LostAnswer, NotSent):
            continue
        return answer
    raise AssertionError("eight times without an answer")


@pytest.mark.requirement("H2")
@pytest.mark.parametrize("fault", ["", "drop_before", "drop_after", "duplicate"])
@sqlite
def test_a_stay_from_admission_to_the_reversal_of_its_settlement(
        db: Database, clock: ManualClock, tmp_path: Path, fault: str) -> None:
    port = bind(db, tmp_path)
    stay = _stay(db, port)
    stays = Stays(port.insurer)
    if fault:
        Faults(port.folder / "nhsa").write([Rule(fault, infno, count=1) for infno in ("2401", "2301", "2304", "2305")])
    admitted = _again(lambda: stays.admit(stay))
    assert admitted.state == CONFIRMED and stays.admit(stay).peer_number == admitted.peer_number
    assert len(port.books.rows("SELECT * FROM visit")) == 1
    uploads.write_down(port.insurer, stay, stay.member_no, admitted.peer_number, [
        *_lines(db, 30), *(replace(one, line_id=100, quantity=Decimal(-1), amount=Decimal("-12.50"), reverses=1)
                           for one in _lines(db, 1))])
    for _ in range(3):
        uploads.upload(port.insurer, stay.member_no, admitted.peer_number, stay.number, stay.area)
    total = uploads.uploaded_total(port.insurer, admitted.peer_number)
    assert total == Decimal("737.50")
    assert stays.preview(stay).state == REFUSED  # not discharged yet
    clock.move(days=5)
    stay = replace(stay, discharged_at=clock.now(), bed="14")
    assert stays.discharge(stay).state == CONFIRMED
    told = stays.preview(stay)
    assert told.state == CONFIRMED and told.split is not None and told.split.total == total
    assert stays.settle(stay, total + 1).state == REFUSED
    settled = _again(lambda: stays.settle(stay, total))
    if fault == "drop_before":  # it never came: reversed by 2601, and settled anew
        assert settled.state == REFUSED
        assert stays.preview(stay).state == CONFIRMED
        settled = _again(lambda: stays.settle(stay, total))
    assert settled.state == CONFIRMED and settled.split == replace(told.split, balance=settled.split.balance)
    assert port.net() == settled.split.covered
    assert stays.settle(stay, total).peer_number == settled.peer_number
    back = _again(lambda: stays.reverse("C1", stay))
    assert back.state == CONFIRMED and port.net() == 0
    assert _again(lambda: stays.reverse("C1", stay)).state == CONFIRMED
    assert stays.cancel_discharge(stay).state == CONFIRMED
    assert stays.change(replace(stay, bed="9")).state == CONFIRMED
    assert stays.cancel_admission(stay).state == REFUSED  # fee lines are there
    assert stays.withdraw_fees(stay).state == CONFIRMED
    assert stays.cancel_admission(stay).state == CONFIRMED
    assert {row["state"] for row in port.books.rows("SELECT state FROM visit")} == {"withdrawn"}


@pytest.mark.requirement("H2")
@sqlite
def test_no_more_goes_back_than_was_uploaded(db: Database, tmp_path: Path) -> None:
    """Refunds wait for their originals; the centre's limit is said in the line that broke it, alone."""
    port = bind(db, tmp_path, own=Settings(upload_batch=10))
    stay = _stay(db, port)
    mdtrt = Stays(port.insurer).admit(stay).peer_number or ""
    one = next(_lines(db, 1))
    backs = [replace(one, line_id=50 + n, quantity=Decimal(-1), amount=Decimal("-12.50"), reverses=1) for n in range(3)]
    uploads.write_down(port.insurer, stay, stay.member_no, mdtrt, [*backs, *_lines(db, 25)])
    done = uploads.upload(port.insurer, stay.member_no, mdtrt, stay.number, stay.area)
    assert (done.done, done.refused, done.waiting) == (27, 1, 0)
    assert "不能超过原始上传数量" in uploads.failed(port.insurer)[0].message


@pytest.mark.requirement("M5.2")
@pytest.mark.parametrize("fault", ["drop_before", "drop_after", "duplicate", "garbage", "refuse"])
@sqlite
def test_two_thousand_lines_go_up_once_over_a_bad_line(
        db: Database, clock: ManualClock, tmp_path: Path, fault: str) -> None:
    """Every fourth batch fails; run after run goes on where it stopped: no line twice, none left out."""
    port = bind(db, tmp_path, own=Settings(upload_batch=50, upload_lanes=4))
    stay = _stay(db, port)
    mdtrt = Stays(port.insurer).admit(stay).peer_number or ""
    assert uploads.write_down(port.insurer, stay, stay.member_no, mdtrt, _lines(db, 2000)) == 2000
    assert uploads.write_down(port.insurer, stay, stay.member_no, mdtrt, _lines(db, 2000)) == 0
    Faults(port.folder / "nhsa").write([Rule(fault, "2301", chance=25)])
    runs = 0
    while True:
        runs += 1
        clock.move(seconds=400)
        try:
            done = uploads.upload(port.insurer, stay.member_no, mdtrt, stay.number, stay.area)
        except (LostAnswer, NotSent):
            continue
        if done.done == 2000:
            break
        assert done.refused == 0 and runs < 60, done
    rows = port.books.rows("SELECT sn, amount FROM fee")
    assert len(rows) == 2000 and sum(Decimal(row["amount"]) for row in rows) == Decimal("50000.00")
    assert uploads.uploaded_total(port.insurer, mdtrt) == Decimal("50000.00")
    assert runs > 1 and clock.now() - timedelta(seconds=1) > stay.admitted_at
