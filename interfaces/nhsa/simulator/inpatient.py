"""The centre's inpatient transactions: 2401–2405, 2301–2305."""

from __future__ import annotations

import json
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from his_server.money import ZERO
from interfaces.nhsa.simulator import outpatient, settling
from interfaces.nhsa.simulator.ask import Ask
from interfaces.nhsa.simulator.books import Refusal, number, one

STAYS = ("21", "2101", "2102", "2106", "2107", "22", "28", "52", "71")


def admit(ask: Ask) -> dict[str, Any]:
    """2401."""
    info = ask.given["mdtrtinfo"]
    member = ask.member(info["psn_no"])
    if info["certno"] != member["id_no"]:
        raise Refusal("证件与参保人员不符")
    if info["insutype"] != member["insutype"] or info["med_type"] not in STAYS:
        raise Refusal("险种或医疗类别与参保信息不符")
    if member["ending"] == "0012":
        raise Refusal("参保状态为暂停，不能享受待遇")
    if not any(row["maindiag_flag"] == "1" for row in ask.given["diseinfo"]):
        raise Refusal("缺少主诊断")
    if one(ask.books, "SELECT mdtrt_id FROM visit WHERE psn_no = ? AND kind = 'inpatient' AND state = 'admitted'",
           info["psn_no"]):
        raise Refusal("该参保人已在院，状态不能重复办理入院")
    mdtrt_id = number(ask.books, "mdtrt", "M", 14)
    ask.books.execute("INSERT INTO visit VALUES (?, ?, ?, 'inpatient', ?, ?, 'admitted', ?, ?, ?)", (
        mdtrt_id, member["psn_no"], info["ipt_no"], info["med_type"], member["insutype"], info["begntime"],
        member["ending"], ask.msgid))
    return {"result": {"mdtrt_id": mdtrt_id, "exp_content": ""}}


def _move(node: str, before: tuple[str, ...], after: str, what: str) -> Any:
    def work(ask: Ask) -> dict[str, Any]:
        data = ask.given[node]
        visit = ask.visit(data["mdtrt_id"], data["psn_no"], before, what)
        if after == "withdrawn" and one(ask.books, "SELECT sn FROM fee WHERE mdtrt_id = ?", visit["mdtrt_id"]):
            raise Refusal("有费用明细，不能撤销入院，请先撤销明细或结算的状态")
        if after == "admitted" and what == "撤销出院" and one(
                ask.books, "SELECT setl_id FROM settlement s WHERE mdtrt_id = ? AND void = 0 AND reverses IS NULL AND NOT EXISTS "
                "(SELECT 1 FROM settlement r WHERE r.reverses = s.setl_id)", visit["mdtrt_id"]):
            raise Refusal("已结算，不能撤销出院的状态")
        ask.books.execute("UPDATE visit SET state = ? WHERE mdtrt_id = ?", (after, visit["mdtrt_id"]))
        return {}
    work.__doc__ = f"{what}：{'、'.join(before)} → {after}."
    return work


def upload(ask: Ask) -> dict[str, Any]:
    """2301: refunds are negative lines that name the original; what is left of it is never below zero."""
    rows = ask.given["feedetail"]
    visits = {(row["mdtrt_id"], row["psn_no"]) for row in rows}
    if len(visits) != 1:
        raise Refusal("一次只能上传一次住院的明细")
    visit = ask.visit(*visits.pop(), ("admitted", "discharged"), "上传费用明细")
    for row in rows:
        outpatient.check_fee(row, negative=True)
        cnt = Decimal(row["cnt"])
        if one(ask.books, "SELECT sn FROM fee WHERE mdtrt_id = ? AND sn = ?", visit["mdtrt_id"], row["feedetl_sn"]):
            raise Refusal(f"费用明细流水号重复：{row['feedetl_sn']}")
        if cnt < 0:
            _covered(ask, visit["mdtrt_id"], row, cnt)
        outpatient.keep_fee(ask, row, "")
    return {"result": [outpatient.fee_result(row) for row in rows]}


def _covered(ask: Ask, mdtrt_id: str, row: dict[str, Any], cnt: Decimal) -> None:
    original = one(ask.books, "SELECT * FROM fee WHERE mdtrt_id = ? AND sn = ?", mdtrt_id, row.get("init_feedetl_sn") or "")
    if original is None or original["code"] != row["med_list_codg"]:
        raise Refusal("退费明细的原费用流水号不存在")
    back = sum((Decimal(r["cnt"]) for r in ask.books.execute(
        "SELECT cnt FROM fee WHERE mdtrt_id = ? AND init_sn = ?", (mdtrt_id, original["sn"]))), ZERO)
    if Decimal(original["cnt"]) + back + cnt < 0:
        raise Refusal("药品上传数量不能超过原始上传数量")


def withdraw(ask: Ask) -> dict[str, Any]:
    """2302."""
    for data in ask.data if isinstance(ask.data, list) else [ask.data]:
        visit = ask.visit(data["mdtrt_id"], data["psn_no"], ("admitted", "discharged"), "撤销费用明细")
        sn = data["feedetl_sn"]
        if sn != "0000" and one(ask.books, "SELECT sn FROM fee WHERE mdtrt_id = ? AND init_sn = ?", visit["mdtrt_id"], sn):
            raise Refusal("该明细已有退费明细，不能单独撤销的状态")
        if ask.books.execute("DELETE FROM fee WHERE mdtrt_id = ? AND setl_id IS NULL AND (? = '0000' OR sn = ?)",
                             (visit["mdtrt_id"], sn, sn)).rowcount == 0:
            raise Refusal("没有未结算的费用明细")
        ask.books.execute("DELETE FROM preview WHERE mdtrt_id = ?", (visit["mdtrt_id"],))
    return {}


def _bill(ask: Ask) -> tuple[Any, Any, list[Any]]:
    data = ask.data
    states = ("admitted",) if data["mid_setl_flag"] == "1" else ("discharged",)
    visit = ask.visit(data["mdtrt_id"], data["psn_no"], states, "结算")
    member = ask.member(data["psn_no"])
    if data["insutype"] != visit["insutype"] or data["certno"] != member["id_no"]:
        raise Refusal("险种或证件与参保人员不符")
    rows = outpatient.open_fees(ask, visit["mdtrt_id"], "0000")
    if not rows or sum((Decimal(row["amount"]) for row in rows), ZERO) != Decimal(data["medfee_sumamt"]):
        raise Refusal("医疗费总额与上传明细合计不符")
    return visit, member, rows


def preview(ask: Ask) -> dict[str, Any]:
    """2303."""
    visit, member, rows = _bill(ask)
    given = settling.split(member, rows, ask.data.get("acct_used_flag") != "0")
    ask.books.execute("INSERT OR REPLACE INTO preview VALUES (?, '0000', ?)", (
        visit["mdtrt_id"], json.dumps({k: str(v) for k, v in asdict(given).items()})))
    return {"setlinfo": settling.info(given, visit, member, ask.at, ask.msgid),
            "setldetail": settling.details(given, member["insutype"])}


def settle(ask: Ask) -> dict[str, Any]:
    """2304."""
    visit, member, rows = _bill(ask)
    if one(ask.books, "SELECT split FROM preview WHERE mdtrt_id = ?", visit["mdtrt_id"]) is None:
        raise Refusal("没有预结算，不能结算的状态")
    if visit["ending"] == "0001":
        raise Refusal("待遇审核未通过，不能医保结算")
    given = settling.split(member, rows, ask.data["acct_used_flag"] != "0")
    info, details = settling.keep(ask.books, given, visit, member, ask.at, ask.msgid)
    ask.books.execute("DELETE FROM preview WHERE mdtrt_id = ?", (visit["mdtrt_id"],))
    ask.lost = visit["ending"] == "0002"
    return {"setlinfo": info, "setldetail": details}


HANDLERS = {
    "2401": admit, "2402": _move("dscginfo", ("admitted",), "discharged", "办理出院"),
    "2403": _move("adminfo", ("admitted",), "admitted", "变更住院信息"),
    "2404": _move("data", ("admitted",), "withdrawn", "撤销入院"),
    "2405": _move("data", ("discharged",), "admitted", "撤销出院"),
    "2301": upload, "2302": withdraw, "2303": preview, "2304": settle, "2305": outpatient.reverse}
