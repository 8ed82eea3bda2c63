"""What kiosks call: a self-paid bill becomes insured without a window (N2). The same service as the window's.

Implements: N2

A kiosk hands no cash out: a bill of which cash would go back is refused here and done at a window. Who calls sees and
finishes its own conversions only.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask import current_app, request
from sqlalchemy import select
from sqlalchemy.orm import Session

from his_server.actor import Actor
from his_server.errors import Conflict, NotFound, Unavailable
from his_server.http import Call
from his_server.security.models import User
from interfaces.hub.gateway import Gateway
from interfaces.kiosk import contract, mapping
from modules.kernel.charging import queries, rules
from modules.kernel.charging.models import Conversion, Settlement
from modules.kernel.charging.service import converting
from modules.kernel.charging.settings import approval_from
from modules.outpatient_billing import service
from modules.outpatient_billing.settings import Settings as Billing

gateway = Gateway("kiosk")
CHANNEL = "kiosk"
FIELDS = ("conversion_id", "state", "message")


def _to_jiao() -> bool:
    return bool(current_app.extensions["his_settings"].cash_to_jiao)


def _billing() -> Billing:
    found: Billing = current_app.extensions["his_module_settings"]["outpatient_billing"]
    return found


def _teller(call: Call) -> Actor:
    """The account that kiosks book under, at the calling partner's terminal. :raises Unavailable: none is named."""
    login = current_app.extensions["his_module_settings"]["kiosk"].account
    with call.database.begin(write=False) as session:
        user = session.scalars(select(User).where(User.login == login, User.state == "active")).first()
        if user is None:
            raise Unavailable("kiosk.no_account", "医院尚未设置自助机记账账户，请联系医院信息科")
        return replace(call.actor, user_id=user.id, login=user.login, name=user.name, staff_id=user.staff_id,
                       department_id=user.department_id, channel=CHANNEL, terminal=call.actor.login,
                       permissions=frozenset())


def _mine(session: Session, call: Call, conversion_id: int) -> Conversion:
    """One of the calling partner's. :raises NotFound: there is none, or it is another's."""
    found = session.get(Conversion, conversion_id)
    if found is None or not (found.request_key or "").startswith(f"{call.actor.login}:"):
        raise NotFound("conversion.none", "没有这笔自费转医保，请核对编号")
    return found


def _state(call: Call, conversion_id: int) -> dict[str, Any]:
    with call.database.begin(write=False) as session:
        _mine(session, call, conversion_id)
        return mapping.conversion(queries.conversion(session, conversion_id, to_jiao=_to_jiao()))


@gateway.use_case("conversions.quote", "POST", "/conversions/quote", title="自费转医保试算", body=contract.QuoteIn,
                  out=contract.ConversionOut, keys=FIELDS, manual=True)
def quote(call: Call) -> dict[str, Any]:
    """Who would pay how much, and what would go back where; the same key is the same quote."""
    body = call.body
    with call.database.begin(write=False) as session:
        settlement_id = session.scalar(select(Settlement.id).where(Settlement.number == body["settlement_no"]))
    if settlement_id is None:
        raise NotFound("charging.settlement", "没有这次结算，请核对凭证上的结算号")
    made = service.quote_conversion(
        call.database, _teller(call), settlement_id, credential=mapping.credential(body["credential"]),
        name=body["credential"]["name"], days=_billing().convert_days, use_account=body["acct_used_flag"],
        request_key=f"{call.actor.login}:{request.headers['Idempotency-Key']}")
    found = _state(call, made.id)
    if found["state"] == "quoted" and _has_cash(found):
        converting.withdraw(call.database, _teller(call), made.id)
        raise Conflict("kiosk.cash", "这笔费用含现金支付，需退现金，请到人工窗口办理转医保")
    return found


def _has_cash(found: dict[str, Any]) -> bool:
    return any(one["method"] == rules.CASH for one in found["returns"])


@gateway.use_case("conversions.convert", "POST", "/conversions", title="自费转医保", body=contract.ConvertIn,
                  out=contract.ConversionOut, keys=FIELDS, manual=True)
def convert(call: Call) -> dict[str, Any]:
    """Do what was quoted and agreed to; repeating it does nothing twice, and says how far it is."""
    body = call.body
    found = _state(call, body["conversion_id"])
    if found["state"] == "quoted" and found["return_amount"] != body["return_amount"]:
        raise Conflict("kiosk.amount", f"应退金额为 {found['return_amount']} 元，与病人确认的 {body['return_amount']} 元不符，"
                       "请重新试算")
    teller = _teller(call)
    if found["state"] == "quoted":
        converting.convert(call.database, teller, body["conversion_id"], credential=mapping.credential(body["credential"]),
                           to_jiao=_to_jiao(), approval_from=approval_from())
    else:
        converting.ask(call.database, teller, body["conversion_id"])
    return _state(call, body["conversion_id"])


@gateway.use_case("conversions.state", "GET", "/conversions/<int:conversion_id>", title="自费转医保进展",
                  out=contract.ConversionOut, keys=FIELDS)
def state(call: Call, conversion_id: int) -> dict[str, Any]:
    """How far a conversion is."""
    _mine(call.session, call, conversion_id)
    return mapping.conversion(queries.conversion(call.session, conversion_id, to_jiao=_to_jiao()))
