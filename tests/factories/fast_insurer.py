"""A fast insurer for tests of the kernel's own mechanism (hundreds of refunds): no messages, one file, same policy as the
simulated centre (interfaces/nhsa/simulator). It checks what it is sent, can be told to misbehave.

Whoever has a Chinese ID number is insured here: with an even birth day as an employee (310: 70 % after 300 yuan a year,
an account of 800), else as a resident (390: 50 % after 100, no account). A card or electronic credential is the ID number
and four digits, which decide what happens: ``0001`` settlement refused, ``0002`` settled and the answer lost, ``0003`` not
settled and the answer lost, ``0004`` settled, and the first question can't be answered, ``0005`` preview lost, ``0006``
reversed and the answer lost, ``0007`` reversal refused, ``0008`` not reversed and the answer lost, ``0009`` settled by
other figures than previewed, ``0010`` the rest isn't settled anew after a reversal, ``0011`` it is, the answer lost,
``0012`` suspended insurance. Anything else behaves.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from his_server.money import ZERO, round_money
from modules.kernel.charging.ports import (
    CONFIRMED,
    REFUSED,
    UNKNOWN,
    Bill,
    Credential,
    Identified,
    Insurance,
    Member,
    Outcome,
    Settlement,
    Split,
)

AREA = "320602"
RATES = {"310": (Decimal("0.7"), Decimal("300.00"), "310100"), "390": (Decimal("0.5"), Decimal("100.00"), "390100")}
NAMES = {"310": "职工基本医疗保险", "390": "城乡居民基本医疗保险"}
SELF_FIRST = Decimal("0.1")
_TABLES = (
    "CREATE TABLE IF NOT EXISTS member (member_no TEXT PRIMARY KEY, id_no TEXT, name TEXT, insurance TEXT, "
    "balance TEXT, deductible TEXT, ending TEXT)",
    "CREATE TABLE IF NOT EXISTS bill (number TEXT PRIMARY KEY, member_no TEXT, state TEXT, total TEXT, split TEXT, "
    "used TEXT, ending TEXT, slow INTEGER, visit TEXT)",
    "CREATE TABLE IF NOT EXISTS reversal (number TEXT PRIMARY KEY, original TEXT UNIQUE)",
)
_AMOUNTS = ("total", "fund", "account", "cash", "own_expense", "self_first", "in_scope", "balance")


class LostAnswer(ConnectionError):
    """The insurer did something, or nothing, and its answer never arrived."""


class Insurer:
    """The simulated insurer; implements :class:`modules.kernel.charging.ports.InsurancePort`. Amounts in yuan."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(self._open()) as books, books:
            for statement in _TABLES:
                books.execute(statement)

    def _open(self) -> sqlite3.Connection:
        books = sqlite3.connect(self.path, timeout=30)
        books.row_factory = sqlite3.Row
        return books

    # Members

    def _member(self, books: sqlite3.Connection, credential: Credential, name: str = "") -> sqlite3.Row | None:
        if credential.kind == "member":
            return self._row(books, "member", "member_no", credential.number)
        id_no, ending = credential.number[:18].upper(), credential.number[18:]
        if len(id_no) != 18 or not id_no[:17].isdigit():
            return None
        number = hashlib.new("sm3", id_no.encode()).hexdigest()[:24].upper()
        insurance = "310" if int(id_no[12:14]) % 2 == 0 else "390"
        books.execute("INSERT OR IGNORE INTO member VALUES (?, ?, ?, ?, ?, '0.00', '')",
                      (number, id_no, name or "参保人", insurance, "800.00" if insurance == "310" else "0.00"))
        if ending:
            books.execute("UPDATE member SET ending = ? WHERE member_no = ?", (ending, number))
        if name:
            books.execute("UPDATE member SET name = ? WHERE member_no = ? AND name = '参保人'", (name, number))
        return self._row(books, "member", "member_no", number)

    @staticmethod
    def _row(books: sqlite3.Connection, table: str, key: str, value: str) -> Any:
        return books.execute(f"SELECT * FROM {table} WHERE {key} = ?", (value,)).fetchone()

    def identify(self, credential: Credential, name: str) -> Identified:
        """Whose credential it is."""
        with closing(self._open()) as books, books:
            row = self._member(books, credential, name)
        if row is None:
            return Identified(REFUSED, message="未查到参保信息，请核对凭证")
        if name and credential.kind == "id_no" and row["name"] not in ("参保人", name):
            return Identified(REFUSED, message="姓名与参保信息不符")
        id_no = row["id_no"]
        return Identified(CONFIRMED, message="", member=Member(
            row["member_no"], row["name"], "01", id_no, "1" if int(id_no[16]) % 2 else "2",
            date(int(id_no[6:10]), int(id_no[10:12]), int(id_no[12:14])),
            (Insurance(row["insurance"], NAMES[row["insurance"]], "11" if row["insurance"] == "310" else "15",
                       row["ending"] != "0012", Decimal(row["balance"]), AREA),)))

    # Settlement

    def preview(self, bill: Bill, credential: Credential) -> Settlement:
        """Work the split out and remember the bill. :raises LostAnswer: as the credential demands."""
        with closing(self._open()) as books, books:
            member = self._member(books, credential)
            if problem := self._wrong(member, bill):
                return Settlement(REFUSED, message=problem)
            assert member is not None
            split, used = self._split(member, bill)
            books.execute("INSERT INTO bill VALUES (?, ?, 'previewed', ?, ?, ?, ?, 0, ?) ON CONFLICT (number) DO UPDATE "
                          "SET total = excluded.total, split = excluded.split, used = excluded.used, "
                          "ending = excluded.ending WHERE state = 'previewed'",
                          (bill.number, member["member_no"], str(bill.total), _dump(split), str(used), member["ending"],
                           f"V{bill.number}"))
        if member["ending"] == "0005" and credential.kind != "member":
            raise LostAnswer(bill.number)
        return Settlement(CONFIRMED, message="预结算成功", split=split, peer_visit=f"V{bill.number}")

    @staticmethod
    def _wrong(member: sqlite3.Row | None, bill: Bill) -> str:
        if member is None or member["member_no"] != bill.member_no:
            return "凭证与参保人不符"
        if member["ending"] == "0012":
            return "参保状态为暂停，不能享受待遇"
        if bill.insurance != member["insurance"]:
            return "险种与参保信息不符"
        if not bill.lines or sum((line.amount for line in bill.lines), ZERO) != bill.total:
            return "明细合计与总额不符"
        if not bill.diagnoses:
            return "诊断信息不能为空"
        return ""

    @staticmethod
    def _split(member: sqlite3.Row, bill: Bill) -> tuple[Split, Decimal]:
        """The split by the stand-in's policy, and what of the year's deductible it uses."""
        rate, yearly, fund_kind = RATES[member["insurance"]]
        own = sum((line.amount for line in bill.lines if line.level not in ("01", "02")), ZERO)
        first = sum((round_money(line.amount * SELF_FIRST) for line in bill.lines if line.level == "02"), ZERO)
        scope = bill.total - own - first
        used = min(scope, max(yearly - Decimal(member["deductible"]), ZERO))
        fund = round_money((scope - used) * rate)
        held = Decimal(member["balance"])
        account = min(held, bill.total - fund - own) if bill.use_account else ZERO
        split = Split(total=bill.total, fund=fund, account=account, cash=bill.total - fund - account, own_expense=own,
                      self_first=first, in_scope=scope, balance=held - account,
                      funds=((fund_kind, fund),) if fund else ())
        return split, used

    def withdraw(self, number: str) -> Outcome:
        """Forget a previewed bill."""
        with closing(self._open()) as books, books:
            books.execute("DELETE FROM bill WHERE number = ? AND state = 'previewed'", (number,))
            kept = self._row(books, "bill", "number", number)
        return Outcome(REFUSED, message="已结算，不能撤回") if kept else Outcome(CONFIRMED, message="已撤回")

    def settle(self, bill: Bill, credential: Credential) -> Settlement:
        """Settle a previewed bill. :raises LostAnswer: as the credential demands."""
        with closing(self._open()) as books:
            books.execute("BEGIN IMMEDIATE")
            with books:
                row = self._row(books, "bill", "number", bill.number)
                member = self._member(books, credential)
                if row is not None and row["state"] == "settled":
                    return self._answer(row)
                if row is None or row["state"] != "previewed" or Decimal(row["total"]) != bill.total:
                    return Settlement(REFUSED, message="没有可结算的预结算，请重新预结算")
                if member is None or member["member_no"] != row["member_no"]:
                    return Settlement(REFUSED, message="凭证与参保人不符")
                again = credential.kind == "member"
                ending = row["ending"]
                if (ending == "0001" and not again) or (ending == "0010" and again):
                    return Settlement(REFUSED, message="待遇审核未通过，不能医保结算")
                if ending == "0003" and not again:
                    raise LostAnswer(bill.number)
                split, used = self._split(member, bill)
                if ending == "0009":
                    split = _moved(split)
                self._book(books, member, split.account, used)
                books.execute("UPDATE bill SET state = 'settled', split = ?, used = ?, slow = ? WHERE number = ?",
                              (_dump(split), str(used), ending == "0004" and not again, bill.number))
                row = self._row(books, "bill", "number", bill.number)
        if (ending in ("0002", "0004") and not again) or (ending == "0011" and again):
            raise LostAnswer(bill.number)
        return self._answer(row)

    @staticmethod
    def _book(books: sqlite3.Connection, member: sqlite3.Row, account: Decimal, used: Decimal) -> None:
        books.execute("UPDATE member SET balance = ?, deductible = ? WHERE member_no = ?", (
            str(Decimal(member["balance"]) - account), str(Decimal(member["deductible"]) + used), member["member_no"]))

    @staticmethod
    def _answer(row: sqlite3.Row) -> Settlement:
        return Settlement(CONFIRMED, f"S{row['number']}", "医保结算成功", _load(row["split"]), row["visit"])

    def query(self, number: str) -> Settlement:
        """What became of a settlement; one that isn't there can't come any more."""
        with closing(self._open()) as books:
            books.execute("BEGIN IMMEDIATE")
            with books:
                row = self._row(books, "bill", "number", number)
                if row is not None and row["slow"]:
                    books.execute("UPDATE bill SET slow = 0 WHERE number = ?", (number,))
                    return Settlement(UNKNOWN, message="医保中心处理中，请稍后再查")
                if row is None or row["state"] == "previewed":
                    books.execute("UPDATE bill SET state = 'closed' WHERE number = ?", (number,))  # as 2601 does
                    return Settlement(REFUSED, message="医保中心没有这笔结算")
        if row["state"] == "settled":
            return self._answer(row)
        return Settlement(REFUSED, message="这笔结算已撤销")

    def reverse(self, number: str, original: str) -> Outcome:
        """Undo a whole settlement, once. :raises LostAnswer: as the credential demanded."""
        with closing(self._open()) as books:
            books.execute("BEGIN IMMEDIATE")
            with books:
                row = self._row(books, "bill", "number", original)
                ending = row["ending"] if row is not None else ""
                if self._row(books, "reversal", "original", original) is None:
                    if row is None or row["state"] != "settled":
                        return Outcome(REFUSED, message="没有可撤销的结算")
                    if ending == "0007":
                        return Outcome(REFUSED, message="已清算归档，请到医保中心窗口办理撤销")
                    if ending == "0008":  # once: whoever asks and sends again gets through
                        books.execute("UPDATE bill SET ending = '' WHERE number = ?", (original,))
                    else:
                        member = self._row(books, "member", "member_no", row["member_no"])
                        self._book(books, member, -_load(row["split"]).account, -Decimal(row["used"]))
                        books.execute("UPDATE bill SET state = 'reversed' WHERE number = ?", (original,))
                        books.execute("INSERT INTO reversal VALUES (?, ?)", (number, original))
        if ending in ("0006", "0008"):
            raise LostAnswer(number)
        return Outcome(CONFIRMED, f"R{number}", "医保撤销成功")

    def query_reversal(self, number: str, original: str) -> Outcome:
        """Whether a settlement was undone."""
        with closing(self._open()) as books:
            found = self._row(books, "reversal", "original", original)
        return Outcome(CONFIRMED, f"R{number}", "医保撤销成功") if found else Outcome(REFUSED, message="结算仍有效")

    def net(self) -> Decimal:
        """What the insurer pays by its own books, account and fund; for tests that compare both books."""
        with closing(self._open()) as books:
            rows = books.execute("SELECT split FROM bill WHERE state = 'settled'").fetchall()
        return sum((_load(row["split"]).covered for row in rows), ZERO)


def _moved(split: Split) -> Split:
    """The same total, a fen less from the fund."""
    fen = Decimal("0.01")
    fund = max(split.fund - fen, ZERO)
    return Split(**{**split.__dict__, "fund": fund, "cash": split.cash + split.fund - fund,
                    "funds": tuple((kind, fund) for kind, _ in split.funds)})


def _dump(split: Split) -> str:
    return json.dumps({**{name: str(getattr(split, name)) for name in _AMOUNTS},
                       "funds": [[kind, str(amount)] for kind, amount in split.funds]})


def _load(text: str) -> Split:
    given = json.loads(text)
    funds = tuple((kind, Decimal(amount)) for kind, amount in given.pop("funds"))
    return Split(**{name: Decimal(value) for name, value in given.items()}, funds=funds)
