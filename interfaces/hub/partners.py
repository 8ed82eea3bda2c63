"""Partners that call us: who they are, what each may call, which fields leave for it (X1, PR-13)."""

from __future__ import annotations

import ipaddress
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from marshmallow import Schema
from marshmallow import fields as wire
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from his_server import openapi
from his_server.actor import Actor
from his_server.db import now, of, today
from his_server.errors import Conflict, FieldError, Invalid, NotFound, invalid
from his_server.http import Routes
from his_server.module import Module
from his_server.registry import Hospital
from his_server.security import audit, integrity
from his_server.security.signed import PartnerKey
from interfaces.hub import gateway
from interfaces.hub.gateway import USE_CASES, UseCase
from interfaces.hub.manifests import all_manifests
from interfaces.hub.models import OpenGrant, OpenPartner, OpenUse
from modules.kernel.masterdata.service.keeping import take_turn

CODE = re.compile(r"[a-z][a-z0-9-]{1,38}")
LAST_DAYS = 7


def use_cases() -> list[dict[str, Any]]:
    """What can be granted, with the fields of each."""
    return [{"code": case.code, "title": case.title, "interface": all_manifests()[case.package].name, "method": case.method,
             "path": f"{gateway.PREFIX}/<外部系统代码>{case.rule}",
             "fields": [{"name": name, "title": _described(case, name), "personal": name in case.personal,
                         "key": name in case.keys} for name in case.fields]}
            for case in sorted(USE_CASES.values(), key=lambda one: one.code)]


def _described(case: UseCase, name: str) -> str:
    return str(gateway.item_of(case.out)._declared_fields[name].metadata.get("description", ""))


def create(session: Session, actor: Actor, *, code: str, **values: Any) -> OpenPartner:
    """Register a partner. :raises Invalid: a field is wrong. :raises Conflict: the code is taken."""
    if not CODE.fullmatch(code):
        raise invalid("code", "代码用小写字母开头，只含小写字母、数字和连字符，2 至 39 位")
    taken = session.scalar(select(OpenPartner).where(OpenPartner.code == code))
    if taken is not None:
        raise Conflict("open.code_taken", f"代码 {code} 已由“{taken.name}”使用（{taken.created_by_name} 登记）")
    row = OpenPartner(code=code, **{**values, "addresses": networks(values["addresses"])}, created_at=now(session),
                      created_by_name=actor.name)
    session.add(row)
    session.flush()
    audit.record(session, actor, "open.partner_add", "open_partner", row.id, {"code": code, "name": row.name})
    return row


def change(session: Session, actor: Actor, partner_id: int, *, revision: int, **values: Any) -> OpenPartner:
    """Change what is registered. :raises Conflict: somebody else changed it since ``revision``."""
    row = find(session, partner_id)
    take_turn(session, "外部系统", row, revision)
    session.refresh(row)
    for name, value in {**values, "addresses": networks(values["addresses"])}.items():
        setattr(row, name, value)
    session.flush()
    audit.record(session, actor, "open.partner_change", "open_partner", row.id, {"code": row.code, "active": row.active})
    return row


def grant(session: Session, actor: Actor, partner_id: int, *, revision: int, grants: Sequence[Mapping[str, Any]]
          ) -> OpenPartner:
    """Replace all that a partner may by ``grants`` (use case and fields each); audited with before and after.

    :raises Invalid: an unknown use case or field. :raises Conflict: somebody else changed the partner since ``revision``.
    """
    row = find(session, partner_id)
    wanted = _checked(grants)
    take_turn(session, "外部系统", row, revision)
    session.refresh(row)
    before = {one.use_case: one for one in session.scalars(select(OpenGrant).where(OpenGrant.partner_id == partner_id))}
    gone = [one.id for code, one in before.items() if code not in wanted or one.allowed != wanted[code]]
    told = {"before": {code: one.allowed for code, one in before.items()}, "after": wanted}
    if gone:
        session.execute(delete(OpenGrant).where(OpenGrant.id.in_(gone)))
    at = now(session)
    session.add_all(OpenGrant(partner_id=partner_id, use_case=code, allowed=allowed, granted_at=at, granted_by_name=actor.name)
                    for code, allowed in sorted(wanted.items()) if code not in before or before[code].allowed != allowed)
    session.flush()
    audit.record(session, actor, "open.grant", "open_partner", partner_id, told)
    return row


def _checked(grants: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    wanted: dict[str, str] = {}
    wrong: list[FieldError] = []
    for at, one in enumerate(grants):
        case = USE_CASES.get(one["use_case"])
        if case is None or one["use_case"] in wanted:
            wrong.append(FieldError(f"grants.{at}.use_case", "没有这项接口，或重复授权"))
        elif strange := set(one["fields"]) - set(case.fields):
            wrong.append(FieldError(f"grants.{at}.fields", "没有这些字段：" + "、".join(sorted(strange))))
        else:
            wanted[case.code] = " ".join(name for name in case.fields if name in {*one["fields"], *case.keys})
    if wrong:
        raise Invalid("input.invalid", "授权内容有误，请按提示修改", wrong)
    return wanted


def networks(text: str) -> str:
    """Networks separated by spaces or commas, in their usual spelling. :raises Invalid: one is none."""
    try:
        return " ".join(str(ipaddress.ip_network(one, strict=False)) for one in text.replace(",", " ").split())
    except ValueError as error:
        raise invalid("addresses", "来源地址应为 IP 或网段，如 10.1.2.3 或 10.1.2.0/24，用空格分开") from error


def find(session: Session, partner_id: int) -> OpenPartner:
    """One partner. :raises NotFound: there is none."""
    row = session.get(OpenPartner, partner_id)
    if row is None:
        raise NotFound("open.partner", "没有这个外部系统，请刷新后重试")
    return row


def listing(session: Session) -> list[dict[str, Any]]:
    """All partners with their keys, grants and last calls; four queries."""
    sealer, keys = of(session).sealer, defaultdict(list)
    for key in session.scalars(select(PartnerKey).order_by(PartnerKey.key_id)):
        for permission in key.permissions.split():
            keys[permission].append({"key_id": key.key_id, "not_after": key.not_after, "state":
                                     key.state if integrity.holds(sealer, key) else "altered"})
    grants = defaultdict(list)
    for one in session.scalars(select(OpenGrant).order_by(OpenGrant.use_case)):
        grants[one.partner_id].append({"use_case": one.use_case, "fields": one.allowed.split(), "granted_at": one.granted_at,
                                       "granted_by_name": one.granted_by_name, "sound": integrity.holds(sealer, one)})
    since = today(session) - timedelta(days=LAST_DAYS - 1)
    used = {row.partner_id: row for row in session.execute(
        select(OpenUse.partner_id, func.sum(OpenUse.calls).label("calls"), func.sum(OpenUse.refused).label("refused"),
               func.max(OpenUse.last_at).label("last_at")).where(OpenUse.used_on >= since).group_by(OpenUse.partner_id))}
    names = ("id", "code", "name", "owner", "contact", "addresses", "per_minute", "active", "revision", "created_at",
             "created_by_name")
    return [{**{name: getattr(row, name) for name in names}, "sound": integrity.holds(sealer, row),
             "keys": keys[f"open.{row.code}"], "grants": grants[row.id],
             **{name: getattr(used.get(row.id), name, default) for name, default in (
                 ("calls", 0), ("refused", 0), ("last_at", None))}}
            for row in session.scalars(select(OpenPartner).order_by(OpenPartner.code))]


def document(session: Session, partner_id: int) -> dict[str, Any]:
    """OpenAPI of what this partner may call, with none but the fields that it gets."""
    row = find(session, partner_id)
    group = Routes("open", f"{gateway.PREFIX}/{row.code}", tag=row.code)
    for one in session.scalars(select(OpenGrant).where(OpenGrant.partner_id == partner_id).order_by(OpenGrant.use_case)):
        case, route = USE_CASES.get(one.use_case), gateway.ROUTES.get(one.use_case)
        if case is not None and route is not None:
            group.routes.append(_route(case, route, group.prefix, set(one.allowed.split()) | case.keys))
    found = openapi.document(Hospital((Module(name="open", title=row.name, routes=(group,)),)))
    found["info"]["description"] = "请求签名见 docs/interfaces/signing.md，错误应答见 docs/interfaces/README.md"
    found["components"]["schemas"]["Error"] = _ERROR
    return found


_ERROR = {"type": "object", "properties": {
    "code": {"type": "string"}, "message": {"type": "string"}, "trace_id": {"type": "string"}, "retryable": {"type": "boolean"},
    "detail": {"type": "array", "items": {"type": "object", "properties": {
        "field": {"type": "string"}, "message": {"type": "string"}}}}}}


def _route(case: UseCase, route: Any, prefix: str, allowed: set[str]) -> Any:
    item = gateway.item_of(case.out)
    known = {name: field for name, field in item._declared_fields.items() if name in allowed}
    kept = Schema.from_dict(known, name=f"{item.__name__}For")
    out = kept if item is case.out else Schema.from_dict(
        {**case.out._declared_fields, "items": wire.List(wire.Nested(kept))}, name=f"{case.out.__name__}For")
    return replace(route, rule=prefix + case.rule, out=out)
