"""Routes of orders: a small page for doctors, and the API of whatever doctor's station is used."""

from __future__ import annotations

from typing import Any

from his_server.http import Call, Routes
from his_server.money import ZERO, line_amount
from modules.kernel.encounters import service as encounters
from modules.kernel.encounters.models import Encounter
from modules.kernel.orders import queries, schemas, service
from modules.kernel.orders.models import Prescription, Request
from modules.kernel.stock.rules import show_quantity

routes = Routes("kernel.orders", "/api/orders", tag="orders")


@routes.get("/visits", permission="orders.prescribe", query=schemas.VisitsQuery, out=schemas.VisitsOut)
def visits(call: Call) -> dict[str, Any]:
    """今日候诊病人"""
    doctor = call.actor.staff_id if call.query["mine"] else None
    return {"items": queries.visits_today(call.session, department_id=call.query["department_id"], doctor_id=doctor,
                                          finished=call.query["finished"])}


@routes.post("/visits/<int:encounter_id>/finish", permission="orders.prescribe", out=schemas.VisitStateOut)
def finish_visit(call: Call, encounter_id: int) -> Encounter:
    """结束就诊"""
    return encounters.finish(call.session, call.actor, encounter_id)


@routes.post("/visits/<int:encounter_id>/reopen", permission="orders.prescribe", out=schemas.VisitStateOut)
def reopen_visit(call: Call, encounter_id: int) -> Encounter:
    """继续当天已结束的就诊"""
    return encounters.reopen(call.session, call.actor, encounter_id)


@routes.get("/visits/<int:encounter_id>", permission="orders.view", out=schemas.VisitOrdersOut)
def visit_orders(call: Call, encounter_id: int) -> dict[str, Any]:
    """一次就诊的处方和申请"""
    return queries.orders_of_visit(call.session, encounter_id)


@routes.get("/choices", permission="orders.view", out=schemas.ChoicesOut)
def choices(call: Call) -> dict[str, Any]:
    """用法、频次、科室"""
    return queries.choices(call.session)


@routes.get("/drugs", permission="orders.prescribe", query=schemas.DrugQuery, out=schemas.DrugOptionsOut)
def drugs(call: Call) -> dict[str, Any]:
    """查找可开的药品（含药房可用库存）"""
    return {"items": queries.drug_options(call.session, **call.query)}


@routes.get("/items", permission="orders.prescribe", query=schemas.ItemQuery, out=schemas.ItemOptionsOut)
def items(call: Call) -> dict[str, Any]:
    """查找可申请的项目"""
    return {"items": queries.item_options(call.session, call.query["q"])}


@routes.post("/prescriptions/preview", permission="orders.prescribe", body=schemas.PreviewIn, out=schemas.PreviewOut,
             effect="read")
def preview(call: Call) -> dict[str, Any]:
    """试算处方的数量和金额"""
    lines = service.work_out(call.session, call.body["lines"])
    for line in lines:
        drug = line["drug"]
        line["quantity_text"] = show_quantity(line["quantity"], drug.pack_size, drug.pack_unit, drug.base_unit)
        line["amount"] = line_amount(line["charged"].price, line["charged"].quantity)
    return {"lines": lines, "total": sum((line["amount"] for line in lines), ZERO)}


@routes.post("/prescriptions", permission="orders.prescribe", body=schemas.PrescriptionIn,
             out=schemas.PrescriptionOut, value=True, status=201)
def prescribe(call: Call) -> Prescription:
    """开具处方"""
    return service.prescribe(call.session, call.actor, **call.body)


@routes.post("/prescriptions/<int:prescription_id>/cancel", permission="orders.prescribe",
             out=schemas.PrescriptionOut)
def cancel_prescription(call: Call, prescription_id: int) -> Prescription:
    """作废未收费的处方"""
    found = service.cancel_prescription(call.session, call.actor, prescription_id)
    call.session.refresh(found, ["lines"])
    return found


@routes.post("/requests", permission="orders.prescribe", body=schemas.RequestIn, out=schemas.RequestOut, value=True,
             status=201)
def request_items(call: Call) -> Request:
    """开具检查、检验、治疗申请"""
    return service.request_items(call.session, call.actor, **call.body)


@routes.post("/requests/<int:request_id>/cancel", permission="orders.prescribe", out=schemas.RequestOut)
def cancel_request(call: Call, request_id: int) -> Request:
    """作废未收费的申请"""
    found = service.cancel_request(call.session, call.actor, request_id)
    call.session.refresh(found, ["lines"])
    return found


@routes.get("/requests", permission="orders.perform", query=schemas.WorklistQuery, out=schemas.RequestsOut)
def worklist(call: Call) -> dict[str, Any]:
    """执行科室的申请列表"""
    return queries.worklist(call.session, **call.query)


@routes.post("/requests/<int:request_id>/perform", permission="orders.perform", out=schemas.RequestOut)
def perform(call: Call, request_id: int) -> Request:
    """确认执行"""
    found = service.perform_request(call.session, call.actor, request_id)
    call.session.refresh(found, ["lines"])
    return found


@routes.post("/requests/<int:request_id>/unperform", permission="orders.perform", out=schemas.RequestOut)
def unperform(call: Call, request_id: int) -> Request:
    """取消执行"""
    found = service.unperform_request(call.session, call.actor, request_id)
    call.session.refresh(found, ["lines"])
    return found
