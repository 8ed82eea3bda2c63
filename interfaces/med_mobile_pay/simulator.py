"""A stand-in for the insurer's mobile payment platform behind HTTP: its own books, strict about the specification.

Of every bill the fund pays 60 %, the account up to 100 yuan where it may be used, the payer the rest. An order is paid by
its payer on the phone (``/cashier/<payOrdId>``, or :func:`phone` in a test), or by 6202: an authorisation that ends in
``0001`` is refused, one in ``0004`` settles the insurer's part and leaves the own part to the phone. Once paid, a notice
(6302) goes to the address in ``notify.json``, when there is one.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import urllib.request
from contextlib import closing
from datetime import datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from marshmallow import ValidationError
from werkzeug import Request, Response

from crypto import Provider, get_provider
from his_server.clock import Clock
from his_server.money import ZERO, round_money
from interfaces.hub import simulating
from interfaces.med_mobile_pay import contract, envelope
from interfaces.med_mobile_pay.envelope import EnvelopeError, Keys
from interfaces.med_mobile_pay.settings import PATHS, SIMULATED, SIMULATOR_PRIVATE, Settings

log = logging.getLogger("his.simulator")
FUND_RATE, ACCOUNT = Decimal("0.6"), Decimal("100.00")
WHERE = {**{path: transaction for transaction, path in PATHS.items()}, Settings().push_path: "push"}
_TABLES = (
    "CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, ours TEXT UNIQUE, token TEXT, id_no TEXT, stas TEXT, "
    "total TEXT, fund TEXT, account TEXT, own TEXT, back TEXT, insurer_back INTEGER, visit TEXT)",
    "CREATE TABLE IF NOT EXISTS refund (sn TEXT PRIMARY KEY, ord TEXT, kind TEXT, amount TEXT, stat TEXT)",
    "CREATE TABLE IF NOT EXISTS push (id TEXT PRIMARY KEY, fee TEXT, content TEXT)",
)


class _Refused(Exception):
    pass


@cache
def _crypto() -> Provider:
    return get_provider()


@cache
def keys(ours: bool = False) -> Keys:
    """The simulator's side of the line; the hospital's when ``ours``."""
    mine, theirs = SIMULATED["private_key"], SIMULATOR_PRIVATE
    private, peer = (mine, theirs) if ours else (theirs, mine)
    return Keys(SIMULATED["app_id"], SIMULATED["app_secret"], bytes.fromhex(private),
                _crypto().sm2_public(bytes.fromhex(peer)))


def _open(folder: Path) -> sqlite3.Connection:
    books = simulating.open_books(folder / "mobile.db")
    books.row_factory = sqlite3.Row
    for statement in _TABLES:
        books.execute(statement)
    return books


def create(folder: Path) -> Any:
    """The platform as a WSGI application; its books are in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    with closing(_open(folder)):
        pass

    @Request.application
    def application(request: Request) -> Response:
        if request.path.startswith("/cashier/"):
            return _cashier(folder, request)
        transaction = WHERE.get(request.path)
        if transaction is None or request.method != "POST":
            return Response("not found", 404)
        now = simulating.now(request.environ)
        code, text, data = _answer(folder, transaction, request.get_data())
        message = envelope.pack(_crypto(), keys(), data, now, code=code, message=text, success=code == "0")
        return Response(json.dumps(message, ensure_ascii=False), mimetype="application/json")

    return application


def transaction(path: str, _body: bytes) -> str:
    """What the fault rules call a request."""
    return WHERE.get(path, path.rstrip("/").rpartition("/")[2])


def _answer(folder: Path, transaction_: str, content: bytes) -> tuple[str, str, dict[str, Any]]:
    try:
        data = envelope.unpack(_crypto(), keys(), json.loads(content))
        body: dict[str, Any] = contract.REQUESTS[transaction_]().load(data)
    except (EnvelopeError, ValidationError, ValueError) as error:
        if isinstance(error, ValidationError):
            return "1001", f"报文校验未通过：{error.messages}", {}
        return "1000", f"报文不可信：{error}", {}
    with closing(_open(folder)) as books:
        books.execute("BEGIN IMMEDIATE")
        try:
            with books:
                return "0", "成功", _DO[transaction_](books, body)
        except _Refused as refused:
            return "2001", str(refused), {}


def _upload(books: sqlite3.Connection, body: dict[str, Any]) -> dict[str, Any]:
    known = books.execute("SELECT * FROM orders WHERE ours = ?", (body["medOrgOrd"],)).fetchone()
    if known is None:
        serial = books.execute("SELECT COUNT(*) + 1 FROM orders").fetchone()[0]
        total = body["medfeeSumamt"]
        fund = round_money(total * FUND_RATE)
        account = min(total - fund, ACCOUNT) if body["acctUsedFlag"] == "1" else ZERO
        books.execute("INSERT INTO orders VALUES (?, ?, ?, ?, '0', ?, ?, ?, ?, '0.00', 0, ?)", (
            f"ORD{serial:020d}", body["medOrgOrd"], f"TK{serial:020d}", body["idNo"], str(total), str(fund),
            str(account), str(total - fund - account), f"V{serial:010d}"))
        known = books.execute("SELECT * FROM orders WHERE ours = ?", (body["medOrgOrd"],)).fetchone()
    elif known["stas"] != "0" or Decimal(known["total"]) != body["medfeeSumamt"]:
        raise _Refused("该医疗机构订单号已使用")
    return {"payOrdId": known["id"], "payToken": known["token"],
            "cashierUrl": f"http://127.0.0.1:8090/med_mobile_pay/cashier/{known['id']}",
            "extData": {"mdtrtId": known["visit"]}}


def _order(books: sqlite3.Connection, body: dict[str, Any]) -> Any:
    row = books.execute("SELECT * FROM orders WHERE id = ?", (body["payOrdId"],)).fetchone()
    if row is None or row["token"] != body.get("payToken", row["token"]):
        raise _Refused("没有该支付订单")
    if "idNo" in body and body["idNo"] != row["id_no"]:
        raise _Refused("证件号码与订单不符")
    return row


def _state(row: Any) -> dict[str, Any]:
    told = {"payOrdId": row["id"], "ordStas": row["stas"], "medOrgOrd": row["ours"], "callType": "2", "setlType": "ALL",
            "revsToken": f"RV{row['id'][-18:]}"}
    if row["stas"] != "0":
        told |= {"feeSumamt": row["total"], "ownPayAmt": row["own"], "psnAcctPay": row["account"], "fundPay": row["fund"]}
    return told


def _pay(books: sqlite3.Connection, body: dict[str, Any]) -> dict[str, Any]:
    row = _order(books, body)
    authorisation = body.get("payAuthNo") or body.get("ecAuthCode") or ""
    if not authorisation:
        raise _Refused("缺少支付授权码")
    if row["stas"] not in ("0", "1"):
        return _state(row)
    if authorisation.endswith("0001"):
        books.execute("UPDATE orders SET stas = '15' WHERE id = ?", (row["id"],))
        raise _Refused("待遇审核未通过，医保结算失败")
    after = "4" if authorisation.endswith("0004") and Decimal(row["own"]) > 0 else "6"
    books.execute("UPDATE orders SET stas = ? WHERE id = ?", (after, row["id"]))
    return _state(books.execute("SELECT * FROM orders WHERE id = ?", (row["id"],)).fetchone())


def _query(books: sqlite3.Connection, body: dict[str, Any]) -> dict[str, Any]:
    return _state(_order(books, body))


def _revoke(books: sqlite3.Connection, body: dict[str, Any]) -> dict[str, Any]:
    row = _order(books, body)
    if row["stas"] not in ("0", "1", "12"):
        raise _Refused("订单已支付，不能撤销")
    books.execute("UPDATE orders SET stas = '12' WHERE id = ?", (row["id"],))
    return {"success": True}


def _refund(books: sqlite3.Connection, body: dict[str, Any]) -> dict[str, Any]:
    known = books.execute("SELECT * FROM refund WHERE sn = ?", (body["appRefdSn"],)).fetchone()
    row = _order(books, body)
    if known is None:
        insurer = (body["fundRefdAmt"] or ZERO) + (body["psnAcctRefdAmt"] or ZERO)
        cash, back, own = body["cashRefdAmt"], Decimal(row["back"]), ZERO if row["stas"] == "4" else Decimal(row["own"])
        if row["stas"] not in ("4", "5", "6", "8", "9", "10"):
            raise _Refused("订单未支付，不能退费")
        if body["totlRefdAmt"] != insurer + cash:
            raise _Refused("退费金额合计不符")
        if body["refdType"] in ("HI", "ALL"):
            if row["insurer_back"] or insurer != Decimal(row["fund"]) + Decimal(row["account"]):
                raise _Refused("医保部分已退或金额不符，医保只能整笔退")
            books.execute("UPDATE orders SET insurer_back = 1 WHERE id = ?", (row["id"],))
        if body["refdType"] in ("CASH", "ALL"):
            if back + cash > own:
                raise _Refused("超过可退的自费金额")
            back += cash
            books.execute("UPDATE orders SET back = ? WHERE id = ?", (str(back), row["id"]))
        insurer_back = bool(row["insurer_back"]) or body["refdType"] in ("HI", "ALL")
        stas = "7" if insurer_back and back == own else "8" if insurer_back else "9" if back == own else "10"
        books.execute("UPDATE orders SET stas = ? WHERE id = ?", (stas, row["id"]))
        books.execute("INSERT INTO refund VALUES (?, ?, ?, ?, 'SUCC')", (
            body["appRefdSn"], row["id"], body["refdType"], str(body["totlRefdAmt"])))
    elif known["ord"] != row["id"] or Decimal(known["amount"]) != body["totlRefdAmt"]:
        raise _Refused("退款流水号已用于其他退费")
    return {"refdSn": f"RF{body['appRefdSn']}"[:40], "hiFefdSn": f"HI{body['appRefdSn']}"[:40], "refStatus": "SUCC",
            "hiTrnsDate": "20260101", "hiTrnsTime": "000000"}


def _push(books: sqlite3.Connection, body: dict[str, Any]) -> dict[str, Any]:
    books.execute("INSERT OR IGNORE INTO push VALUES (?, ?, ?)", (body["pushId"], str(body["payFee"]), body["pushContent"]))
    return {"success": True}


_DO: dict[str, Any] = {"6201": _upload, "6202": _pay, "6301": _query, "6401": _revoke, "6203": _refund, "push": _push}


# The payer


def phone(folder: Path, ours: str, at: datetime | None = None, *, even_if_closed: bool = False) -> dict[str, Any]:
    """The payer pays an order (by our number or theirs) on the phone; the notice (6302) that the platform sends then.

    ``even_if_closed``: as a platform does that took the money although the order had just been taken back.
    """
    with closing(_open(folder)) as books:
        books.execute("BEGIN IMMEDIATE")
        with books:
            open_ = ("0", "1", "4", "12") if even_if_closed else ("0", "1", "4")
            books.execute("UPDATE orders SET stas = '6' WHERE (ours = ? OR id = ?) AND stas IN (SELECT value FROM json_each(?))",
                          (ours, ours, json.dumps(open_)))
            row = books.execute("SELECT * FROM orders WHERE ours = ? OR id = ?", (ours, ours)).fetchone()
    return notice(row["id"], row["ours"], row["total"], row["own"], row["account"], row["fund"], at or Clock().now())


def notice(pay_ord_id: str, ours: str, total: str, own: str, account: str, fund: str, at: datetime, call_type: str = "2"
           ) -> dict[str, Any]:
    """A signed notice (6302)."""
    return envelope.pack(_crypto(), keys(), {
        "payOrdId": pay_ord_id, "callType": call_type, "medOrgOrd": ours, "traceTime": f"{at:%Y%m%d%H%M%S}",
        "feeSumamt": total, "ownpayAmt": own, "psnAcctPay": account, "fundPay": fund, "hiChrgTime": f"{at:%H%M%S}",
        "hiDocSn": f"HI{pay_ord_id[-20:]}", "hiRgstSn": "", "orgName": "", "setlType": "ALL",
        "revsToken": f"RV{pay_ord_id[-18:]}"}, at, trans_type="6302")


def _cashier(folder: Path, request: Request) -> Response:
    """The platform's cashier page, and what happens when its button is pressed."""
    pay_ord_id = request.path.rpartition("/")[2]
    with closing(_open(folder)) as books:
        row = books.execute("SELECT * FROM orders WHERE id = ?", (pay_ord_id,)).fetchone()
    if row is None:
        return Response("没有该订单", 404, content_type="text/plain; charset=utf-8")
    if request.method == "POST":
        _tell(folder, phone(folder, pay_ord_id))
        return Response("", 303, headers={"Location": request.url})
    button = ("<form method=post><button>确认支付</button></form>" if row["stas"] in ("0", "1", "4")
              else f"<p>订单状态：{row['stas']}</p>")
    return Response(f"<!doctype html><meta charset=utf-8><title>医保移动支付（模拟）</title><h1>医保移动支付（模拟）</h1>"
                    f"<p>费用总额 {row['total']} 元：基金 {row['fund']}，个人账户 {row['account']}，自付 {row['own']}</p>"
                    f"{button}",
                    content_type="text/html; charset=utf-8")


def _tell(folder: Path, message: dict[str, Any]) -> None:
    """Send a notice to the hospital; one that doesn't arrive is what 6301 is for."""
    place = folder / "notify.json"
    if not place.exists():
        return
    url = str(json.loads(place.read_text(encoding="utf-8"))["url"])
    asked = urllib.request.Request(url, json.dumps(message).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            answer.read()
    except OSError as error:
        log.warning("a notice did not arrive: %s", error)


# For tests that compare both books


def net(folder: Path) -> tuple[Decimal, Decimal]:
    """What the insurer pays, and what payers have paid of their own, after all refunds."""
    with closing(_open(folder)) as books:
        rows = books.execute("SELECT * FROM orders WHERE stas IN ('4', '5', '6', '7', '8', '9', '10', '11')").fetchall()
    insurer = sum((Decimal(r["fund"]) + Decimal(r["account"]) for r in rows if not r["insurer_back"]), ZERO)
    return insurer, sum((Decimal(r["own"]) - Decimal(r["back"]) for r in rows if r["stas"] not in ("4", "7")), ZERO)


def orders(folder: Path) -> list[tuple[str, Decimal, Decimal, Decimal, Decimal, bool]]:
    """Every order that was paid: our number, total, fund, account, own part, whether the insurer's part is back."""
    with closing(_open(folder)) as books:
        rows = books.execute("SELECT * FROM orders WHERE stas IN ('4', '5', '6', '7', '8', '9', '10', '11') ORDER BY id")
        return [(r["ours"], Decimal(r["total"]), Decimal(r["fund"]), Decimal(r["account"]), Decimal(r["own"]),
                 bool(r["insurer_back"])) for r in rows]


def pushed(folder: Path) -> list[tuple[str, Decimal]]:
    """Every announced bill: pushId and amount."""
    with closing(_open(folder)) as books:
        return [(row["id"], Decimal(row["fee"])) for row in books.execute("SELECT * FROM push ORDER BY rowid")]
