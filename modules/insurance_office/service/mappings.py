"""Our drugs and items beside the insurer's codes (3301): assign, tell the insurer, take back, and its catalogues.

Implements: M5.2
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.clock import local
from his_server.db import Database, now, of, today, unless_taken
from his_server.errors import Conflict, FieldError, Invalid, NotFound, Unavailable
from his_server.security import audit
from modules.kernel.charging.ports import CONFIRMED, REFUSED
from modules.kernel.masterdata.models import ChargeItem, Drug, InsuranceEntry, InsuranceMapping
from modules.kernel.masterdata.ports import CATALOG, CATALOGS, InsuranceCatalogPort, Mapped
from modules.kernel.masterdata.service.lookups import valid_on

log = logging.getLogger("his.insurance")
_FIELDS = ("name", "spec", "manufacturer", "unit", "level", "limit_price", "valid_from", "valid_to", "active", "version")


def port(database: Database) -> InsuranceCatalogPort:
    """The insurer's adapter. :raises Unavailable: none is bound."""
    found: InsuranceCatalogPort | None = database.ports.get(CATALOG)
    if found is None:
        raise Unavailable("catalog.none", "医保目录接口未开通，请联系信息科")
    return found


def assign(session: Session, actor: Actor, *, kind: str, code: str, list_type: str, national: str) -> InsuranceMapping:
    """Say which entry a drug or item of ours is, from today on; what was in force ends yesterday.

    :raises Invalid: no such drug, item or entry, or it is of another catalogue than its kind.
    """
    ours = _named(session, kind, [code])
    if code not in ours:
        raise Invalid("mapping.code", "没有这个在用的药品或项目", [FieldError("code", "不存在或已停用")])
    entry = session.scalars(select(InsuranceEntry).where(
        InsuranceEntry.list_type == list_type, InsuranceEntry.code == national)).first()
    if entry is None or not entry.active:
        raise Invalid("mapping.entry", "医保目录没有这个编码或已停用，请重新选择", [FieldError("national", "不在医保目录中")])
    if (kind == "drug") != (list_type in ("101", "102", "103")):
        raise Invalid("mapping.kind", "药品应对照药品目录，项目应对照服务项目或耗材目录",
                      [FieldError("list_type", "目录类别不符")])
    day, at = today(session), now(session)
    row = InsuranceMapping
    current = session.scalars(select(row).where(row.kind == kind, row.code == code, valid_on(row, day),
                                                row.state != "withdrawn")).first()
    if current is not None and (current.list_type, current.national) == (list_type, national):
        return current
    values = {"list_type": list_type, "national": national, "state": "draft", "message": "", "changed_at": at,
              "changed_by_name": actor.name}
    same_day = session.scalars(select(row).where(row.kind == kind, row.code == code, row.valid_from == day)).first()
    if same_day is not None:
        if same_day.state == "uploaded":
            raise Conflict("mapping.uploaded", f"今天的对照已由 {same_day.changed_by_name} 上传，请先撤销再改")
        for name, value in values.items():
            setattr(same_day, name, value)
        made = same_day
    else:
        if current is not None:
            current.valid_to = day
        made = row(kind=kind, code=code, valid_from=day, valid_to=None, **values)
    with unless_taken(session, Conflict("mapping.twice", "该项目正由他人对照，请刷新后重试")):
        session.add(made)
    audit.record(session, actor, "mapping.assign", "insurance_mapping", made.id,
                 {"kind": kind, "code": code, "list_type": list_type, "national": national})
    return made


def _named(session: Session, kind: str, codes: Sequence[str]) -> dict[str, Any]:
    model: Any = Drug if kind == "drug" else ChargeItem
    return {one.code: one for one in session.scalars(select(model).where(model.code.in_(codes), model.active.is_(True)))}


def upload_mappings(database: Database, actor: Actor, ids: Sequence[int]) -> dict[str, int]:
    """Tell the insurer of drafts and refused ones (3301), each with its own outcome; how many went which way.

    The insurer knows a row by our code and its own, so a repeat after a lost answer does no harm.
    """
    adapter = port(database)
    with database.begin(write=False) as session:
        rows = list(session.scalars(select(InsuranceMapping).where(
            InsuranceMapping.id.in_(ids), InsuranceMapping.state.in_(("draft", "refused"))).order_by(InsuranceMapping.id)))
        names = {kind: _named(session, kind, [r.code for r in rows if r.kind == kind]) for kind in ("drug", "item")}
        told = tuple(_mapped(row, names[row.kind].get(row.code)) for row in rows)
        session.expunge_all()
    if not rows:
        raise Conflict("mapping.nothing", "所选对照都已上传，请刷新查看")
    try:
        answers = adapter.map(told)
    except Exception as error:
        log.warning("mapping upload without an answer: %s", type(error).__name__)
        raise Unavailable("catalog.no_answer", "医保中心没有应答，请稍后重新上传（不会重复）") from error
    counts = {"uploaded": 0, "refused": 0, "unknown": 0}
    with database.begin() as session:
        session.info["actor"] = actor
        for row, answer in zip(rows, answers, strict=True):
            state = {CONFIRMED: "uploaded", REFUSED: "refused"}.get(answer.state)
            counts[state or "unknown"] += 1
            if state:
                portable.guarded_update(
                    session, InsuranceMapping, (InsuranceMapping.id == row.id) & InsuranceMapping.state.in_(("draft", "refused"))
                    & (InsuranceMapping.national == row.national),
                    {"state": state, "message": answer.message[:200] if state == "refused" else "",
                     "changed_at": now(session), "changed_by_name": actor.name})
        audit.record(session, actor, "mapping.upload", "insurance_mapping", rows[0].id, dict(counts))
    return counts


def _mapped(row: InsuranceMapping, ours: Any) -> Mapped:
    drug = row.kind == "drug" and ours is not None
    return Mapped(row.code, ours.name if ours is not None else row.code, row.list_type, row.national, row.valid_from,
                  row.valid_to, spec=ours.spec if drug else "", form=ours.form if drug else "",
                  unit="" if ours is None else ours.pack_unit if drug else ours.unit)


def unmap(database: Database, mapping_id: int) -> None:
    """Have the insurer take an uploaded mapping back (3302), before :func:`withdraw_mapping`.

    :raises Conflict: it isn't uploaded, or the insurer refuses. :raises Unavailable: no answer.
    """
    adapter = port(database)
    with database.begin(write=False) as session:
        row = session.get(InsuranceMapping, mapping_id)
        if row is None:
            raise NotFound("mapping.none", "没有这条对照，请刷新后重试")
        if row.state != "uploaded":
            when = f"（{row.changed_by_name} 于 {local(row.changed_at):%m-%d %H:%M} 已处理）" if row.changed_at else ""
            raise Conflict("mapping.not_uploaded", f"只有已上传的对照可以撤销{when}")
        told = _mapped(row, _named(session, row.kind, [row.code]).get(row.code))
    try:
        answer = adapter.unmap(told)
    except Exception as error:
        log.warning("mapping withdrawal without an answer: %s", type(error).__name__)
        raise Unavailable("catalog.no_answer", "医保中心没有应答，请稍后重新撤销（不会重复）") from error
    if answer.state != CONFIRMED:
        raise Conflict("mapping.refused", f"医保中心没有撤销：{answer.message}")


def withdraw_mapping(session: Session, actor: Actor, mapping_id: int) -> InsuranceMapping:
    """A mapping that the insurer took back: lines are no longer uploaded under it."""
    portable.guarded_update(session, InsuranceMapping, (InsuranceMapping.id == mapping_id)
                            & (InsuranceMapping.state == "uploaded"),
                            {"state": "withdrawn", "changed_at": now(session), "changed_by_name": actor.name})
    audit.record(session, actor, "mapping.withdraw", "insurance_mapping", mapping_id)
    return session.get_one(InsuranceMapping, mapping_id)


def refresh_catalogue(database: Database, actor: Actor, list_type: str) -> int:
    """Fetch what of a catalogue is newer than ours (1301…1315); how many entries came."""
    if list_type not in CATALOGS:
        raise Invalid("catalog.type", "没有这个目录类别", [FieldError("list_type", "请从列表选择")])
    adapter = port(database)
    with database.begin(write=False) as session:
        version = session.scalar(select(func.max(InsuranceEntry.version)).where(InsuranceEntry.list_type == list_type)) or ""
    try:
        part = adapter.download(list_type, version)
    except Exception as error:
        log.warning("catalogue download without an answer: %s", type(error).__name__)
        raise Unavailable("catalog.no_answer", "医保中心没有应答，请稍后重新下载") from error
    if part.state != CONFIRMED:
        raise Conflict("catalog.refused", f"医保目录下载失败：{part.message}")
    with database.begin() as session:
        session.info["actor"] = actor
        keys = of(session).keys.take(len(part.entries))
        portable.upsert(session, InsuranceEntry, [
            {"id": key, "list_type": entry.list_type, "code": entry.code, **{name: getattr(entry, name) for name in _FIELDS}}
            for key, entry in zip(keys, part.entries, strict=True)], ["list_type", "code"], list(_FIELDS))
        audit.record(session, actor, "catalogue.refresh", "insurance_catalogue", list_type,
                     {"version": part.version, "entries": len(part.entries)})
    return len(part.entries)

