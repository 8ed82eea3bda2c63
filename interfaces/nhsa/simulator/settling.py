"""The simulated centre's policy: who pays how much (an employee 70 % after 300 yuan a year, a resident 50 % after 100)."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from his_server.money import ZERO, round_money
from interfaces.nhsa.simulator.books import number, one
from interfaces.nhsa.simulator.catalogue import level_of

AREA = "320602"
RATES = {"310": (Decimal("0.7"), Decimal("300.00"), "310100"), "390": (Decimal("0.5"), Decimal("100.00"), "390100")}
FUND_NAMES = {"310100": "职工基本医疗保险统筹基金", "390100": "城乡居民基本医疗保险基金"}
SELF_FIRST = Decimal("0.1")
CLEARING = {"12": "12", "13": "13", "14": "14", "21": "21", "2101": "21", "2102": "21", "22": "21", "28": "21", "52": "21"}
PARTS = ("hifp_pay", "cvlserv_pay", "hifes_pay", "hifmi_pay", "hifob_pay", "maf_pay", "hifdm_pay", "oth_pay")


@dataclass(frozen=True)
class Split:
    """What the centre worked out, and what of the year's deductible it uses."""

    total: Decimal
    fund: Decimal
    account: Decimal
    cash: Decimal
    own: Decimal
    first: Decimal
    scope: Decimal
    used: Decimal


def split(member: sqlite3.Row, fees: list[sqlite3.Row], use_account: bool) -> Split:
    """Fees of level 丙 are the member's own, a tenth of 乙 first; of the rest the fund pays its rate."""
    rate, yearly, _ = RATES[member["insutype"]]
    total = own = first = ZERO
    for row in fees:
        amount, level = Decimal(row["amount"]), level_of(row["code"])
        total += amount
        if level == "03":
            own += amount
        elif level == "02":
            first += round_money(amount * SELF_FIRST)
    scope = total - own - first
    used = min(scope, max(yearly - Decimal(member["deductible"]), ZERO))
    fund = round_money((scope - used) * rate)
    account = min(Decimal(member["balance"]), total - fund - own) if use_account else ZERO
    return Split(total, fund, account, total - fund - account, own, first, scope, used)


def moved(given: Split) -> Split:
    """The same total, a fen less from the fund."""
    fund = max(given.fund - Decimal("0.01"), ZERO)
    return Split(**{**asdict(given), "fund": fund, "cash": given.cash + given.fund - fund})


def info(given: Split, visit: sqlite3.Row, member: sqlite3.Row, at: str, msgid: str, sign: int = 1) -> dict[str, Any]:
    """setlinfo of a settlement; of a reversal with ``sign`` −1."""
    id_no = member["id_no"]

    def money(value: Decimal) -> str:
        return f"{value * sign + ZERO:.2f}"

    amounts = {
        "medfee_sumamt": given.total, "fulamt_ownpay_amt": given.own, "overlmt_selfpay": ZERO, "preselfpay_amt": given.first,
        "inscp_scp_amt": given.scope, "act_pay_dedc": given.used, "fund_pay_sumamt": given.fund,
        "psn_part_amt": given.account + given.cash, "acct_pay": given.account, "psn_cash_pay": given.cash,
        "hosp_part_amt": ZERO, "acct_mulaid_pay": ZERO, **dict.fromkeys(PARTS, ZERO), "hifp_pay": given.fund}
    return {
        "mdtrt_id": visit["mdtrt_id"], "psn_no": member["psn_no"], "psn_name": member["name"], "psn_cert_type": "01",
        "certno": id_no, "gend": "1" if int(id_no[16]) % 2 else "2", "brdy": f"{id_no[6:10]}-{id_no[10:12]}-{id_no[12:14]}",
        "age": str(int(at[:4]) - int(id_no[6:10])), "insutype": member["insutype"],
        "psn_type": "11" if member["insutype"] == "310" else "15", "cvlserv_flag": "0", "setl_time": at,
        "med_type": visit["med_type"], "pool_prop_selfpay": str(RATES[member["insutype"]][0]),
        **{name: money(value) for name, value in amounts.items()},
        "balc": f"{Decimal(member['balance']) - given.account * sign:.2f}", "medins_setl_id": msgid, "clr_optins": AREA,
        "clr_way": "1", "clr_type": CLEARING.get(visit["med_type"], "11"), "exp_content": ""}


def details(given: Split, insutype: str, sign: int = 1) -> list[dict[str, str]]:
    """setldetail."""
    kind = RATES[insutype][2]
    return [{"fund_pay_type": kind, "inscp_scp_amt": f"{given.scope * sign:.2f}", "crt_payb_lmt_amt": "200000.00",
             "fund_payamt": f"{given.fund * sign:.2f}", "fund_pay_type_name": FUND_NAMES[kind]}] if given.fund else []


def keep(books: sqlite3.Connection, given: Split, visit: sqlite3.Row, member: sqlite3.Row, at: str, msgid: str, *,
         slow: bool = False) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """Write a settlement: account and deductible move, the visit's fees are settled."""
    told, parts = info(given, visit, member, at, msgid), details(given, member["insutype"])
    setl_id = told["setl_id"] = number(books, "setl", "S", 14)
    books.execute("INSERT INTO settlement VALUES (?, ?, ?, ?, ?, ?, NULL, 0, ?, ?, ?, ?, ?, ?)", (
        setl_id, visit["mdtrt_id"], member["psn_no"], msgid, json.dumps(told, ensure_ascii=False), json.dumps(parts),
        str(given.used), at, member["insutype"], told["clr_type"], told["clr_optins"], int(slow)))
    move(books, member, given.account, given.used)
    books.execute("UPDATE fee SET setl_id = ? WHERE mdtrt_id = ? AND setl_id IS NULL", (setl_id, visit["mdtrt_id"]))
    return told, parts


def move(books: sqlite3.Connection, member: sqlite3.Row, account: Decimal, used: Decimal) -> None:
    """Take from the account and the year's deductible; negative gives back."""
    books.execute("UPDATE member SET balance = ?, deductible = ? WHERE psn_no = ?", (
        str(Decimal(member["balance"]) - account), str(Decimal(member["deductible"]) + used), member["psn_no"]))


def undo(books: sqlite3.Connection, row: sqlite3.Row, *, void: bool, msgid: str, at: str) -> dict[str, Any]:
    """Take a settlement back: 2208 and 2305 by a row of negative amounts, 2601 (``void``) as if it had never been."""
    member = one(books, "SELECT * FROM member WHERE psn_no = ?", row["psn_no"])
    assert member is not None
    told = json.loads(row["info"])
    move(books, member, -Decimal(told["acct_pay"]), -Decimal(row["used"]))
    books.execute("UPDATE fee SET setl_id = NULL WHERE setl_id = ?", (row["setl_id"],))
    if void:
        books.execute("UPDATE settlement SET void = 1 WHERE setl_id = ?", (row["setl_id"],))
        return told
    names = (*PARTS, "medfee_sumamt", "fulamt_ownpay_amt", "overlmt_selfpay", "preselfpay_amt", "inscp_scp_amt",
             "act_pay_dedc", "fund_pay_sumamt", "psn_part_amt", "acct_pay", "psn_cash_pay", "hosp_part_amt", "acct_mulaid_pay")
    negative = told | {name: f"{-Decimal(told[name]) + ZERO:.2f}" for name in names}
    negative |= {"setl_id": number(books, "setl", "S", 14), "setl_time": at, "medins_setl_id": msgid,
                 "balc": f"{Decimal(member['balance']) + Decimal(told['acct_pay']):.2f}"}
    parts = [part | {"fund_payamt": f"{-Decimal(part['fund_payamt']):.2f}"} for part in json.loads(row["details"])]
    books.execute("INSERT INTO settlement VALUES (?, ?, ?, ?, ?, ?, ?, 0, '0.00', ?, ?, ?, ?, 0)", (
        negative["setl_id"], row["mdtrt_id"], row["psn_no"], msgid, json.dumps(negative, ensure_ascii=False),
        json.dumps(parts), row["setl_id"], at, row["insutype"], row["clr_type"], row["clr_optins"]))
    return negative
