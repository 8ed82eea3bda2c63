"""Prescriptions of a patient of the suite's own, written and cancelled again (RX-02)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from his_server.compliance.client import Answer, Visitor
from his_server.compliance.frame import Evidence, NotRun, check
from his_server.compliance.target import Target

LONGEST, URGENT, MOST = 7, 3, 5
"""Days of an ordinary and of an emergency prescription; drugs on one (处方管理办法 6, 19)."""
LETTERS = "yabcdefghijlmpqstxz"


@dataclass
class Visit:
    """A patient before a doctor."""

    target: Target
    doctor: Visitor
    person: int
    encounter: int
    department: int

    def drugs(self, count: int, *, priced: bool = True) -> list[dict[str, Any]]:
        """Ordinary drugs in stock, or with ``priced=False`` those that cost nothing. :raises NotRun: there are too few."""
        found: dict[int, dict[str, Any]] = {}
        for letter in LETTERS:
            answer = self.doctor.get(f"/api/orders/drugs?q={letter}&encounter_id={self.encounter}")
            for one in answer.good("查找药品")["items"]:
                plain = one.get("control") in ("", None, "普通") and not one.get("antimicrobial") and not one.get("skin_test")
                if plain and float(one.get("free") or 0) > 0 and bool(float(one.get("price") or 0)) == priced:
                    found.setdefault(one["id"], one)
            if len(found) >= count:
                return list(found.values())[:count]
        raise NotRun(f"目录中可开的普通药品不足 {count} 种")

    def prescribe(self, drugs: list[dict[str, Any]], days: int, **more: Any) -> Answer:
        """Ask for a prescription; what is issued is cancelled at once."""
        lines = [
            {
                "drug_id": one["id"],
                "dose": str(one.get("dose_amount") or "1"),
                "usage": one.get("default_usage") or "口服",
                "frequency": one.get("default_frequency") or "qd",
                "days": days,
            }
            for one in drugs
        ]
        answer = self.doctor.post(
            "/api/orders/prescriptions", {"encounter_id": self.encounter, "diagnosis": "合规测试", "lines": lines, **more}
        )
        if answer.status == 201:
            self.doctor.post(f"/api/orders/prescriptions/{answer.json['id']}/cancel", {"reason": "合规测试"}).good("作废测试处方")
        return answer


def open_session(target: Target, *, emergency: bool = False, other_than: int = 0) -> dict[str, Any]:
    """A clinic session of today that has a place and a price, of another department than that. :raises NotRun: none."""
    sessions = target.staff("cashier").get("/api/scheduling/sessions").good("今天的号源")["items"]
    for one in sessions:
        fits = (one["level"] == "急诊") == emergency and one["department_id"] != other_than
        if fits and one["state"] == "open" and one["free"] > 0 and one.get("price") is not None:
            found: dict[str, Any] = one
            return found
    raise NotRun("今天没有可挂的" + ("急诊号" if emergency else "号"))


def fee(session: dict[str, Any]) -> str:
    """What registering costs, to the fen."""
    return f"{Decimal(session['price']):.2f}"


@contextmanager
def visit(target: Target, *, emergency: bool = False, **values: Any) -> Iterator[Visit]:
    """Register a patient and put him before the doctor of the accounts file. :raises NotRun: no clinic or no doctor."""
    if "doctor" not in target.accounts or "cashier" not in target.accounts:
        raise NotRun("账户文件中没有 doctor（今天出诊）和 cashier（有票段）的账户")
    cashier, person = target.staff("cashier"), target.another_patient(**{"birth_date": "1980-01-01", **values})
    today = open_session(target, emergency=emergency)
    price = fee(today)
    made = cashier.post(
        "/api/outpatient-billing/registrations",
        {
            "person_id": person,
            "session_id": today["id"],
            "expected_total": price,
            "payments": [{"method": "cash", "covers": price}],
        },
    ).good("挂号")
    doctor = target.staff("doctor")
    waiting = doctor.get(f"/api/orders/visits?department_id={today['department_id']}").good("候诊")
    found = [one["id"] for one in waiting["items"] if one["person_id"] == person]
    try:
        if not found:
            raise NotRun("医生的候诊列表中没有测试病人")
        if waiting.get("night"):
            raise NotRun("现在是夜间（只能开 3 日以内的急诊处方），请在白天运行")
        yield Visit(target, doctor, person, found[0], today["department_id"])
    finally:
        cashier.post(f"/api/outpatient-billing/registrations/{made['registration_id']}/cancel", {"reason": "合规测试"})


@check("RX-02", "http", "accounts")
def days(target: Target, seen: Evidence) -> None:
    """Seven days, not eight; eight with a reason and a chronic disease."""
    with visit(target) as before:
        drugs = before.drugs(1)
        good, long = before.prescribe(drugs, LONGEST), before.prescribe(drugs, LONGEST + 1)
        seen.see(good.status == 201, f"普通处方 {LONGEST} 天可以开", f"{good.status} {good.code}")
        reason = (long.json.get("errors") or [{}])[0].get("message") or long.json.get("message")
        seen.see(long.status == 422, f"{LONGEST + 1} 天没有理由被拒绝", f"{long.status} {reason}")
        chronic = before.prescribe(drugs, LONGEST + 1, chronic_reason="慢性病病情稳定")
        seen.see(chronic.status == 201, f"{LONGEST + 1} 天有慢病理由可以开", f"{chronic.status} {chronic.code}")
    try:
        with visit(target, emergency=True) as urgent:
            for asked, good in ((URGENT, True), (URGENT + 1, False)):
                answer = urgent.prescribe(drugs, asked)
                fits = answer.status == 201 if good else answer.status == 422
                seen.see(fits, f"急诊处方 {asked} 天{'可以开' if good else '被拒绝'}", f"{answer.status} {answer.code}")
    except NotRun as error:
        seen.lacks(f"急诊 3 日（{error}）")
