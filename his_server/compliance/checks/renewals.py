"""一次挂号管三天: a second visit without a fee while results are pending (YB-09). The days pass by SQL."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from his_server.compliance.checks.journey import WINDOW, Patient, examined, patient
from his_server.compliance.checks.orders import open_session
from his_server.compliance.checks.tracing import told
from his_server.compliance.frame import Evidence, NotRun, check
from his_server.compliance.target import Target

DAYS = 3


@check("YB-09", "http", "accounts", "database", "disturb")
def renewed(target: Target, seen: Evidence) -> None:
    """Same clinic, within three natural days, once, results pending: a number for nothing; else none."""
    cashier = target.staff("cashier")
    with patient(target) as who, patient(target) as other:
        examined(who)
        who.pay(0)
        today, clinic = date.fromisoformat(target.today), who.visit.department
        session = next(one for one in cashier.get("/api/scheduling/sessions").good("号源")["items"]
                       if one["department_id"] == clinic and one["state"] == "open" and one["free"] > 0)
        first, without = (target.db.rows("registration", person_id=one.visit.person)[0] for one in (who, other))

        others = [row["id"] for row in target.db.rows("clinic_session", 50) if row["id"] != first["session_id"]]
        elsewhere = others[0] if others else 0

        def began(registration: dict[str, Any], days: int) -> Any:
            before = today - timedelta(days)
            day = before.isoformat() if isinstance(registration["day"], str) else before
            where = {"session_id": elsewhere, "queue_no": 9000 + days} if elsewhere else {}  # then it was another session
            return target.db.altered("registration", {"id": registration["id"]}, day=day, **where)

        def offered(person: Patient) -> int:
            return len(cashier.get(f"{WINDOW}/renewals?person_id={person.visit.person}").good("可续诊的挂号")["items"])

        def ask(person: Patient, place: int) -> Any:
            return cashier.post(f"{WINDOW}/renewals", {"person_id": person.visit.person, "session_id": place})

        seen.see(offered(who) == 0, "当天不续诊（本次就诊即可复诊）", offered(who))
        with began(first, DAYS):
            seen.see(offered(who) == 0 and ask(who, session["id"]).status == 409, f"第 {DAYS + 1} 天不能续诊", offered(who))
        with began(without, 1):
            late = ask(other, session["id"])
            seen.see(late.status == 409, "没有待出结果的检查检验不能续诊", told(late))
        with began(first, DAYS - 1):
            seen.see(offered(who) == 1, f"第 {DAYS} 天、检查结果未出：可以续诊", offered(who))
            try:
                other_clinic = ask(who, open_session(target, emergency=True, other_than=clinic)["id"])
                seen.see(other_clinic.status == 409, "换科室不能续诊", told(other_clinic))
            except NotRun as error:
                seen.lacks(f"换科室（{error}）")
            done = ask(who, session["id"])
            free = done.status == 201 and float(done.json["total"]) == 0
            seen.see(free, "续诊号 0.00 元", f"{told(done)} {done.json.get('total')}")
            twice = ask(who, session["id"])
            seen.see(twice.status == 409, "一次挂号只能续诊一次", told(twice))
            if done.status == 201:
                place = f"{WINDOW}/registrations/{done.json['registration_id']}/cancel"
                cashier.post(place, {"reason": "合规测试"}).good("退续诊号")
    seen.note("怎样过去几天", "测试挂号的日期由 SQL 改为几天前，查完改回")
