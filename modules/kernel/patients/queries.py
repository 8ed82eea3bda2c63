"""Reads of the patients' screens. Everything personal is masked here, on the server (PR-01)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import date
from functools import cache
from typing import Any

from sqlalchemy import bindparam, func, or_, select, union
from sqlalchemy.orm import Session, aliased

from dialects import portable
from his_server.actor import Actor
from his_server.db import history, today
from his_server.errors import invalid
from his_server.search import classify, matching
from his_server.security import audit
from modules.kernel.masterdata import service as masterdata
from modules.kernel.patients import ports, rules
from modules.kernel.patients.models import (
    Person,
    PersonIdentifier,
    PersonMerge,
    PersonProtection,
    person_search,
)
from modules.kernel.patients.service import access, identifiers, merging
from modules.kernel.patients.service.records import DICTIONARY_FIELDS, REGION_FIELDS, SEALED_FIELDS

NAMES = "patients.names"
"""Holders see whole names in lists: whoever must tell two patients apart at the window."""
TITLES = {
    "name": "姓名", "sex": "性别", "birth_date": "出生日期", "birth_date_known": "出生日期确知", "id_type": "证件类型",
    "id_no": "证件号码", "phone": "手机", "nationality": "国籍", "ethnic": "民族", "marriage": "婚姻", "occupation": "职业",
    "allergies": "过敏史", "insurance_no": "医保个人编号", "home_region": "现住址地区", "home_detail": "现住址",
    "home_postcode": "邮编", "household_region": "户口地区", "household_detail": "户口地址", "birth_region": "出生地",
    "birth_detail": "出生地详址", "native_region": "籍贯", "work_unit": "工作单位", "work_region": "单位地区",
    "work_detail": "单位地址", "work_phone": "单位电话", "contact_name": "联系人", "contact_relation": "与病人关系",
    "contact_phone": "联系人电话", "mother_id": "母亲档案", "merged_into_id": "并入档案"}
_asked = aliased(Person)
_BRIEF = (
    select(_asked.id.label("asked"), Person.id, Person.outpatient_no, Person.name, Person.sex, Person.birth_date,
           Person.unknown, Person.id_no_sealed, Person.phone_sealed, PersonProtection.level, PersonProtection.locked)
    .join(Person, Person.id == func.coalesce(_asked.merged_into_id, _asked.id))
    .outerjoin(PersonProtection, (PersonProtection.person_id == Person.id) & (PersonProtection.in_force == 1))
    .where(_asked.id.in_(bindparam("ids", expanding=True))))
"""What lists show, of those whom the asked ids stand for today; built once, because building costs more than asking."""
_ADDRESSES = frozenset({"home_detail", "household_detail", "birth_detail", "work_detail"})
_NUMBER = re.compile(r"[0-9A-Z+]{3,40}\Z")


def search(session: Session, actor: Actor, q: str, limit: int) -> list[dict[str, Any]]:
    """Persons by whatever was typed or scanned (M1.3, M3.2): any number they ever had, name, pinyin, wubi.

    Two queries for a number that is known, three otherwise. Merged files lead to the survivor.
    """
    text = q.strip()
    ids: list[int] = []
    if _NUMBER.match(number := rules.normalise_number(text)):
        session.flush()
        ids = [row.person_id for row in portable.fetch(session.connection(), _numbered(), {
            "b_blinds": PersonIdentifier.number.blinds(number), "b_number": number, "b_limit": limit})]
    if not ids and classify(text) & {"name", "pinyin", "initials", "wubi", "alias"}:
        ids = matching(session, person_search, text, limit=limit)
    return _brief(session, actor, ids)


@cache
def _numbered() -> Any:
    """The persons of a number: built once, when all packages have added their lookups."""
    known = select(PersonIdentifier.person_id).where(
        PersonIdentifier.number_index.in_(bindparam("b_blinds", expanding=True)))
    return union(known, *ports.number_lookups).limit(bindparam("b_limit"))


def _brief(session: Session, actor: Actor, ids: Iterable[int]) -> list[dict[str, Any]]:
    order = list(dict.fromkeys(ids))
    if not order:
        return []
    session.flush()
    rows = {row.asked: row for row in portable.fetch(session.connection(), _BRIEF, {"ids": order})}
    found = {rows[key].id: rows[key] for key in order if key in rows}
    day, people = today(session), list(found.values())
    if any(row.locked for row in people) and not actor.can(access.LOCKED):  # 封存: not even in a list (PR-06)
        for row in people:
            if row.locked:
                audit.record(session, actor, "patient.refused", "person", row.id, {"part": "search", "why": "patients.locked"},
                             success=False)
        people = [row for row in people if not row.locked]
    ids_no = Person.id_no.reveal_many([(row.id, row.id_no_sealed) for row in people])
    phones = Person.phone.reveal_many([(row.id, row.phone_sealed) for row in people])
    shown = [_shown(actor, *each, day) for each in zip(people, ids_no, phones, strict=True)]
    for one in shown:
        if one["restricted"] and not actor.can(access.DECIDE):
            one |= {"masked_id": None, "masked_phone": None}
    return shown


def briefs(session: Session, actor: Actor, people: Sequence[Person]) -> list[dict[str, Any]]:
    """Persons that were found by a card, as lists show them.

    :raises Forbidden: there are some, and the file of each is 封存.
    """
    shown = _brief(session, actor, [person.id for person in people])
    if people and not shown:
        raise access.locked()
    return shown


def brief(actor: Actor, person: Person, day: date) -> dict[str, Any]:
    """A person as lists show it."""
    return _shown(actor, person, person.id_no, person.phone, day)


def _shown(actor: Actor, person: Person | Any, id_no: str | None, phone: str | None, day: date) -> dict[str, Any]:
    """A person (or a row of the columns of ``_BRIEF``) as lists show it: masked, and the age instead of the birth date,
    which would give the number's middle away."""
    return {
        "id": person.id, "outpatient_no": person.outpatient_no, "sex": person.sex,
        "name": person.name if actor.can(NAMES) else rules.mask_name(person.name),
        "age": rules.age(person.birth_date, day) if person.birth_date else None,
        "masked_id": rules.mask_number(id_no) if id_no else None,
        "masked_phone": rules.mask_number(phone) if phone else None,
        "unknown": person.unknown, "restricted": (getattr(person, "level", None) or 0) >= access.RESTRICTED,
    }


def detail(session: Session, actor: Actor, person: Person) -> dict[str, Any]:
    """A person's whole file, personal numbers and addresses masked; regions as they are today, and as they were."""
    codes = {field: getattr(person, field) for field in
             ("home_region", "household_region", "birth_region", "native_region", "work_region")}
    was = {field: getattr(person, f"{field}_was", None) for field in codes}
    names = masterdata.current_regions(session, {*codes.values(), *was.values()})

    def region(field: str) -> dict[str, Any] | None:
        code = codes[field]
        if not code:
            return None
        found = names.get(code) or masterdata.RegionName(code, f"区划表中没有的代码 {code}", code, f"区划表中没有的代码 {code}")
        before = names.get(was[field] or "") or (found if found.changed else None)
        return {"code": found.code, "present_code": found.present_code, "present_name": found.present_name,
                "original_code": was[field] or found.code, "original_name": (before or found).name}

    def number(field: str) -> str | None:
        value = getattr(person, field)
        return rules.mask_number(value) if value else None

    plain = ("id", "revision", "name", "sex", "birth_date", "birth_date_known", "id_type", "nationality", "ethnic",
             "marriage", "occupation", "outpatient_no", "home_postcode", "work_unit", "contact_relation", "mother_id",
             "merged_into_id", "unknown", "created_at")
    day = today(session)
    return {
        **{field: getattr(person, field) for field in plain},
        "name": person.legal_name if actor.can(NAMES) else rules.mask_name(person.legal_name),
        "contact_name": rules.mask_name(person.contact_name) if person.contact_name else None,
        "age": rules.age(person.birth_date, day) if person.birth_date else None,
        "masked_id": number("id_no"), "masked_phone": number("phone"), "masked_insurance_no": number("insurance_no"),
        "masked_work_phone": number("work_phone"), "masked_contact_phone": number("contact_phone"),
        "allergies": person.allergies,
        **{field: region(field) for field in codes},
        **{f"{kind}_address": rules.mask_address(
            names[codes[f"{kind}_region"]].present_name if codes[f"{kind}_region"] in names else None,
            getattr(person, f"{kind}_detail")) or None for kind in ("home", "household", "birth", "work")},
    }


def protected(session: Session, actor: Actor, *, which: str, limit: int, after: str | None) -> dict[str, Any]:
    """Files that are 封存 or restricted, by the decision in force, newest first; one query. ``which``: locked, restricted or
    all. Of a sealed file the name is told only to who may open it. :raises Invalid: a foreign cursor."""
    row = PersonProtection
    wanted = {"locked": row.locked, "restricted": row.level >= access.RESTRICTED}
    chosen = or_(*wanted.values()) if which == "all" else wanted[which]
    statement: Any = select(row, Person).join(Person, Person.id == row.person_id).where(row.in_force == 1, chosen)
    try:
        cursor = portable.decode_cursor(after) if after else None
        page = portable.keyset(statement, [(row.decided_at, "desc"), (row.id, "desc")], cursor, limit + 1)
    except ValueError as error:
        raise invalid("after", "翻页标记有误，请从第一页重新查询") from error
    rows, day = session.execute(page).all(), today(session)
    last = rows[limit - 1].PersonProtection if len(rows) > limit else None

    def shown(one: PersonProtection, person: Person) -> dict[str, Any]:
        name = person.legal_name if actor.can(access.LOCKED) else person.name
        return {**{field: getattr(one, field) for field in ("id", "person_id", "level", "locked", "reason", "decided_at",
                                                           "decided_by_name")},
                "kinds": one.kinds.split(), "outpatient_no": person.outpatient_no, "sex": person.sex,
                "name": name if actor.can(NAMES) else rules.mask_name(name),
                "age": rules.age(person.birth_date, day) if person.birth_date else None}

    return {"items": [shown(one, person) for one, person in rows[:limit]],
            "next": portable.encode_cursor((last.decided_at, last.id)) if last else None}


def numbers(session: Session, person_id: int) -> list[dict[str, Any]]:
    """Every number of a person and of the files merged into it, masked; two queries."""
    rows = session.scalars(
        select(PersonIdentifier).where(PersonIdentifier.person_id.in_(merging.family(session, person_id)))
        .order_by(PersonIdentifier.active.desc(), PersonIdentifier.kind, PersonIdentifier.id))
    return [{"id": row.id, "kind": row.kind, "title": identifiers.KINDS[row.kind], "active": row.active,
             "number": row.number if row.kind in ("outpatient_no", "inpatient_no") else rules.mask_number(row.number),
             "added_at": row.added_at, "ended_at": row.ended_at} for row in rows]


def merges(session: Session, person_id: int) -> list[PersonMerge]:
    """Merges of a person, newest first."""
    return list(session.scalars(
        select(PersonMerge).where((PersonMerge.survivor_id == person_id) | (PersonMerge.merged_id == person_id))
        .order_by(PersonMerge.merged_at.desc(), PersonMerge.id.desc()).limit(50)))


def timeline(session: Session, actor: Actor, person_id: int) -> list[dict[str, Any]]:
    """Every change of a person's file, newest first, as people read it: field titles, names for codes, sealed values
    masked. Three queries."""
    rows = history.timeline(session, "person", person_id)
    values = {(row.field, value) for row in rows for value in (row.before, row.after) if value}
    regions = masterdata.current_regions(session, {value for field, value in values if field in REGION_FIELDS})
    names = masterdata.code_names(session, {(DICTIONARY_FIELDS[field], value) for field, value in values
                                            if field in DICTIONARY_FIELDS})

    def shown(field: str, value: str | None) -> str | None:
        if not value:
            return value
        if field in _ADDRESSES:
            return "***"
        if field in SEALED_FIELDS and field != "allergies":
            return rules.mask_number(value)
        if field == "contact_name" or (field == "name" and not actor.can(NAMES)):
            return rules.mask_name(value)
        if field in REGION_FIELDS:
            return regions[value].name if value in regions else value
        return names.get((DICTIONARY_FIELDS.get(field, ""), value), value)

    return [{"field": row.field, "title": TITLES.get(row.field, row.field), "before": shown(row.field, row.before),
             "after": shown(row.field, row.after), "changed_at": row.changed_at,
             "changed_by_name": row.changed_by_name, "terminal": row.terminal} for row in rows]
