"""What the insurer's mobile payment calls: the notice of a result (6302), in its own envelope.

A notice may come twice, before our own call's answer, or after the order was closed. It is acknowledged once its effect is
saved, and not before; the insurer repeats it until then. What can't be believed has no effect at all.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from flask import Response, request
from marshmallow import ValidationError

from his_server.errors import Invalid, Unavailable
from his_server.http import PUBLIC, Call, Routes
from interfaces.hub.calls import logged
from interfaces.hub.manifests import all_manifests
from interfaces.med_mobile_pay import contract, envelope, mapping
from interfaces.med_mobile_pay.client import Caller
from interfaces.med_mobile_pay.envelope import EnvelopeError
from modules.kernel.charging import rules
from modules.kernel.charging.ports import Settlement
from modules.kernel.charging.service import mobile

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
