"""What a transaction of the simulated centre works with."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from typing import Any

from interfaces.nhsa.simulator.books import Refusal, one


class Lost(Exception):
    """The centre did what it did, and its answer gets lost."""


@dataclass
class Ask:
    """A transaction: the books (one transaction open), the input, the envelope, the caller's time (inf_time)."""

    books: sqlite3.Connection
    infno: str
    given: Any
    message: dict[str, Any]
    at: str
    lost: bool = False
    kept: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)

    @property
    def data(self) -> dict[str, Any]:
        """The node ``data``."""
        found: dict[str, Any] = self.given["data"]
        return found

    @property
    def msgid(self) -> str:
        """The message's number."""
        return str(self.message["msgid"])

    def member(self, psn_no: str) -> sqlite3.Row:
        """A member. :raises Refusal: there is none."""
        found = one(self.books, "SELECT * FROM member WHERE psn_no = ?", psn_no)
        if found is None:
            raise Refusal("人员编号不存在")
        return found

    def visit(self, mdtrt_id: str, psn_no: str, states: tuple[str, ...], what: str) -> sqlite3.Row:
        """A visit of that member in one of the states. :raises Refusal: ``what`` can't be done with it."""
        found = one(self.books, "SELECT * FROM visit WHERE mdtrt_id = ?", mdtrt_id)
        if found is None or found["psn_no"] != psn_no:
            raise Refusal("就诊记录不存在")
        if found["state"] not in states:
            raise Refusal(f"就诊记录状态不能{what}，请核对是否已结算或已撤销")
        return found
