"""What the insurer's mobile payment calls: the notice of a result (6302), in its own envelope; and what patients' apps call.

A notice may come twice, before our own call's answer, or after the order was closed. It is acknowledged once its effect is
saved, and not before; the insurer repeats it until then. What can't be believed has no effect at all.

An app calls through the gateway, each time with its patient's credential: it sees that patient's unpaid bills, puts one on
the phone, and asks for or takes back its own orders.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from flask import Response, request
from marshmallow import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from his_server.actor import Actor
from his_server.errors import Conflict, Invalid, NotFound, Unavailable
from his_server.http import PUBLIC, Call, Routes
from interfaces.hub.calls import logged
from interfaces.hub.gateway import Gateway
from interfaces.hub.manifests import all_manifests
from interfaces.med_mobile_pay import contract, envelope, mapping
from interfaces.med_mobile_pay.client import Caller
from interfaces.med_mobile_pay.envelope import EnvelopeError
from modules.kernel.charging import queries, rules
from modules.kernel.charging.ports import Credential, Member, Settlement
from modules.kernel.charging.service import insured, members, mobile
from modules.kernel.encounters.models import Encounter
from modules.outpatient_billing.queries import unpaid

routes = Routes("med_mobile_pay", "/api/open/med-mobile-pay", tag="med_mobile_pay")
CALLER = "med_mobile_pay.caller"
"""database.ports: our side of the line, for what comes in by it."""


def _asked(call: Call, number: str) -> Settlement:
    """A notice too old to go by alone leads to a question. :raises Unavailable: no answer; the insurer repeats it."""
    try:
        answer: Settlement = call.database.ports[rules.MOBILE].query(number)
    except Exception as error:
        raise Unavailable("mobile.no_answer", "通知时间过旧，且医保平台没有应答查询，请稍后重发") from error
    return answer


@routes.post("/notify", permission=PUBLIC, effect="manual")
def notify(call: Call) -> Response:
    """医保移动支付结算结果通知（6302），由医保平台调用，报文签名加密"""
    caller: Caller | None = call.database.ports.get(CALLER)
    if caller is None or rules.MOBILE not in call.database.ports:
        raise Unavailable("mobile.none", "医保移动支付未开通")
    crypto = call.database.sealer.provider
    manifest = all_manifests()["med_mobile_pay"]
    try:
        message = json.loads(request.get_data() or b"{}", parse_float=Decimal)
        told: dict[str, Any] = contract.Notice().load(envelope.unpack(crypto, caller.keys, message))
        sent = int(message["timestamp"])
    except (EnvelopeError, ValidationError, ValueError, RecursionError) as error:
        with logged(call.database, manifest, "6302", {}, direction="in") as entry:
            entry.outcome, entry.message = "refused", f"通知不可信：{error}"
        raise Invalid("mobile.notice", "通知报文无法验证，请核对签名、密钥和格式") from error
    number = told["medOrgOrd"][:40]
    with logged(call.database, manifest, "6302", told, business_key=number, direction="in") as entry:
        age = abs(int(call.database.clock.now().timestamp() * 1000) - sent)
        order = caller.order(number)
        if order is None or order[0].pay_ord_id != told["payOrdId"]:
            entry.outcome, entry.message, success = "refused", "没有这笔移动支付订单", False
        else:
            answer = mapping.noticed(told)
            if age > caller.settings.skew_seconds * 1000 and answer.state == mapping.CONFIRMED:
                answer = _asked(call, number)
            caller.amounts(number, answer)
            if told["revsToken"]:
                caller.remember(number, {"revsToken": told["revsToken"]})
            intent = mobile.heard(call.database, number, answer, "notify")
            entry.outcome, entry.message, success = "ok", f"已处理：{intent.state}", True
            entry.peer_number = told["payOrdId"]
        entry.answer = {"success": success, "message": entry.message}
    data = {"success": success, "message": "成功" if success else "没有这笔订单"}
    body = envelope.pack(crypto, caller.keys, data, call.database.clock.now(), code="0" if success else "2001",
                         message=data["message"], success=success)
    return Response(json.dumps(body, ensure_ascii=False), mimetype="application/json")


# Patients' apps

gateway = Gateway("med_mobile_pay")
KEYS = ("order_no", "state", "message", "cashier_url")


def _door(call: Call) -> Actor:
    """The app, as an order remembers where it came from."""
    return replace(call.actor, channel="app", terminal=f"open/{call.actor.login}")


def _member(call: Call, given: Mapping[str, Any]) -> Member:
    mobile.port(call.database)
    return insured.identify(call.database, Credential(given["cert_type"], given["cert_no"]), given["name"])


def _files(session: Session, call: Call, member: Member) -> list[int]:
    """The files that are the member's by number, never by name alone."""
    return [person.id for person in members.find(session, _door(call), member).persons]


@gateway.use_case("mobile.bills", "POST", "/mobile/bills", title="待缴账单查询", body=contract.WhoIn, out=contract.BillsOut,
                  personal=("lines",), keys=("visit_no", "medfee_sumamt"), manual=True)
def bills(call: Call) -> dict[str, Any]:
    """What whoever shows the credential has to pay."""
    member = _member(call, call.body["credential"])
    with call.database.begin() as session:
        session.info["actor"] = _door(call)
        return {"items": mapping.bills(line for key in _files(session, call, member) for line in unpaid(session, key)["lines"])}


@gateway.use_case("mobile.order", "POST", "/mobile/orders", title="发起医保移动支付", body=contract.OrderIn,
                  out=contract.OrderOut, keys=KEYS, manual=True)
def order(call: Call) -> dict[str, Any]:
    """Put a visit's bill on its payer's phone; the same bill again is the same order."""
    body, card = call.body, call.body["credential"]
    member = _member(call, card)
    with call.database.begin() as session:
        session.info["actor"] = _door(call)
        person = session.scalar(select(Encounter.person_id).where(Encounter.visit_no == body["visit_no"]))
        if person is None or person not in _files(session, call, member):
            raise NotFound("mobile.visit", "没有该病人的这次就诊，请核对就诊号和医保凭证")
        lines = [line for line in unpaid(session, person)["lines"] if line["visit_no"] == body["visit_no"]]
    total = sum((line["amount"] for line in lines), mapping.ZERO)
    if total != body["medfee_sumamt"]:
        raise Conflict("mobile.amount", f"该次就诊待缴 {total} 元，与病人确认的 {body['medfee_sumamt']} 元不符，请重新查询账单")
    made = mobile.offer(call.database, _door(call), person_id=person, line_ids=[line["id"] for line in lines], member=member,
                        token=card["cert_no"], use_account=body["acct_used_flag"])
    with call.database.begin(write=False) as session:
        found = queries.mobile_order(session, made.number)
        assert found is not None
        return mapping.order(found, made.url or None)


def _mine(session: Session, call: Call, number: str) -> dict[str, Any]:
    """One that the calling app opened. :raises NotFound: there is none, or it was opened elsewhere."""
    found: dict[str, Any] | None = queries.mobile_order(session, number)
    if found is None or found["terminal"] != _door(call).terminal:
        raise NotFound("mobile.order", "没有这笔移动支付订单，请核对订单号")
    return found


@gateway.use_case("mobile.state", "GET", "/mobile/orders/<number>", title="移动支付订单进展", out=contract.OrderOut, keys=KEYS)
def state(call: Call, number: str) -> dict[str, Any]:
    """How far an order is."""
    return mapping.order(_mine(call.session, call, number))


@gateway.use_case("mobile.cancel", "POST", "/mobile/orders/<number>/cancel", title="撤回移动支付订单", out=contract.OrderOut,
                  keys=KEYS, manual=True)
def cancel(call: Call, number: str) -> dict[str, Any]:
    """Take an unpaid order back; one that turns out to be paid stays paid."""
    with call.database.begin(write=False) as session:
        found = _mine(session, call, number)
    mobile.withdraw(call.database, _door(call), found["id"])
    with call.database.begin(write=False) as session:
        return mapping.order(_mine(session, call, number))
