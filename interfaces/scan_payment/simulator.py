"""A stand-in for a payment channel: keeps its own books in its own file, and can be told to misbehave.

What the payer's code ends in decides: ``0001`` balance too low, ``0002`` paid but the answer is lost, ``0003``
not paid and the answer is lost, ``0004`` paid slowly: the first query can't tell yet. Anything else pays.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path

from modules.kernel.charging.ports import CONFIRMED, REFUSED, UNKNOWN, Outcome


class LostAnswer(ConnectionError):
    """The channel did something and its answer never arrived."""


class ScanChannel:
    """The simulated channel; implements :class:`modules.kernel.charging.ports.PaymentPort`. Amounts in yuan."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(self._open()) as books, books:
            books.execute("CREATE TABLE IF NOT EXISTS payment (number TEXT PRIMARY KEY, amount TEXT, slow INTEGER)")
            books.execute("CREATE TABLE IF NOT EXISTS refund (number TEXT PRIMARY KEY, original TEXT, amount TEXT)")

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=30)

    def pay(self, number: str, amount: Decimal, auth_code: str) -> Outcome:
        """Take a payment. :raises LostAnswer: as the code demands."""
        ending = auth_code[-4:]
        if ending == "0001":
            return Outcome(REFUSED, message="余额不足，请更换付款方式")
        if ending == "0003":
            raise LostAnswer(number)
        with closing(self._open()) as books, books:
            books.execute("INSERT OR IGNORE INTO payment VALUES (?, ?, ?)", (number, str(amount), ending == "0004"))
        if ending in ("0002", "0004"):
            raise LostAnswer(number)
        return Outcome(CONFIRMED, f"SIM{number}", "支付成功")

    def query(self, number: str) -> Outcome:
        """What became of a payment."""
        with closing(self._open()) as books, books:
            row = books.execute("SELECT slow FROM payment WHERE number = ?", (number,)).fetchone()
            if row is None:
                return Outcome(REFUSED, message="渠道没有这笔支付")
            if row[0]:
                books.execute("UPDATE payment SET slow = 0 WHERE number = ?", (number,))
                return Outcome(UNKNOWN, message="用户支付中")
        return Outcome(CONFIRMED, f"SIM{number}", "支付成功")

    def refund(self, number: str, original: str, amount: Decimal) -> Outcome:
        """Return a part; the same number never twice, never more than was paid."""
        with closing(self._open()) as books, books:
            books.execute("BEGIN IMMEDIATE")
            if books.execute("SELECT 1 FROM refund WHERE number = ?", (number,)).fetchone():
                return Outcome(CONFIRMED, f"SIM{number}", "退款成功")
            paid = books.execute("SELECT amount FROM payment WHERE number = ?", (original,)).fetchone()
            back = books.execute("SELECT amount FROM refund WHERE original = ?", (original,)).fetchall()
            left = Decimal(paid[0]) - sum((Decimal(r[0]) for r in back), Decimal(0)) if paid else Decimal(0)
            if amount > left:
                return Outcome(REFUSED, message="退款金额超过可退金额")
            books.execute("INSERT INTO refund VALUES (?, ?, ?)", (number, original, str(amount)))
        return Outcome(CONFIRMED, f"SIM{number}", "退款成功")

    def query_refund(self, number: str) -> Outcome:
        """What became of a return."""
        with closing(self._open()) as books:
            row = books.execute("SELECT 1 FROM refund WHERE number = ?", (number,)).fetchone()
        return Outcome(CONFIRMED, f"SIM{number}", "退款成功") if row else Outcome(REFUSED, message="渠道没有这笔退款")

    def net(self) -> Decimal:
        """What the channel has taken less what it has returned; for tests that compare both books."""
        with closing(self._open()) as books:
            paid = books.execute("SELECT amount FROM payment").fetchall()
            back = books.execute("SELECT amount FROM refund").fetchall()
        return sum((Decimal(r[0]) for r in paid), Decimal(0)) - sum((Decimal(r[0]) for r in back), Decimal(0))
