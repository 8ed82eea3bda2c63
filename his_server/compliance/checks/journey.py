"""Patients sent through clinic, window and pharmacy, for what can't be seen in the tables alone (GR-01, RX-12; FN-04, 06, 11).

The patients are the suite's own; what they are given and pay stays in the books, so this is for a test environment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from his_server.compliance.checks.orders import LETTERS, Visit, visit
from his_server.compliance.client import Answer, Visitor
from his_server.compliance.frame import Evidence, NotRun, check
from his_server.compliance.target import Target

NEEDS = ("http", "accounts", "disturb")
ZERO = Decimal(0)
WINDOW, PHARMACY = "/api/outpatient-billing", "/api/outpatient-pharmacy"
ROUNDS = 10
"""How often dispensing and refunding meet."""
SECOND = "pharmacist 2"
CODE = "134567890123456789"
"""A payer's code of a test merchant."""


@dataclass
class Bill:
    """What was ordered and paid: the prescription's key and the settlement as the window shows it."""

    prescription: int
    settlement: dict[str, Any]

    @property
    def path(self) -> str:
        """Where the settlement is."""
        return f"{WINDOW}/settlements/{self.settlement['id']}"


@dataclass
class Patient:
    """Somebody of today's clinic whom the suite leads from desk to desk."""

    visit: Visit

    @property
    def cashier(self) -> Visitor:
        """Who takes the money."""
        return self.visit.target.staff("cashier")

    def order(self, drug: dict[str, Any], quantity: Decimal, **more: Any) -> int:
        """A prescription that stays. :raises NotRun: it was refused."""
        return int(self.ask(drug, quantity, **more).good("开处方")["id"])

    def ask(self, drug: dict[str, Any], quantity: Decimal, **more: Any) -> Answer:
        """Ask for a prescription of one drug."""
        line = {"drug_id": drug["id"], "dose": str(drug.get("dose_amount") or "1"), "usage": drug.get("default_usage") or "口服",
                "frequency": drug.get("default_frequency") or "qd", "days": 3, "quantity": str(quantity)}
        body = {"encounter_id": self.visit.encounter, "diagnosis": "合规测试", "lines": [line], **more}
        return self.visit.doctor.post("/api/orders/prescriptions", body)

    def unpaid(self) -> dict[str, Any]:
        """What the patient owes."""
        found: dict[str, Any] = self.cashier.get(f"{WINDOW}/unpaid?person_id={self.visit.person}").good("待缴费用")
        return found

    def pay(self, prescription: int, *, method: str = "cash", intent: int | None = None) -> Bill:
        """Settle everything owed, by one payment. :raises NotRun: it was refused."""
        owed = self.unpaid()
        paid = [{"method": method, "covers": owed["total"], "intent_id": intent}] if Decimal(owed["total"]) else []
        made = self.cashier.post(f"{WINDOW}/settlements", {
            "person_id": self.visit.person, "line_ids": [line["id"] for line in owed["lines"]], "payments": paid,
            "expected_total": owed["total"]}).good("收费")
        return Bill(prescription, self.cashier.get(f"{WINDOW}/settlements/{made['id']}").good("读取结算"))

    def refund(self, bill: Bill, line: dict[str, Any], quantity: Decimal, **more: Any) -> Answer:
        """Ask for part of a line back."""
        return self.cashier.post(f"{bill.path}/refunds", {
            "lines": [{"line_id": line["id"], "quantity": str(quantity)}], "reason": "合规测试", **more})


@contextmanager
def patient(target: Target, **values: Any) -> Iterator[Patient]:
    """A registered patient before the doctor. :raises NotRun: there is no clinic today."""
    with visit(target, **values) as today:
        yield Patient(today)


def examined(who: Patient) -> int:
    """An examination is asked for, and owed; the request's key. :raises NotRun: there is none to ask for."""
    doctor = who.visit.doctor
    places = [one["id"] for one in doctor.get("/api/orders/choices").good("科室")["departments"] if one["kind"] == "医技"]
    coded = [row["name"] for row in who.visit.target.db.rows("diagnosis", 500) if "hgcs" not in row["name"]]
    body = {"encounter_id": who.visit.encounter, "diagnosis": coded[0] if coded else "合规测试"}
    for letter in LETTERS if places else ():
        for item in doctor.get(f"/api/orders/items?q={letter}").good("查找项目")["items"]:
            if item["performing_kind"] != "登记" and float(item["price"] or 0) > 0:
                body |= {"performing_department_id": places[0], "lines": [{"item_id": item["id"], "quantity": "1"}]}
                return int(doctor.post("/api/orders/requests", body).good("开申请")["id"])
    raise NotRun("目录中没有可申请的检查检验项目或医技科室")


def units(line: dict[str, Any]) -> Decimal:
    """How many of its units a line has."""
    return Decimal(line["quantity"])


@check("FN-04", *NEEDS)
def parts(target: Target, seen: Evidence) -> None:
    """A line refunded in parts gives back exactly what was paid for it, each part positive, and then no more."""
    with patient(target) as who:
        drug = next(iter(who.visit.drugs(1)))
        whole = Decimal(drug["pack_size"]) * 3
        bill = who.pay(who.order(drug, whole))
        line = next(one for one in bill.settlement["lines"] if one["kind"] == "drug")
        left, back = units(line), []
        while left > 0:
            part = min(left, max(Decimal(1), (left / 2).to_integral_value()))
            answer = who.refund(bill, line, part)
            said = f"{answer.status} {answer.json.get('message', '')}"
            if not seen.see(answer.status == 201, f"退 {part.normalize():f} {line['unit']}", said):
                return
            made = who.cashier.get(f"{WINDOW}/settlements/{_refund_id(answer)}").good("读取退费")
            back.append(-Decimal(made["total"]))
            left -= part
        seen.see(all(one > 0 for one in back), "每次退费都为正", back)
        whole_back = sum(back, ZERO) == Decimal(line["amount"])
        seen.see(whole_back, "多次退费合计等于原额", f"{' + '.join(map(str, back))} = {line['amount']}")
        more = who.refund(bill, line, Decimal(1))
        seen.see(more.status in (409, 422), "退完之后不能再退", f"{more.status} {more.code}")


def _refund_id(answer: Answer) -> int:
    found = answer.json
    return int(found.get("id") or found["settlement"]["id"])


@check("FN-06", *NEEDS)
def nothing_to_pay(target: Target, seen: Evidence) -> None:
    """A bill of 0.00 has its voucher and lets the pharmacy go on."""
    with patient(target) as who:
        free = next((one for one in who.visit.drugs(1, priced=False) if Decimal(one["price"]) == 0), None)
        if free is None:
            raise NotRun("目录中没有有库存的零价药品")
        bill = who.pay(who.order(free, Decimal(free["pack_size"])))
        seen.see(Decimal(bill.settlement["total"]) == 0, "结算总额为 0.00", bill.settlement["total"])
        numbers = [one["number"] for one in bill.settlement["receipts"]]
        seen.see(numbers, "零元单也出凭证", numbers)
        found = target.staff("pharmacist").get(f"{PHARMACY}/prescriptions/{bill.prescription}")
        state = (found.json.get("task") or {}).get("state")
        seen.see(found.status == 200 and found.json.get("charged_at") and state, "药房可以发药", f"{found.status} {state}")


@check("FN-11", *NEEDS)
def the_way_it_came(target: Target, seen: Evidence) -> None:
    """An electronic payment goes back to its payer; cash instead is refused to who has no right to it."""
    if not any(one["code"] == "scan" for one in target.staff("cashier").get("/api/charging/channels").good("支付渠道")["items"]):
        raise NotRun("没有开通扫码支付的测试商户")
    with patient(target) as who:
        drug = next(iter(who.visit.drugs(1)))
        prescription = who.order(drug, Decimal(drug["pack_size"]) * 2)
        scan = {"person_id": who.visit.person, "channel": "scan", "amount": who.unpaid()["total"], "auth_code": CODE}
        intent = who.cashier.post(f"{WINDOW}/payment-intents", scan).good("扫码支付")
        bill = who.pay(prescription, method="scan", intent=intent["id"])
        line, paid = bill.settlement["lines"][0], bill.settlement["payments"][0]
        seen.see(paid["method"] == "scan", "扫码收费", f"{paid['method']} {paid['amount']}")
        half = Decimal(line["amount"]) / units(line)
        as_cash = {"payment_id": paid["id"], "amount": f"{half:.2f}", "as_cash": True}
        holders = [code for code, role in target.roles.items() if "charging.refund_as_cash" in role["permissions"]]
        seen.see("cashier" not in holders, "收费员岗位没有“改退现金”权限", holders)
        cash = who.refund(bill, line, Decimal(1), returns=[as_cash])
        seen.see(cash.status == 403, "收费员把扫码支付改退现金被拒绝", f"{cash.status} {cash.code}")
        back = who.refund(bill, line, Decimal(1))
        seen.see(back.status == 201, "原路退回可以办理", f"{back.status} {back.json.get('message', '')}")
        if back.status == 201:
            made = who.cashier.get(f"{WINDOW}/settlements/{_refund_id(back)}").good("读取退费")
            ways = sorted({one["method"] for one in made["payments"]})
            seen.see(ways == ["scan"], "退费走原渠道", ways)


def hand_out(target: Target, prescription: int, pharmacists: Sequence[Visitor]) -> Answer:
    """Review and pick by one, hand out by the other, as far as this pharmacy asks for it; the last answer."""
    first, second = pharmacists
    ready(prescription, first)
    return second.post(f"{PHARMACY}/prescriptions/{prescription}/dispense", {"codes": []})


def two_pharmacists(target: Target) -> tuple[Visitor, Visitor]:
    """Two persons of the pharmacy."""
    first = target.staff("pharmacist")
    if SECOND not in target._signed_in:
        target._signed_in[SECOND] = target.fresh("pharmacist")
    return first, target._signed_in[SECOND]


@check("GR-01", *NEEDS)
def closed_loop(target: Target, seen: Evidence) -> None:
    """One order through every desk: the same drug under the same code everywhere, each step with its time, in order."""
    with patient(target) as who:
        drug = next(iter(who.visit.drugs(1)))
        file = target.whoever("patients.edit")
        revision = file.get(f"/api/patients/{who.visit.person}").good("打开病人")["revision"]
        change = {"revision": revision, "allergies": drug["name"]}
        file.put(f"/api/patients/{who.visit.person}", change).good("登记过敏史")
        hint = who.ask(drug, Decimal(drug["pack_size"]))
        told = [one["message"] for one in hint.json.get("errors") or ()]
        seen.see(hint.status == 422 and any("过敏" in one for one in told), "病人对所开药品过敏：开方时提示，没有理由不能开",
                 f"{hint.status} {told}")
        prescription = who.order(drug, Decimal(drug["pack_size"]), check_reason="合规测试")
        bill = who.pay(prescription)
        charged = bill.settlement["lines"][0]
        seen.see(charged["code"] == drug["code"] and charged["source_id"] == prescription, "医嘱与收费同一目录编码，收费指明医嘱",
                 f"{drug['code']} {charged['code']}")
        pharmacists = two_pharmacists(target)
        before = pharmacists[0].get(f"{PHARMACY}/prescriptions/{prescription}").good("药房读取处方")
        seen.see(before["lines"][0]["drug_id"] == drug["id"], "药房看到的是同一药品", before["lines"][0]["name"])
        seen.see(drug["name"] in str(before["person"]), "过敏史在药房可见", before["person"].get("allergies"))
        done = hand_out(target, prescription, pharmacists)
        seen.see(done.status < 300, "发药", f"{done.status} {done.json.get('message', '')}")
        after = pharmacists[0].get(f"{PHARMACY}/prescriptions/{prescription}").good("药房读取处方")
        task = after.get("task") or {}
        nodes = {"开立": after["issued_at"], "收费": after["charged_at"], "审核": task.get("reviewed_at"),
                 "调配": task.get("picked_at"), "发药": after["dispensed_at"]}
        times = [value for value in nodes.values() if value]
        seen.see(after["dispensed_at"] and len(times) >= 3 and times == sorted(times), "各节点都有时间且先后正确", nodes)
        again = who.cashier.get(bill.path).good("读取结算")["lines"][0]
        seen.see(Decimal(again["performed"] or 0) == units(charged), "发药后收费明细为已执行", again["performed"])
        early = who.refund(bill, charged, Decimal(1))
        seen.see(early.status in (409, 422), "已发药品未经药房退药不能退费", f"{early.status} {early.code}")
    seen.lacks("住院医嘱的执行节点（住院模块在后续版本）")


@check("RX-12", *NEEDS, "database", "command")
def one_wins(target: Target, seen: Evidence) -> None:
    """Handing out and refunding the same prescription at once: one of them succeeds, and books and shelves agree."""
    pharmacists, wins, wrong = two_pharmacists(target), {"发药": 0, "退费": 0}, []
    with patient(target) as who:
        drug = next(iter(who.visit.drugs(1)))
        for _ in range(ROUNDS):
            bill = who.pay(who.order(drug, Decimal(drug["pack_size"])))
            line = bill.settlement["lines"][0]
            ready(bill.prescription, pharmacists[0])
            place = f"{PHARMACY}/prescriptions/{bill.prescription}/dispense"
            with ThreadPoolExecutor(2) as pool:
                giving = pool.submit(pharmacists[1].post, place, {"codes": []})
                taking = pool.submit(who.refund, bill, line, units(line))
                out, back = giving.result(), taking.result()
            won = [name for name, answer in (("发药", out), ("退费", back)) if answer.status < 300]
            state = pharmacists[0].get(f"{PHARMACY}/prescriptions/{bill.prescription}").json
            given = bool(state.get("dispensed_at"))
            if len(won) != 1 or given != (won == ["发药"]) or max(out.status, back.status) >= 500:
                wrong.append(f"{out.status} {out.code} / {back.status} {back.code} / 已发药 {given}")
            for name in won:
                wins[name] += 1
    seen.see(not wrong, f"发药与退费同时办理 {ROUNDS} 次，每次恰有一方成功", wrong[:3] or wins)
    done = target.his("balance")
    seen.see(done.code == 0, "账目与库存核对为平", done.out.splitlines()[-1] if done.out else done.code)


def ready(prescription: int, pharmacist: Visitor) -> None:
    """As far as it must be before it may be handed out: reviewed where the pharmacy or an alert wants it, and picked."""
    place = f"{PHARMACY}/prescriptions/{prescription}"
    if pharmacist.post(f"{place}/pick", {"codes": []}).code == "pharmacy.review_first":
        pharmacist.post(f"{place}/review", {"note": "合规测试"}).good("审核处方")
        pharmacist.post(f"{place}/pick", {"codes": []}).good("调配")
