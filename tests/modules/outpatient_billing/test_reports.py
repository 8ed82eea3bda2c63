"""The reports of the window: the same sums everywhere, whatever the day; typed exports; readable paper."""

from __future__ import annotations

import io
import json
import random
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import openpyxl
import pytest
from pypdf import PdfReader
from sqlalchemy import select

from his_server.actor import SYSTEM
from his_server.clock import HOSPITAL_ZONE, ManualClock
from his_server.security.audit import AuditRow
from modules.kernel.masterdata.models import Department
from modules.kernel.scheduling import service as scheduling
from modules.kernel.scheduling.models import ClinicSession, ScheduleTemplate
from modules.outpatient_billing.reports import SOURCES
from tests.factories.hospital import World
from tests.reporting.reading import drawn

BASE = "/api/outpatient-billing"


def _report(world: World, name: str, start: str, end: str, who: str = "finance", **more: str) -> dict[str, Any]:
    query = "".join(f"&{key}={value}" for key, value in more.items())
    found: dict[str, Any] = world.ok(world.get(who, f"/api/reports/{name}?from={start}&to={end}{query}"))
    return found


def _net(world: World, name: str, start: str, end: str) -> Decimal:
    return Decimal(_report(world, name, start, end)["total"]["cells"].get("net", "0.00"))


def _open_every_day(world: World) -> None:
    with world.db.begin() as session:
        session.info["actor"] = SYSTEM
        for weekday in range(1, 8):
            if session.query(ScheduleTemplate).filter_by(weekday=weekday, level="普通").first() is None:
                session.add(ScheduleTemplate(department_id=world.ids["clinic"], doctor_id=world.ids["doctor"],
                                             weekday=weekday, period="上午", level="普通", capacity=100))


def _today_session(world: World) -> None:
    with world.db.begin() as session:
        session.info["actor"] = SYSTEM
        day = world.db.clock.today()
        scheduling.open_sessions(session, day)
        world.ids["session"] = session.query(ClinicSession).filter_by(day=day, level="普通").one().id


def _day(world: World, rng: random.Random, old: list[tuple[int, int]]) -> None:
    """Some visits, each paid in its own way; a refund of an earlier day now and then; two shifts."""
    _today_session(world)
    for n in range(3):
        person = world.person(f"月人{n}")
        visit = world.encounter(world.register(person))
        world.prescribe(visit, str(rng.randrange(1, 9)), drug="pill", dose="30")
        if rng.random() < 0.6:
            world.request(visit, str(rng.randrange(1, 3)))
        total = world.unpaid(person)["total"]
        pays = None
        if rng.random() < 0.5:
            scanned = world.scan(person, "1.50", f"1345678901234{rng.randrange(10**4, 10**5)}")
            pays = [{"method": "scan", "covers": "1.50", "intent_id": scanned["id"]},
                    {"method": "cash", "covers": str(Decimal(total) - Decimal("1.50"))}]
        settled = world.ok(world.pay_all(person, pays))
        old += [(settled["id"], line["id"]) for line in world.settlement(settled["id"])["lines"]]
    for _ in range(2):
        if len(old) > 6:
            settlement_id, line = old.pop(rng.randrange(len(old) - 3))
            who = rng.choice(("cashier", "cashier2"))
            world.ok(world.post(who, f"{BASE}/settlements/{settlement_id}/refunds", {
                "lines": [{"line_id": line, "quantity": "1"}], "reason": "病人要求"}))


@pytest.mark.timeout(300)
@pytest.mark.requirement("FN-13", "FN-12", "M1.18", "M1.13")
def test_a_month_agrees_three_ways_to_the_fen(world: World, clock: ManualClock) -> None:
    """Cashiers' shifts = finance's total = item detail = payment channels, per day and for the month, with refunds of
    earlier days and of the month before."""
    _open_every_day(world)
    rng, old = random.Random(11), list[tuple[int, int]]()
    first = datetime(2026, 3, 27, 9, tzinfo=HOSPITAL_ZONE)
    days, shifts = [], Decimal(0)
    for n in range(8):  # over the end of March
        clock.set(first + timedelta(days=n))
        world.sign_in_again()
        _day(world, rng, old)
        days.append(str(clock.today()))
        for who in ("cashier", "cashier2"):
            closed = world.post(who, f"{BASE}/shifts/close", {"counted_cash": None})
            if closed.status_code == 200:
                assert closed.json["statement"]["unbalanced"] == []
                shifts += Decimal(closed.json["statement"]["net"])
    names = [source.name for source in SOURCES if source.name not in (
        "refunds", "zero-vouchers", "registrations-by-department", "registered-patients", "registration-counts",
        "registrations-by-hour")]
    assert len(names) == 9, names
    for start, end in [(day, day) for day in days] + [(days[0], "2026-03-31"), ("2026-04-01", days[-1])]:
        nets = {name: _net(world, name, start, end) for name in names}
        assert len(set(nets.values())) == 1, (start, nets)
    whole = {name: _net(world, name, days[0], days[-1]) for name in names}
    assert set(whole.values()) == {sum((_net(world, "income-by-day", d, d) for d in days), Decimal(0))} == {shifts}
    refunded = _report(world, "refunds", days[0], days[-1])
    assert {"跨日", "跨月"} <= {row["cross"] for row in refunded["rows"]}
    assert Decimal(refunded["total"]["cells"]["total"]) == Decimal(
        _report(world, "income-by-day", days[0], days[-1])["total"]["cells"]["refund"])
    assert world.findings() == []


@pytest.mark.requirement("FN-12", "M1.6", "M1.18")
def test_a_night_shift_closes_once_and_its_print_never_changes(world: World, clock: ManualClock) -> None:
    _open_every_day(world)
    clock.set(datetime(2026, 3, 2, 23, 30, tzinfo=HOSPITAL_ZONE))
    world.sign_in_again()
    world.register(world.person("夜前"))
    world.ok(world.post("cashier", f"{BASE}/receipt-ranges/void-next", {"reason": "卡纸"}))
    clock.set(datetime(2026, 3, 3, 0, 40, tzinfo=HOSPITAL_ZONE))
    world.sign_in_again()
    _today_session(world)
    made = world.register(world.person("夜后"))
    world.ok(world.post("cashier", f"{BASE}/registrations/{made['registration_id']}/cancel", {"reason": "病人要求"}))
    closed = world.ok(world.post("cashier", f"{BASE}/shifts/close", {"counted_cash": "19.50"}))
    figures = closed["statement"]
    assert closed["cash_difference"] == "-0.50"
    assert figures["days"] == [{"day": "2026-03-02", "count": 1, "net": "20.00"},
                               {"day": "2026-03-03", "count": 2, "net": "0.00"}]
    assert (figures["receipts"]["blue"], figures["receipts"]["red"], len(figures["receipts"]["reds"])) == (2, 1, 1)
    assert [reason for _, reason in figures["receipts"]["voids"]] == ["卡纸"]
    assert sum(count for _, _, count in figures["receipts"]["ranges"]) == 3
    assert _net(world, "income-by-day", "2026-03-02", "2026-03-02") == Decimal("20.00")
    assert _net(world, "income-by-day", "2026-03-03", "2026-03-03") == Decimal("0.00")
    assert world.post("cashier", f"{BASE}/shifts/close", {}).json["code"] == "shift.none_open"
    clock.move(minutes=5)
    world.register(world.person("下一班"))  # later entries go to the next shift
    world.ok(world.post("cashier", f"{BASE}/receipt-ranges/void-next", {"reason": "打印偏移"}))
    path = f"{BASE}/shifts/{closed['id']}"
    assert world.ok(world.get("cashier", path))["statement"] == figures
    following = world.ok(world.get("cashier", f"{BASE}/shifts/current"))["statement"]
    assert [reason for _, reason in following["receipts"]["voids"]] == ["打印偏移"]
    prints = [world.post("cashier", f"{path}/print").data for _ in range(3)]
    assert prints[1] == prints[2] != prints[0]
    text = "".join(page.extract_text() for page in PdfReader(io.BytesIO(prints[1])).pages)
    for said in ("补打", "作废号码", "卡纸", "红字号码", "-0.50", "跨零点", "相符"):
        assert said in text
    assert world.post("cashier", f"{path}/hand-over").status_code == 403
    world.ok(world.post("finance", f"{path}/hand-over"))
    assert world.post("finance", f"{path}/hand-over").json["code"] == "shift.handed_over"
    assert world.findings() == []


@pytest.mark.requirement("M1.18")
def test_the_day_end_names_the_settlement_that_does_not_balance(world: World) -> None:
    from sqlalchemy import update

    from modules.kernel.charging.models import Receipt

    made = world.register(world.person())
    with world.db.begin() as session:
        session.execute(update(Receipt).where(Receipt.settlement_id == made["id"]).values(amount=Decimal("19.99")))
    closed = world.ok(world.post("cashier", f"{BASE}/shifts/close", {}))
    assert closed["statement"]["unbalanced"] == [f"{made['number']}：结算 20.00，费用 20.00，票据 19.99，支付 20.00"]


@pytest.mark.requirement("M1.15")
def test_a_department_opens_its_registered_patients_masked(world: World) -> None:
    for name in ("欧阳春晓", "李四"):
        world.register(world.person(name))
    gone = world.register(world.person("王五"))
    world.ok(world.post("cashier", f"{BASE}/registrations/{gone['registration_id']}/cancel", {"reason": "病人要求"}))
    day = str(world.db.clock.today())
    row, = _report(world, "registrations-by-department", day, day)["rows"]
    assert (row["made"], row["live"], row["cancelled"]) == (3, 2, 1)
    opened = _report(world, "registered-patients", day, day, department=row["code"], level=row["level"])["rows"]
    assert [(r["name"], r["queue_no"], r["state"]) for r in opened] == [
        ("欧***", 1, "已挂号"), ("李*", 2, "已挂号"), ("王*", 3, "已退号")]
    live = _report(world, "registered-patients", day, day, department=row["code"], state="registered")["rows"]
    assert len(live) == row["live"]
    assert _report(world, "registered-patients", day, day, department="nobody")["rows"] == []
    wrong = world.get("finance", f"/api/reports/registered-patients?from={day}&to=2020-01-01")
    assert wrong.status_code == 422 and wrong.json["errors"][0]["field"] == "to"


@pytest.mark.requirement("M1.1")
def test_zero_priced_bills_are_listed(world: World) -> None:
    person = world.person()
    world.prescribe(world.encounter(world.register(person)), "100", drug="free_drug", dose="0.1")
    settled = world.ok(world.pay_all(person))
    day = str(world.db.clock.today())
    row, = _report(world, "zero-vouchers", day, day)["rows"]
    assert (row["number"], row["receipt"], row["name"]) == (settled["number"], settled["receipt_numbers"][0], "张**")


@pytest.mark.requirement("FN-18", "M9.7", "M9.8", "M1.11")
def test_every_report_leaves_as_typed_cells_and_readable_pages(world: World) -> None:
    """Numbers are numbers, dates dates; header once, frozen and repeated on paper; nothing under 9 points; page numbers."""
    person = world.person()
    visit = world.encounter(world.register(person))
    world.request(visit)
    settled = world.ok(world.pay_all(person))
    line = world.settlement(settled["id"])["lines"][0]["id"]
    world.ok(world.post("cashier", f"{BASE}/settlements/{settled['id']}/refunds", {
        "lines": [{"line_id": line, "quantity": "1"}], "reason": "病人要求"}))
    day = str(world.db.clock.today())
    for source in SOURCES:
        shown = _report(world, source.name, day, day)
        if source.name != "zero-vouchers":
            assert shown["rows"], source.name
        path = f"/api/reports/{source.name}?from={day}&to={day}&format="
        sheet = openpyxl.load_workbook(io.BytesIO(world.get("finance", path + "xlsx").data)).active
        assert sheet is not None
        titles = [column["title"] for column in shown["columns"]]
        rows = list(sheet.iter_rows(values_only=True))
        top = next(i for i, row in enumerate(rows) if list(row) == titles)
        assert sheet.print_title_rows == f"${top + 1}:${top + 1}" and sheet.freeze_panes and not sheet.merged_cells.ranges
        for row in rows[top + 1:]:
            assert any(value is not None for value in row)
            for column, value in zip(shown["columns"], row, strict=True):
                if value is None or str(value).endswith(("计",)):
                    continue
                kinds = {"money": (int, float), "int": (int,), "percent": (int, float), "quantity": (int, float),
                         "datetime": (datetime,), "date": (datetime,)}
                assert isinstance(value, kinds.get(column["kind"], (str,))), (source.name, column["key"], value)
        pages = PdfReader(io.BytesIO(world.get("finance", path + "pdf").data)).pages
        for number, page in enumerate(pages, 1):
            texts = drawn(page)
            assert min(text.size for text in texts) >= 9.0, (source.name, min(texts, key=lambda t: t.size))
            assert any(f"第{number}页 共{len(pages)}页" in text.text for text in texts)


@pytest.mark.requirement("M1.11")
def test_a_summary_of_many_cashiers_flows_over_pages_with_its_header(world: World) -> None:
    from modules.kernel.charging.models import Payment, Settlement

    world.register(world.person())
    day = world.db.clock.today()
    with world.db.begin() as session:
        first = session.query(Settlement).one()
        for n in range(90):
            copy = Settlement(number=f"T{n}", kind="charge", person_id=first.person_id, total=first.total, channel="window",
                              cashier_id=9000 + n, cashier_name=f"收费员{n:02d}", shift_id=first.shift_id,
                              settled_at=first.settled_at, business_date=day)
            session.add(copy)
            session.flush()
            session.add(Payment(settlement_id=copy.id, method="cash", amount=first.total, paid_at=first.settled_at))
    pages = PdfReader(io.BytesIO(world.get("finance", f"/api/reports/cashier-summary?from={day}&to={day}&format=pdf").data)
                      ).pages
    assert len(pages) >= 4
    for page in pages:
        texts = drawn(page)
        said = {text.text for text in texts}
        assert {"收费员汇总表", "收费员", "支付方式", "净额"} <= said
        assert min(text.size for text in texts) >= 9.0


@pytest.mark.requirement("M1.6")
def test_a_report_is_printed_as_often_as_one_likes_and_its_copies_are_counted_and_marked(world: World) -> None:
    world.register(world.person())
    day = world.db.clock.today()

    def paper(name: str = "cashier-summary") -> str:
        answer = world.get("finance", f"/api/reports/{name}?from={day}&to={day}&format=pdf")
        assert answer.status_code == 200
        return "".join(text.text for page in PdfReader(io.BytesIO(answer.data)).pages for text in drawn(page))

    assert "补打" not in paper()
    assert "补打 第2次" in paper()
    assert "补打" not in paper("refunds")
    assert "补打 第3次" in paper()
    world.register(world.person("李四"))  # the day went on: what is printed now was never printed
    assert "补打" not in paper()
    with world.db.begin(write=False) as session:
        rows = session.scalars(select(AuditRow).where(AuditRow.event == "report.pdf").order_by(AuditRow.at, AuditRow.id))
        assert [(row.object_id.split("#")[0], json.loads(row.detail)["copy"]) for row in rows] == [
            ("cashier-summary", 1), ("cashier-summary", 2), ("refunds", 1), ("cashier-summary", 3), ("cashier-summary", 1)]


@pytest.mark.requirement("M1.15")
def test_reports_are_for_those_who_may(world: World) -> None:
    day = str(world.db.clock.today())
    assert world.get("doctor", f"/api/reports/registered-patients?from={day}&to={day}").status_code == 403
    with world.db.begin(write=False) as session:
        assert session.get(Department, world.ids["clinic"]) is not None
