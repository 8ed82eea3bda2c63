"""What a pharmacist keeps to: a prescription's day, its years in the archive, four eyes and the book (RX-01, 07, 09)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

from his_server.compliance.checks.journey import PHARMACY, WINDOW, Patient, two_pharmacists
from his_server.compliance.checks.tracing import NEEDS, WHOLE, at, hand_out, shelf_of, sold, told
from his_server.compliance.frame import Evidence, check
from his_server.compliance.target import Target

KEEP_YEARS = {"普通": 1, "急诊": 1, "儿科": 1, "精二": 2, "毒性": 2, "麻精一": 3}
"""处方管理办法 50."""


@check("RX-01", *NEEDS, "database")
def one_day(target: Target, seen: Evidence) -> None:
    """A prescription holds for its day; its doctor extends it, by three days at most. Here the day ends by SQL."""
    shelf = shelf_of(target)
    with at(target) as who:
        today = date.fromisoformat(target.today)
        first = who.order({"id": shelf.catalogue.drugs["追溯"]}, WHOLE, check_reason="合规测试")
        shown = target.db.rows("prescription", id=first)[0]["valid_until"]
        seen.see(str(shown)[:10] == target.today, "处方当日有效", shown)
        day_before = today - timedelta(days=1)
        over = day_before.isoformat() if isinstance(shown, str) else day_before
        target.db.change("prescription", {"id": first}, valid_until=over)
        owed = who.unpaid()
        late = who.cashier.post(
            f"{WINDOW}/settlements",
            {
                "person_id": who.visit.person,
                "line_ids": [one["id"] for one in owed["lines"]],
                "expected_total": owed["total"],
                "payments": [{"method": "cash", "covers": owed["total"]}],
            },
        )
        seen.see(late.status == 409, "过期的处方不能收费", told(late))
        target.db.change("prescription", {"id": first}, valid_until=shown)
        bill = who.pay(first)
        target.db.change("prescription", {"id": first}, valid_until=over)
        late = hand_out(target, bill, [])
        seen.see(late.status == 409, "收费后过期的处方不能发药", told(late))
        extend = f"/api/orders/prescriptions/{first}/extend"
        for days, reason, good in ((4, "合规测试", False), (3, "", False), (3, "病人行动不便", True)):
            answer = who.visit.doctor.post(extend, {"days": days, "reason": reason})
            what = f"医生延长 {days} 天{'，写明理由' if reason else '，没有理由'}：{'可以' if good else '被拒绝'}"
            seen.see(answer.status == 200 if good else answer.status == 422, what, told(answer))
        until = str(target.db.rows("prescription", id=first)[0]["valid_until"])[:10]
        seen.see(until == (today + timedelta(days=3)).isoformat(), "延长到开具后第 3 天", until)
        done = hand_out(target, bill, [])
        seen.see(done.status == 200, "延长后可以发药", told(done))
    seen.note("怎样过去一天", "处方的有效期由 SQL 改为前一天，查完由医生延长；主机时钟没有动")


@check("RX-07", "http", "accounts")
def kept_for_years(target: Target, seen: Evidence) -> None:
    """A day before its years are over no prescription may be registered as destroyed; nothing of the product deletes one."""
    gone = [
        f"{method} {path}"
        for method, path, _ in target.routes()
        if method == "DELETE" and "prescription" in path
    ]
    seen.see(not gone, "没有删除处方的接口", gone or "无")
    keeper, today = target.whoever("outpatient_pharmacy.destroy_paper"), date.fromisoformat(target.today)
    for kind, years in KEEP_YEARS.items():
        last = _years_ago(today, years)
        answer = keeper.post(
            f"{PHARMACY}/destructions",
            {
                "kind": kind,
                "until": (last + timedelta(days=1)).isoformat(),
                "approved_by": "合规测试",
                "witness": "合规测试监督人",
            },
        )
        seen.see(
            answer.status == 409 and last.isoformat() in str(answer.json.get("message")),
            f"{kind}处方保存未满 {years} 年（差一天）不能登记销毁，提示可销毁到 {last}",
            told(answer),
        )
    seen.note("电子处方", "登记销毁的只是纸质处方，库中记录保留")


def _years_ago(day: date, years: int) -> date:
    try:
        return day.replace(year=day.year - years)
    except ValueError:
        return day.replace(year=day.year - years, day=28)


@check("RX-09", *NEEDS)
def four_eyes(target: Target, seen: Evidence) -> None:
    """A narcotic is picked by one pharmacist and handed out by another; the book names batch, patient and both, and closes."""
    shelf, (first, second) = shelf_of(target), two_pharmacists(target)
    drug = shelf.catalogue.drugs["麻醉片"]
    with at(target) as plain:
        doctor = shelf.catalogue.doctor(plain.visit.department, "主任医师", "抗菌非限制", "抗菌限制", "麻精")
        who = Patient(replace(plain.visit, doctor=doctor))
        bill = sold(who, shelf, Decimal(3), "麻醉片")
        place = f"{PHARMACY}/prescriptions/{bill.prescription}"
        first.post(f"{place}/review", {"note": "合规测试"})
        alone = first.post(f"{place}/dispense", {"codes": []})
        seen.see(alone.status == 409, "没有他人调配的麻醉药品不能发出", told(alone))
        seen.see(
            (picked := first.post(f"{place}/pick", {"codes": []})).status == 200, "一名药师调配", told(picked)
        )
        same = first.post(f"{place}/dispense", {"codes": []})
        seen.see(same.status == 409, "调配人自己不能核对发出", told(same))
        done = second.post(f"{place}/dispense", {"codes": []})
        seen.see(done.status == 200, "另一名药师核对发出", told(done))
        book = first.get(
            f"{PHARMACY}/book?store_id={shelf.store}&drug_id={drug}&from={target.today}&to={target.today}"
        ).good("专册")
        out = next((one for one in book["items"] if Decimal(one["outgoing"] or 0) > 0), {})
        named = out.get("lot_no") and out.get("dispenser") and out.get("checker")
        seen.see(
            named,
            "专册登记批号、调配人与核对人",
            {name: out.get(name) for name in ("number", "lot_no", "dispenser", "checker")},
        )
        moved = sum(
            (Decimal(one["incoming"] or 0) - Decimal(one["outgoing"] or 0) for one in book["items"]),
            Decimal(0),
        )
        closes = Decimal(book["opening"]) + moved == Decimal(book["closing"])
        seen.see(closes, "专册：期初 + 收 − 发 = 结存", f"{book['opening']} {moved:+f} = {book['closing']}")
        more = first.post(
            f"{PHARMACY}/book/empties",
            {
                "line_id": out.get("line_id") or 0,
                "kind": "ampoule",
                "quantity": "4",
                "brought_by": "合规测试",
                "witness": "合规测试监督人",
            },
        )
        seen.see(more.status == 409, "空安瓿回收不能多于发出", told(more))
    _counted(target, seen)


def _counted(target: Target, seen: Evidence) -> None:
    """At a count the lots of a narcotic aren't merged, and who made the sheet doesn't post a difference himself."""
    shelf, (first, second) = shelf_of(target), two_pharmacists(target)
    lots = [f"{target.mark.upper()}-{n}" for n in (1, 2)]
    for lot in lots:
        booked = shelf.book_in("麻醉片", (), packs=1, lot=lot)
        if not seen.see(booked.status == 200, "麻醉药品入库", told(booked)):
            return
    with shelf.counting("麻醉片") as (path, lines):
        merged = first.post(f"{path}/merge", {"positions": [lines[lots[0]]], "into": lines[lots[1]]})
        refused = merged.status == 409 and "麻醉" in told(merged)
        if not seen.see(refused, "盘点时麻醉药品的批号不能合并", told(merged)):
            return
        short = {"position": lines[lots[0]], "quantity": str(WHOLE - 1)}
        first.post(f"{path}/counts", {"counts": [short]}).good("录入实盘数")
        alone = first.post(f"{path}/post", {})
        seen.see(alone.status == 409, "麻醉药品盘亏，制单人自己不能过账", told(alone))
        posted = second.post(f"{path}/post", {})
        seen.see(posted.status == 200 and posted.json["loss"] == 1, "另一名药师过账", told(posted))
