"""Routes of the windows for what the insurer paid; insurance itself is at ``/api/charging/insurance``."""

from __future__ import annotations

from typing import Any

from his_server.http import Call
from modules.kernel.charging import queries as ledger_queries
from modules.kernel.charging.schemas import CaseOut
from modules.kernel.charging.service import insured_refunds
from modules.outpatient_billing import schemas, service
from modules.outpatient_billing.routes.charging import REGISTER, routes, to_jiao


@routes.post("/registrations/<int:registration_id>/cancel-insured", permission=REGISTER,
             body=schemas.CancelRegistrationIn, out=CaseOut, effect="manual")
def cancel_insured_registration(call: Call, registration_id: int) -> dict[str, Any]:
    """退号（挂号费由医保支付的）"""
    with call.database.begin() as session:
        session.info["actor"] = call.actor
        case = service.cancel_insured_registration(
            session, call.actor, registration_id, reason=call.body["reason"], to_jiao=to_jiao(),
            returns=schemas.returns_of(call.body["returns"])).id
    insured_refunds.advance(call.database, call.actor, case)
    with call.database.begin(write=False) as session:
        return ledger_queries.case(session, case)
