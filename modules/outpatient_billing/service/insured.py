"""What the window does with insured settlements beyond settling them: a cancelled registration goes back to the insurer.

Implements: M1.14
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from his_server.actor import Actor
from his_server.errors import Conflict
from modules.kernel.charging.models import ChargeLine, RefundCase
from modules.kernel.charging.service import Returns, insured_refunds
from modules.kernel.scheduling import service as scheduling


def cancel_insured_registration(session: Session, actor: Actor, registration_id: int, *, reason: str, to_jiao: bool,
                                returns: Returns | None = None) -> RefundCase:
    """退号 of a registration whose fee the insurer paid: place and visit end, the refund begins with the insurer.

    Where the insurer refuses, the registration is there again. :raises Conflict: it isn't paid, or the doctor has begun.
    """
    cancelled = scheduling.cancel(session, actor, registration_id, reason)
    if cancelled.settlement_id is None:
        raise Conflict("registration.not_paid", "该号尚未收费，请用普通退号")
    lines = {key: quantity for key, quantity in session.execute(
        select(ChargeLine.id, ChargeLine.quantity).where(
            ChargeLine.settlement_id == cancelled.settlement_id, ChargeLine.source == "registration",
            ChargeLine.source_id == registration_id, ChargeLine.reverses_line_id.is_(None)))}
    return insured_refunds.open_case(session, actor, cancelled.settlement_id, lines, reason=reason, returns=returns,
                                     to_jiao=to_jiao, registration=True)
