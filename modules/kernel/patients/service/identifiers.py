"""The index of every number a person ever had (M3.2)."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from dialects import portable
from his_server.actor import Actor
from his_server.db import now, today
from his_server.errors import Conflict, FieldError, NotFound, invalid
from his_server.security import audit
from modules.kernel.patients import rules
from modules.kernel.patients.models import Person, PersonIdentifier
from modules.kernel.patients.service.merging import family, survivor

KINDS = {"id_no": "证件号码", "phone": "电话", "outpatient_no": "门诊号", "inpatient_no": "住院号",
         "hospital_card": "院内就诊卡", "insurance_no": "医保个人编号", "social_card": "社会保障卡号"}
EXCLUSIVE = frozenset(KINDS) - {"phone"}
"""Numbers that only one person holds at a time."""


def put(session: Session, actor: Actor, person_id: int, kind: str, number: str, id_type: str = "",
        own: Iterable[int] = ()) -> PersonIdentifier:
    """Give a person a number; the caller flushes. ``own``: the person's family, whose claims are no obstacle.

    :raises Conflict: somebody else holds this exclusive number; the existing file is offered.
    """
    row = PersonIdentifier(person_id=person_id, kind=kind, id_type=id_type, active=True, added_at=now(session),
                           added_by=actor.user_id)
    row.number = number
    if kind in EXCLUSIVE:
        holders = _holders(session, kind, id_type, PersonIdentifier.number.blinds(number))
        if others := holders - {person_id, *own}:
            raise existing(session, others, f"{KINDS[kind]}已登记在另一位病人名下，请使用已有档案或办理合并")
        row.claim = None if holders else claim(kind, id_type, row.number_index)
    session.add(row)
    return row


def claim(kind: str, id_type: str, number_index: str) -> str:
    """The value that the database keeps unique."""
    return f"{kind}.{id_type}:{number_index}" if id_type else f"{kind}:{number_index}"


def _holders(session: Session, kind: str, id_type: str, indexes: list[str]) -> set[int]:
    rows = session.execute(
        select(PersonIdentifier.person_id, PersonIdentifier.id_type)
        .where(PersonIdentifier.number_index.in_(indexes), PersonIdentifier.kind == kind,
               PersonIdentifier.active.is_(True)))
    # Passports of two countries may have the same number; resident numbers are one person's under any type.
    same = {rules.RESIDENT_ID, rules.HK_MACAO_TAIWAN_PERMIT, "90"}
    return {person_id for person_id, kept in rows if kept == id_type or {kept, id_type} <= same}


def existing(session: Session, person_ids: Iterable[int], message: str, code: str = "patients.exists") -> Conflict:
    """A 409 that names the files there are, masked: field ``candidates.<person id>``, message for the reader."""
    own = aliased(Person)
    rows = session.scalars(select(Person).join(own, Person.id == func.coalesce(own.merged_into_id, own.id))
                           .where(own.id.in_(set(person_ids))).order_by(Person.id).limit(10)).unique()
    return Conflict(code, message, [FieldError(f"candidates.{p.id}", summary(p)) for p in rows])


def summary(person: Person) -> str:
    """One masked line about a person; of one whose file is 封存 only the outpatient number."""
    if person.name_kept_sealed is not None:
        return f"{person.name}，门诊号 {person.outpatient_no}"
    sex = {"1": "男", "2": "女"}.get(person.sex, "性别未知")
    born = f"{person.birth_date.year}年生" if person.birth_date else "出生日期未知"
    return "，".join(filter(None, (
        rules.mask_name(person.name), sex, born, rules.mask_number(person.id_no) if person.id_no else "",
        rules.mask_number(person.phone) if person.phone else "", f"门诊号 {person.outpatient_no}")))


def replace(session: Session, actor: Actor, person: Person, kind: str, before: str | None, number: str | None,
            id_type: str = "") -> None:
    """The record's number of a kind was ``before`` and is now another (or none): the old one is kept, ended, and still
    leads here. Further numbers of the kind (a second phone) stay in force."""
    old = PersonIdentifier.number.blinds(before) if before is not None else []
    new = PersonIdentifier.number.blinds(number) if number is not None else []
    kept = False
    for row in session.scalars(select(PersonIdentifier).where(
            PersonIdentifier.person_id == person.id, PersonIdentifier.kind == kind, PersonIdentifier.active.is_(True),
            PersonIdentifier.number_index.in_([*old, *new]))):
        if row.number_index in new and row.id_type == id_type:
            kept = True
        else:
            row.active, row.claim, row.ended_at = False, None, now(session)
    session.flush()
    if number is not None and not kept:
        put(session, actor, person.id, kind, number, id_type, own=family(session, person.id))


def add_identifier(session: Session, actor: Actor, person_id: int, kind: str, number: str) -> PersonIdentifier:
    """Give a person one more number (a card, an inpatient number, a second phone).

    :raises Invalid: the kind is unknown or kept with the record itself. :raises Conflict: somebody else's number.
    """
    if kind not in KINDS or kind in ("id_no", "outpatient_no"):
        raise invalid("kind", "不能单独登记这种号码，请在病人基本信息中修改")
    if not 3 <= len(rules.normalise_number(number)) <= 40:
        raise invalid("number", "号码应为 3 至 40 个字符")
    person = survivor(session, person_id)
    held = session.scalars(select(PersonIdentifier).where(
        PersonIdentifier.person_id == person.id, PersonIdentifier.kind == kind,
        PersonIdentifier.number_index.in_(PersonIdentifier.number.blinds(number)), PersonIdentifier.active.is_(True)))
    if (found := held.first()) is not None:
        return found
    row = put(session, actor, person.id, kind, number, own=family(session, person.id))
    session.flush()
    if kind in ("phone", "insurance_no") and getattr(person, kind) is None:
        setattr(person, kind, number.strip())
        person.revision += 1
    audit.record(session, actor, "patient.identifier_add", "person", person.id, {"kind": kind, "identifier": row.id})
    return row


def holder(session: Session, identifier_id: int) -> int:
    """Whose number it is. :raises NotFound: there is no such number."""
    found = session.scalar(select(PersonIdentifier.person_id).where(PersonIdentifier.id == identifier_id))
    if found is None:
        raise NotFound("patients.no_identifier", "没有这个号码，请刷新后重试")
    return found


def end_identifier(session: Session, actor: Actor, identifier_id: int, reason: str) -> PersonIdentifier:
    """The number is no longer the person's (lost card); it still leads to the person.

    :raises NotFound: there is no such number. :raises Conflict: it has ended already, or belongs to the record itself.
    """
    row = session.get(PersonIdentifier, identifier_id)
    if row is None:
        raise NotFound("patients.no_identifier", "没有这个号码，请刷新后重试")
    if row.kind in ("id_no", "outpatient_no"):
        raise Conflict("patients.kept_number", "证件号码请在病人基本信息中修改，门诊号不能停用")
    ended = portable.guarded_update(
        session, PersonIdentifier, (PersonIdentifier.id == identifier_id) & PersonIdentifier.active.is_(True),
        {"active": False, "claim": None, "ended_at": now(session)})
    if not ended:
        raise Conflict("patients.identifier_ended", "该号码已经停用，请刷新后核对")
    audit.record(session, actor, "patient.identifier_end", "person", row.person_id,
                 {"identifier": row.id, "kind": row.kind, "reason": reason, "day": today(session).isoformat()})
    return row
