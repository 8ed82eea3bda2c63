"""The centre's records: catalogues and mappings, files, reconciliation, the stock and trace-code uploads 3501–3507."""

from __future__ import annotations

import base64
import csv
import io
import json
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any

from his_server.money import ZERO
from interfaces.nhsa import contract
from interfaces.nhsa.simulator.ask import Ask
from interfaces.nhsa.simulator.books import Refusal, number, one
from interfaces.nhsa.simulator.catalogue import list_of

CATALOGUE = "catalogue.csv"
"""Beside the books: list_type, code, name, spec, manufacturer, unit, limit_price, version; who makes the demo writes it."""
COLUMNS = ("list_type", "code", "name", "spec", "manufacturer", "unit", "limit_price", "version")
SERIALS = {"3501": "1", "3502": "2", "3503": "3", "3504": "4", "3505": "5", "3506": "6"}
"""inv_data_type of 3507."""


# Files


def zipped(name: str, rows: list[list[str]]) -> bytes:
    """A ZIP of one text file: UTF-8, tabs, one row a line."""
    text = "\n".join("\t".join(row) for row in rows)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}.txt", text)
    return packed.getvalue()


def unzipped(packed: bytes) -> list[list[str]]:
    """The rows of such a ZIP. :raises Refusal: it is none."""
    try:
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            text = archive.read(archive.namelist()[0]).decode()
    except (zipfile.BadZipFile, IndexError, UnicodeDecodeError) as error:
        raise Refusal("文件格式有误：应为 ZIP 压缩的 UTF-8 文本") from error
    return [line.split("\t") for line in text.split("\n") if line]


def _file(ask: Ask, name: str, body: bytes) -> dict[str, Any]:
    key = number(ask.books, "file", "F", 18)
    ask.books.execute("INSERT INTO file VALUES (?, ?, ?, ?)", (key, name, body, ask.at))
    return {"file_qury_no": key, "filename": name}


def upload(ask: Ask) -> dict[str, Any]:
    """9101."""
    given = ask.given["fsUploadIn"]
    if given["fixmedins_code"] != ask.message["fixmedins_code"]:
        raise Refusal("机构编号与报文头不符")
    raw = given["in"]
    try:
        body = bytes(raw) if isinstance(raw, list) else base64.b64decode(raw, validate=True)
    except (ValueError, TypeError) as error:
        raise Refusal("文件数据格式有误") from error
    return _file(ask, given["filename"], body) | {"fixmedins_code": given["fixmedins_code"], "dld_endtime": ask.at}


def download(ask: Ask) -> bytes:
    """9102: the file itself."""
    row = one(ask.books, "SELECT body FROM file WHERE file_qury_no = ?", ask.given["fsDownloadIn"]["file_qury_no"])
    if row is None:
        raise Refusal("文件不存在或已过下载截止日期")
    return bytes(row["body"])


# Catalogues


def catalogue(ask: Ask) -> dict[str, Any]:
    """1301…1315: what is newer than a version, as a file."""
    kind = next(k for k, infno in contract.CATALOGUES.items() if infno == ask.infno)
    folder = Path(ask.books.execute("PRAGMA database_list").fetchone()["file"]).parent
    rows = []
    path = folder / CATALOGUE
    if path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["list_type"] == kind and row["version"] > ask.data["ver"]]
    body = zipped(ask.infno, [[row[name] or "null" for name in COLUMNS[1:]] for row in rows])
    return _file(ask, f"{ask.infno}.zip", body) | {"dld_end_time": ask.at, "data_cnt": len(rows)}


def map_codes(ask: Ask) -> dict[str, Any]:
    """3301."""
    for row in ask.data if isinstance(ask.data, list) else [ask.data]:
        if list_of(row["med_list_codg"]) != row["list_type"]:
            raise Refusal(f"医疗目录编码不存在：{row['med_list_codg']}")
        if row["enddate"] <= row["begndate"]:
            raise Refusal("结束日期应晚于开始日期")
        ask.books.execute("INSERT OR REPLACE INTO mapping VALUES (?, ?, ?, ?, ?, ?, ?)", (
            row["list_type"], row["fixmedins_hilist_id"], row["med_list_codg"], row.get("fixmedins_hilist_name") or "",
            row["begndate"], row["enddate"], ask.at[:10]))
    return {}


def unmap(ask: Ask) -> dict[str, Any]:
    """3302."""
    given = ask.given
    if ask.books.execute("DELETE FROM mapping WHERE list_type = ? AND own = ? AND code = ?", (
            given["list_type"], given["fixmedins_hilist_id"], given["med_list_codg"])).rowcount == 0:
        raise Refusal("目录对照不存在")
    return {}


def mapped(ask: Ask) -> dict[str, Any]:
    """1317, by pages."""
    data = ask.data
    size, page = int(data["page_size"]), int(data["page_num"])
    rows = ask.books.execute("SELECT * FROM mapping WHERE updt >= ? ORDER BY list_type, own LIMIT ? OFFSET ?", (
        data["updt_time"], size, (page - 1) * size)).fetchall()
    return {"data": [{"fixmedins_code": ask.message["fixmedins_code"], "medins_list_codg": row["own"],
                      "medins_list_name": row["name"], "list_type": row["list_type"], "med_list_codg": row["code"],
                      "begndate": row["begndate"], "enddate": row["enddate"], "vali_flag": "1",
                      "updt_time": row["updt"]} for row in rows]}


# Reconciliation


def _scope(ask: Ask, *, insutype: str | None) -> list[Any]:
    data = ask.data
    first, last = f"{data['stmt_begndate']} 00:00:00", f"{data['stmt_enddate']} 23:59:59"
    rows = ask.books.execute(
        "SELECT * FROM settlement WHERE void = 0 AND setl_time BETWEEN ? AND ? AND clr_type = ? AND clr_optins = ? "
        "AND (? IS NULL OR insutype = ?) ORDER BY setl_id", (
            first, last, data["clr_type"], data["setl_optins"], insutype, insutype)).fetchall()
    return [(row, json.loads(row["info"])) for row in rows]


def _sum(rows: list[Any], name: str) -> Decimal:
    return sum((Decimal(info[name]) for _, info in rows), ZERO)


def totals(ask: Ask) -> dict[str, Any]:
    """3201."""
    data, rows = ask.data, _scope(ask, insutype=ask.data["insutype"])
    wrong = [f"{name} 中心 {_sum(rows, name)}" for name in ("medfee_sumamt", "fund_pay_sumamt", "acct_pay")
             if _sum(rows, name) != Decimal(data[name])]
    if len(rows) != int(data["fixmedins_setl_cnt"]):
        wrong.append(f"笔数 中心 {len(rows)}")
    return {"stmtinfo": {"setl_optins": data["setl_optins"], "stmt_rslt": "1" if wrong else "0",
                         "stmt_rslt_dscr": "；".join(wrong)[:200]}}


def details(ask: Ask) -> dict[str, Any]:
    """3202: our file against the books; the result is a file again. "Centre has more" rows name only their message."""
    data = ask.data
    given = one(ask.books, "SELECT body FROM file WHERE file_qury_no = ?", data["file_qury_no"])
    if given is None:
        raise Refusal("文件查询号不存在")
    names = contract.transactions()["3202"].rows_up
    told = [dict(zip(names, row, strict=True)) for row in unzipped(given["body"]) if len(row) == len(names)]
    if len(told) != int(data["fixmedins_setl_cnt"]):
        raise Refusal("明细笔数与结算笔数不符")
    insured = {row["insutype"] for setl in told if (row := one(
        ask.books, "SELECT insutype FROM settlement WHERE setl_id = ?", setl["setl_id"])) is not None}
    centre = {row["setl_id"]: (row, info) for row, info in _scope(ask, insutype=None)
              if not insured or row["insutype"] in insured}
    result = []
    for row in told:
        known = centre.pop(row["setl_id"], None)
        flag, why = row["refd_setl_flag"], ""
        if known is None:
            why = "中心无此记录"
        elif ("1" if known[0]["reverses"] else "0") != flag:
            why = "退费标志不符"
        elif any(Decimal(row[name]) != Decimal(known[1][name]) for name in ("medfee_sumamt", "fund_pay_sumamt", "acct_pay")):
            why = "金额不符"
        amounts = known[1] if known else row
        result.append([row["psn_no"], row["mdtrt_id"], row["setl_id"], known[0]["msgid"] if known else "null",
                       "1" if why else "0", flag, why or "null", amounts["medfee_sumamt"], amounts["fund_pay_sumamt"],
                       amounts["acct_pay"]])
    for row, info in centre.values():
        result.append([row["psn_no"], "null", "null", row["msgid"], "1", "1" if row["reverses"] else "0", "医院无此记录",
                       info["medfee_sumamt"], info["fund_pay_sumamt"], info["acct_pay"]])
    return {"fileinfo": _file(ask, "3202.zip", zipped("3202", result)) | {"dld_endtime": ask.at}}


# Stock and trace codes


def stock(ask: Ask) -> dict[str, Any]:
    """3501…3506, once per fixmedins_bchno; the same again is the same, something else under it is refused."""
    node = {"3501": "invinfo", "3502": "invinfo", "3503": "purcinfo", "3504": "purcinfo"}.get(ask.infno, "selinfo")
    info = ask.given[node]
    if list_of(info["med_list_codg"]) not in ("101", "102", "103"):
        raise Refusal(f"医疗目录编码不存在：{info['med_list_codg']}")
    codes = [row["drug_trac_codg"] for row in ask.given.get("drugtracinfo") or []]
    if ask.infno in ("3505", "3506") and not codes and not info.get("memo"):
        raise Refusal("追溯码不能为空，无码的应在备注说明")
    if len(set(codes)) != len(codes):
        raise Refusal("追溯码重复")
    body = json.dumps(ask.given, sort_keys=True, default=str)
    known = one(ask.books, "SELECT body FROM stock WHERE kind = ? AND serial = ?", ask.infno, info["fixmedins_bchno"])
    if known is not None and known["body"] != body:
        raise Refusal("批次流水号已上传过，内容不同，请先删除（3507）")
    if known is None:
        ask.books.execute("INSERT INTO stock VALUES (?, ?, ?)", (ask.infno, info["fixmedins_bchno"], body))
    return {}


def drop_stock(ask: Ask) -> dict[str, Any]:
    """3507."""
    kind = next((infno for infno, code in SERIALS.items() if code == ask.data["inv_data_type"]), None)
    if kind is None:
        raise Refusal("进销存数据类型没有这个代码")
    if ask.books.execute("DELETE FROM stock WHERE kind = ? AND serial = ?",
                         (kind, ask.data["fixmedins_bchno"])).rowcount == 0:
        raise Refusal("批次流水号不存在")
    return {}


HANDLERS = {"9101": upload, "9102": download, "3301": map_codes, "3302": unmap, "1317": mapped, "3201": totals,
            "3202": details, "3507": drop_stock, **dict.fromkeys(SERIALS, stock),
            **dict.fromkeys(contract.CATALOGUES.values(), catalogue)}
