"""What the old system still held of outpatient deposits (R2, YB-08)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.money import ZERO
from modules.kernel.charging.models import OldDeposit
from modules.kernel.patients.models import Person
from modules.kernel.patients.rules import mask_name

_COLUMNS = ("id", "source", "source_number", "person_id", "balance", "state", "method", "receiver", "cleared_by_name",
            "cleared_at")


def old_deposits(session: Session, *, state: str, limit: int, after: str | None) -> dict[str, Any]:
    """A page of balances in a state, and the sum and number of those still open; two queries."""
    statement: Any = (select(OldDeposit, Person.name, Person.outpatient_no)
                      .join(Person, Person.id == OldDeposit.person_id).where(OldDeposit.state == state))
    cursor = portable.decode_cursor(after) if after else None
    rows = session.execute(portable.keyset(statement, [(OldDeposit.id, "asc")], cursor, limit + 1)).all()
    more = len(rows) > limit
    left, count = session.execute(select(func.sum(OldDeposit.balance), func.count())
                                  .where(OldDeposit.state == "open")).one()
    return {"items": [{**{c: getattr(r.OldDeposit, c) for c in _COLUMNS}, "name": mask_name(r.name),
                       "outpatient_no": r.outpatient_no} for r in rows[:limit]],
            "next": portable.encode_cursor((rows[limit - 1].OldDeposit.id,)) if more else None,
            "left": left or ZERO, "count": count}
