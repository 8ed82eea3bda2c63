"""The centre's outpatient transactions 2201–2208, 2601 and what can be asked about them (5201, 5203, 5204)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from his_server.money import ZERO
from interfaces.nhsa.simulator import settling
from interfaces.nhsa.simulator.ask import Ask
from interfaces.nhsa.simulator.books import Refusal, number, one
from interfaces.nhsa.simulator.catalogue import FORMS, level_of, list_of

ALL = "0000"
CENT = Decimal("0.01")


def register(ask: Ask) -> dict[str, Any]:
    """2201."""
    data = ask.data
    member = ask.member(data["psn_no"])
    if data["certno"] != member["id_no"] or data["psn_name"] != member["name"][:20]:
        raise Refusal("人员姓名或证件与参保信息不符")
    if data["insutype"] != member["insutype"]:
        raise Refusal("险种与参保信息不符")
    if member["ending"] == "0012":
        raise Refusal("参保状态为暂停，不能享受待遇")
    mdtrt_id = number(ask.books, "mdtrt", "M", 14)
    ask.books.execute("INSERT INTO visit VALUES (?, ?, ?, 'outpatient', '', ?, 'registered', ?, ?, ?)", (
        mdtrt_id, member["psn_no"], data["ipt_otp_no"], member["insutype"], data["begntime"], member["ending"], ask.msgid))
    return {"data": {"mdtrt_id": mdtrt_id, "psn_no": member["psn_no"], "ipt_otp_no": data["ipt_otp_no"], "exp_content": ""}}


def cancel_registration(ask: Ask) -> dict[str, Any]:
    """2202: only of a visit without fees and settlement."""
    data = ask.data
    visit = ask.visit(data["mdtrt_id"], data["psn_no"], ("registered", "visited"), "撤销")
    if visit["otp"] != data["ipt_otp_no"]:
        raise Refusal("门诊号与挂号登记不符")
    if one(ask.books, "SELECT sn FROM fee WHERE mdtrt_id = ?", visit["mdtrt_id"]) is not None:
        raise Refusal("有费用明细，不能撤销挂号登记，请先撤销明细或结算的状态")
    ask.books.execute("UPDATE visit SET state = 'withdrawn' WHERE mdtrt_id = ?", (visit["mdtrt_id"],))
    return {}


def tell_visit(ask: Ask) -> dict[str, Any]:
    """2203: one visit has one med_type; it can be told again."""
    info, diagnoses = ask.given["mdtrtinfo"], ask.given["diseinfo"]
    visit = ask.visit(info["mdtrt_id"], info["psn_no"], ("registered", "visited"), "上传就诊信息")
    if visit["med_type"] not in ("", info["med_type"]):
        raise Refusal("一次就诊只能有一个医疗类别")
    if not [row for row in diagnoses if row["vali_flag"] == "1"]:
        raise Refusal("诊断信息不能为空")
    if len({row["diag_srt_no"] for row in diagnoses}) != len(diagnoses):
        raise Refusal("诊断排序号重复")
    ask.books.execute("UPDATE visit SET med_type = ?, state = 'visited' WHERE mdtrt_id = ?",
                      (info["med_type"], visit["mdtrt_id"]))
    return {}


def check_fee(row: dict[str, Any], *, negative: bool = False) -> None:
    """What holds of every fee line. :raises Refusal: with its serial."""
    sn, amount, cnt = row["feedetl_sn"], Decimal(row["det_item_fee_sumamt"]), Decimal(row["cnt"])
    if not sn.isdigit() or len(sn) > 15 or int(sn) == 0:
        raise Refusal(f"费用明细流水号 {sn} 格式有误：应为不超过 15 位的数字")
    kind = list_of(row["med_list_codg"])
    if kind is None or not FORMS[kind].fullmatch(row["med_list_codg"]):
        raise Refusal(f"医疗目录编码不存在：{row['med_list_codg']}")
    if cnt <= 0 and not negative:
        raise Refusal(f"费用明细 {sn} 数量应大于 0")
    if abs(cnt * Decimal(row["pric"]) - amount) > CENT:
        raise Refusal(f"费用明细 {sn} 金额与单价乘数量不符")


def upload(ask: Ask) -> dict[str, Any]:
    """2204: the lines of one or more batches."""
    rows = ask.given["feedetail"]
    visits = {(row["mdtrt_id"], row["psn_no"]) for row in rows}
    if len(visits) != 1:
        raise Refusal("一次只能上传一次就诊的明细")
    visit = ask.visit(*visits.pop(), ("visited",), "上传费用明细")
    for row in rows:
        check_fee(row)
        if one(ask.books, "SELECT sn FROM fee WHERE mdtrt_id = ? AND sn = ?", visit["mdtrt_id"], row["feedetl_sn"]):
            raise Refusal(f"费用明细流水号重复：{row['feedetl_sn']}")
        keep_fee(ask, row, row["chrg_bchno"])
    return {"result": [fee_result(row) for row in rows]}


def keep_fee(ask: Ask, row: dict[str, Any], batch: str) -> None:
    """Write a fee line."""
    ask.books.execute("INSERT INTO fee VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, ?, ?)", (
        row["mdtrt_id"], row["feedetl_sn"], batch, row["med_list_codg"], str(row["det_item_fee_sumamt"]), str(row["cnt"]),
        str(row["pric"]), row.get("init_feedetl_sn") or "", row["fee_ocur_time"], row["medins_list_codg"]))


def fee_result(row: dict[str, Any]) -> dict[str, Any]:
    """What 2204 and 2301 answer of a line."""
    amount, level = Decimal(row["det_item_fee_sumamt"]), level_of(row["med_list_codg"])
    share = {"01": ZERO, "02": settling.SELF_FIRST, "03": Decimal(1)}[level]
    own, first = (amount, ZERO) if level == "03" else (ZERO, (amount * share).quantize(CENT))
    return {"feedetl_sn": row["feedetl_sn"], "det_item_fee_sumamt": f"{amount:.2f}", "cnt": str(row["cnt"]),
            "pric": str(row["pric"]), "pric_uplmt_amt": "0", "selfpay_prop": str(share), "fulamt_ownpay_amt": f"{own:.2f}",
            "overlmt_amt": "0.00", "preselfpay_amt": f"{first:.2f}", "inscp_scp_amt": f"{amount - own - first:.2f}",
            "chrgitm_lv": level, "med_chrgitm_type": "14", "lmt_used_flag": "0"}


def withdraw(ask: Ask) -> dict[str, Any]:
    """2205: lines that aren't settled."""
    data = ask.data
    visit = ask.visit(data["mdtrt_id"], data["psn_no"], ("visited",), "撤销费用明细")
    batch = data["chrg_bchno"]
    gone = ask.books.execute("DELETE FROM fee WHERE mdtrt_id = ? AND setl_id IS NULL AND (? = '0000' OR batch = ?)",
                             (visit["mdtrt_id"], batch, batch)).rowcount
    if gone == 0:
        raise Refusal("没有未结算的费用明细")
    ask.books.execute("DELETE FROM preview WHERE mdtrt_id = ?", (visit["mdtrt_id"],))
    return {}


def open_fees(ask: Ask, mdtrt_id: str, batch: str) -> list[sqlite3.Row]:
    """Fee lines that wait for a settlement."""
    return ask.books.execute("SELECT * FROM fee WHERE mdtrt_id = ? AND setl_id IS NULL AND (? = '0000' OR batch = ?)",
                             (mdtrt_id, batch, batch)).fetchall()


def _bill(ask: Ask, batch: str) -> tuple[sqlite3.Row, sqlite3.Row, list[sqlite3.Row]]:
    data = ask.data
    visit = ask.visit(data["mdtrt_id"], data["psn_no"], ("visited",), "结算")
    member = ask.member(data["psn_no"])
    if data["certno"] != member["id_no"] or (data["mdtrt_cert_type"] == "02" and data["mdtrt_cert_no"] != member["id_no"]):
        raise Refusal("凭证与参保人员不符")
    if data["med_type"] != visit["med_type"] or data["insutype"] != visit["insutype"]:
        raise Refusal("医疗类别或险种与就诊登记不符")
    rows = open_fees(ask, visit["mdtrt_id"], batch)
    if not rows or sum((Decimal(row["amount"]) for row in rows), ZERO) != Decimal(data["medfee_sumamt"]):
        raise Refusal("医疗费总额与上传明细合计不符")
    return visit, member, rows


def preview(ask: Ask) -> dict[str, Any]:
    """2206."""
    visit, member, rows = _bill(ask, ask.data["chrg_bchno"])
    given = settling.split(member, rows, ask.data["acct_used_flag"] != "0")
    ask.books.execute("INSERT OR REPLACE INTO preview VALUES (?, ?, ?)", (
        visit["mdtrt_id"], ask.data["chrg_bchno"], json.dumps({k: str(v) for k, v in asdict(given).items()})))
    ask.lost = visit["ending"] == "0005" and ask.data["mdtrt_cert_type"] != "02"
    told = settling.info(given, visit, member, ask.at, ask.msgid)
    return {"setlinfo": told, "setldetail": settling.details(given, member["insutype"])}


def settle(ask: Ask) -> dict[str, Any]:
    """2207: of what 2206 worked out."""
    data = ask.data
    visit, member, rows = _bill(ask, data["chrg_bchno"])
    pre = one(ask.books, "SELECT split FROM preview WHERE mdtrt_id = ? AND batch = ?", visit["mdtrt_id"], data["chrg_bchno"])
    if pre is None:
        raise Refusal("没有预结算，不能结算的状态")
    told = json.loads(pre["split"])
    for name, key in (("fulamt_ownpay_amt", "own"), ("preselfpay_amt", "first"), ("inscp_scp_amt", "scope")):
        if Decimal(data[name]) != Decimal(told[key]):
            raise Refusal(f"{name} 与预结算金额不符")
    given = settling.split(member, rows, data["acct_used_flag"] != "0")
    ending, again = visit["ending"], data["mdtrt_cert_type"] == "02"
    if (ending == "0001" and not again) or (ending == "0010" and again):
        raise Refusal("待遇审核未通过，不能医保结算")
    if ending == "0003" and not again:
        ask.lost = True
        raise Refusal("没有结算")
    if ending == "0009":
        given = settling.moved(given)
    slow = ending == "0004" and not again
    info, details = settling.keep(ask.books, given, visit, member, ask.at, ask.msgid, slow=slow)
    ask.books.execute("DELETE FROM preview WHERE mdtrt_id = ?", (visit["mdtrt_id"],))
    ask.lost = (ending in ("0002", "0004") and not again) or (ending == "0011" and again)
    return {"setlinfo": info, "setldetail": details}


def reverse(ask: Ask) -> dict[str, Any]:
    """2208 and 2305: a whole settlement, by one of negative amounts."""
    data = ask.data
    row = one(ask.books, "SELECT * FROM settlement WHERE setl_id = ?", data["setl_id"])
    if row is None or row["mdtrt_id"] != data["mdtrt_id"] or row["psn_no"] != data["psn_no"] or row["void"] or row["reverses"]:
        raise Refusal("结算记录不存在")
    if one(ask.books, "SELECT setl_id FROM settlement WHERE reverses = ?", row["setl_id"]) is not None:
        raise Refusal("结算已撤销")
    visit = one(ask.books, "SELECT * FROM visit WHERE mdtrt_id = ?", row["mdtrt_id"])
    assert visit is not None
    if visit["ending"] == "0007":
        raise Refusal("已清算归档，请到医保中心窗口办理撤销")
    if visit["ending"] == "0008":  # once: whoever asks and sends again gets through
        ask.kept.append(("UPDATE visit SET ending = '' WHERE mdtrt_id = ?", (visit["mdtrt_id"],)))
        ask.lost = True
        raise Refusal("没有撤销")
    told = settling.undo(ask.books, row, void=False, msgid=ask.msgid, at=ask.at)
    ask.lost = visit["ending"] == "0006"
    return {"setlinfo": told, "setldetail": []}


REVERSIBLE = ("2102", "2207", "2304", "2401")


def take_back(ask: Ask) -> dict[str, Any]:
    """2601: of a message; of one that never came it makes sure that it doesn't come any more."""
    data = ask.data
    if data["oinfno"][:4] not in REVERSIBLE:
        raise Refusal(f"交易 {data['oinfno']} 不能冲正")
    message = one(ask.books, "SELECT * FROM message WHERE msgid = ?", data["omsgid"])
    if message is None:
        ask.books.execute("INSERT INTO message (msgid, infno, void) VALUES (?, ?, 1)", (data["omsgid"], data["oinfno"][:4]))
        return {}
    if message["infno"] != data["oinfno"][:4]:
        raise Refusal("原交易编号与原报文不符")
    if message["void"]:
        return {}
    row = one(ask.books, "SELECT * FROM settlement WHERE msgid = ? AND void = 0", data["omsgid"])
    if row is not None:
        if row["psn_no"] != data["psn_no"]:
            raise Refusal("人员编号与原报文不符")
        if one(ask.books, "SELECT setl_id FROM settlement WHERE reverses = ?", row["setl_id"]) is not None:
            raise Refusal("结算已撤销，不能冲正")
        settling.undo(ask.books, row, void=True, msgid=ask.msgid, at=ask.at)
    ask.books.execute("UPDATE visit SET state = 'withdrawn' WHERE msgid = ? AND kind = 'inpatient'", (data["omsgid"],))
    ask.books.execute("UPDATE message SET void = 1 WHERE msgid = ?", (data["omsgid"],))
    return {}


# Questions


def visits(ask: Ask) -> dict[str, Any]:
    """5201."""
    data = ask.data
    member = ask.member(data["psn_no"])
    rows = ask.books.execute(
        "SELECT * FROM visit WHERE psn_no = ? AND begntime BETWEEN ? AND ? AND state NOT IN ('withdrawn') "
        "AND med_type IN ('', ?)", (data["psn_no"], data["begntime"], data["endtime"], data["med_type"])).fetchall()
    return {"mdtrtinfo": [{
        "mdtrt_id": row["mdtrt_id"], "psn_no": row["psn_no"], "psn_cert_type": "01", "certno": member["id_no"],
        "psn_name": member["name"], "gend": "1", "insutype": row["insutype"], "psn_type": "11", "cvlserv_flag": "0",
        "begntime": row["begntime"], "endtime": row["begntime"], "med_type": row["med_type"] or data["med_type"],
        "ipt_otp_no": row["otp"]} for row in rows]}


def settlements(ask: Ask) -> dict[str, Any]:
    """5203: a settlement, or all of a visit."""
    data = ask.data
    rows: Iterable[sqlite3.Row] = ask.books.execute(
        "SELECT * FROM settlement WHERE psn_no = ? AND void = 0 AND (? = '' OR mdtrt_id = ?) AND (? = '' OR setl_id = ?) "
        "ORDER BY setl_id", (data["psn_no"], data.get("mdtrt_id") or "", data.get("mdtrt_id") or "",
                             data.get("setl_id") or "", data.get("setl_id") or "")).fetchall()
    rows = list(rows)
    if slow := [row["setl_id"] for row in rows if row["slow"]]:
        ask.kept.append(("UPDATE settlement SET slow = 0 WHERE setl_id = ?", (slow[0],)))
        raise Refusal("医保中心处理中，请稍后再查")
    return {"setlinfo": [_queried(row) for row in rows], "setldetail": json.loads(rows[0]["details"]) if rows else []}


def _queried(row: sqlite3.Row) -> dict[str, Any]:
    told = json.loads(row["info"])
    own, cash = told.pop("psn_part_amt"), told.pop("psn_cash_pay")
    told.pop("hosp_part_amt")
    return {**told, "psn_pay": own, "cash_payamt": cash, "refd_setl_flag": "1" if row["reverses"] else "0",
            "begndate": told["setl_time"][:10], "enddate": told["setl_time"][:10], "year": told["setl_time"][:4],
            "pay_loc": "2", "fixmedins_code": row["msgid"][:12], "fixmedins_name": "", "invono": ""}


def fees(ask: Ask) -> dict[str, Any]:
    """5204."""
    data = ask.data
    rows = ask.books.execute(
        "SELECT fee.* FROM fee JOIN visit USING (mdtrt_id) WHERE mdtrt_id = ? AND psn_no = ? AND (? = '' OR setl_id = ?) "
        "ORDER BY sn", (data["mdtrt_id"], data["psn_no"], data.get("setl_id") or "", data.get("setl_id") or "")).fetchall()
    return {"data": [{"mdtrt_id": row["mdtrt_id"], "setl_id": row["setl_id"] or "", "feedetl_sn": row["sn"],
                      "cnt": row["cnt"], "pric": row["price"], "det_item_fee_sumamt": row["amount"],
                      "med_list_codg": row["code"], "medins_list_codg": row["own_code"], "fee_ocur_time": row["at"],
                      "chrgitm_lv": level_of(row["code"])} for row in rows]}


HANDLERS = {"2201": register, "2202": cancel_registration, "2203": tell_visit, "2204": upload, "2205": withdraw,
            "2206": preview, "2207": settle, "2208": reverse, "2601": take_back, "5201": visits, "5203": settlements,
            "5204": fees}
