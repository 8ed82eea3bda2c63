"""A stand-in for the electronic invoice platform: its own books, strict about sums, can be told to misbehave.

:meth:`Platform.misbehave` queues what happens to the next calls: ``lost before`` (nothing done, no answer), ``lost after``
(done, no answer), ``refuse``, ``garbage`` (malformed numbers). A number that is known answers what it answered before.
"""

from __future__ import annotations

import hashlib
import io
import sqlite3
from contextlib import closing
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from his_server.clock import Clock
from his_server.money import ZERO
from modules.kernel.charging.ports import CONFIRMED, REFUSED, Invoice, InvoiceRequest

CODE = {"blue": "32060126", "red": "32060126"}
"""Region 32, 06 medical, kind 01, year 26."""
_TABLES = (
    "CREATE TABLE IF NOT EXISTS invoice (serial INTEGER PRIMARY KEY, number TEXT UNIQUE, colour TEXT, code TEXT, "
    "invoice_number TEXT, check_code TEXT, amount TEXT, original TEXT UNIQUE, at TEXT)",
    "CREATE TABLE IF NOT EXISTS fault (serial INTEGER PRIMARY KEY, kind TEXT)",
)


class LostAnswer(ConnectionError):
    """The platform did something, or nothing, and its answer never arrived."""


class Platform:
    """The simulated platform; implements :class:`modules.kernel.charging.ports.InvoicePort`. Amounts in yuan."""

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        self.path = path
        self.clock = clock or Clock()
        self.pictures = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(self._open()) as books, books:
            for statement in _TABLES:
                books.execute(statement)

    def _open(self) -> sqlite3.Connection:
        books = sqlite3.connect(self.path, timeout=30)
        books.row_factory = sqlite3.Row
        return books

    def misbehave(self, *kinds: str) -> None:
        """What happens to the next calls, one each."""
        with closing(self._open()) as books, books:
            books.executemany("INSERT INTO fault (kind) VALUES (?)", [(kind,) for kind in kinds])

    @staticmethod
    def _fault(books: sqlite3.Connection) -> str:
        row = books.execute("SELECT serial, kind FROM fault ORDER BY serial LIMIT 1").fetchone()
        if row is None:
            return ""
        books.execute("DELETE FROM fault WHERE serial = ?", (row["serial"],))
        return str(row["kind"])

    def issue(self, request: InvoiceRequest) -> Invoice:
        """Issue an invoice, once per number. :raises LostAnswer: as told."""
        wrong = (
            (request.total <= 0, "金额必须大于 0"),
            (sum((line.amount for line in request.lines), ZERO) != request.total, "明细合计与总额不符"),
            (request.fund + request.account + request.cash != request.total, "支付合计与总额不符"),
            (not request.payer, "交款人不能为空"),
        )
        problem = next((message for broken, message in wrong if broken), "")
        return self._make(request.number, "blue", request.total, None, problem)

    def red(self, number: str, code: str, invoice_number: str, reason: str, operator: str) -> Invoice:
        """Cancel an issued invoice, once. :raises LostAnswer: as told."""
        with closing(self._open()) as books:
            row = books.execute("SELECT * FROM invoice WHERE code = ? AND invoice_number = ? AND colour = 'blue'",
                                (code, invoice_number)).fetchone()
            taken = row is not None and books.execute("SELECT 1 FROM invoice WHERE original = ? AND number <> ?",
                                                      (row["number"], number)).fetchone()
        problem = "" if reason and operator else "缺少原因或经办人"
        problem = "没有这张票据" if row is None else "该票据已冲红" if taken else problem
        return self._make(number, "red", -Decimal(row["amount"]) if row else ZERO, row["number"] if row else None, problem)

    def _make(self, number: str, colour: str, amount: Decimal, original: str | None, problem: str) -> Invoice:
        with closing(self._open()) as books:
            books.execute("BEGIN IMMEDIATE")
            with books:
                fault = self._fault(books)
                known = books.execute("SELECT * FROM invoice WHERE number = ?", (number,)).fetchone()
                if fault == "refuse" or (problem and known is None):
                    return Invoice(REFUSED, message=problem or "平台校验未通过")
                if known is None and fault != "lost before":
                    serial = books.execute("SELECT COALESCE(MAX(serial), 0) + 1 FROM invoice").fetchone()[0]
                    check = hashlib.new("sm3", f"{number}{amount}".encode()).hexdigest()[:6].upper()
                    books.execute("INSERT INTO invoice VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (
                        serial, number, colour, CODE[colour], f"{serial:010d}", check, str(amount), original,
                        self.clock.now().isoformat()))
                    known = books.execute("SELECT * FROM invoice WHERE number = ?", (number,)).fetchone()
        if fault.startswith("lost"):
            raise LostAnswer(number)
        return _answer(known, garbage=fault == "garbage")

    def query(self, number: str) -> Invoice:
        """What is known under our number."""
        with closing(self._open()) as books:
            row = books.execute("SELECT * FROM invoice WHERE number = ?", (number,)).fetchone()
        return _answer(row) if row else Invoice(REFUSED, message="平台没有这张票据")

    def image(self, code: str, invoice_number: str, check_code: str) -> bytes:
        """A picture of the invoice."""
        self.pictures += 1
        with closing(self._open()) as books:
            row = books.execute("SELECT * FROM invoice WHERE code = ? AND invoice_number = ? AND check_code = ?",
                                (code, invoice_number, check_code)).fetchone()
        if row is None:
            raise LostAnswer(invoice_number)
        picture = Image.new("RGB", (640, 300), "white")
        pen = ImageDraw.Draw(picture)
        ink = "#b3261e" if row["colour"] == "red" else "#20436b"
        pen.rectangle((10, 10, 629, 289), outline=ink, width=3)
        for n, text in enumerate((f"E-INVOICE (SIMULATED)  {row['colour'].upper()}", f"CODE   {row['code']}",
                                  f"NO.    {row['invoice_number']}", f"CHECK  {row['check_code']}",
                                  f"TOTAL  CNY {row['amount']}", f"AT     {row['at'][:19]}")):
            pen.text((40, 40 + 36 * n), text, fill=ink, font_size=22)
        out = io.BytesIO()
        picture.save(out, "PNG")
        return out.getvalue()

    def all(self) -> list[tuple[str, str, Decimal]]:
        """Number, colour and amount of every invoice, in order; for tests that compare both books."""
        with closing(self._open()) as books:
            return [(row["number"], row["colour"], Decimal(row["amount"]))
                    for row in books.execute("SELECT * FROM invoice ORDER BY serial")]


def _answer(row: Any, *, garbage: bool = False) -> Invoice:
    return Invoice(CONFIRMED, row["invoice_number"], "开具成功", row["code"],
                   "12" if garbage else row["invoice_number"], row["check_code"], datetime.fromisoformat(row["at"]))
