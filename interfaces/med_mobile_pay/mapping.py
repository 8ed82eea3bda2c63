"""Ours ↔ the platform's, pure (facts: nhsa, section E and 6201 to 6401)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from his_server.clock import local
from his_server.money import ZERO, round_money
from interfaces.med_mobile_pay.settings import Settings
from modules.kernel.charging.ports import CONFIRMED, REFUSED, UNKNOWN, WAITING, Bill, Payer, Settlement, Split

OPEN, OWN_PAID, INSURED_PAID = ("0", "1", "2"), "3", "4"
PAID = ("5", "6")
"""ordStas: settled here and there. 3 and 4 are paid when the other part is nothing."""
GONE = {"7": "订单已退款", "8": "医保已全退", "9": "自费已全退", "11": "订单已退款", "12": "订单已撤销", "13": "医保已撤销",
        "15": "医保结算失败"}
ODD = {"10": "自费部分已退", "14": "订单异常", "16": "医保失败且自费冲正失败"}
"""ordStas that a person has to look at."""
HALVES = {OWN_PAID: "个人部分已支付，待医保支付", INSURED_PAID: "医保部分已支付，待支付个人部分"}
"""ordStas by which one part alone is paid."""
TAKEN_BACK = ("7", "8", "11")
"""ordStas by which the insurer's part is returned."""
SUCCESS, FAIL = "SUCC", "FAIL"


def second(at: datetime) -> str:
    """yyyy-MM-dd HH:mm:ss in the hospital's time."""
    return f"{local(at):%Y-%m-%d %H:%M:%S}"


def upload(bill: Bill, payer: Payer, settings: Settings) -> dict[str, Any]:
    """6201's data."""
    kind = settings.treatments.get(bill.treatment, "11")
    day = second(bill.started_at)
    batch = bill.number[:30]
    return {
        "orgCodg": settings.org_code, "orgId": settings.org_id or None, "psnNo": bill.member_no,
        "insutype": bill.insurance, "medOrgOrd": bill.number, "begntime": day, "idNo": payer.id_no, "userName": payer.name,
        "idType": payer.id_type, "ecToken": payer.token, "insuCode": bill.area, "iptOtpNo": bill.visit_no,
        "atddrNo": bill.doctor[0] or None, "drName": bill.doctor[1] or None, "deptCode": bill.department[0],
        "deptName": bill.department[1], "caty": settings.caty, "medType": kind, "feeType": settings.fee_type,
        "medfeeSumamt": bill.total, "acctUsedFlag": "1" if bill.use_account else "0", "diseCodg": bill.diagnoses[0][0],
        "diseName": bill.diagnoses[0][1], "psnSetlway": "01", "chrgBchno": batch,
        "diseinfoList": [{
            "diagType": "1", "diagSrtNo": str(n), "diagCode": code, "diagName": name, "diagDept": bill.department[1],
            "diseDorNo": bill.doctor[0] or "-", "diseDorName": bill.doctor[1] or "-", "diagTime": day, "valiFlag": "1"}
            for n, (code, name) in enumerate(bill.diagnoses, 1)],
        "feedetailList": [{
            "feedetlSn": str(line.line_id), "psnNo": bill.member_no, "chrgBchno": batch, "rxno": line.rx[:30],
            "rxCircFlag": "0", "feeOcurTime": second(line.charged_at),
            "medListCodg": line.national[1] if line.national else line.code, "medinsListCodg": line.code,
            "detItemFeeSumamt": line.amount, "cnt": line.quantity.normalize(), "pric": line.price,
            "bilgDeptCodg": line.ordering_department[0] or bill.department[0],
            "bilgDeptName": line.ordering_department[1] or bill.department[1],
            "bilgDrCodg": line.ordering_staff[0] or bill.doctor[0] or "-",
            "bilgDrName": line.ordering_staff[1] or bill.doctor[1] or "-",
            "acordDeptCodg": line.performing_department[0] or None, "acordDeptName": line.performing_department[1] or None,
            "hospApprFlag": "1", "medType": kind} for line in bill.lines]}


def split_of(total: Decimal, own: Decimal, account: Decimal, fund: Decimal) -> Split:
    """The four amounts that the platform tells; how the total divides by policy it doesn't: all of it counts as in scope."""
    total, own, account, fund = (round_money(value) for value in (total, own, account, fund))
    return Split(total=total, fund=fund, account=account, cash=own, in_scope=total)


def outcome(told: dict[str, Any]) -> Settlement:
    """What 6202 or 6301 says; of an order that waits for its other part, ``split`` is what is paid."""
    state = told["ordStas"]
    if state in GONE:
        return Settlement(REFUSED, told["payOrdId"], GONE[state])
    if state in ODD:
        return Settlement(UNKNOWN, told["payOrdId"], f"{ODD[state]}，请联系医保办核实")
    amounts = [told[name] for name in ("feeSumamt", "ownPayAmt", "psnAcctPay", "fundPay")]
    if any(value is None for value in amounts):
        return Settlement(WAITING if state in (*OPEN, OWN_PAID, INSURED_PAID) else UNKNOWN, told["payOrdId"], "待支付")
    total, own, account, fund = amounts
    paid = state in PAID or (state == INSURED_PAID and own == 0) or (state == OWN_PAID and account == fund == 0)
    if not paid and state in (OWN_PAID, INSURED_PAID):
        there = (ZERO, account, fund) if state == INSURED_PAID else (own, ZERO, ZERO)
        return Settlement(WAITING, told["payOrdId"], HALVES[state], split=split_of(sum(there, ZERO), *there))
    if not paid:
        known = state in OPEN
        return Settlement(WAITING if known else UNKNOWN, told["payOrdId"], "待支付" if known else f"订单状态 {state}")
    return Settlement(CONFIRMED, told["payOrdId"], "移动支付成功", split=split_of(total, own, account, fund))


def noticed(told: dict[str, Any]) -> Settlement:
    """What 6302 says: only callType 2 (支付成功) of a whole settlement is a payment."""
    split = split_of(told["feeSumamt"], told["ownpayAmt"], told["psnAcctPay"], told["fundPay"])
    half = (told["setlType"] == "HI" and split.cash > 0) or (
        told["setlType"] == "CASH" and split.fund + split.account > 0)
    if told["callType"] != "2" or half:
        return Settlement(WAITING, told["payOrdId"], "待支付")
    return Settlement(CONFIRMED, told["payOrdId"], "移动支付成功", split=split)


def refund(pay_ord_id: str, number: str, at: datetime, token: str, kind: str, *, fund: Decimal = ZERO,
           account: Decimal = ZERO, cash: Decimal = ZERO) -> dict[str, Any]:
    """6203's data."""
    return {"payOrdId": pay_ord_id, "appRefdSn": number, "appRefdTime": f"{local(at):%Y%m%d%H%M%S}",
            "totlRefdAmt": fund + account + cash, "psnAcctRefdAmt": account, "fundRefdAmt": fund, "cashRefdAmt": cash,
            "ecToken": token, "refdType": kind}


# A patient's app

STATES = {"created": "waiting", "calling": "settling", "unknown": "settling", "confirmed": "settling", "used": "paid",
          "refused": "closed", "reversed": "returned"}
"""How an app calls an order's state."""
_NAMES = {"order_no": "number", "medfee_sumamt": "total", "fund_pay_sumamt": "fund", "acct_pay": "account",
          "psn_cash_pay": "cash", "settlement_no": "settlement_number"}


def order(found: Mapping[str, Any], url: str | None = None) -> dict[str, Any]:
    """An order as an app is told of it."""
    return {**{theirs: found[ours] for theirs, ours in _NAMES.items()}, "state": STATES[found["state"]],
            "message": found["message"], "receipt_numbers": found["receipt_numbers"], "cashier_url": url}


def bills(lines: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Open lines as bills, one per visit."""
    found: dict[str, dict[str, Any]] = {}
    for line in lines:
        bill = found.setdefault(line["visit_no"], {
            "visit_no": line["visit_no"], "dept_name": line["department"], "dr_name": line["doctor"],
            "medfee_sumamt": ZERO, "lines": []})
        bill["medfee_sumamt"] += line["amount"]
        bill["lines"].append({"name": line["name"], "spec": line["spec"], "unit": line["unit"], "cnt": line["quantity"],
                              "pric": f"{line['price']:f}", "det_item_fee_sumamt": line["amount"]})
    return list(found.values())
