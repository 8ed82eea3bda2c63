"""A person's record: made once, changed with history, never defaulted (M3.5, M3.6, M3.14)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.db import history, now, numbering, today
from his_server.errors import Conflict, FieldError, Invalid, NotFound, invalid
from his_server.messaging import outbox
from his_server.search import search_keys, store_keys
from his_server.security import audit
from modules.kernel.masterdata import service as masterdata
from modules.kernel.patients import rules
from modules.kernel.patients.models import Person, person_search
from modules.kernel.patients.service import identifiers

OUTPATIENT_NO = numbering.Series("outpatient_no", "门诊号", "{n:08d}", block=50)
REGION_FIELDS = ("home_region", "household_region", "birth_region", "native_region", "work_region")
DICTIONARY_FIELDS = {"id_type": "psn_cert_type", "sex": "sex", "marriage": "marriage", "ethnic": "ethnic",
                     "occupation": "fp_occupation", "contact_relation": "relation", "nationality": "nationality"}
SEALED_FIELDS = ("id_no", "phone", "insurance_no", "home_detail", "household_detail", "birth_detail", "work_detail",
                 "work_phone", "contact_phone", "allergies")
FIELDS = frozenset(Person.__history__) - {"merged_into_id"}
_PHONE = re.compile(r"\+?[0-9][0-9 ()-]{5,19}\Z")


def create_person(session: Session, actor: Actor, *, name: str = "", confirmed: bool = False, unknown: bool = False,
                  cards: Mapping[str, str] | None = None, channel: str | None = None, **fields: Any) -> Person:
    """Make a person's file with a new outpatient number.

    What isn't given stays empty; only what the ID number itself says (birth date, sex) is filled in. Newborns
    (``mother_id``) and unknown persons (``unknown``, named 无名氏 and the number) need no number. ``cards``: further
    numbers by kind. ``confirmed``: the clerk has seen that a person with this name, birth date and sex exists and
    means another one.

    :raises Invalid: wrong fields, named. :raises Conflict: ``patients.exists`` (a number is somebody's already) or
        ``patients.similar`` (not confirmed), with the existing files as ``candidates.<id>``.
    """
    if strange := set(fields) - FIELDS:
        raise TypeError(f"a person has no {', '.join(sorted(strange))}")
    values = _checked(session, {"name": name, **fields})
    number = numbering.take(session, OUTPATIENT_NO)
    values["name"] = values.get("name") or (f"无名氏{number}" if unknown else None)
    if not values["name"]:
        raise invalid("name", "请填写姓名；身份不明的病人请选择“无名氏”")
    if not confirmed and (similar := _similar(session, values)):
        raise identifiers.existing(session, similar, "已有同名、同出生日期、同性别的病人，请先核对是否为同一人",
                                   "patients.similar")
    person = Person(outpatient_no=number, unknown=unknown, channel=channel or actor.channel, created_at=now(session),
                    created_by=actor.user_id, sex=values.pop("sex", None) or "0", **values)
    session.add(person)
    session.flush()
    given = {"outpatient_no": number, "id_no": person.id_no, "phone": person.phone,
             "insurance_no": person.insurance_no, **(cards or {})}
    for kind, text in given.items():
        if text:
            identifiers.put(session, actor, person.id, kind, text, (person.id_type or "") if kind == "id_no" else "")
    session.flush()
    store_keys(session, person_search, person.id, search_keys(person.name, person=True))
    outbox.record(session, "PersonCreated", f"person:{person.id}", {"person_id": person.id})
    audit.record(session, actor, "patient.create", "person", person.id, {"outpatient_no": number})
    return person


def get(session: Session, person_id: int) -> Person:
    """The person's own record, merged or not. :raises NotFound: there is none."""
    found = session.get(Person, person_id)
    if found is None:
        raise NotFound("patients.none", "没有这位病人，请重新查找")
    return found


def update_person(session: Session, actor: Actor, person_id: int, revision: int, changes: Mapping[str, Any]) -> Person:
    """Change the given fields; every change becomes history, and old numbers and names still find the person.

    :raises Conflict: somebody changed the record since ``revision``, it is merged, or a number is somebody else's.
    :raises Invalid: wrong fields, named.
    """
    if strange := set(changes) - FIELDS:
        raise TypeError(f"a person has no {', '.join(sorted(strange))}")
    person = get(session, person_id)
    if person.merged_into_id is not None:
        into = get(session, person.merged_into_id)
        raise Conflict("patients.merged", f"该档案已并入门诊号 {into.outpatient_no}，请在那份档案中修改")
    if not portable.guarded_update(session, Person, (Person.id == person_id) & (Person.revision == revision),
                                   {"revision": revision + 1}):
        raise Conflict("patients.changed", "该病人信息刚被他人修改，请刷新后核对再保存")
    values = _checked(session, changes, person)
    if person.name_kept is not None and values.pop("name", person.name) not in (person.name, person.name_kept):
        raise Conflict("patients.locked", "该病人的资料已封存，姓名不能修改，请医务部门先解除封存")
    changed = {field for field, value in values.items() if getattr(person, field) != value}
    before = {kind: getattr(person, kind) for kind in ("id_no", "phone", "insurance_no")}
    renamed = "name" in changed
    for field in changed:
        setattr(person, field, values[field])
        if field in ("home_region", "household_region", "work_region"):
            setattr(person, f"{field}_was", None)
    session.flush()
    if changed & {"id_no", "id_type"}:
        identifiers.replace(session, actor, person, "id_no", before["id_no"], person.id_no, person.id_type or "")
    for kind in changed & {"phone", "insurance_no"}:
        identifiers.replace(session, actor, person, kind, before[kind], getattr(person, kind))
    session.flush()
    if renamed:
        former = [row.before for row in history.timeline(session, "person", person.id)
                  if row.field == "name" and row.before]
        store_keys(session, person_search, person.id, search_keys(person.name, person=True, aliases=former))
    if changed:
        outbox.record(session, "PersonChanged", f"person:{person.id}",
                      {"person_id": person.id, "fields": sorted(changed)})
    audit.record(session, actor, "patient.edit", "person", person.id, {"fields": sorted(changed)})
    return person


def unmask(session: Session, actor: Actor, person_id: int, fields: list[str], reason: str) -> dict[str, str | None]:
    """Sealed fields in clear, audited with the reason. :raises Invalid: a field that isn't sealed."""
    if strange := set(fields) - set(SEALED_FIELDS):
        raise invalid("fields", f"没有可以显示的项目：{'、'.join(sorted(strange))}")
    person = get(session, person_id)
    audit.record(session, actor, "patient.unmask", "person", person.id, {"fields": sorted(fields), "reason": reason})
    return {field: getattr(person, field) for field in fields}


def _checked(session: Session, given: Mapping[str, Any], person: Person | None = None) -> dict[str, Any]:
    """The values to store: checked, empty text as None, filled from the ID number where it speaks."""
    values = {field: (value.strip() or None) if isinstance(value, str) else value for field, value in given.items()}
    errors: list[FieldError] = []
    if person is not None and "name" in values and not values["name"]:
        errors.append(FieldError("name", "姓名不能为空"))
    if person is not None and "sex" in values and not values["sex"]:
        values["sex"] = "0"
    errors += _checked_id(values, person, today(session))
    for field in ("phone", "work_phone", "contact_phone"):
        if (phone := values.get(field)) and not _PHONE.match(phone):
            errors.append(FieldError(field, "电话号码应为 6 至 20 位数字，可以有区号和短横"))
    if (postcode := values.get("home_postcode")) and not (len(postcode) == 6 and postcode.isascii()
                                                          and postcode.isdigit()):
        errors.append(FieldError("home_postcode", "邮政编码应为 6 位数字"))
    errors += masterdata.refused_codes(session, {field: (dictionary, values[field])
                                                 for field, dictionary in DICTIONARY_FIELDS.items() if field in values})
    regions = {field: values[field] for field in REGION_FIELDS
               if values.get(field) and (person is None or getattr(person, field) != values[field])}
    errors += masterdata.refused_regions(session, regions)
    if (mother := values.get("mother_id")) is not None and session.get(Person, mother) is None:
        errors.append(FieldError("mother_id", "没有这位母亲的档案，请重新选择"))
    if errors:
        raise Invalid("patients.invalid", "病人信息有误，请按提示修改", errors)
    return values


def _checked_id(values: dict[str, Any], person: Person | None, day: date) -> list[FieldError]:
    def present(field: str) -> Any:
        return values[field] if field in values else getattr(person, field, None)

    born = values.get("birth_date")
    if born is not None and not date(rules.OLDEST_YEAR, 1, 1) <= born <= day:
        return [FieldError("birth_date", "出生日期不能在今天之后或早于 1850 年")]
    number, id_type = present("id_no"), present("id_type")
    if number is None:
        return []
    if not id_type:
        return [FieldError("id_type", "填写了证件号码，请选择证件类型")]
    if not {"id_no", "id_type", "birth_date", "sex"} & values.keys():
        return []
    try:
        facts = rules.check_id(id_type, number, day)
    except rules.IdNumberError as error:
        return [FieldError("id_no", str(error))]
    if "id_no" in values:
        values["id_no"] = facts.number
    errors = []
    if facts.birth_date is not None:
        if present("birth_date") is None:
            values["birth_date"] = facts.birth_date
        elif present("birth_date") != facts.birth_date and id_type != rules.PERMANENT_RESIDENT:
            errors.append(FieldError("birth_date", f"与证件号码中的出生日期（{facts.birth_date}）不一致，请核对"))
    if facts.sex is not None:
        if present("sex") in (None, "0", "9"):
            values["sex"] = facts.sex
        elif present("sex") != facts.sex:
            errors.append(FieldError("sex", "与证件号码中的性别不一致，请核对"))
    return errors


def _similar(session: Session, values: Mapping[str, Any]) -> list[int]:
    if not values.get("birth_date"):
        return []
    return list(session.scalars(select(Person.id).where(
        Person.birth_date == values["birth_date"], Person.sex == (values.get("sex") or "0"),
        Person.name == values["name"], Person.merged_into_id.is_(None)).limit(10)))
