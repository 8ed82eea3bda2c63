"""Routes of the windows for what the insurer paid; insurance itself is at ``/api/charging/insurance``.

Implements: N1
"""

from __future__ import annotations

from typing import Any

from his_server.http import Call
from modules.kernel.charging import queries as ledger_queries
from modules.kernel.charging.schemas import CaseOut, ConversionOut, ConvertIn, QuoteIn, credential_of
from modules.kernel.charging.service import converting, insured_refunds
from modules.kernel.charging.settings import approval_from
from modules.outpatient_billing import schemas, service
from modules.outpatient_billing.routes.charging import REGISTER, routes, settings, to_jiao

CONVERT = "outpatient_billing.convert"


@routes.post("/registrations/<int:registration_id>/cancel-insured", permission=REGISTER,
             body=schemas.CancelRegistrationIn, out=CaseOut, effect="steps")
def cancel_insured_registration(call: Call, registration_id: int) -> dict[str, Any]:
    """退号（挂号费由医保支付的）"""
    case = call.begin(lambda session: service.cancel_insured_registration(
        session, call.actor, registration_id, reason=call.body["reason"], to_jiao=to_jiao(),
        returns=schemas.returns_of(call.body["returns"])).id)
    insured_refunds.advance(call.database, call.actor, case)
    with call.database.begin(write=False) as session:
        return ledger_queries.case(session, case)


# From self-paid to insured


@routes.post("/conversions/quote", permission=CONVERT, body=QuoteIn, out=ConversionOut, effect="manual", status=201)
def quote_conversion(call: Call) -> dict[str, Any]:
    """自费转医保试算：医保各方分担、退还病人金额（不改变原结算）"""
    body = call.body
    made = service.quote_conversion(
        call.database, call.actor, body["settlement_id"], credential=credential_of(body["credential"]),
        name=body["credential"]["name"], days=settings().convert_days, insurance=body["insurance"],
        use_account=body["use_account"])
    return _conversion(call, made.id)


@routes.post("/conversions/<int:conversion_id>/convert", permission=CONVERT, body=ConvertIn, out=ConversionOut,
             effect="manual")
def convert(call: Call, conversion_id: int) -> dict[str, Any]:
    """自费转医保：先医保结算，再退差额、换票据（重复提交不会重复办理）"""
    converting.convert(call.database, call.actor, conversion_id, credential=credential_of(call.body["credential"]),
                       to_jiao=to_jiao(), approval_from=approval_from())
    return _conversion(call, conversion_id)


@routes.get("/conversions/<int:conversion_id>", permission=CONVERT, out=ConversionOut)
def conversion(call: Call, conversion_id: int) -> dict[str, Any]:
    """自费转医保进展"""
    return ledger_queries.conversion(call.session, conversion_id, to_jiao=to_jiao())


@routes.post("/conversions/<int:conversion_id>/query", permission=CONVERT, out=ConversionOut, effect="manual")
def query_conversion(call: Call, conversion_id: int) -> dict[str, Any]:
    """查询未明的自费转医保，有结果即办完"""
    converting.ask(call.database, call.actor, conversion_id)
    return _conversion(call, conversion_id)


@routes.post("/conversions/<int:conversion_id>/withdraw", permission=CONVERT, out=ConversionOut, effect="manual")
def withdraw_conversion(call: Call, conversion_id: int) -> dict[str, Any]:
    """放弃自费转医保（撤回预结算）"""
    converting.withdraw(call.database, call.actor, conversion_id)
    return _conversion(call, conversion_id)


def _conversion(call: Call, conversion_id: int) -> dict[str, Any]:
    with call.database.begin(write=False) as session:
        return ledger_queries.conversion(session, conversion_id, to_jiao=to_jiao())
