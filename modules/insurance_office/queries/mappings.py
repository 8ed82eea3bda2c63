"""Our drugs and items beside the insurer's catalogue codes (3301)."""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import and_, func, literal, or_, select, union_all
from sqlalchemy.orm import Session

from dialects import portable
from modules.kernel.masterdata.models import ChargeItem, Drug, InsuranceEntry, InsuranceMapping
from modules.kernel.masterdata.service.lookups import valid_on


def mappings(session: Session, *, kind: str | None, state: str | None, search: str, on: date, limit: int, after: str | None
             ) -> dict[str, Any]:
    """Active drugs and items with the mapping in force on a day, by code, and how many there are in each state; two queries.

    ``state``: unmapped, draft, uploaded, refused, or conflict (the entry ended, or its level is another than ours).
    """
    ours = union_all(
        select(literal("drug").label("kind"), Drug.code, Drug.name, Drug.spec, Drug.insurance_level.label("level"))
        .where(Drug.active.is_(True)),
        select(literal("item"), ChargeItem.code, ChargeItem.name, literal(""), ChargeItem.insurance_level)
        .where(ChargeItem.active.is_(True))).subquery()
    mapping, entry = InsuranceMapping, InsuranceEntry
    mine = and_(mapping.kind == ours.c.kind, mapping.code == ours.c.code, valid_on(mapping, on), mapping.state != "withdrawn")
    theirs = and_(entry.list_type == mapping.list_type, entry.code == mapping.national)
    conflict = and_(mapping.id.is_not(None), or_(entry.active.is_(False), entry.level != ours.c.level))
    joined: Any = (
        select(ours.c.kind, ours.c.code, ours.c.name, ours.c.spec, ours.c.level, mapping.id.label("mapping_id"),
               mapping.list_type, mapping.national, mapping.valid_from, mapping.valid_to, mapping.state, mapping.message,
               mapping.changed_at, mapping.changed_by_name, entry.name.label("national_name"),
               entry.level.label("national_level"), entry.active.label("national_active"))
        .select_from(ours).outerjoin(mapping, mine).outerjoin(entry, theirs))
    counts = {found or "unmapped": count for found, count in session.execute(
        select(mapping.state, func.count()).select_from(ours).outerjoin(mapping, mine).group_by(mapping.state))}
    if kind:
        joined = joined.where(ours.c.kind == kind)
    if state == "unmapped":
        joined = joined.where(mapping.id.is_(None))
    elif state == "conflict":
        joined = joined.where(conflict)
    elif state:
        joined = joined.where(mapping.state == state)
    if search:
        joined = joined.where(or_(ours.c.name.contains(search, autoescape=True), ours.c.code == search,
                                  mapping.national == search))
    cursor = portable.decode_cursor(after) if after else None
    rows = session.execute(portable.keyset(joined, [(ours.c.kind, "asc"), (ours.c.code, "asc")], cursor, limit + 1)).all()
    more, rows = len(rows) > limit, rows[:limit]
    return {"items": [{**row._mapping, "state": row.state or "unmapped", "conflict": row.mapping_id is not None and (
                row.national_active is False or (row.national_level or row.level) != row.level)} for row in rows],
            "next": portable.encode_cursor((rows[-1].kind, rows[-1].code)) if more else None, "counts": counts}


def entries(session: Session, *, search: str, list_type: str | None, limit: int = 30) -> list[InsuranceEntry]:
    """Entries of the insurer's catalogues by code or the beginning of the name, in force first; one query."""
    found = select(InsuranceEntry).where(or_(
        InsuranceEntry.code == search, portable.starts_with(InsuranceEntry.name, search)))
    if list_type:
        found = found.where(InsuranceEntry.list_type == list_type)
    order = InsuranceEntry.active.desc(), InsuranceEntry.name, InsuranceEntry.id
    return list(session.scalars(found.order_by(*order).limit(limit)))
