"""The cashier's window as it is worked at: a refund that a second person decides on, a shift that is closed (FN-10, FN-12)."""

from __future__ import annotations

import json
from decimal import Decimal

from his_server.compliance.checks.journey import WINDOW, Patient, patient
from his_server.compliance.checks.ledgers import exact, some, sums
from his_server.compliance.frame import Evidence, NotRun, check
from his_server.compliance.target import Target

APPROVE, REFUND = "charging.approve_refund", "outpatient_billing.refund"


def worked(target: Target) -> bool:
    """Whether the suite may work at the window itself."""
    return target.disturb and not target.missing(("http", "accounts"))


def a_bill(who: Patient) -> dict[str, object]:
    """Something paid by the patient, as the window shows it."""
    drug = next(iter(who.visit.drugs(1)))
    return who.pay(who.order(drug, Decimal(drug["pack_size"]))).settlement


@check("FN-10", "database")
def two_persons(target: Target, seen: Evidence) -> None:
    """Whoever asks for a refund doesn't decide on it; a decision is made once; the rights are of different roles."""
    if worked(target):
        try:
            _decided(target, seen)
        except NotRun as error:
            seen.lacks(f"当场申请与审批一笔退费（{error}）")
    rows = [row for row in target.db.rows("refund_approval") if row["decided_by"]]
    if rows:
        own = [row["id"] for row in rows if row["decided_by"] == row["requested_by"]]
        seen.see(not own, "退费申请与审批不是同一人", own[:5] or f"{len(rows)} 件")
    else:
        seen.lacks("库中还没有审批过的退费")
    settled = [row for row in target.db.rows("settlement", kind="refund") if row["approver_id"]]
    own = [row["number"] for row in settled if row["approver_id"] == row["cashier_id"]]
    seen.see(not own, "退费单上的批准人不是收费员本人", own[:5] or f"{len(settled)} 笔")
    if target.missing(("http", "accounts")):
        seen.lacks("岗位权限（需账户文件）")
        return
    both = [code for code, role in target.roles.items() if {APPROVE, REFUND} <= role["permissions"]]
    seen.see(not both, "没有标准岗位同时持有退费与审批权限", both or "无")


def _decided(target: Target, seen: Evidence) -> None:
    cashier, approver = target.staff("cashier"), target.whoever(APPROVE)
    with patient(target) as who:
        bill = a_bill(who)
        asked = cashier.post(
            f"{WINDOW}/approvals",
            {"settlement_id": bill["id"], "amount": str(bill["total"]), "reason": "合规测试"},
        )
        decide = f"{WINDOW}/approvals/{asked.good('申请退费审批')['id']}/decide"
        own = cashier.post(decide, {"approve": True})
        seen.see(own.status == 403, "申请人自己审批被拒绝", f"{own.status} {own.code}")
        other = approver.post(decide, {"approve": False, "note": "合规测试，不批准"})
        seen.see(
            other.status == 200, "另一人可以审批（驳回）", f"{other.status} {other.json.get('message', '')}"
        )
        again = approver.post(decide, {"approve": True})
        seen.see(again.status == 409, "已决定的不能改判", f"{again.status} {again.json.get('message', '')}")


@check("FN-12", "database")
def shifts(target: Target, seen: Evidence) -> None:
    """Every settlement is in one shift; a closed shift's frozen figures equal its rows; nothing comes later into it."""
    if worked(target):
        try:
            _closed(target, seen)
        except NotRun as error:
            seen.lacks(f"当场日结与交账（{error}）")
    closed = [row for row in some(target, "shift", "收费员班次") if row["state"] != "open"]
    settlements = target.db.rows("settlement")
    known = {row["id"] for row in target.db.rows("shift")}
    seen.see(
        all(row["shift_id"] in known for row in settlements),
        "每笔结算都在一个班次内",
        f"{len(settlements)} 笔",
    )
    totals = sums(settlements, "shift_id", lambda row: exact(target, row["total"]))
    late = [
        row["number"]
        for shift in closed
        for row in settlements
        if row["shift_id"] == shift["id"] and str(row["settled_at"]) > str(shift["closed_at"])
    ]
    seen.see(not late, "日结之后没有单据进入该班次", late[:5] or f"{len(closed)} 个已结班次")
    wrong = [
        shift["number"]
        for shift in closed
        if shift["statement"] and Decimal(str(json.loads(shift["statement"])["net"])) != totals[shift["id"]]
    ]
    seen.see(not wrong, "日结单冻结的净额 = 明细合计", wrong[:5] or "全部一致")
    if not closed:
        seen.lacks("库中还没有已日结的班次")


def _closed(target: Target, seen: Evidence) -> None:
    cashier = target.staff("cashier")
    with patient(target) as who:
        a_bill(who)
    done = cashier.post(f"{WINDOW}/shifts/close", {"counted_cash": None})
    if not seen.see(done.status == 200, "收费员日结", f"{done.status} {done.json.get('message', '')}"):
        return
    place, before = f"{WINDOW}/shifts/{done.json['id']}", done.json["statement"]
    again = cashier.post(f"{WINDOW}/shifts/close", {"counted_cash": None})
    seen.see(
        again.status in (404, 409),
        "没有未结班次时不能再日结",
        f"{again.status} {again.json.get('message', '')}",
    )
    with patient(target) as who:
        later = a_bill(who)
    now = cashier.get(f"{WINDOW}/shifts/current").good("当前班次")
    seen.see(now["id"] != done.json["id"], "日结后的收费进入下一班次", now["number"])
    shown = cashier.get(place).good("读取班次")
    seen.see(
        shown["statement"] == before and later["number"] not in json.dumps(shown),
        "已结班次的报表逐字不变",
        done.json["number"],
    )
    receiver = target.whoever("outpatient_billing.receive_shift", but=REFUND)
    alone = cashier.post(f"{place}/hand-over", {})
    seen.see(alone.status == 403, "收费员不能接收自己的交账", f"{alone.status} {alone.code}")
    taken = receiver.post(f"{place}/hand-over", {})
    seen.see(
        taken.status == 200 and taken.json.get("receiver_name"),
        "财务接收交账",
        taken.json.get("receiver_name"),
    )
    twice = receiver.post(f"{place}/hand-over", {})
    seen.see(twice.status == 409, "不能接收两次", f"{twice.status} {twice.json.get('message', '')}")
