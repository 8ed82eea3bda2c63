"""Routes of patients."""

from __future__ import annotations

from typing import Any

from his_server.db import today
from his_server.http import Call, Routes
from his_server.security import audit
from modules.kernel.patients import queries, rules, schemas, service
from modules.kernel.patients.service import access

routes = Routes("kernel.patients", "/api/patients", tag="patients")
VIEW, EDIT, MERGE, UNMASK = "patients.view", "patients.edit", "patients.merge", "patients.unmask"


@routes.get("", permission=VIEW, effect="manual", query=schemas.SearchQuery, out=schemas.FoundOut)
def search(call: Call) -> dict[str, Any]:
    """查找病人（号码、姓名、拼音、五笔、电话、身份证）；按证件号、电话查找留痕

    A search by somebody's number is audited, found or not, in the search's own transaction (PR-03); all others only
    read.
    """
    number = rules.normalise_number(call.query["q"].strip())
    by = rules.personal_number(number)
    with call.database.begin(write=by is not None) as session:
        items = queries.search(session, call.actor, call.query["q"], call.query["limit"])
        if by is not None:
            audit.record(session, call.actor, "patient.search", "person", items[0]["id"] if len(items) == 1 else "", {
                "by": by, "found": len(items), "number": audit.digest(call.database.sealer, number)})
        return {"items": items}


@routes.get("/<int:person_id>", permission=VIEW, out=schemas.PersonOut)
def show(call: Call, person_id: int) -> dict[str, Any]:
    """病人档案（脱敏）"""
    access.open_file(call.session, call.actor, person_id)
    person = service.get(call.session, person_id)
    return queries.detail(call.session, call.actor, person)


@routes.post("", permission=EDIT, body=schemas.CreateIn, out=schemas.BriefOut, value=True, status=201)
def create(call: Call) -> dict[str, Any]:
    """新建病人档案"""
    body = dict(call.body)
    cards = {kind: number for kind in ("hospital_card", "social_card") if (number := body.pop(kind, None))}
    person = service.create_person(call.session, call.actor, cards=cards, **body)
    return queries.brief(call.actor, person, today(call.session))


@routes.put("/<int:person_id>", permission=EDIT, body=schemas.ChangeIn, out=schemas.PersonOut)
def change(call: Call, person_id: int) -> dict[str, Any]:
    """修改病人档案"""
    body = dict(call.body)
    access.open_file(call.session, call.actor, person_id, "edit")
    person = service.update_person(call.session, call.actor, person_id, body.pop("revision"), body)
    call.session.refresh(person)
    return queries.detail(call.session, call.actor, person)


@routes.post("/<int:person_id>/unmask", permission=UNMASK, body=schemas.UnmaskIn)
def unmask(call: Call, person_id: int) -> dict[str, Any]:
    """查看脱敏信息的原文（留痕）"""
    access.open_file(call.session, call.actor, person_id, "unmask")
    return service.unmask(call.session, call.actor, person_id, call.body["fields_"], call.body["reason"])


@routes.get("/<int:person_id>/timeline", permission=VIEW, out=schemas.TimelineOut)
def timeline(call: Call, person_id: int) -> dict[str, Any]:
    """病人信息变更记录"""
    access.open_file(call.session, call.actor, person_id, "timeline")
    return {"items": queries.timeline(call.session, call.actor, person_id)}


@routes.get("/<int:person_id>/identifiers", permission=VIEW, out=schemas.NumbersOut)
def numbers(call: Call, person_id: int) -> dict[str, Any]:
    """病人的全部号码"""
    access.open_file(call.session, call.actor, person_id, "identifiers")
    return {"items": queries.numbers(call.session, person_id)}


@routes.post("/<int:person_id>/identifiers", permission=EDIT, body=schemas.NumberIn, value=True, status=201)
def add_number(call: Call, person_id: int) -> dict[str, Any]:
    """登记号码（就诊卡、社保卡等）"""
    access.open_file(call.session, call.actor, person_id, "identifiers")
    added = service.add_identifier(call.session, call.actor, person_id, call.body["kind"], call.body["number"])
    return {"id": added.id, "kind": added.kind}


@routes.post("/identifiers/<int:identifier_id>/end", permission=EDIT, body=schemas.EndIn)
def end_number(call: Call, identifier_id: int) -> dict[str, Any]:
    """停用号码（挂失等）"""
    access.open_file(call.session, call.actor, service.holder(call.session, identifier_id), "identifiers")
    ended = service.end_identifier(call.session, call.actor, identifier_id, call.body["reason"])
    return {"id": ended.id, "active": ended.active}


@routes.get("/<int:person_id>/merges", permission=VIEW, out=schemas.MergesOut)
def merges(call: Call, person_id: int) -> dict[str, Any]:
    """合并记录"""
    access.open_file(call.session, call.actor, person_id, "merges")
    return {"items": queries.merges(call.session, person_id)}


@routes.post("/merge", permission=MERGE, body=schemas.MergeIn, out=schemas.MergeOut, value=True, status=201)
def merge(call: Call) -> Any:
    """合并档案"""
    return service.merge(call.session, call.actor, **call.body)


@routes.post("/unmerge", permission=MERGE, body=schemas.UnmergeIn, out=schemas.MergeOut, value=True)
def unmerge(call: Call) -> Any:
    """撤销合并"""
    return service.unmerge(call.session, call.actor, call.body["merge_id"], call.body["reason"])


@routes.post("/recognise", permission=VIEW, body=schemas.RecogniseIn, out=schemas.RecognisedOut)
def recognise(call: Call) -> dict[str, Any]:
    """读卡识别病人"""
    found = service.recognise(call.session, call.actor, **call.body)
    return {"items": queries.briefs(call.session, call.actor, found.persons), "linked": found.linked, "form": found.form}


@routes.post("/<int:person_id>/protection", permission=access.DECIDE, body=schemas.ProtectIn, status=201)
def protect(call: Call, person_id: int) -> dict[str, Any]:
    """设定病人的保护级别，封存或解除封存"""
    return {"id": access.protect(call.session, call.actor, person_id, **call.body).id}


@routes.get("/<int:person_id>/protection", permission=access.DECIDE, out=schemas.ProtectionsOut)
def protections(call: Call, person_id: int) -> dict[str, Any]:
    """病人的保护决定，新的在前"""
    return {"items": [{**{name: getattr(row, name) for name in ("level", "locked", "reason", "decided_at",
                                                                "decided_by_name")},
                       "kinds": row.kinds.split(), "in_force": row.in_force == 1}
                      for row in access.history(call.session, person_id)]}


@routes.get("/protected", permission=access.DECIDE, query=schemas.ProtectedQuery, out=schemas.ProtectedsOut)
def protected(call: Call) -> dict[str, Any]:
    """封存和受限的病人档案，最近决定的在前"""
    return queries.protected(call.session, call.actor, **call.query)


@routes.post("/<int:person_id>/break-glass", permission=VIEW, body=schemas.EmergencyIn, status=201)
def break_glass(call: Call, person_id: int) -> dict[str, Any]:
    """紧急调阅受限的病人资料（留痕，60 分钟）"""
    made = access.break_glass(call.session, call.actor, person_id, call.body["reason"])
    return {"id": made.id, "until": made.until}


@routes.get("/emergencies", permission=access.DECIDE, out=schemas.EmergenciesOut)
def emergencies(call: Call) -> dict[str, Any]:
    """最近的紧急调阅"""
    return {"items": access.emergencies(call.session)}
