"""Routes of scheduling: what every workstation and channel may read, and what the outpatient office keeps."""

from __future__ import annotations

from his_server.db import today
from his_server.http import Call, Routes
from modules.kernel.masterdata.queries import changes
from modules.kernel.masterdata.schemas import ChangeOut, listed
from modules.kernel.scheduling import queries, schemas, service
from modules.kernel.scheduling.models import ClinicSession
from modules.kernel.scheduling.service import MANAGE

routes = Routes("kernel.scheduling", "/api/scheduling", tag="scheduling")


@routes.get("/sessions", permission="scheduling.view", query=schemas.SessionQuery, out=schemas.SessionsOut)
def sessions(call: Call) -> dict[str, object]:
    """号源列表"""
    day = call.query["day"] or today(call.session)
    return {"items": queries.sessions_of(call.session, day, call.query["department_id"])}


@routes.get("/registrations", permission="scheduling.view", query=schemas.RegistrationsQuery,
            out=schemas.RegistrationsOut)
def registrations(call: Call) -> dict[str, object]:
    """挂号记录"""
    day = call.query["day"] or (None if call.query["person_id"] else today(call.session))
    return {"items": queries.registrations_of(call.session, person_id=call.query["person_id"], day=day)}


@routes.get("/extra-slots", permission="scheduling.view", query=schemas.ExtraSlotsQuery, out=schemas.ExtraSlotsOut)
def extra_slots(call: Call) -> dict[str, object]:
    """加号列表"""
    return {"items": queries.extra_slots(call.session, **call.query)}


@routes.post("/sessions/<int:session_id>/extra-slots", permission="scheduling.add_slot", body=schemas.ExtraSlotIn,
             value=True, status=201)
def grant_extra(call: Call, session_id: int) -> dict[str, object]:
    """加号（指定病人）"""
    made = service.grant_extra(call.session, call.actor, session_id, **call.body)
    return {"id": made.id, "state": made.state}


@routes.post("/extra-slots/<int:extra_id>/withdraw", permission="scheduling.add_slot", body=schemas.ReasonIn, status=204)
def withdraw_extra(call: Call, extra_id: int) -> None:
    """撤回加号"""
    service.withdraw_extra(call.session, call.actor, extra_id, call.body["reason"])


@routes.get("/levels", permission="scheduling.view", out=schemas.LevelsOut)
def levels(call: Call) -> dict[str, object]:
    """号别与挂号费"""
    return {"items": queries.levels(call.session)}


@routes.post("/levels", permission=MANAGE, body=schemas.LevelIn, value=True, status=201)
def add_level(call: Call) -> dict[str, object]:
    """新增号别"""
    return {"id": service.add_level(call.session, call.actor, **call.body).id}


@routes.put("/levels/<int:level_id>", permission=MANAGE, body=schemas.LevelChange)
def change_level(call: Call, level_id: int) -> dict[str, object]:
    """修改号别"""
    return {"id": service.change_level(call.session, call.actor, level_id, **call.body).id}


@routes.get("/templates", permission="scheduling.view", query=schemas.TemplatesQuery, out=schemas.TemplatesOut)
def templates(call: Call) -> dict[str, object]:
    """每周排班"""
    return {"items": queries.templates(call.session, **call.query)}


@routes.post("/templates", permission=MANAGE, body=schemas.TemplateIn, value=True, status=201)
def add_template(call: Call) -> dict[str, object]:
    """新增排班"""
    return {"id": service.add_template(call.session, call.actor, **call.body).id}


@routes.put("/templates/<int:template_id>", permission=MANAGE, body=schemas.TemplateChange)
def change_template(call: Call, template_id: int) -> dict[str, object]:
    """修改排班（已生成的号源不变）"""
    return {"id": service.change_template(call.session, call.actor, template_id, **call.body).id}


@routes.get("/templates/<int:template_id>/changes", permission="scheduling.view", out=listed(ChangeOut))
def template_changes(call: Call, template_id: int) -> dict[str, object]:
    """排班的修改记录"""
    return {"items": changes(call.session, "schedule_template", template_id)}


@routes.post("/sessions/generate", permission=MANAGE, body=schemas.GenerateIn, out=schemas.GeneratedOut)
def generate(call: Call) -> dict[str, object]:
    """按排班生成号源"""
    return {"made": service.generate(call.session, call.actor, **call.body)}


@routes.post("/sessions", permission=MANAGE, body=schemas.SessionIn, out=schemas.SessionStateOut, value=True, status=201)
def add_session(call: Call) -> ClinicSession:
    """新增临时出诊"""
    return service.add_session(call.session, call.actor, **call.body)


@routes.post("/sessions/<int:session_id>/stop", permission=MANAGE, body=schemas.ReasonIn, out=schemas.SessionStateOut)
def stop_session(call: Call, session_id: int) -> ClinicSession:
    """停诊"""
    return service.stop_session(call.session, call.actor, session_id, call.body["reason"])


@routes.post("/sessions/<int:session_id>/resume", permission=MANAGE, body=schemas.ReasonIn, out=schemas.SessionStateOut)
def resume_session(call: Call, session_id: int) -> ClinicSession:
    """恢复出诊"""
    return service.resume_session(call.session, call.actor, session_id, call.body["reason"])


@routes.post("/sessions/<int:session_id>/capacity", permission=MANAGE, body=schemas.CapacityIn,
             out=schemas.SessionStateOut)
def change_capacity(call: Call, session_id: int) -> ClinicSession:
    """调整一个号源的号数"""
    return service.change_capacity(call.session, call.actor, session_id, call.body["capacity"])
