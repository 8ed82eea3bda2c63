"""Charge lines before settlement: made by orders, registrations and supplementary charging."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.db import now, of
from his_server.errors import Conflict, Invalid
from his_server.messaging import outbox
from his_server.money import line_amount
from modules.kernel.charging.models import ChargeLine

REGISTRATION = "registration"
"""The source of a registration's fee: it is paid where it is made, nobody need be told of it."""


@dataclass(frozen=True)
class NewLine:
    """A line to charge. ``price`` per ``unit``; ``factor`` = smallest units per ``unit`` (drugs)."""

    source: str
    source_id: int
    source_line_id: int
    kind: str
    item_id: int
    code: str
    name: str
    spec: str | None
    unit: str
    price: Decimal
    quantity: Decimal
    fiscal_category: str
    insurance_level: str | None = None
    factor: Decimal = Decimal(1)
    ordering_department_id: int | None = None
    ordering_staff_id: int | None = None
    performing_department_id: int | None = None


def add_lines(session: Session, actor: Actor, person_id: int, encounter_id: int, lines: Sequence[NewLine]) -> list[int]:
    """Charge lines to a person, unsettled; returns their ids in order. Amounts are rounded here and nowhere else.

    :raises Invalid: a quantity is not positive or a price is negative.
    """
    at = now(session)
    ids = list(of(session).keys.take(len(lines))) if lines else []
    rows = []
    for key, line in zip(ids, lines, strict=True):
        if line.quantity <= 0 or line.price < 0:
            raise Invalid("charging.quantity", f"{line.name} 的数量必须大于 0，单价不能为负")
        rows.append({
            "id": key, "person_id": person_id, "encounter_id": encounter_id, "source": line.source,
            "source_id": line.source_id, "source_line_id": line.source_line_id, "kind": line.kind,
            "item_id": line.item_id, "code": line.code, "name": line.name, "spec": line.spec, "unit": line.unit,
            "price": line.price, "quantity": line.quantity, "factor": line.factor,
            "amount": line_amount(line.price, line.quantity), "fiscal_category": line.fiscal_category,
            "insurance_level": line.insurance_level, "ordering_department_id": line.ordering_department_id,
            "ordering_staff_id": line.ordering_staff_id, "performing_department_id": line.performing_department_id,
            "state": "open", "settlement_id": None, "receipt_id": None, "reverses_line_id": None, "created_at": at,
            "created_by": actor.user_id})
    portable.insert_many(session, ChargeLine, rows)
    if any(row["amount"] for row in rows) and lines[0].source != REGISTRATION:
        outbox.record(session, "BillPayable", f"bill:{encounter_id}", {
            "person_id": person_id, "encounter_id": encounter_id, "line_ids": ids})
    return ids


def void_lines(session: Session, source: str, source_id: int) -> int:
    """Void a source's unsettled lines; returns how many. :raises Conflict: some are settled already."""
    mine = (ChargeLine.source == source) & (ChargeLine.source_id == source_id)
    voided = portable.guarded_update(session, ChargeLine, mine & (ChargeLine.state == "open"), {"state": "void"})
    # looked at after the update: a settlement that was faster is seen now
    if session.scalar(select(ChargeLine.id).where(mine, ChargeLine.state == "settled").limit(1)) is not None:
        raise Conflict("charging.already_settled", "费用已收取，不能直接作废，请先办理退费")
    return voided
