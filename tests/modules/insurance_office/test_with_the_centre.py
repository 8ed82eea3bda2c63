"""A day reconciled with the national insurer's own transactions, 3201, 3202 and 2601, over its strict simulator (N4, YB-03)."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from sqlalchemy import delete, select

from his_server.clock import ManualClock
from interfaces.nhsa.models import NhsaCase, NhsaMessage
from modules.kernel.charging.models import InsuranceClaim
from tests.factories import insured as make
from tests.factories.hospital import World
from tests.modules.insurance_office.test_statements import API, _a_day, _build, _do, _settled, office
from tests.modules.outpatient_billing.test_converting import _convert, _paid, _quote

__all__ = ["office"]


@pytest.mark.requirement("N4", "YB-03")
def test_a_day_with_a_refund_and_a_conversion_is_even_at_the_centre(office: World, clock: ManualClock) -> None:
    done = _paid(office, make.id_no(9), "5")
    assert office.ok(_convert(office, office.ok(_quote(office, done)), done))["state"] == "done"
    day = _a_day(office, clock)
    made = _build(office, day)
    assert {one["insurance"] for one in made} == {"310", "390"}
    for one in made:
        office.ok(_do(office, one["id"], "upload"))
        even = office.ok(_do(office, one["id"], "compare"))
        assert (even["state"], even["message"]) == ("matched", None), even
        assert office.ok(_do(office, one["id"], "confirm"))["state"] == "confirmed"
    assert office.findings() == []


@pytest.mark.requirement("N4", "YB-03")
def test_what_the_centres_books_differ_in_is_found_and_a_stray_is_reversed(office: World, clock: ManualClock) -> None:
    for n in (3, 5, 7, 9):
        _settled(office, n)
    day = clock.today()
    clock.move(days=1)
    office.sign_in_again()
    insurer = office.db.ports["insurance"]
    with office.db.begin() as session:
        claims = list(session.scalars(select(InsuranceClaim).order_by(InsuranceClaim.id)))
        stray = session.execute(select(NhsaMessage.msgid, NhsaMessage.case_id).where(NhsaMessage.infno.like("2207%"))
                                .order_by(NhsaMessage.id.desc()).limit(1)).one()
        # the newest one was made by a process of which nothing is left here: only the centre knows it
        session.execute(delete(NhsaMessage).where(NhsaMessage.case_id == stray.case_id))
        session.execute(delete(NhsaCase).where(NhsaCase.id == stray.case_id))
        lost = claims[-1]
        lost.peer_settled_at = None
    rows = insurer.books.rows("SELECT setl_id, info FROM settlement ORDER BY setl_id")
    with insurer.books.work() as books:
        books.execute("DELETE FROM settlement WHERE setl_id = ?", (rows[0]["setl_id"],))
        info = json.loads(rows[1]["info"])
        info["fund_pay_sumamt"] = str(Decimal(info["fund_pay_sumamt"]) - Decimal("0.01"))
        books.execute("UPDATE settlement SET info = ? WHERE setl_id = ?", (json.dumps(info), rows[1]["setl_id"]))
    (made,) = _build(office, day)
    assert made["entries"] == 3
    office.ok(_do(office, made["id"], "upload"))
    found = office.ok(_do(office, made["id"], "compare"))
    assert found["state"] == "diff"
    kinds = {row["kind"]: row for row in found["items"]}
    assert set(kinds) == {"HOSPITAL_ONLY", "AMOUNT_DIFF", "CENTRE_ONLY"} and len(found["items"]) == 3
    assert kinds["HOSPITAL_ONLY"]["peer_number"] == rows[0]["setl_id"]
    assert kinds["AMOUNT_DIFF"]["peer_number"] == rows[1]["setl_id"]
    assert kinds["CENTRE_ONLY"]["message_id"] == stray.msgid
    before = insurer.net()
    path = f"{API}/differences/{kinds['CENTRE_ONLY']['id']}"
    office.ok(office.post("office", f"{path}/propose", {"reason": "医院无此结算，疑为超时"}))
    assert office.ok(office.post("finance", f"{path}/approve"))["state"] == "settled"
    assert insurer.net() < before, "the centre has given it up"
    again = office.ok(_do(office, made["id"], "compare"))
    assert {row["kind"] for row in again["items"] if row["state"] == "open"} == {"HOSPITAL_ONLY", "AMOUNT_DIFF"}
    for kind in ("HOSPITAL_ONLY", "AMOUNT_DIFF"):
        office.ok(office.post("office", f"{API}/differences/{kinds[kind]['id']}/resolve", {"reason": "中心已更正数据"}))
    assert office.ok(_do(office, made["id"], "confirm"))["state"] == "confirmed"
