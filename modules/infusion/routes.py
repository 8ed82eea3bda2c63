"""Routes of the infusion room."""

from __future__ import annotations

from typing import Any

from flask import Response, current_app

from his_server.clock import local
from his_server.db import now
from his_server.errors import Conflict, NotFound
from his_server.http import Call, Routes
from modules.infusion import queries, schemas, service, vouchers
from modules.infusion.models import Bottle, InfusionSeat
from modules.infusion.settings import Settings
from modules.kernel.charging.service import count_print
from modules.kernel.orders.models import SkinTest
from modules.kernel.orders.routes import policy
from modules.kernel.orders.service import skin_tests

routes = Routes("infusion", "/api/infusion", tag="infusion")
WORK = "infusion.work"
CHARGE = "infusion.charge"
SCREEN = "infusion.screen"
SEATS = "infusion.seats"


def _settings() -> Settings:
    found: Settings = current_app.extensions["his_module_settings"]["infusion"]
    return found


def _whole(call: Call, infusion_id: int) -> dict[str, Any]:
    call.session.flush()
    call.session.expire_all()
    return queries.infusion(call.session, infusion_id)


@routes.get("/find", permission=WORK, query=schemas.FindQuery, out=schemas.FoundOut)
def find(call: Call) -> dict[str, Any]:
    """扫码或输入：处方号、收费凭证号、输液单号、病人"""
    return queries.find(call.session, call.actor, call.query["q"])


@routes.get("/persons/<int:person_id>", permission=WORK, out=schemas.FoundOut)
def person(call: Call, person_id: int) -> dict[str, Any]:
    """一名病人的输液和皮试处方"""
    return {"person": queries.person_of(call.session, person_id), "persons": [],
            "prescriptions": queries.prescriptions(call.session, person_id)}


@routes.get("/worklist", permission=WORK, query=schemas.WorklistQuery, out=schemas.WorklistOut)
def worklist(call: Call) -> dict[str, Any]:
    """今日输液病人"""
    return queries.worklist(call.session, call.query["state"])


@routes.post("/receptions", permission=WORK, body=schemas.ReceiveIn, out=schemas.InfusionOut, value=True, status=201)
def receive(call: Call) -> dict[str, Any]:
    """接诊（同一处方当日只接诊一次）"""
    made = service.receive(call.session, call.actor, call.body["prescription_id"], person_id=call.body["person_id"])
    return _whole(call, made.id)


@routes.get("/infusions/<int:infusion_id>", permission=WORK, out=schemas.InfusionOut)
def infusion(call: Call, infusion_id: int) -> dict[str, Any]:
    """一名病人的输液"""
    return queries.infusion(call.session, infusion_id)


@routes.post("/infusions/<int:infusion_id>/cancel", permission=WORK, body=schemas.ReasonIn, out=schemas.InfusionOut)
def cancel(call: Call, infusion_id: int) -> dict[str, Any]:
    """取消接诊"""
    service.cancel(call.session, call.actor, infusion_id, **call.body)
    return _whole(call, infusion_id)


@routes.post("/infusions/<int:infusion_id>/seat", permission=WORK, body=schemas.SitIn, out=schemas.InfusionOut)
def sit(call: Call, infusion_id: int) -> dict[str, Any]:
    """安排或更换座位"""
    service.sit(call.session, call.actor, infusion_id, call.body["seat_id"])
    return _whole(call, infusion_id)


@routes.post("/infusions/<int:infusion_id>/release", permission=WORK, out=schemas.InfusionOut)
def release(call: Call, infusion_id: int) -> dict[str, Any]:
    """释放座位"""
    service.release(call.session, call.actor, infusion_id)
    return _whole(call, infusion_id)


@routes.post("/bottles/<int:bottle_id>/prepare", permission=WORK, out=schemas.InfusionOut)
def prepare(call: Call, bottle_id: int) -> dict[str, Any]:
    """配药"""
    return _whole(call, service.prepare(call.session, call.actor, bottle_id).infusion_id)


@routes.post("/bottles/<int:bottle_id>/start", permission=WORK, body=schemas.StartIn, out=schemas.InfusionOut)
def start(call: Call, bottle_id: int) -> dict[str, Any]:
    """开始输液（扫描核对病人与瓶签）"""
    return _whole(call, service.start(call.session, call.actor, bottle_id, **call.body).infusion_id)


@routes.post("/bottles/<int:bottle_id>/change", permission=WORK, body=schemas.ChangeIn, out=schemas.InfusionOut)
def change(call: Call, bottle_id: int) -> dict[str, Any]:
    """换瓶（扫描核对病人与下一瓶）"""
    return _whole(call, service.change(call.session, call.actor, bottle_id, **call.body).infusion_id)


@routes.post("/bottles/<int:bottle_id>/rounds", permission=WORK, body=schemas.RoundIn, out=schemas.InfusionOut)
def look(call: Call, bottle_id: int) -> dict[str, Any]:
    """巡视"""
    return _whole(call, service.look(call.session, call.actor, bottle_id, **call.body).infusion_id)


@routes.post("/bottles/<int:bottle_id>/finish", permission=WORK, out=schemas.InfusionOut)
def finish(call: Call, bottle_id: int) -> dict[str, Any]:
    """结束一瓶"""
    return _whole(call, service.finish(call.session, call.actor, bottle_id).infusion_id)


@routes.post("/bottles/<int:bottle_id>/stop", permission=WORK, body=schemas.ReasonIn, out=schemas.InfusionOut)
def stop(call: Call, bottle_id: int) -> dict[str, Any]:
    """停止一瓶"""
    return _whole(call, service.stop(call.session, call.actor, bottle_id, **call.body).infusion_id)


@routes.post("/bottles/<int:bottle_id>/print", permission=WORK)
def print_label(call: Call, bottle_id: int) -> Response:
    """打印瓶签（可反复打印，第二次起标注补打）"""
    bottle = call.session.get(Bottle, bottle_id)
    if bottle is None:
        raise NotFound("infusion.bottle", "没有这一瓶，请刷新后重试")
    copy = count_print(call.session, call.actor, "infusion_bottle", bottle_id)
    bottle.prints = copy
    whole = _whole(call, bottle.infusion_id)
    found = next(b for b in whole["bottles"] if b["id"] == bottle_id)
    return Response(vouchers.label(whole, found, paper=_settings().label, copy=copy), mimetype="application/pdf")


@routes.get("/seats", permission=WORK, out=schemas.SeatsOut)
def seats(call: Call) -> dict[str, Any]:
    """座位图"""
    return {"items": queries.seats(call.session)}


@routes.post("/seats", permission=SEATS, body=schemas.SeatIn, value=True, status=201)
def add_seat(call: Call) -> dict[str, Any]:
    """增加座位"""
    made = InfusionSeat(**call.body, position=0, active=True, infusion_id=None, changed_at=now(call.session),
                        changed_by_name=call.actor.name)
    made.position = made.id
    call.session.add(made)
    call.session.flush()
    return {"id": made.id, "code": made.code}


@routes.delete("/seats/<int:seat_id>", permission=SEATS, status=204)
def stop_seat(call: Call, seat_id: int) -> None:
    """停用空座位"""
    seat = call.session.get(InfusionSeat, seat_id)
    if seat is None:
        raise NotFound("infusion.seat", "没有这个座位，请刷新后重试")
    if seat.infusion_id is not None:
        raise Conflict("infusion.seat_taken", f"座位 {seat.code} 自 {local(seat.changed_at):%H:%M} 起有病人，不能停用")
    seat.active = False
    call.session.flush()


@routes.get("/skin-tests", permission=WORK, query=schemas.TestsQuery, out=schemas.TestsOut)
def tests(call: Call) -> dict[str, Any]:
    """皮试（全院，不分开单科室）"""
    return queries.tests(call.session, call.query["state"])


@routes.post("/skin-tests", permission=WORK, body=schemas.StartTestIn, out=schemas.TestOut, value=True, status=201)
def start_test(call: Call) -> SkinTest:
    """开始皮试（绑定当前显示的病人；重复点击不会重复开始）"""
    return skin_tests.start(call.session, call.actor, **call.body, policy=policy())


@routes.post("/skin-tests/<int:test_id>/read", permission=WORK, body=schemas.ResultIn, out=schemas.TestOut)
def read_test(call: Call, test_id: int) -> SkinTest:
    """判读皮试结果"""
    return skin_tests.read(call.session, call.actor, test_id, **call.body)


@routes.post("/skin-tests/<int:test_id>/confirm", permission=WORK, body=schemas.ConfirmIn, out=schemas.TestOut)
def confirm_test(call: Call, test_id: int) -> SkinTest:
    """第二名护士复核皮试结果"""
    return skin_tests.confirm(call.session, call.actor, test_id, result=call.body["result"], policy=policy())


@routes.post("/skin-tests/<int:test_id>/cancel", permission=WORK, body=schemas.ReasonIn, out=schemas.TestOut)
def cancel_test(call: Call, test_id: int) -> SkinTest:
    """取消误开始的皮试"""
    return skin_tests.cancel(call.session, call.actor, test_id, **call.body)


@routes.get("/infusions/<int:infusion_id>/charges", permission=CHARGE, out=schemas.OpenChargesOut)
def charges(call: Call, infusion_id: int) -> dict[str, Any]:
    """本次就诊未收的补录费用"""
    return {"items": queries.open_charges(call.session, infusion_id)}


@routes.post("/infusions/<int:infusion_id>/charges", permission=CHARGE, body=schemas.ChargeIn, out=schemas.ChargedOut,
             value=True, status=201)
def charge(call: Call, infusion_id: int) -> dict[str, Any]:
    """补录费用（不离开本页）"""
    return {"line_ids": service.charge(call.session, call.actor, infusion_id, **call.body)}


@routes.post("/infusions/<int:infusion_id>/charges/<int:line_id>/void", permission=CHARGE, body=schemas.ReasonIn, status=204)
def void_charge(call: Call, infusion_id: int, line_id: int) -> None:
    """作废本次就诊未收的补录费用"""
    service.void_charge(call.session, call.actor, infusion_id, line_id, call.body["reason"])


@routes.get("/screen", permission=SCREEN, out=schemas.ScreenOut)
def screen(call: Call) -> dict[str, Any]:
    """输液叫号屏"""
    return queries.screen(call.session, call.actor, {})
