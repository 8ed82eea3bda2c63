"""What the window does with insured settlements beyond settling them: a cancelled registration goes back to the insurer,
a self-paid bill becomes insured.

Implements: M1.14, N1
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from his_server.actor import Actor
from his_server.db import Database
from his_server.errors import Conflict, NotFound
from modules.kernel.charging.models import ChargeLine, Conversion, RefundCase, Settlement
from modules.kernel.charging.ports import Credential
from modules.kernel.charging.service import Returns, converting, insured, insured_refunds, members
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


def quote_conversion(database: Database, actor: Actor, settlement_id: int, *, credential: Credential, name: str, days: int,
                     insurance: str | None = None, use_account: bool = True, request_key: str | None = None) -> Conversion:
    """What a self-paid settlement would be if it were insured: the credential must be its own patient's.

    ``days``: how old it may be; the same for window and kiosk. :raises Conflict: another's credential, or not convertible.
    """
    with database.begin(write=False) as session:
        person_id = session.scalar(select(Settlement.person_id).where(Settlement.id == settlement_id))
    if person_id is None:
        raise NotFound("charging.settlement", "没有这次结算，请核对结算号")
    member = insured.identify(database, credential, name)
    with database.begin(write=False) as session:
        members.check(session, person_id, member)
    return converting.quote(database, actor, settlement_id, credential=credential, member=member, days=days,
                            insurance=insurance, use_account=use_account, request_key=request_key)
