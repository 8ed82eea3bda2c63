"""The centre's desk: sign-in, and who is insured."""

from __future__ import annotations

import hashlib
from typing import Any

from interfaces.nhsa.simulator.ask import Ask
from interfaces.nhsa.simulator.books import Refusal, number
from interfaces.nhsa.simulator.settling import AREA

UNNAMED = "参保人"


def sign_in(ask: Ask) -> dict[str, Any]:
    """9001."""
    opter = ask.given["signIn"]["opter_no"]
    if opter != str(ask.message["opter"])[:20]:
        raise Refusal("签到操作员与报文经办人不一致")
    made = number(ask.books, "sign", "QD", 10)
    ask.books.execute("INSERT INTO sign VALUES (?, ?, ?)", (made, opter, ask.at[:10]))
    return {"signinoutb": {"sign_time": ask.at[:10], "sign_no": made}}


def sign_out(ask: Ask) -> dict[str, Any]:
    """9002."""
    given = ask.given["signOut"]
    if ask.books.execute("DELETE FROM sign WHERE sign_no = ? AND opter = ?", (given["sign_no"], given["opter_no"])).rowcount == 0:
        raise Refusal("没有签到记录")
    return {"sign_time": ask.at[:10]}


def identify(ask: Ask) -> dict[str, Any]:
    """1101."""
    data = ask.data
    kind, shown, name = data["mdtrt_cert_type"], data["mdtrt_cert_no"], data.get("psn_name") or ""
    if kind == "02" and (data.get("certno") != shown or not data.get("psn_cert_type")):
        raise Refusal("证件号码与就诊凭证编号不一致")
    if kind == "03" and not data.get("card_sn"):
        raise Refusal("社保卡必须上传卡识别码 card_sn")
    id_no, ending = shown[:18].upper(), shown[18:]
    if len(id_no) != 18 or not id_no[:17].isdigit():
        raise Refusal("未查到参保信息，请核对凭证")
    psn_no = hashlib.new("sm3", id_no.encode()).hexdigest()[:24].upper()
    insutype = "310" if int(id_no[12:14]) % 2 == 0 else "390"
    ask.books.execute("INSERT OR IGNORE INTO member VALUES (?, ?, ?, ?, ?, '0.00', '')",
                      (psn_no, id_no, name or UNNAMED, insutype, "800.00" if insutype == "310" else "0.00"))
    if ending:
        ask.books.execute("UPDATE member SET ending = ? WHERE psn_no = ?", (ending, psn_no))
    if name:
        ask.books.execute("UPDATE member SET name = ? WHERE psn_no = ? AND name = ?", (name, psn_no, UNNAMED))
    row = ask.member(psn_no)
    if name and row["name"] != name:
        raise Refusal("姓名与参保信息不符")
    return {
        "baseinfo": {"psn_no": psn_no, "psn_cert_type": "01", "certno": id_no, "psn_name": row["name"],
                     "gend": "1" if int(id_no[16]) % 2 else "2", "naty": "01",
                     "brdy": f"{id_no[6:10]}-{id_no[10:12]}-{id_no[12:14]}", "age": str(int(ask.at[:4]) - int(id_no[6:10])),
                     "exp_content": ""},
        "insuinfo": [{"balc": row["balance"], "insutype": row["insutype"], "psn_type": "11" if insutype == "310" else "15",
                      "psn_insu_stas": "2" if row["ending"] == "0012" else "1", "psn_insu_date": "2010-01-01",
                      "cvlserv_flag": "0", "insuplc_admdvs": AREA, "emp_name": ""}],
        "idetinfo": []}


def benefits(ask: Ask) -> dict[str, Any]:
    """2001."""
    data = ask.data
    row = ask.member(data["psn_no"])
    return {"trtinfo": [{"psn_no": row["psn_no"], "trt_chk_type": "1", "fund_pay_type": "310100",
                         "trt_enjymnt_flag": "0" if row["ending"] == "0012" else "1", "begndate": "2010-01-01",
                         "trt_chk_rslt": "待遇暂停" if row["ending"] == "0012" else "待遇正常", "exp_content": ""}]}


HANDLERS = {"9001": sign_in, "9002": sign_out, "1101": identify, "2001": benefits}
