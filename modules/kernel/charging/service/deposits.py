"""Outpatient deposits of the old system: imported, listed, given back; none is ever taken (R2, YB-08).

Implements: R2, YB-08
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.clock import local
from his_server.db import now, of
from his_server.errors import Conflict, FieldError, Invalid, NotFound
from his_server.money import decimal
from his_server.security import audit
from modules.kernel.charging.models import OldDeposit
from modules.kernel.masterdata.importing import OTHERS
from modules.kernel.masterdata.importing.table import TableRow
from modules.kernel.patients.models import Person

COLUMNS = ("source", "number", "outpatient_no", "balance")
CHUNK = 500


def store(session: Session, actor: Actor, header: Sequence[str], rows: Sequence[TableRow]) -> tuple[int, int, int]:
    """Import balances (来源系统, 号码, 门诊号, 余额); repeatable. Returns how many are new, changed, the same.

    A balance that was imported is never changed: what was cleared meanwhile would come back.
    :raises Invalid: every bad row, by number; nothing is imported then.
    """
    if missing := [name for name in COLUMNS if name not in header]:
        raise Invalid("import.columns", f"缺少列：{'、'.join(missing)}")
    people: dict[str, int] = {}
    wanted = sorted({row.cells["outpatient_no"].strip() for row in rows})
    for start in range(0, len(wanted), CHUNK):
        people |= {no: key for no, key in session.execute(
            select(Person.outpatient_no, Person.id).where(Person.outpatient_no.in_(wanted[start:start + CHUNK])))}
    known = {(source, number) for source, number in session.execute(
        select(OldDeposit.source, OldDeposit.source_number))}
    errors: list[FieldError] = []
    fresh = []
    for row in rows:
        given = {name: row.cells[name].strip() for name in COLUMNS}
        try:
            balance = decimal(given["balance"])
        except ValueError:
            balance = decimal("0")
        if balance <= 0 or balance.as_tuple().exponent not in (0, -1, -2):
            errors.append(FieldError(f"rows.{row.number}.balance", "余额应为大于 0 的金额，最多两位小数"))
        if given["outpatient_no"] not in people:
            errors.append(FieldError(f"rows.{row.number}.outpatient_no", "没有这个门诊号，请先导入病人"))
        if not given["source"] or not given["number"]:
            errors.append(FieldError(f"rows.{row.number}.number", "来源和号码必填"))
        if (given["source"], given["number"]) not in known:
            known.add((given["source"], given["number"]))
            fresh.append((given, balance))
    if errors:
        raise Invalid("import.cells", "导入内容有误，未导入任何余额，请按提示修改", errors)
    at = now(session)
    if fresh:
        portable.insert_many(session, OldDeposit, [
            {"id": key, "source": given["source"], "source_number": given["number"],
             "person_id": people[given["outpatient_no"]], "balance": balance, "state": "open", "imported_at": at,
             "imported_by_name": actor.name, "cleared_at": None, "cleared_by": None, "cleared_by_name": None,
             "method": None, "receiver": None}
            for key, (given, balance) in zip(of(session).keys.take(len(fresh)), fresh, strict=True)])
    audit.record(session, actor, "deposit.import", "old_deposit", 0, {"new": len(fresh)})
    return len(fresh), 0, len(rows) - len(fresh)


def clear(session: Session, actor: Actor, deposit_id: int, *, method: str, receiver: str) -> OldDeposit:
    """Give a balance back to its person, whole, once. ``method`` cash or transfer; ``receiver`` who had it, or the account.

    :raises Conflict: it went back already (by whom and when).
    """
    found = session.get(OldDeposit, deposit_id)
    if found is None:
        raise NotFound("deposit.none", "没有这笔余额，请刷新后重试")
    if not portable.guarded_update(
            session, OldDeposit, (OldDeposit.id == deposit_id) & (OldDeposit.state == "open"),
            {"state": "cleared", "cleared_at": now(session), "cleared_by": actor.user_id,
             "cleared_by_name": actor.name, "method": method, "receiver": receiver}):
        session.refresh(found)
        when = f"{local(found.cleared_at):%m-%d %H:%M}" if found.cleared_at else ""
        raise Conflict("deposit.cleared", f"该余额已由 {found.cleared_by_name} 于 {when} 清退")
    audit.record(session, actor, "deposit.clear", "old_deposit", deposit_id,
                 {"amount": str(found.balance), "method": method})
    session.flush()
    session.refresh(found)
    return found


OTHERS["old_deposits"] = store
