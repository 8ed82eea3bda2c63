"""Routes of the registration and cancellation windows."""

from __future__ import annotations

from typing import Any

from his_server.db import today
from his_server.http import Call
from his_server.money import ZERO
from modules.kernel.charging import service as ledger
from modules.kernel.charging.service import Settled
from modules.kernel.scheduling.models import Registration
from modules.outpatient_billing import queries, schemas, service
from modules.outpatient_billing.routes.charging import REGISTER, routes, settings, to_jiao


@routes.get("/registrations", permission=REGISTER, query=schemas.RegistrationsQuery, out=schemas.RegistrationsOut)
def registrations(call: Call) -> dict[str, Any]:
    """挂号记录（按单号、病人、日期、科室、医生查找）"""
    return queries.registrations(call.session, call.actor, **call.query)


@routes.get("/renewals", permission=REGISTER, query=schemas.UnpaidQuery, out=schemas.RenewalsOut)
def renewals(call: Call) -> dict[str, Any]:
    """可免费续诊的挂号（一次挂号管三天）"""
    found = queries.renewable(call.session, call.query["person_id"], today(call.session), settings().renewal_days)
    return {"items": found}


def _made(registration: Registration, settled: Settled | None) -> dict[str, Any]:
    fee = {"id": settled.id, "number": settled.number, "total": settled.total, "change": settled.change,
           "receipt_numbers": settled.receipt_numbers} if settled else {
               "id": None, "number": None, "total": ZERO, "change": ZERO, "receipt_numbers": []}
    return {"registration_id": registration.id, "registration_number": registration.number,
            "queue_no": registration.queue_no, "day": registration.day, "state": registration.state,
            "way": registration.way, **fee}


@routes.post("/registrations", permission=REGISTER, body=schemas.RegisterIn, out=schemas.RegisteredOut, value=True,
             status=201)
def register(call: Call) -> dict[str, Any]:
    """挂号并收费"""
    body = call.body
    return _made(*service.register(
        call.session, call.actor, person_id=body["person_id"], session_id=body["session_id"],
        payments=schemas.pays(body["payments"]), to_jiao=to_jiao(), insurance=body["insurance"],
        expected_total=body["expected_total"]))


@routes.post("/bookings", permission=REGISTER, body=schemas.BookIn, out=schemas.RegisteredOut, value=True, status=201)
def book(call: Call) -> dict[str, Any]:
    """预约挂号（取号时收费）"""
    return _made(service.book(call.session, call.actor, **call.body), None)


@routes.post("/registrations/hold", permission=REGISTER, body=schemas.HoldIn, out=schemas.HeldOut, value=True, status=201)
def hold_place(call: Call) -> dict[str, Any]:
    """占号（待医保结算；半小时未缴费自动释放）"""
    made, line_ids = service.hold_place(call.session, call.actor, **call.body)
    return {**_made(made, None), "line_ids": line_ids, "fee": queries.fee_of(call.session, line_ids)}


@routes.post("/registrations/<int:registration_id>/take", permission=REGISTER, body=schemas.TakeIn,
             out=schemas.RegisteredOut, value=True)
def take_booked(call: Call, registration_id: int) -> dict[str, Any]:
    """取号并收费"""
    body = call.body
    return _made(*service.take_booked(call.session, call.actor, registration_id, to_jiao=to_jiao(),
                                      payments=schemas.pays(body["payments"]), expected_total=body["expected_total"]))


@routes.post("/renewals", permission=REGISTER, body=schemas.RenewIn, out=schemas.RegisteredOut, value=True, status=201)
def renew(call: Call) -> dict[str, Any]:
    """续诊（一次挂号管三天，零元）"""
    return _made(*service.renew(call.session, call.actor, days=settings().renewal_days, **call.body))


@routes.post("/registrations/<int:registration_id>/change-preview", permission=REGISTER, body=schemas.ChangePreviewIn,
             out=schemas.ChangePreviewOut, effect="read")
def preview_change(call: Call, registration_id: int) -> dict[str, Any]:
    """换号试算（退回、应收；不写入）"""
    return dict(service.preview_change(call.session, registration_id, call.body["session_id"]))


@routes.post("/registrations/<int:registration_id>/change", permission=REGISTER, body=schemas.ChangeIn,
             out=schemas.ChangedOut, value=True)
def change_registration(call: Call, registration_id: int) -> dict[str, Any]:
    """换号（换医生、时段；差价多退少补）"""
    body = call.body
    done = service.change_registration(
        call.session, call.actor, registration_id, body["session_id"], reason=body["reason"], to_jiao=to_jiao(),
        payments=schemas.pays(body["payments"]), expected_total=body["expected_total"])
    return {**_made(done.registration, done.settled), "refund": done.refunded}


@routes.post("/registrations/<int:registration_id>/cancel", permission=REGISTER, body=schemas.CancelRegistrationIn,
             out=schemas.RefundedOut, value=True)
def cancel_registration(call: Call, registration_id: int) -> Any:
    """退号"""
    _, refunded = service.cancel_registration(
        call.session, call.actor, registration_id, reason=call.body["reason"], to_jiao=to_jiao(),
        returns=schemas.returns_of(call.body["returns"]))
    return refunded or {"id": None, "number": None, "total": ZERO, "cash": ZERO, "intent_ids": []}


@routes.post("/registrations/<int:registration_id>/send-returns", permission=REGISTER, out=schemas.IntentsOut,
             effect="manual")
def send_returns(call: Call, registration_id: int) -> dict[str, Any]:
    """把退号的电子退款发往支付渠道"""
    with call.database.begin(write=False) as session:
        found = queries.returns_of_registration(session, registration_id)
    return {"items": [ledger.send_refund(call.database, key, call.actor) for key in found]}
