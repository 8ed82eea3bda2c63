"""The insurer's books for reconciliation, as a test sees them: rows that can be taken away, added, or altered."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal

from his_server.clock import local
from his_server.db import Database
from modules.insurance_office.queries.ledger import rows_of
from modules.kernel.charging.models import InsuranceClaim
from modules.kernel.charging.ports import (
    CONFIRMED,
    REFUSED,
    CentreRow,
    Detailed,
    Outcome,
    Reconciled,
    Scope,
    SettledRow,
    Totals,
)


@dataclass
class Centre:
    """Compares what it is told with ``rows`` (message id → row), sums first, as 3201 and 3202 do."""

    rows: dict[str, SettledRow] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    undone: dict[str, str] = field(default_factory=dict)
    lost: int = 0

    @classmethod
    def like_ours(cls, db: Database, day: object) -> Centre:
        """Books that agree with the ledger of a day."""
        found = cls()
        with db.begin(write=False) as session:
            for n, row in enumerate(rows_of(session, day, day)):  # type: ignore[arg-type]
                claim = session.get_one(InsuranceClaim, row.claim_id)
                assert local(claim.peer_settled_at).date() == row.day or row.refund
                found.rows[f"M{n}"] = SettledRow(row.peer_number, row.peer_visit, claim.member_no or "", row.refund, row.total,
                                                 row.fund, row.account)
        return found

    def alter(self, key: str, **values: object) -> None:
        """Change a row of the books."""
        self.rows[key] = replace(self.rows[key], **values)  # type: ignore[arg-type]

    def totals(self, scope: Scope, totals: Totals) -> Reconciled:
        """3201."""
        self.asked.append("totals")
        mine = list(self.rows.values())
        even = (len(mine) == totals.count and sum((r.total for r in mine), Decimal(0)) == totals.total
                and sum((r.fund for r in mine), Decimal(0)) == totals.fund
                and sum((r.account for r in mine), Decimal(0)) == totals.account)
        return Reconciled(CONFIRMED, message="" if even else "总账不平", even=even)

    def details(self, scope: Scope, totals: Totals, rows: list[SettledRow]) -> Detailed:
        """3202: what only we have comes back without a message id, what only the centre has without its numbers."""
        self.asked.append("details")
        mine = {row.peer_number: (key, row) for key, row in self.rows.items()}
        found = []
        for row in rows:
            key, theirs = mine.pop(row.peer_number, ("", None))
            if theirs is None:
                found.append(CentreRow("1", "", row.member_no, row.peer_number, row.peer_visit, row.refund, row.total, row.fund,
                                       row.account, "中心无此记录"))
            elif theirs != row:
                found.append(CentreRow("1", key, row.member_no, row.peer_number, row.peer_visit, theirs.refund, theirs.total,
                                       theirs.fund, theirs.account))
        found += [CentreRow("1", key, row.member_no, "", "", row.refund, row.total, row.fund, row.account, "医院无此记录")
                  for key, row in mine.values()]
        return Detailed(CONFIRMED, rows=tuple(found))

    def undo_stray(self, number: str, member_no: str, message_id: str, *, refund: bool) -> Outcome:
        """5203, 2601."""
        if self.lost:
            self.lost -= 1
            self._undo(number, message_id)
            raise ConnectionError(number)
        if message_id not in self.rows and number not in self.undone:
            return Outcome(REFUSED, message="中心没有这笔结算")
        self._undo(number, message_id)
        return Outcome(CONFIRMED, message="已冲正")

    def _undo(self, number: str, message_id: str) -> None:
        if number not in self.undone:
            self.undone[number] = message_id
            del self.rows[message_id]
