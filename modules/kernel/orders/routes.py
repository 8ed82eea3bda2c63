"""Routes of orders: a small page for doctors, and the API of whatever doctor's station is used."""

from __future__ import annotations

from typing import Any

from flask import current_app

from his_server.http import Call, Routes
from his_server.money import ZERO, line_amount
from modules.kernel.encounters import service as encounters
from modules.kernel.encounters.models import Encounter
from modules.kernel.orders import queries, schemas, service
from modules.kernel.orders.models import AntimicrobialOverride, Prescription, Request
from modules.kernel.orders.schemas import law
from modules.kernel.orders.settings import Settings
from modules.kernel.patients.service import access
from modules.kernel.stock.rules import show_quantity
from modules.kernel.stock.service import notices

routes = Routes("kernel.orders", "/api/orders", tag="orders")


def policy() -> Settings:
    """The hospital's settings of orders."""
    found: Settings = current_app.extensions["his_module_settings"]["kernel.orders"]
    return found


@routes.get("/visits", permission="orders.prescribe", query=schemas.VisitsQuery, out=schemas.VisitsOut)
def visits(call: Call) -> dict[str, Any]:
    """今日候诊病人"""
    doctor = call.actor.staff_id if call.query["mine"] else None
    return {"items": queries.visits_today(call.session, department_id=call.query["department_id"], doctor_id=doctor,
                                          finished=call.query["finished"]),
            "night": service.at_night(call.session, policy())}


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
    access.open_file(call.session, call.actor, encounters.get(call.session, encounter_id).person_id, "orders")
    return queries.orders_of_visit(call.session, encounter_id)


@routes.get("/choices", permission="orders.view", out=schemas.ChoicesOut)
def choices(call: Call) -> dict[str, Any]:
    """用法、频次、科室"""
    return queries.choices(call.session)


@routes.get("/drugs", permission="orders.prescribe", query=schemas.DrugQuery, out=schemas.DrugOptionsOut)
def drugs(call: Call) -> dict[str, Any]:
    """查找可开的药品（含药房可用库存）"""
    night = service.at_night(call.session, policy())
    return {"items": queries.drug_options(call.session, **call.query, night=night)}


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
    return service.prescribe(call.session, call.actor, **call.body, policy=policy())


@routes.post("/prescriptions/check", permission="orders.prescribe", body=law.CheckIn, out=law.CheckOut, effect="manual")
def check(call: Call) -> dict[str, Any]:
    """开具前的合理用药审查（外部系统；未应答时明确提示）"""
    return service.ask(call.database, call.actor, **call.body)


@routes.post("/prescriptions/<int:prescription_id>/extend", permission="orders.prescribe", body=law.ExtendIn,
             out=schemas.PrescriptionOut)
def extend(call: Call, prescription_id: int) -> Prescription:
    """延长处方有效期（最长 3 天）"""
    found = service.extend(call.session, call.actor, prescription_id, **call.body)
    call.session.refresh(found, ["lines"])
    return found


@routes.get("/persons/<int:person_id>/prescriptions", permission="orders.prescribe", query=law.PageQuery,
            out=law.HistoriesOut)
def history(call: Call, person_id: int) -> dict[str, Any]:
    """病人以往的处方（用于续方）"""
    return queries.history(call.session, person_id, **call.query)


@routes.get("/overrides", permission="orders.view", query=law.OverridesQuery, out=law.OverridesOut)
def overrides(call: Call) -> dict[str, Any]:
    """抗菌药物越级使用、待补办手续"""
    return queries.overrides(call.session, **call.query)


@routes.get("/warned", permission="orders.oversee", query=law.WarnedQuery, out=law.WarnedOut)
def warned(call: Call) -> dict[str, Any]:
    """警示后仍开具的处方：谁、哪条警示、什么理由"""
    return queries.warned(call.session, **call.query)


@routes.post("/overrides/<int:override_id>/complete", permission="orders.prescribe", body=law.CompleteIn)
def complete_override(call: Call, override_id: int) -> dict[str, Any]:
    """补办越级使用手续"""
    done: AntimicrobialOverride = service.complete_override(call.session, call.actor, override_id, **call.body)
    return {"id": done.id, "state": done.state}


@routes.get("/templates", permission="orders.prescribe", out=law.TemplatesOut)
def templates(call: Call) -> dict[str, Any]:
    """协定处方"""
    return {"items": queries.templates(call.session, call.actor)}


@routes.post("/templates", permission="orders.prescribe", body=law.TemplateIn, value=True, status=201)
def save_template(call: Call) -> dict[str, Any]:
    """保存协定处方"""
    made = service.save_template(call.session, call.actor, **call.body)
    return {"id": made.id, "name": made.name}


@routes.delete("/templates/<int:template_id>", permission="orders.prescribe", status=204)
def drop_template(call: Call, template_id: int) -> None:
    """删除协定处方"""
    service.drop_template(call.session, call.actor, template_id)


@routes.post("/prescriptions/<int:prescription_id>/cancel", permission="orders.prescribe",
             body=schemas.ReasonIn, out=schemas.PrescriptionOut)
def cancel_prescription(call: Call, prescription_id: int) -> Prescription:
    """作废未收费的处方"""
    found = service.cancel_prescription(call.session, call.actor, prescription_id, call.body["reason"])
    call.session.refresh(found, ["lines"])
    return found


@routes.post("/requests", permission="orders.prescribe", body=schemas.RequestIn, out=schemas.RequestOut, value=True,
             status=201)
def request_items(call: Call) -> Request:
    """开具检查、检验、治疗申请"""
    return service.request_items(call.session, call.actor, **call.body)


@routes.post("/requests/<int:request_id>/cancel", permission="orders.prescribe", body=schemas.ReasonIn,
             out=schemas.RequestOut)
def cancel_request(call: Call, request_id: int) -> Request:
    """作废未收费的申请"""
    found = service.cancel_request(call.session, call.actor, request_id, call.body["reason"])
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


@routes.get("/inbox", permission="orders.prescribe", out=law.InboxOut)
def inbox(call: Call) -> dict[str, Any]:
    """医生的提醒：缺药禁药通知、审方退回的处方"""
    return {"notices": queries.notices(call.session, call.actor), "returned": queries.returned(call.session, call.actor)}


@routes.post("/notices/read", permission="orders.prescribe", body=law.ReadIn)
def read_notices(call: Call) -> dict[str, Any]:
    """缺药禁药通知已阅（回执）"""
    return {"read": notices.read(call.session, call.actor, call.body["notice_ids"])}
