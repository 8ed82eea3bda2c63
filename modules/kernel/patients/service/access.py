"""Who may open a person's file: labels, treatment, emergencies, sealed files (COMPLIANCE PR-02, PR-03, PR-04, PR-06).

A file without a decision is open to whoever may view patients, or, with ``need_to_know = "all"``, of those who treat
only to those who treat the person. Every opening is audited, and every refusal.
Implements: PR-02, PR-04, PR-06.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from his_server.actor import Actor
from his_server.db import now, of
from his_server.errors import Conflict, Forbidden, NotFound, invalid
from his_server.messaging import outbox
from his_server.module import Finding
from his_server.security import audit, integrity
from modules.kernel.patients import ports
from modules.kernel.patients.models import EmergencyAccess, Person, PersonProtection
from modules.kernel.patients.service import concealing
from modules.kernel.patients.service.merging import family

log = logging.getLogger("his.patients")
DECIDE, LOCKED = "patients.protect", "patients.open_locked"
RESTRICTED = 4
"""From this level on a file is for those who treat the person."""
KINDS = {"hiv": "艾滋病", "infectious": "传染病", "psychiatric": "精神疾病", "minor": "未成年人", "vip": "特殊人员",
         "staff": "本院职工", "dispute": "医疗纠纷", "other": "其他"}
TREATING = frozenset({"doctor", "nurse", "medical_technician"})
"""Roles that need to treat the person when the hospital says so for every file."""
EMERGENCY = timedelta(minutes=60)


def open_file(session: Session, actor: Actor, person_id: int, part: str = "file") -> None:
    """Let the actor into a person's file, audited. ``part``: what of it is opened.

    :raises NotFound: there is no such person. :raises Forbidden: it is locked, or restricted to those who treat.
    """
    ids = family(session, person_id)
    if not ids:
        raise NotFound("patients.none", "没有这位病人，请重新查找")
    why = _refusal(session, actor, ids)
    if why is None:
        audit.record(session, actor, "patient.view", "person", person_id, {"part": part})
        return
    if session.info.get("read_only"):  # a refused change is audited after its roll-back
        audit.record(session, actor, "patient.refused", "person", person_id, {"part": part, "why": why.code}, success=False)
    raise why


def locked() -> Forbidden:
    """The refusal of whoever asks for a file that is 封存."""
    return Forbidden("patients.locked", "该病人的资料已封存，任何人不得调阅、修改和导出；确有需要请联系医务部门")


def _refusal(session: Session, actor: Actor, ids: Sequence[int]) -> Forbidden | None:
    """Why the actor may not open the files. Of each person's decisions the newest counts, whatever ``in_force`` says: that
    column has no MAC, because it changes. A name that is kept sealed without a locking decision: one was taken away."""
    sealer = of(session).sealer
    found = session.execute(
        select(Person.name_kept_sealed, PersonProtection)
        .outerjoin(PersonProtection, PersonProtection.person_id == Person.id).where(Person.id.in_(ids))
        .order_by(PersonProtection.decided_at, PersonProtection.id)).all()
    decisions = [row for _, row in found if row is not None]
    newest = {row.person_id: row for row in decisions}
    rows = list(newest.values())
    if (any(not integrity.holds(sealer, row) or (row.in_force == 1) != (newest[row.person_id] is row) for row in decisions)
            or (any(kept is not None for kept, _ in found) and not any(row.locked for row in rows))):
        log.critical("a protection of person %d was altered", ids[0])
        return Forbidden("integrity.violation", "该病人的保护设置校验未通过，暂不能打开，请立即联系信息科核查")
    if any(row.locked for row in rows):
        return None if actor.can(LOCKED) else locked()
    everybody = of(session).ports.get(ports.NEED_TO_KNOW) == "all" and bool(TREATING & set(actor.roles))
    if not everybody and all(row.level < RESTRICTED for row in rows):
        return None
    if actor.can(DECIDE) or treats(session, actor, ids) or _emergency(session, actor, ids):
        return None
    return Forbidden("patients.restricted",
                     "您与该病人没有诊疗关系，不能打开；确需查看的，请填写原因后“紧急调阅”（留痕，医务部门可见）")


def treats(session: Session, actor: Actor, ids: Sequence[int]) -> bool:
    """Whether the actor treats the person now, by whatever package knows of it."""
    return any(relation(session, actor, ids) for relation in ports.relations)


def _emergency(session: Session, actor: Actor, ids: Sequence[int]) -> bool:
    rows = session.scalars(select(EmergencyAccess).where(
        EmergencyAccess.user_id == actor.user_id, EmergencyAccess.person_id.in_(ids), EmergencyAccess.until > now(session)))
    return any(integrity.holds(of(session).sealer, row) for row in rows)


def break_glass(session: Session, actor: Actor, person_id: int, reason: str) -> EmergencyAccess:
    """Open a restricted file for an hour, for a reason; those who decide are told.

    :raises NotFound: no such person. :raises Forbidden: it is locked.
    """
    ids = family(session, person_id)
    if not ids:
        raise NotFound("patients.none", "没有这位病人，请重新查找")
    if session.scalar(select(func.count()).select_from(PersonProtection).where(
            PersonProtection.person_id.in_(ids), PersonProtection.in_force == 1, PersonProtection.locked)):
        raise Forbidden("patients.locked", "该病人的资料已封存，不能紧急调阅，请联系医务部门")
    at = now(session)
    made = EmergencyAccess(person_id=ids[0], user_id=actor.user_id, user_name=actor.name, reason=reason, opened_at=at,
                           until=at + EMERGENCY)
    session.add(made)
    session.flush()
    outbox.record(session, "EmergencyAccess", f"person:{ids[0]}", {"access_id": made.id, "person_id": ids[0],
                                                                   "user_id": actor.user_id})
    audit.record(session, actor, "patient.break_glass", "person", person_id, {"access": made.id, "reason": reason})
    log.warning("emergency access %d to person %d", made.id, ids[0])
    return made


def protect(session: Session, actor: Actor, person_id: int, *, level: int, kinds: Sequence[str], locked: bool, reason: str,
            ) -> PersonProtection:
    """Decide on a person's protection; the former decision stays as history.

    :raises Invalid: level or kinds. :raises NotFound: no such person. :raises Conflict: the file is merged into another.
    """
    if not 1 <= level <= 5:
        raise invalid("level", "级别为 1 至 5 级")
    if strange := set(kinds) - set(KINDS):
        raise invalid("kinds", f"没有这种类别：{'、'.join(sorted(strange))}")
    # the person's row is written, so that two decisions take turns
    if not session.execute(update(Person).where(Person.id == person_id).values(revision=Person.revision)
                           .execution_options(synchronize_session=False)).rowcount:  # type: ignore[attr-defined]
        raise NotFound("patients.none", "没有这位病人，请重新查找")
    if family(session, person_id)[0] != person_id:
        raise Conflict("patients.merged", "该档案已并入另一份档案，请在那份档案上设置")
    former = session.scalar(select(PersonProtection).where(PersonProtection.person_id == person_id,
                                                           PersonProtection.in_force == 1))
    (concealing.conceal if locked else concealing.restore)(session, family(session, person_id))
    if former is not None:
        former.in_force = former.id
        session.flush()
    made = PersonProtection(person_id=person_id, level=level, kinds=" ".join(sorted(set(kinds))), locked=locked, reason=reason,
                            decided_at=now(session), decided_by=actor.user_id, decided_by_name=actor.name, in_force=1)
    session.add(made)
    session.flush()
    audit.record(session, actor, "patient.protect", "person", person_id, {
        "before": None if former is None else {"level": former.level, "locked": former.locked},
        "after": {"level": level, "locked": locked}})
    return made


def history(session: Session, person_id: int) -> list[PersonProtection]:
    """All decisions on a person, newest first."""
    return list(session.scalars(select(PersonProtection).where(PersonProtection.person_id == person_id)
                                .order_by(PersonProtection.decided_at.desc(), PersonProtection.id.desc())))


def emergencies(session: Session, limit: int = 200) -> list[EmergencyAccess]:
    """The latest emergency accesses, newest first: for those who look after them."""
    return list(session.scalars(select(EmergencyAccess).order_by(EmergencyAccess.opened_at.desc(), EmergencyAccess.id.desc())
                                .limit(limit)))


def in_force_is_newest(session: Session) -> list[Finding]:
    """A balance check: the newest decision on each person is the one in force."""
    newest: dict[int, tuple[datetime, int, int]] = {}
    for row in session.execute(select(PersonProtection.person_id, PersonProtection.decided_at, PersonProtection.id,
                                      PersonProtection.in_force)):
        last = newest.get(row.person_id)
        if last is None or (row.decided_at, row.id) > last[:2]:
            newest[row.person_id] = (row.decided_at, row.id, row.in_force)
    return [Finding("patients.protection", f"person {person_id}", "最新的保护决定没有生效（可能被改动）")
            for person_id, (_, _, in_force) in newest.items() if in_force != 1]
