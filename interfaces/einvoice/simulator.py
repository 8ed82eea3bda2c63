"""A stand-in for the electronic invoice platform behind HTTP: its own books, strict about the specification.

It issues each busNo once, keeps who paid what, red-reverses once, hands out paper in order and exchanges it once. What
the line does wrong is the hub's business; :func:`manner` makes the platform itself say no (``refuse``), take its time
(``processing``: the next invoices are accepted, and there to be seen after so many questions) or answer with a
``malformed`` number.
"""

from __future__ import annotations

import base64
import hashlib
import io
import sqlite3
from contextlib import closing
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from marshmallow import ValidationError
from PIL import Image, ImageDraw
from werkzeug import Request, Response

from his_server.clock import local
from interfaces.einvoice import contract, envelope
from interfaces.einvoice.settings import SIMULATED
from interfaces.hub import simulating

PAPERS = 9999
ISSUING = {"invEBillRegistration", "invoiceEBillOutpatient", "invEBillHospitalized"}
_TABLES = (
    "CREATE TABLE IF NOT EXISTS bill (serial INTEGER PRIMARY KEY, busno TEXT UNIQUE, colour TEXT, code TEXT, number TEXT, "
    "random TEXT, amount TEXT, at TEXT, place TEXT, kind TEXT, made TEXT, original INTEGER UNIQUE, paper_code TEXT, "
    "paper_no TEXT, hidden INTEGER)",
    "CREATE INDEX IF NOT EXISTS bill_at ON bill (at)",
    "CREATE TABLE IF NOT EXISTS paper (code TEXT, number TEXT, state TEXT, bill INTEGER, PRIMARY KEY (code, number))",
    "CREATE TABLE IF NOT EXISTS manner (name TEXT PRIMARY KEY, value INTEGER)",
)


class _Refused(Exception):
    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


def _open(folder: Path) -> sqlite3.Connection:
    folder.mkdir(parents=True, exist_ok=True)
    books = simulating.open_books(folder / "platform.db")
    books.row_factory = sqlite3.Row
    for statement in _TABLES:
        books.execute(statement)
    return books


def manner(folder: Path, name: str, value: int) -> None:
    """What the platform does to the next invoices: ``refuse`` or ``malformed`` so many, ``processing`` questions long."""
    with closing(_open(folder)) as books:
        books.execute("INSERT OR REPLACE INTO manner VALUES (?, ?)", (name, value))


def _spend(books: sqlite3.Connection, name: str) -> int:
    row = books.execute("SELECT value FROM manner WHERE name = ?", (name,)).fetchone()
    if row is None or row["value"] <= 0:
        return 0
    books.execute("UPDATE manner SET value = value - 1 WHERE name = ?", (name,))
    return int(row["value"])


def invoices(folder: Path) -> list[tuple[str, str, Decimal]]:
    """busNo, colour and amount of every invoice, in order; for tests that compare both books."""
    with closing(_open(folder)) as books:
        return [(row["busno"] or "", row["colour"], Decimal(row["amount"]))
                for row in books.execute("SELECT * FROM bill ORDER BY serial")]


def create(folder: Path) -> Any:
    """The platform as a WSGI application; its books are in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    with closing(_open(folder)):
        pass

    @Request.application
    def application(request: Request) -> Response:
        method = request.path.rstrip("/").rpartition("/")[2]
        if method not in contract.METHODS or request.method != "POST":
            return Response("not found", 404)
        try:
            answer = _answer(folder, method, request.get_data(), simulating.now(request.environ))
        except envelope.ContractError as error:
            answer = "E0001", str(error)
        appid, key = SIMULATED
        body = envelope.dumps({"result": answer[0], "message": answer[1]})
        noise = hashlib.new("sm3", request.get_data()).hexdigest()[:32]
        return Response(envelope.dumps(envelope.pack(appid, key, noise, body)), mimetype="application/json")

    return application


def _answer(folder: Path, method: str, content: bytes, now: datetime) -> tuple[str, str]:
    appid, key = SIMULATED
    message = envelope.loads(content)
    if not isinstance(message, dict) or message.get("appid") != appid or message.get("version") != envelope.VERSION:
        return "E0003", "appid 或 version 有误"
    try:
        body = contract.METHODS[method]().load(envelope.loads(envelope.unpack(message, appid, key)))
    except ValidationError as error:
        return "E1003", f"报文校验未通过：{error.messages}"
    with closing(_open(folder)) as books:
        books.execute("BEGIN IMMEDIATE")
        try:
            with books:
                found = _DO[method](books, method, body, now)
        except _Refused as refused:
            return refused.code, refused.text
    return envelope.SUCCESS, envelope.encode(envelope.dumps(found))


# Invoices


def _issue(books: sqlite3.Connection, method: str, body: dict[str, Any], now: datetime) -> dict[str, Any]:
    if _spend(books, "refuse"):
        books.execute("COMMIT")
        books.execute("BEGIN IMMEDIATE")
        raise _Refused("E1005", "平台校验未通过")
    known = books.execute("SELECT * FROM bill WHERE busno = ?", (body["busNo"],)).fetchone()
    if known is not None:
        if known["hidden"] > 0:
            raise _Refused("E0002", "该业务正在开票，请稍后查询")
        raise _Refused("E1001", "业务流水号已开票")
    row = _make(books, body["busNo"], "blue", body["totalAmt"], body["busDateTime"], body["placeCode"], method, now)
    if (hidden := _spend(books, "processing")) > 0:
        books.execute("UPDATE bill SET hidden = ? WHERE serial = ?", (hidden, row["serial"]))
        books.execute("UPDATE manner SET value = 0 WHERE name = 'processing'")
        books.execute("COMMIT")
        books.execute("BEGIN IMMEDIATE")
        raise _Refused("E0002", "已受理，正在开票")
    told = {"billBatchCode": row["code"], "billNo": row["number"], "random": row["random"], "createTime": row["made"],
            "billQRCode": _picture(row), "pictureUrl": f"https://einvoice.invalid/p/{row['random']}",
            "pictureNetUrl": f"http://einvoice.invalid/p/{row['random']}", "billBusDate": row["at"]}
    return {**told, "billNo": "12"} if _spend(books, "malformed") else told


def _make(books: sqlite3.Connection, busno: str | None, colour: str, amount: Decimal, at: str, place: str, kind: str,
          now: datetime, original: int | None = None) -> Any:
    serial = books.execute("SELECT COALESCE(MAX(serial), 0) + 1 FROM bill").fetchone()[0]
    check = hashlib.new("sm3", f"{serial}{amount}{at}".encode()).hexdigest()[:6].upper()
    here = local(now)
    books.execute("INSERT INTO bill VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', '', 0)", (
        serial, busno, colour, f"320601{at[2:4]}", f"{serial:010d}", check, str(amount), at, place, kind,
        f"{here:%Y%m%d%H%M%S}{here.microsecond // 1000:03d}", original))
    return books.execute("SELECT * FROM bill WHERE serial = ?", (serial,)).fetchone()


def _bill(books: sqlite3.Connection, body: dict[str, Any]) -> Any:
    row = books.execute("SELECT * FROM bill WHERE code = ? AND number = ?",
                        (body["billBatchCode"], body["billNo"])).fetchone()
    if row is None:
        raise _Refused("E1004", "没有这张电子票据")
    return row


def _write_off(books: sqlite3.Connection, method: str, body: dict[str, Any], now: datetime) -> dict[str, Any]:
    row = _bill(books, body)
    if row["colour"] != "blue" or books.execute("SELECT 1 FROM bill WHERE original = ?", (row["serial"],)).fetchone():
        raise _Refused("E1002", "该电子票据已冲销，不能冲销开票")
    if row["paper_no"]:
        raise _Refused("E1006", "该电子票据已换开纸质票据，请先作废纸质票据")
    red = _make(books, None, "red", -Decimal(row["amount"]), body["busDateTime"], body["placeCode"], method, now,
                row["serial"])
    number = "12" if _spend(books, "malformed") else red["number"]
    return {"eScarletBillBatchCode": red["code"], "eScarletBillNo": number, "eScarletRandom": red["random"],
            "createTime": red["made"], "billQRCode": _picture(red),
            "pictureUrl": f"https://einvoice.invalid/p/{red['random']}",
            "pictureNetUrl": f"http://einvoice.invalid/p/{red['random']}"}


def _states(books: sqlite3.Connection, _method: str, body: dict[str, Any], _now: datetime) -> dict[str, Any]:
    row = _bill(books, body)
    red = books.execute("SELECT * FROM bill WHERE original = ?", (row["serial"],)).fetchone()
    return {"billName": "医疗门诊收费票据（电子）", "billBatchCode": row["code"], "billNo": row["number"],
            "random": row["random"], "ivcDateTime": row["made"], "state": "1", "isPrtPaper": "1" if row["paper_no"] else "0",
            "pBillBatchCode": row["paper_code"], "pBillNo": row["paper_no"], "isScarlet": "1" if red else "0",
            "scarletBillBatchCode": red["code"] if red else "", "scarletBillNo": red["number"] if red else "",
            "scarletRandom": red["random"] if red else "", "scarletBillQRCode": ""}


_OF_DAYS = "colour = ? AND at BETWEEN ? AND ? AND place LIKE ?"
_REVEAL = f"UPDATE bill SET hidden = hidden - 1 WHERE hidden > 0 AND {_OF_DAYS}"
_COUNT = f"SELECT COUNT(*) FROM bill WHERE hidden = 0 AND {_OF_DAYS}"
_BILLS = f"SELECT * FROM bill WHERE hidden = 0 AND {_OF_DAYS} ORDER BY serial LIMIT ? OFFSET ?"


def _by_date(books: sqlite3.Connection, _method: str, body: dict[str, Any], _now: datetime) -> dict[str, Any]:
    colour = {"1": "blue", "2": "red"}.get(body["dataType"], "")
    given = (colour, body["busBgnDate"], body["busEndDate"], body.get("placeCode") or "%")
    books.execute(_REVEAL, given)
    total = books.execute(_COUNT, given).fetchone()[0]
    rows = books.execute(_BILLS, (
        *given, body["pageSize"], (body["pageNo"] - 1) * body["pageSize"])).fetchall()
    return {"total": total, "pageNo": body["pageNo"], "billList": [
        {"busNo": row["busno"] or "", "billName": "医疗门诊收费票据（电子）", "billBatchCode": row["code"],
         "billNo": row["number"], "random": row["random"], "totalAmt": Decimal(row["amount"]), "ivcDateTime": row["made"],
         "busDateTime": row["at"], "placeCode": row["place"]} for row in rows]}


def _totals(books: sqlite3.Connection, method: str, body: dict[str, Any], _now: datetime) -> dict[str, Any]:
    colour = "blue" if method == "checkTotalData" else "red"
    rows = books.execute("SELECT amount FROM bill WHERE hidden = 0 AND colour = ? AND at LIKE ? AND place LIKE ?", (
        colour, body["busDate"] + "%", body.get("placeCode") or "%")).fetchall()
    amount = sum((Decimal(row["amount"]) for row in rows), Decimal("0.00"))
    return {"busDate": body["busDate"], "copyNum": len(rows), "totalAmt": amount, "allTotalNum": len(rows),
            "allTotalAmt": amount, "billNoList": []}


# Paper


def _next_paper(books: sqlite3.Connection, _method: str, body: dict[str, Any], _now: datetime) -> dict[str, Any]:
    code = body["pBillBatchCode"]
    last = books.execute("SELECT MAX(number) FROM paper WHERE code = ?", (code,)).fetchone()[0]
    number = int(last or 0) + 1
    if number > PAPERS:
        raise _Refused("E1010", "无可用票据")
    return {"pBillBatchCode": code, "pBillNo": f"{number:08d}"}


def _use_paper(books: sqlite3.Connection, body: dict[str, Any], state: str, bill: int | None) -> None:
    due = _next_paper(books, "", body, datetime.min)["pBillNo"]
    if body["pBillNo"] != due:
        raise _Refused("E1011", f"纸质票号与平台当前号 {due} 不符")
    books.execute("INSERT INTO paper VALUES (?, ?, ?, ?)", (body["pBillBatchCode"], body["pBillNo"], state, bill))


def _turn(books: sqlite3.Connection, method: str, body: dict[str, Any], _now: datetime) -> str:
    row = _bill(books, body)
    if row["colour"] != "blue" or books.execute("SELECT 1 FROM bill WHERE original = ?", (row["serial"],)).fetchone():
        raise _Refused("E1012", "已冲红的票据不能换开")
    again = method == "reTurnPaper"
    if bool(row["paper_no"]) != again:
        raise _Refused("E1013", "该票据尚未换开" if again else "该票据已换开纸质票据")
    if again:
        books.execute("UPDATE paper SET state = 'void' WHERE code = ? AND number = ?", (row["paper_code"], row["paper_no"]))
    _use_paper(books, body, "used", row["serial"])
    books.execute("UPDATE bill SET paper_code = ?, paper_no = ? WHERE serial = ?",
                  (body["pBillBatchCode"], body["pBillNo"], row["serial"]))
    return "成功"


def _void_paper(books: sqlite3.Connection, _method: str, body: dict[str, Any], _now: datetime) -> str:
    done = books.execute("UPDATE paper SET state = 'void' WHERE code = ? AND number = ? AND state = 'used'",
                         (body["pBillBatchCode"], body["pBillNo"])).rowcount
    if not done:
        raise _Refused("E1014", "没有这张有效的纸质票据")
    books.execute("UPDATE bill SET paper_code = '', paper_no = '' WHERE paper_code = ? AND paper_no = ?",
                  (body["pBillBatchCode"], body["pBillNo"]))
    return "成功"


def _void_blank(books: sqlite3.Connection, _method: str, body: dict[str, Any], _now: datetime) -> str:
    if body["pBillNoStart"] != body["pBillNoEnd"]:
        raise _Refused("E1015", "一次只能作废一张")
    _use_paper(books, {**body, "pBillNo": body["pBillNoStart"]}, "blank", None)
    return "成功"


def _paper_codes(books: sqlite3.Connection, _method: str, _body: dict[str, Any], _now: datetime) -> dict[str, Any]:
    rows = books.execute("SELECT code, MAX(number) AS last FROM paper GROUP BY code").fetchall()
    return {"billBatchCodeList": [
        {"billBatchCode": row["code"], "billName": "医疗门诊收费票据", "bgnNo": f"{int(row['last']) + 1:08d}",
         "endNo": f"{PAPERS:08d}", "copyNum": PAPERS - int(row["last"])} for row in rows]}


# Pictures


def _picture(row: Any) -> str:
    """A small PNG, Base64: what stands where the QR code of a true platform does."""
    return base64.b64encode(_draw(row, (64, 64))).decode()


def _picture_of(books: sqlite3.Connection, _method: str, body: dict[str, Any], _now: datetime) -> dict[str, Any]:
    row = _bill(books, body)
    if row["random"] != body.get("random"):
        raise _Refused("E1016", "校验码不符")
    return {"fileData": base64.b64encode(_draw(row, (640, 300))).decode()}


def _draw(row: Any, size: tuple[int, int]) -> bytes:
    picture = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(picture)
    ink = "#b3261e" if row["colour"] == "red" else "#20436b"
    pen.rectangle((4, 4, size[0] - 5, size[1] - 5), outline=ink, width=3)
    for n, text in enumerate((f"E-INVOICE (SIMULATED)  {row['colour'].upper()}", f"CODE   {row['code']}",
                              f"NO.    {row['number']}", f"CHECK  {row['random']}", f"TOTAL  CNY {row['amount']}",
                              f"AT     {row['made'][:14]}") if size[0] > 200 else (row["random"],)):
        pen.text((12, 14 + 44 * n), text, fill=ink, font_size=22 if size[0] > 200 else 12)
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


_DO: dict[str, Any] = {
    **dict.fromkeys(ISSUING, _issue), "writeOffEBill": _write_off, "getEBillStatesByBillInfo": _states,
    "getBillByBusDate": _by_date, "checkTotalData": _totals, "checkWriteOffData": _totals,
    "getPaperBillNo": _next_paper, "turnPaper": _turn, "reTurnPaper": _turn, "invalidPaper": _void_paper,
    "invalidBlankBillNo": _void_blank, "getValidBillBatchCode": _paper_codes, "getEBillPicture": _picture_of,
}
