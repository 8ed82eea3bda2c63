"""``his-server import persons FILE``: the files a hospital kept in its former system.

A row needs a number that tells the person apart (certificate or card), so that a repeat finds and updates the same
file. Addresses in reformed regions go to the present one and keep the code they came with (M1.4). Empty cells say
nothing: nothing is defaulted (M3.6), and nothing that is known is erased.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from his_server.actor import Actor
from his_server.errors import Conflict, Invalid
from modules.kernel.masterdata import service as masterdata
from modules.kernel.masterdata.importing.kinds import Column, day, text
from modules.kernel.masterdata.importing.run import columns_of, convert, refuse
from modules.kernel.masterdata.importing.table import CellError, TableRow
from modules.kernel.patients import rules
from modules.kernel.patients.models import Person, PersonIdentifier
from modules.kernel.patients.service import identifiers, records
from modules.kernel.patients.service.merging import survivors
from modules.kernel.patients.service.migration import ADDRESSES

CARDS = ("hospital_card", "social_card", "inpatient_no")
COLUMNS = (
    Column("name", ("姓名",), text(100), needed=True), Column("sex", ("性别",), text(1)),
    Column("birth_date", ("出生日期",), day), Column("id_type", ("证件类型",), text(2)),
    Column("id_no", ("证件号码", "身份证号"), text(40)), Column("phone", ("手机", "电话"), text(30)),
    Column("insurance_no", ("医保个人编号",), text(40)), Column("nationality", ("国籍",), text(3)),
    Column("ethnic", ("民族",), text(2)), Column("marriage", ("婚姻",), text(2)), Column("occupation", ("职业",), text(4)),
    Column("allergies", ("过敏史",), text(200)), Column("home_region", ("现住址地区代码",), text(12)),
    Column("home_detail", ("现住址",), text(200)), Column("home_postcode", ("邮编",), text(6)),
    Column("household_region", ("户口地区代码",), text(12)), Column("household_detail", ("户口地址",), text(200)),
    Column("birth_region", ("出生地代码",), text(12)), Column("native_region", ("籍贯代码",), text(12)),
    Column("work_unit", ("工作单位",), text(100)), Column("work_region", ("单位地区代码",), text(12)),
    Column("work_detail", ("单位地址",), text(200)), Column("work_phone", ("单位电话",), text(30)),
    Column("contact_name", ("联系人",), text(100)), Column("contact_relation", ("与病人关系",), text(2)),
    Column("contact_phone", ("联系人电话",), text(30)), Column("hospital_card", ("就诊卡号",), text(40)),
    Column("social_card", ("社会保障卡号",), text(40)), Column("inpatient_no", ("住院号",), text(40)))


def store(session: Session, actor: Actor, header: Sequence[str], rows: Sequence[TableRow]) -> tuple[int, int, int]:
    """Check and store persons; returns how many are new, changed, the same. The caller's unit of work ends with it.

    :raises Invalid: ``import.cells`` with every bad cell; the whole unit of work is to be rolled back.
    """
    names = columns_of(COLUMNS, header)
    errors: list[CellError] = []
    given = [{field: value for field, value in convert(COLUMNS, names, row, {}, {}, set(), errors).items()
              if value is not None} for row in rows]
    for row, values in zip(rows, given, strict=True):
        if values.get("id_no") and "id_type" not in values:
            values["id_type"] = rules.type_of(values["id_no"])
        if not _numbers(values):
            errors.append(CellError(row.number, names.get("id_no", "证件号码"),
                                    "请填写证件号码或就诊卡号，否则重复导入时无法认出同一病人"))
    refuse(errors)
    regions = masterdata.current_regions(session, {v.get(field) for v in given for field in records.REGION_FIELDS})
    known = _known(session, given)
    counts = {"added": 0, "changed": 0, "same": 0}
    for row, values in zip(rows, given, strict=True):
        try:
            counts[_one(session, actor, values, regions, known)] += 1
        except Invalid as error:
            errors += [CellError(row.number, names.get(e.field, e.field), e.message) for e in error.errors]
        except Conflict as error:
            errors.append(CellError(row.number, names.get("id_no", "证件号码"), error.message))
    refuse(errors)
    return counts["added"], counts["changed"], counts["same"]


def _numbers(values: Mapping[str, Any]) -> dict[str, str]:
    return {kind: values[kind] for kind in ("id_no", "insurance_no", *CARDS) if values.get(kind)}


def _known(session: Session, given: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], Person]:
    """Who holds which of the numbers already, by kind and blind index."""
    wanted = {PersonIdentifier.number.blind(number) for values in given for number in _numbers(values).values()}
    found: list[Any] = []
    for chunk in _chunks(sorted(wanted), 500):
        found += session.execute(
            select(PersonIdentifier.kind, PersonIdentifier.number_index, PersonIdentifier.person_id)
            .where(PersonIdentifier.number_index.in_(chunk), PersonIdentifier.active.is_(True)))
    people: dict[int, Person] = {}
    for ids in _chunks(sorted({row.person_id for row in found}), 500):
        people |= survivors(session, ids)
    return {(row.kind, row.number_index): people[row.person_id] for row in found}


def _chunks(values: list[Any], size: int) -> list[list[Any]]:
    return [values[at:at + size] for at in range(0, len(values), size)]


def _one(session: Session, actor: Actor, values: dict[str, Any], regions: Mapping[str, Any],
         known: dict[tuple[str, str], Person]) -> str:
    blind = {(kind, PersonIdentifier.number.blind(number)) for kind, number in _numbers(values).items()}
    persons = {known[key].id: known[key] for key in blind if key in known}
    if len(persons) > 1:
        raise Conflict("import.two_persons", "这一行的号码分属两份档案，请先合并")
    cards = {kind: values.pop(kind) for kind in CARDS if kind in values}
    was = _present(values, regions)
    if not persons:
        person = records.create_person(session, actor, cards=cards, confirmed=True, channel="import", **values)
        result = "added"
    else:
        person = next(iter(persons.values()))
        for field in was:
            if getattr(person, field) == values[field]:
                del values[field]
        different = _different(person, values)
        held = {row.number_index for row in session.scalars(
            select(PersonIdentifier).where(PersonIdentifier.person_id == person.id))} if cards else set()
        fresh = {kind: number for kind, number in cards.items() if PersonIdentifier.number.blind(number) not in held}
        if different:
            records.update_person(session, actor, person.id, person.revision, different)
        for kind, number in fresh.items():
            identifiers.add_identifier(session, actor, person.id, kind, number)
        result = "changed" if different or fresh else "same"
    for field, code in was.items():
        if field in ADDRESSES and field in values:
            setattr(person, f"{field}_was", code)
    session.flush()
    session.refresh(person)
    known.update(dict.fromkeys(blind, person))
    return result


def _present(values: dict[str, Any], regions: Mapping[str, Any]) -> dict[str, str]:
    """Put present codes for ended ones; the codes that were in the file, by field."""
    was = {}
    for field in records.REGION_FIELDS:
        found = regions.get(values.get(field, ""))
        if found is not None and found.changed:
            was[field] = values[field]
            values[field] = found.present_code
    return was


def _different(person: Person, values: Mapping[str, Any]) -> dict[str, Any]:
    changes = {}
    for field, value in values.items():
        before = getattr(person, field)
        if field in ("id_no", "phone", "insurance_no") and before and \
                rules.normalise_number(before) == rules.normalise_number(value):
            continue
        if before != value:
            changes[field] = value
    return changes
