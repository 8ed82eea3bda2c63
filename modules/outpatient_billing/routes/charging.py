"""Routes of outpatient billing."""

from __future__ import annotations

import json
from typing import Any

from flask import Response, current_app

from his_server.errors import NotFound
from his_server.http import Call, Routes
from his_server.security.queries import accounts_with
from modules.kernel.charging import service as ledger
from modules.kernel.charging.models import Intent, Shift
from modules.kernel.charging.service import Refunded, Settled, receipts, statement
from modules.kernel.charging.settings import approval_from
from modules.outpatient_billing import queries, schemas, service, vouchers
from modules.outpatient_billing.settings import Settings

routes = Routes("outpatient_billing", "/api/outpatient-billing", tag="outpatient_billing")
CHARGE = "outpatient_billing.charge"
LOOK = "outpatient_billing.view"
REGISTER = "outpatient_billing.register"
REFUND = "outpatient_billing.refund"
GRANT = "outpatient_billing.grant_receipts"


def settings() -> Settings:
    """The module's settings."""
    found: Settings = current_app.extensions["his_module_settings"]["outpatient_billing"]
    return found


def to_jiao() -> bool:
    """Whether cash is rounded to the jiao here."""
    return bool(current_app.extensions["his_settings"].cash_to_jiao)


@routes.get("/unpaid", permission=CHARGE, query=schemas.UnpaidQuery, out=schemas.UnpaidOut)
def unpaid(call: Call) -> dict[str, Any]:
    """待缴费用"""
    return queries.unpaid(call.session, call.query["person_id"])


@routes.post("/settlements", permission=CHARGE, body=schemas.SettleIn, out=schemas.SettledOut, value=True, status=201)
def settle(call: Call) -> Settled:
    """收费"""
    body = call.body
    return service.settle(call.session, call.actor, person_id=body["person_id"], line_ids=body["line_ids"],
                          payments=schemas.pays(body["payments"]), to_jiao=to_jiao(),
                          expected_total=body["expected_total"])


@routes.get("/settlements", permission=LOOK, query=schemas.SettlementsQuery, out=schemas.SettlementsOut)
def settlements(call: Call) -> dict[str, Any]:
    """结算记录"""
    return queries.settlements(call.session, **call.query)


@routes.get("/settlements/<int:settlement_id>", permission=LOOK, out=schemas.SettlementOut)
def settlement(call: Call, settlement_id: int) -> dict[str, Any]:
    """结算明细"""
    return queries.settlement(call.session, settlement_id)


@routes.post("/settlements/<int:settlement_id>/print", permission=CHARGE)
def print_settlement(call: Call, settlement_id: int) -> Response:
    """打印收费凭证（可反复打印，第二次起标注补打）"""
    found = queries.voucher(call.session, settlement_id)
    copy = ledger.count_print(call.session, call.actor, "settlement", settlement_id)
    hospital = current_app.extensions["his_settings"].hospital
    return _pdf(vouchers.settlement(found, hospital=hospital, paper=settings().receipt_paper, copy=copy))


def _pdf(content: bytes) -> Response:
    return Response(content, mimetype="application/pdf")


@routes.post("/settlements/<int:settlement_id>/refunds", permission=REFUND, body=schemas.RefundIn,
             out=schemas.RefundedOut, value=True, status=201)
def refund(call: Call, settlement_id: int) -> Refunded:
    """退费（按项目、按数量）"""
    lines = {row["line_id"]: row["quantity"] for row in call.body["lines"]}
    return service.refund(call.session, call.actor, settlement_id, lines=lines, reason=call.body["reason"],
                          approval_from=approval_from(), to_jiao=to_jiao(),
                          returns=schemas.returns_of(call.body["returns"]))


@routes.post("/settlements/<int:settlement_id>/refund-preview", permission=LOOK, body=schemas.RefundPreviewIn,
             out=schemas.RefundPreviewOut, effect="read")
def preview_refund(call: Call, settlement_id: int) -> dict[str, Any]:
    """退费试算（金额、退回去向、是否须审批；不写入）"""
    lines = {row["line_id"]: row["quantity"] for row in call.body["lines"]}
    return service.preview_refund(call.session, call.actor, settlement_id, lines=lines,
                                  approval_from=approval_from(), to_jiao=to_jiao())


@routes.get("/owing", permission=CHARGE, out=schemas.OwingOut)
def owing(call: Call) -> dict[str, Any]:
    """今日待缴病人"""
    return queries.owing(call.session)


@routes.post("/supplements", permission=CHARGE, body=schemas.SupplementIn, out=schemas.SupplementOut, value=True,
             status=201)
def supplement(call: Call) -> dict[str, Any]:
    """补录费用"""
    return {"line_ids": ledger.supplement(call.session, call.actor, **call.body)}


@routes.post("/supplements/<int:line_id>/void", permission=CHARGE, body=schemas.VoidIn, status=204)
def void_supplement(call: Call, line_id: int) -> None:
    """作废未收的补录费用"""
    ledger.void_supplement(call.session, call.actor, line_id, call.body["reason"])


@routes.post("/payment-intents", permission=CHARGE, body=schemas.IntentIn, out=schemas.IntentOut, effect="steps",
             status=201)
def take_payment(call: Call) -> Intent:
    """扫码收款（先登记、再请求渠道、再记录结果）"""
    body = dict(call.body)
    code = body.pop("auth_code")
    begun = call.begin(lambda session: ledger.begin_payment(session, call.actor, **body).id)
    if call.again:
        return ledger.query_payment(call.database, begun, call.actor)
    return ledger.send_payment(call.database, call.actor, begun, code)


@routes.get("/payment-intents", permission=CHARGE, query=schemas.IntentsQuery, out=schemas.IntentsOut)
def open_payments(call: Call) -> dict[str, Any]:
    """病人未用、未明的扫码收款"""
    return {"items": queries.open_intents(call.session, call.query["person_id"])}


@routes.post("/payment-intents/<int:intent_id>/query", permission=CHARGE, out=schemas.IntentOut, effect="manual")
def query_payment(call: Call, intent_id: int) -> Intent:
    """查询扫码收款结果"""
    return ledger.query_payment(call.database, intent_id)


@routes.post("/payment-intents/<int:intent_id>/return", permission=CHARGE, out=schemas.IntentOut, effect="steps")
def return_payment(call: Call, intent_id: int) -> Intent:
    """退回未使用的扫码收款"""
    back = call.begin(lambda session: ledger.return_unused(session, call.actor, intent_id).id)
    return ledger.send_refund(call.database, back)


@routes.post("/payment-intents/<int:intent_id>/send", permission=REFUND, out=schemas.IntentOut, effect="manual")
def send_refund(call: Call, intent_id: int) -> Intent:
    """把电子退款发往支付渠道"""
    return ledger.send_refund(call.database, intent_id)


@routes.get("/shifts", permission=LOOK, query=schemas.ShiftsQuery, out=schemas.ShiftsOut)
def shifts(call: Call) -> dict[str, Any]:
    """班次列表"""
    mine = call.query["mine"] or not call.actor.can("outpatient_billing.receive_shift")
    found = queries.shifts(call.session, cashier_id=call.actor.user_id if mine else None, state=call.query["state"])
    return {"items": [_shift(call, shift, frozen_only=True) for shift in found]}


@routes.get("/shifts/<int:shift_id>", permission=LOOK, out=schemas.ShiftOut)
def shift(call: Call, shift_id: int) -> dict[str, Any]:
    """班次报表"""
    return _shift(call, _shift_row(call, shift_id))


def _shift_row(call: Call, shift_id: int) -> Shift:
    """One's own shift, or any for whoever receives shifts."""
    found = call.session.get(Shift, shift_id)
    if found is None or (found.cashier_id != call.actor.user_id
                         and not call.actor.can("outpatient_billing.receive_shift")):
        raise NotFound("shift.not_found", "没有这个班次，请刷新后重试")
    return found


def _shift(call: Call, row: Shift, *, frozen_only: bool = False) -> dict[str, Any]:
    columns = ("id", "number", "cashier_name", "state", "opened_at", "closed_at", "counted_cash", "cash_difference",
               "receiver_name", "received_at")
    if row.statement is not None:
        figures = json.loads(row.statement)
    else:
        figures = None if frozen_only else statement.build(call.session, row)
    return {**{c: getattr(row, c) for c in columns}, "statement": figures}


@routes.get("/shifts/current", permission=CHARGE, out=schemas.ShiftOut)
def current_shift(call: Call) -> dict[str, Any]:
    """当前班次"""
    found = ledger.open_shift_of(call.session, call.actor.user_id)
    if found is None:
        raise NotFound("shift.none_open", "您当前没有未结账的班次")
    return _shift(call, found)


@routes.post("/shifts/close", permission=CHARGE, body=schemas.CloseShiftIn, out=schemas.ShiftOut, value=True)
def close_shift(call: Call) -> dict[str, Any]:
    """日结"""
    return _shift(call, ledger.close_shift(call.session, call.actor, counted_cash=call.body["counted_cash"]))


@routes.post("/shifts/<int:shift_id>/hand-over", permission="outpatient_billing.receive_shift", out=schemas.ShiftOut,
             value=True)
def hand_over(call: Call, shift_id: int) -> dict[str, Any]:
    """接收交账"""
    return _shift(call, ledger.hand_over(call.session, call.actor, shift_id))


@routes.post("/shifts/<int:shift_id>/print", permission=LOOK)
def print_shift(call: Call, shift_id: int) -> Response:
    """打印交账报表"""
    found = _shift(call, _shift_row(call, shift_id))
    copy = ledger.count_print(call.session, call.actor, "shift", shift_id)
    return _pdf(vouchers.shift(found, hospital=current_app.extensions["his_settings"].hospital, copy=copy))


@routes.post("/approvals", permission=REFUND, body=schemas.ApprovalIn, value=True, status=201)
def request_approval(call: Call) -> dict[str, Any]:
    """提交退费审批"""
    made = service.request_approval(call.session, call.actor, call.body["settlement_id"], amount=call.body["amount"],
                                    reason=call.body["reason"])
    return {"id": made.id, "state": made.state}


@routes.get("/approvals", permission="charging.approve_refund", query=schemas.ApprovalsQuery, out=schemas.ApprovalsOut)
def approvals(call: Call) -> dict[str, Any]:
    """退费审批列表"""
    return {"items": queries.approvals(call.session, call.query["state"])}


@routes.get("/approvals/mine", permission=REFUND, out=schemas.ApprovalsOut)
def my_approvals(call: Call) -> dict[str, Any]:
    """本人近 7 天提交的退费审批"""
    return {"items": queries.approvals_of(call.session, call.actor.user_id)}


@routes.post("/approvals/<int:approval_id>/decide", permission="charging.approve_refund", body=schemas.DecideIn)
def decide_approval(call: Call, approval_id: int) -> dict[str, Any]:
    """审批退费"""
    found = service.decide_approval(call.session, call.actor, approval_id, **call.body)
    return {"id": found.id, "state": found.state}


@routes.get("/receipt-ranges", permission=LOOK, query=schemas.RangesQuery, out=schemas.RangesOut)
def ranges(call: Call) -> dict[str, Any]:
    """票据号段：已用、作废、剩余（收费员只看本人的）"""
    holder = call.query["holder_id"] if call.actor.can(GRANT) else call.actor.user_id
    return {"items": receipts.receipt_ranges(call.session, holder_id=holder, state=call.query["state"])}


@routes.get("/receipt-ranges/<int:range_id>/voids", permission=LOOK, out=schemas.VoidsOut)
def void_numbers(call: Call, range_id: int) -> dict[str, Any]:
    """号段的作废票据"""
    holder = None if call.actor.can(GRANT) else call.actor.user_id
    return {"items": receipts.void_numbers(call.session, range_id, holder)}


@routes.get("/receipt-holders", permission=GRANT, out=schemas.HoldersOut)
def receipt_holders(call: Call) -> dict[str, Any]:
    """可领用票据的账户"""
    return {"items": [{"id": one.id, "code": one.login, "name": one.name} for one in accounts_with(call.session, CHARGE)]}


@routes.post("/receipt-ranges", permission=GRANT, body=schemas.RangeIn, out=schemas.GrantedOut, value=True, status=201)
def grant_range(call: Call) -> Any:
    """发放票据号段"""
    return receipts.grant_receipts(call.session, call.actor, permission=CHARGE, **call.body)


@routes.post("/receipt-ranges/void-next", permission=CHARGE, body=schemas.VoidNumbersIn, out=schemas.NumbersOut,
             value=True)
def void_numbers_next(call: Call) -> dict[str, Any]:
    """作废接下来的空白票据（卡纸、污损、跳号），可一次作废连续多张"""
    return {"numbers": receipts.void_next_receipts(call.session, call.actor, **call.body)}
