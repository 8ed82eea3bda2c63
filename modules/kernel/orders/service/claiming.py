"""Drugs that were handed out are either given (输液室) or taken back (退药), never both.

Both sides hold the prescription's row first, so that of two at the same moment one sees what the other did. A reception
claims what its bottles need; a return leaves what is claimed; an open return is not claimed.
Quantities are smallest units. Implements: M10.1, RX-12.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.clock import local
from his_server.db import now, of
from his_server.errors import Conflict
from modules.kernel.charging.models import ChargeLine, ChargeLineState
from modules.kernel.dispensing.models import DrugReturn, DrugReturnLine
from modules.kernel.orders.models import DrugClaim, Prescription, PrescriptionLine

ASKED = ("requested", "approved")
"""A return in these states still waits for its drugs."""


@dataclass(frozen=True)
class Claimed:
    """How much of a line is claimed, and by what last."""

    quantity: Decimal
    why: str


def hold_prescription(session: Session, prescription_id: int) -> None:
    """Until the unit of work ends nobody else claims, asks back or takes back drugs of this prescription."""
    portable.guarded_update(session, Prescription, Prescription.id == prescription_id, {"state": Prescription.state})


def claimed(session: Session, prescription_id: int) -> dict[int, Claimed]:
    """What of each line is claimed; one query."""
    found: dict[int, Claimed] = {}
    for row in session.execute(
            select(DrugClaim.line_id, DrugClaim.quantity, DrugClaim.state, DrugClaim.told, DrugClaim.changed_at,
                   DrugClaim.changed_by_name)
            .where(DrugClaim.prescription_id == prescription_id, DrugClaim.state.in_(("held", "used")))
            .order_by(DrugClaim.changed_at, DrugClaim.id)):
        before = found.get(row.line_id)
        word = "配药使用" if row.state == "used" else "接诊"
        found[row.line_id] = Claimed((before.quantity if before else Decimal(0)) + row.quantity,
                                     f"{row.changed_by_name} 于 {local(row.changed_at):%m-%d %H:%M} {word}（{row.told}）")
    return found


def claim(session: Session, actor: Actor, prescription_id: int, needs: Mapping[str, Mapping[int, Decimal]], *, told: str
          ) -> None:
    """Claim what each holder needs: holder → (line → quantity). A holder that freed its claim claims again.

    What was not handed out yet is claimed too: it can't come back before.
    :raises Conflict: it was taken back, or somebody asks to give it back.
    """
    hold_prescription(session, prescription_id)
    lines = {line for each in needs.values() for line in each}
    rows = {row.id: row for row in session.execute(
        select(PrescriptionLine.id, PrescriptionLine.name, PrescriptionLine.quantity, ChargeLine.factor,
               ChargeLineState.performed, Prescription.state)
        .join(Prescription, Prescription.id == PrescriptionLine.prescription_id)
        .join(ChargeLine, ChargeLine.id == PrescriptionLine.charge_line_id)
        .join(ChargeLineState, ChargeLineState.line_id == ChargeLine.id).where(PrescriptionLine.id.in_(lines)))}
    asked = asked_back(session, prescription_id)
    before = claimed(session, prescription_id)
    left = {key: (row.performed * row.factor if row.state == "dispensed" else row.quantity) - asked.get(key, Decimal(0))
            - (before[key].quantity if key in before else Decimal(0)) for key, row in rows.items()}
    at, values = now(session), []
    for holder, each in needs.items():
        for line, quantity in each.items():
            if quantity > left[line]:
                raise Conflict("orders.given_back", f"{rows[line].name} 已退药、已退费或正在申请退药，剩余数量不足，"
                               "不能接诊使用；请先与药房核对")
            left[line] -= quantity
            values.append({"prescription_id": prescription_id, "line_id": line, "holder": holder, "told": told,
                           "quantity": quantity, "state": "held", "changed_at": at, "changed_by_name": actor.name})
    keys = of(session).keys.take(len(values)) if values else ()
    portable.upsert(session, DrugClaim, [{"id": key, **value} for key, value in zip(keys, values, strict=True)],
                    ["line_id", "holder"], ["told", "quantity", "state", "changed_at", "changed_by_name"])


def use(session: Session, actor: Actor, holder: str) -> int:
    """The holder's drugs are prepared: they never go back. Returns how many claims there were."""
    return portable.guarded_update(session, DrugClaim, (DrugClaim.holder == holder) & (DrugClaim.state == "held"), {
        "state": "used", "changed_at": now(session), "changed_by_name": actor.name})


def free(session: Session, actor: Actor, holders: Collection[str]) -> int:
    """The holders need their drugs no more; what is used stays used."""
    return portable.guarded_update(session, DrugClaim, DrugClaim.holder.in_(holders) & (DrugClaim.state == "held"), {
        "state": "freed", "changed_at": now(session), "changed_by_name": actor.name})


def asked_back(session: Session, prescription_id: int) -> dict[int, Decimal]:
    """Quantities of open requests that still wait to be taken back, by line. One query."""
    return dict(session.execute(
        select(DrugReturnLine.prescription_line_id, func.sum(DrugReturnLine.quantity))
        .join(DrugReturn, DrugReturn.id == DrugReturnLine.return_id)
        .where(DrugReturn.prescription_id == prescription_id, DrugReturn.state.in_(ASKED))
        .group_by(DrugReturnLine.prescription_line_id)).all())
