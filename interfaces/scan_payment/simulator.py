"""A stand-in for the acquirer: its books in its own file, strict about signatures and amounts, told to misbehave by codes.

What the payer's code ends in decides: ``0001`` balance too low, ``0002`` paid but the answer is lost, ``0003``
not paid and the answer is lost, ``0004`` paid slowly: the first query can't tell yet, ``0005`` the payer is asked for a
password and never answers. Anything else pays. Any other fault is the host's business.
"""

from __future__ import annotations

import csv
import sqlite3
from contextlib import closing
from datetime import date, datetime
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

from flask import Flask, Response, request
from marshmallow import Schema, ValidationError

from crypto import get_provider
from crypto import requests as signing
from crypto.requests import PeerKey, RequestRefused
from his_server.clock import Clock, local
from interfaces.hub import simulating
from interfaces.scan_payment import contract, mapping
from interfaces.scan_payment.client import Keys
from modules.kernel.charging.ports import CONFIRMED, REFUSED, UNKNOWN, Outcome, Statement

TEST_PRIVATE = bytes.fromhex("3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8")
TEST_PUBLIC = bytes.fromhex("09f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020"
                            "ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13")
"""The pair of GB/T 32918.5, published for tests: worth nothing anywhere else. Both sides use it here."""
TEST_KEY, TEST_MERCHANT = "gbt32918-5", "SIM0001"
_TABLES = (
    "CREATE TABLE IF NOT EXISTS payment (number TEXT PRIMARY KEY, amount TEXT, slow INTEGER, channel TEXT, state TEXT, "
    "at TEXT, day TEXT)",
    "CREATE TABLE IF NOT EXISTS refund (number TEXT PRIMARY KEY, original TEXT, amount TEXT, channel TEXT, at TEXT, day TEXT)",
    "CREATE TABLE IF NOT EXISTS nonce (key TEXT, nonce TEXT, PRIMARY KEY (key, nonce))",
)
PAID_AMOUNT = "SELECT amount FROM payment WHERE number = ?"
RETURNED_AMOUNT = "SELECT amount FROM refund WHERE number = ?"


def test_keys() -> Keys:
    """What a client of the simulator signs with."""
    return Keys(lambda: (TEST_KEY, TEST_PRIVATE), PeerKey(TEST_KEY, TEST_PUBLIC), TEST_MERCHANT)


class LostAnswer(ConnectionError):
    """The channel did something and its answer never arrived."""


class ScanChannel:
    """The acquirer's books, and the channel in this process for tests of what stands above it; implements
    :class:`modules.kernel.charging.ports.PaymentPort`. Amounts in yuan."""

    def __init__(self, path: Path, channel: str = "scan") -> None:
        self.path, self.channel = path, channel
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(self._open()) as books, books:
            for statement in _TABLES:
                books.execute(statement)

    def _open(self) -> sqlite3.Connection:
        return simulating.open_books(self.path, "DEFERRED")

    def at(self) -> datetime:
        """The time that new entries bear."""
        return Clock().now()

    def pay(self, number: str, amount: Decimal, auth_code: str) -> Outcome:
        """Take a payment. :raises LostAnswer: as the code demands."""
        ending = auth_code[-4:]
        if ending == "0001":
            return Outcome(REFUSED, message="余额不足，请更换付款方式")
        if ending == "0003":
            raise LostAnswer(number)
        at = local(self.at())
        state = contract.PENDING if ending == "0005" else contract.PAID
        with closing(self._open()) as books, books:
            books.execute("INSERT OR IGNORE INTO payment VALUES (?, ?, ?, ?, ?, ?, ?)", (
                number, str(amount), ending == "0004", self.channel, state, f"{at:%Y-%m-%d %H:%M:%S}",
                at.date().isoformat()))
        if ending in ("0002", "0004"):
            raise LostAnswer(number)
        return self.query(number)

    def query(self, number: str) -> Outcome:
        """What became of a payment."""
        with closing(self._open()) as books, books:
            row = books.execute("SELECT slow, state FROM payment WHERE number = ?", (number,)).fetchone()
            if row is None:
                return Outcome(REFUSED, message="渠道没有这笔支付")
            if row[0]:
                books.execute("UPDATE payment SET slow = 0 WHERE number = ?", (number,))
        if row[0] or row[1] == contract.PENDING:
            return Outcome(UNKNOWN, message="用户支付中")
        if row[1] == contract.CLOSED:
            return Outcome(REFUSED, message="订单已关闭")
        return Outcome(CONFIRMED, f"SIM{number}", "支付成功")

    def close(self, number: str) -> Outcome:
        """Close an order that nobody paid."""
        with closing(self._open()) as books, books:
            books.execute("INSERT OR IGNORE INTO payment VALUES (?, '0.00', 0, ?, ?, '', '')",
                          (number, self.channel, contract.CLOSED))
            books.execute("UPDATE payment SET state = ? WHERE number = ? AND state = ?",
                          (contract.CLOSED, number, contract.PENDING))
            state = books.execute("SELECT state FROM payment WHERE number = ?", (number,)).fetchone()[0]
        if state == contract.CLOSED:
            return Outcome(CONFIRMED, message="订单已关闭")
        return Outcome(REFUSED, message="已支付，不能关闭")

    def refund(self, number: str, original: str, amount: Decimal) -> Outcome:
        """Return a part; the same number never twice, never more than was paid."""
        at = local(self.at())
        with closing(self._open()) as books, books:
            books.execute("BEGIN IMMEDIATE")
            if books.execute("SELECT 1 FROM refund WHERE number = ?", (number,)).fetchone():
                return Outcome(CONFIRMED, f"SIM{number}", "退款成功")
            paid = books.execute("SELECT amount FROM payment WHERE number = ? AND state = ?",
                                 (original, contract.PAID)).fetchone()
            back = books.execute("SELECT amount FROM refund WHERE original = ?", (original,)).fetchall()
            left = Decimal(paid[0]) - sum((Decimal(r[0]) for r in back), Decimal(0)) if paid else Decimal(0)
            if amount > left:
                return Outcome(REFUSED, message="退款金额超过可退金额")
            books.execute("INSERT INTO refund VALUES (?, ?, ?, ?, ?, ?)", (
                number, original, str(amount), self.channel, f"{at:%Y-%m-%d %H:%M:%S}", at.date().isoformat()))
        return Outcome(CONFIRMED, f"SIM{number}", "退款成功")

    def query_refund(self, number: str) -> Outcome:
        """What became of a return."""
        with closing(self._open()) as books:
            row = books.execute("SELECT 1 FROM refund WHERE number = ?", (number,)).fetchone()
        return Outcome(CONFIRMED, f"SIM{number}", "退款成功") if row else Outcome(REFUSED, message="渠道没有这笔退款")

    def download_bill(self, day: date) -> Statement:
        """What happened on a day of the channel's."""
        rows = mapping.statement(self.bill(day), TEST_MERCHANT)
        return Statement(CONFIRMED, message=f"{len(rows)} 笔", rows=rows)

    def bill(self, day: date) -> str:
        """The day's statement as CSV, as the acquirer sends it."""
        with closing(self._open()) as books:
            entries = books.execute(
                "SELECT at, channel, ?, number, '', amount FROM payment WHERE day = ? AND channel = ? AND state = ? "
                "UNION ALL SELECT at, channel, ?, number, original, amount FROM refund WHERE day = ? AND channel = ? "
                "ORDER BY 1, 4", (contract.PAY, day.isoformat(), self.channel, contract.PAID, contract.REFUND,
                                  day.isoformat(), self.channel)).fetchall()
        out = StringIO()
        writer = csv.writer(out)
        writer.writerow(contract.HEADER)
        sums = {contract.PAY: 0, contract.REFUND: 0}
        for at, channel, kind, number, original, amount in entries:
            fen = mapping.to_fen(Decimal(amount))
            sums[kind] += fen
            writer.writerow([f"`{at}", f"`{TEST_MERCHANT}", channel, kind, f"`{number}", f"`SIM{number}", f"`{original}",
                             fen, 0, contract.SUCCESS])
        writer.writerow([contract.TOTALS, len(entries), sums[contract.PAY], sums[contract.REFUND]])
        return out.getvalue()

    def net(self) -> Decimal:
        """What the channel has taken less what it has returned; for tests that compare both books."""
        with closing(self._open()) as books:
            paid = books.execute("SELECT amount FROM payment WHERE state = ?", (contract.PAID,)).fetchall()
            back = books.execute("SELECT amount FROM refund").fetchall()
        return sum((Decimal(r[0]) for r in paid), Decimal(0)) - sum((Decimal(r[0]) for r in back), Decimal(0))

    def fresh(self, key: str, nonce: str, _until: datetime) -> bool:
        """Whether a nonce is seen for the first time."""
        with closing(self._open()) as books, books:
            return books.execute("INSERT OR IGNORE INTO nonce VALUES (?, ?)", (key, nonce)).rowcount == 1


class _Served(ScanChannel):
    """The books at the time of one request."""

    def __init__(self, path: Path, channel: str, moment: datetime) -> None:
        self.path, self.channel, self.moment = path, channel, moment

    def at(self) -> datetime:
        return self.moment


def books_path(folder: Path) -> Path:
    """Where the served simulator keeps its books."""
    return folder / "books.db"


def create(folder: Path) -> Flask:
    """The acquirer over HTTP (PaymentPort v1)."""
    app, path, provider = Flask("scan-payment", static_folder=None), books_path(folder), get_provider()
    ScanChannel(path)

    def books(channel: str = "scan") -> _Served:
        return _Served(path, channel, simulating.now(request.environ))

    def given(schema: type[Schema]) -> dict[str, Any]:
        found: dict[str, Any] = schema().load(request.get_json())
        if found["merchant"] != TEST_MERCHANT:
            raise ValidationError("商户号不符")
        return found

    def told(number: str, answer: Outcome, amount: Decimal, good: str, open_: str) -> dict[str, Any]:
        if answer.state == REFUSED:
            return {"code": contract.NOT_FOUND if "没有这笔" in answer.message else contract.FAILED, "message": answer.message,
                    "merchant": TEST_MERCHANT, "number": number}
        return {"code": contract.SUCCESS, "message": answer.message, "merchant": TEST_MERCHANT, "number": number,
                "transaction_no": answer.peer_number or "", "amount_fen": mapping.to_fen(amount),
                "state": good if answer.state == CONFIRMED else open_}

    def amount_of(look: str, number: str) -> Decimal:
        with closing(simulating.open_books(path)) as open_:
            row = open_.execute(look, (number,)).fetchone()
        return Decimal(row[0]) if row else Decimal(0)

    @app.before_request
    def verify() -> Response | None:
        try:
            signing.verify_request(
                provider, lambda key: PeerKey(TEST_KEY, TEST_PUBLIC) if key == TEST_KEY else None, books().fresh,
                request.method, request.path, request.query_string.decode("latin-1"), dict(request.headers.items()),
                request.get_data(), simulating.now(request.environ))
        except RequestRefused as refused:
            return Response(refused.reason, 401)
        return None

    @app.after_request
    def sign(response: Response) -> Response:
        nonce = request.headers.get(signing.H_NONCE, "")
        if response.status_code < 500 and response.status_code != 401:
            response.headers.update(signing.sign_answer(provider, TEST_PRIVATE, TEST_KEY, response.status_code,
                                                        response.get_data(), simulating.now(request.environ), nonce))
        return response

    @app.post("/v1/payments")
    def pay() -> Any:
        body = given(contract.PaymentIn)
        amount, number = mapping.to_yuan(body["amount_fen"]), body["out_trade_no"]
        answer = books(body["channel"]).pay(number, amount, body["auth_code"])
        if answer.state != REFUSED and amount_of(PAID_AMOUNT, number) != amount:
            return {"code": contract.FAILED, "message": "商户单号重复，金额不一致", "merchant": TEST_MERCHANT, "number": number}
        return told(number, answer, amount, contract.PAID, contract.PENDING)

    @app.get("/v1/payments/<number>")
    def query(number: str) -> Any:
        return told(number, books().query(number), amount_of(PAID_AMOUNT, number), contract.PAID, contract.PENDING)

    @app.post("/v1/payments/<number>/close")
    def close(number: str) -> Any:
        answer = books().close(number)
        return told(number, answer, Decimal(0), contract.CLOSED, contract.PENDING)

    @app.post("/v1/refunds")
    def refund() -> Any:
        body = given(contract.RefundIn)
        amount, number, original = mapping.to_yuan(body["amount_fen"]), body["out_refund_no"], body["out_trade_no"]
        with closing(simulating.open_books(path)) as open_:
            row = open_.execute("SELECT channel FROM payment WHERE number = ?", (original,)).fetchone()
        answer = books(row[0] if row else "scan").refund(number, original, amount)
        return told(number, answer, amount, contract.REFUNDED, contract.PROCESSING)

    @app.get("/v1/refunds/<number>")
    def query_refund(number: str) -> Any:
        return told(number, books().query_refund(number), amount_of(RETURNED_AMOUNT, number), contract.REFUNDED,
                    contract.PROCESSING)

    @app.get("/v1/bills/<day>")
    def bill(day: str) -> Any:
        wanted = date.fromisoformat(day)
        if wanted >= local(simulating.now(request.environ)).date():
            return {"code": "NOT_READY", "message": "对账单次日生成"}, 404
        return Response(books(request.args.get("channel", "scan")).bill(wanted), mimetype="text/csv")

    @app.errorhandler(LostAnswer)
    def lost(_error: LostAnswer) -> Any:
        return Response("gateway timeout", 504)

    @app.errorhandler(ValidationError)
    def wrong(error: ValidationError) -> Any:
        return {"code": "INVALID", "message": f"参数错误：{error.messages}"}

    return app
