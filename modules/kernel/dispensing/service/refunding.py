"""The cashier's refund ends the return of drugs: one document, one state (M1.17)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.db import now
from modules.kernel.charging.models import ChargeLine
from modules.kernel.dispensing import rules
from modules.kernel.dispensing.models import DrugReturn, DrugReturnLine


def follow_refund(session: Session, actor: Actor, refunded: Mapping[int, Decimal]) -> None:
    """Charge line id → refunded quantity in the charged unit: taken-back drugs count as refunded, oldest return first;
    a return with nothing left to refund becomes ``refunded``. One query where nothing was taken back.
    """
    rows = session.execute(
        select(DrugReturnLine.id, DrugReturnLine.return_id, DrugReturnLine.charge_line_id, ChargeLine.factor,
               (DrugReturnLine.quantity - DrugReturnLine.refunded).label("open_quantity"))
        .join(DrugReturn, DrugReturn.id == DrugReturnLine.return_id)
        .join(ChargeLine, ChargeLine.id == DrugReturnLine.charge_line_id)
        .where(DrugReturnLine.charge_line_id.in_(refunded), DrugReturn.state == "taken")
        .order_by(DrugReturnLine.id)).all()
    touched = set()
    for charge_line in {row.charge_line_id for row in rows}:
        mine = [row for row in rows if row.charge_line_id == charge_line]
        shares = rules.take_refund([(r.id, r.open_quantity) for r in mine], refunded[charge_line] * mine[0].factor)
        for key, part in shares.items():
            portable.guarded_update(session, DrugReturnLine, DrugReturnLine.id == key,
                                    {"refunded": DrugReturnLine.refunded + part})
        touched |= {r.return_id for r in mine if r.id in shares}
    for key in sorted(touched):
        left = session.scalar(select(DrugReturnLine.id).where(
            DrugReturnLine.return_id == key, DrugReturnLine.refunded < DrugReturnLine.quantity).limit(1))
        if left is None:
            portable.guarded_update(session, DrugReturn, (DrugReturn.id == key) & (DrugReturn.state == "taken"),
                                    {"state": "refunded", "refunded_at": now(session), "changed_at": now(session),
                                     "changed_by_name": actor.name})
