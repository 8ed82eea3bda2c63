"""Reads of master data: what every code box searches (M7.4), dictionaries, regions."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

from sqlalchemy import Table, or_, select
from sqlalchemy.orm import Session, aliased

from his_server.db import today
from his_server.errors import NotFound
from his_server.search import match
from modules.kernel.masterdata import models
from modules.kernel.masterdata.models import (
    ChargeItem,
    ChargeItemPrice,
    Department,
    Diagnosis,
    DictionaryEntry,
    Drug,
    DrugPrice,
    Frequency,
    ItemSet,
    ItemSetLine,
    PostalArea,
    Region,
    Staff,
)
from modules.kernel.masterdata.service.lookups import department_labels, valid_on


def _found(session: Session, table: Table, q: str, limit: int, conditions: Iterable[Any] = ()) -> list[int]:
    """Ids in the order of the search; one query."""
    return list(session.scalars(match(session, table, q, limit=limit, extra=list(conditions))))


def _in_order(ids: list[int], rows: Iterable[Any]) -> list[Any]:
    by_id = {row.id: row for row in rows}
    return [by_id[key] for key in ids if key in by_id]


def drugs(session: Session, q: str, limit: int, state: str = "active") -> list[dict[str, Any]]:
    """Drugs with their present price; ``state`` active, stopped or all; two queries."""
    columns = (Drug.id, Drug.code, Drug.name, Drug.form, Drug.spec, Drug.dose_amount, Drug.dose_unit, Drug.base_unit,
               Drug.pack_unit, Drug.pack_size, Drug.manufacturer, Drug.fiscal_category, Drug.control,
               Drug.antimicrobial, Drug.tb, Drug.skin_test, Drug.splittable, Drug.insurance_level, Drug.default_usage,
               Drug.default_frequency, Drug.active, DrugPrice.pack_price.label("price"))
    statement = select(*columns).outerjoin(
        DrugPrice, (DrugPrice.drug_id == Drug.id) & valid_on(DrugPrice, today(session)))
    return _searched(session, models.drug_search, Drug, statement, q, limit, state=state)


def charge_items(session: Session, q: str, limit: int, kind: str = "", state: str = "active") -> list[dict[str, Any]]:
    """Charge items (of a performing kind) with their present price; ``state`` active, stopped or all; two queries."""
    statement = select(
        ChargeItem.id, ChargeItem.code, ChargeItem.name, ChargeItem.unit, ChargeItem.fiscal_category,
        ChargeItem.insurance_level, ChargeItem.performing_kind, ChargeItem.active, ChargeItemPrice.price,
    ).outerjoin(ChargeItemPrice, (ChargeItemPrice.item_id == ChargeItem.id)
                & valid_on(ChargeItemPrice, today(session)))
    more = [ChargeItem.performing_kind == kind] if kind else []
    return _searched(session, models.charge_item_search, ChargeItem, statement.where(*more), q, limit, more, state)


def diagnoses(session: Session, q: str, limit: int, state: str = "active") -> list[dict[str, Any]]:
    """Diagnoses; two queries."""
    statement = select(Diagnosis.id, Diagnosis.code, Diagnosis.name, Diagnosis.category, Diagnosis.active)
    return _searched(session, models.diagnosis_search, Diagnosis, statement, q, limit, state=state)


def departments(session: Session, q: str, limit: int, kind: str = "", state: str = "active") -> list[dict[str, Any]]:
    """Departments; without a query all of the kind."""
    more = [Department.kind == kind] if kind else []
    statement = select(Department.id, Department.code, Department.name, Department.kind, Department.outpatient,
                       Department.emergency, Department.building, Department.active).where(*more)
    return _searched(session, models.department_search, Department, statement, q, limit, more, state)


def wards(session: Session, q: str, limit: int, department_id: int | None, state: str = "active"
          ) -> list[dict[str, Any]]:
    """Wards (a few dozen) with their department, by a part of name or code; one query."""
    ward = models.Ward
    statement = select(ward.id, ward.code, ward.name, ward.department_id, ward.beds, ward.active,
                       Department.name.label("department")).join(Department, Department.id == ward.department_id)
    if state != "all":
        statement = statement.where(ward.active.is_(state == "active"))
    if department_id is not None:
        statement = statement.where(ward.department_id == department_id)
    if q:
        statement = statement.where(ward.name.contains(q, autoescape=True) | ward.code.contains(q, autoescape=True))
    return [dict(row._mapping) for row in session.execute(statement.order_by(ward.code).limit(limit))]


def staff(session: Session, q: str, limit: int, role: str = "", state: str = "active") -> list[dict[str, Any]]:
    """Staff with their department; two queries."""
    more = [Staff.role == role] if role else []
    statement = select(Staff.id, Staff.code, Staff.name, Staff.sex, Staff.title, Staff.role, Staff.department_id,
                       Staff.active, Department.name.label("department")).join(
                           Department, Department.id == Staff.department_id).where(*more)
    return _searched(session, models.staff_search, Staff, statement, q, limit, more, state)


def _searched(session: Session, table: Table, model: type[Any], statement: Any, q: str, limit: int,
              more: Iterable[Any] = (), state: str = "active") -> list[dict[str, Any]]:
    """Rows in a state that a query finds, best first; without a query by code."""
    wanted = {"active": [model.active.is_(True)], "stopped": [model.active.is_(False)], "all": []}[state]
    if not q:
        rows = session.execute(statement.where(*wanted).order_by(model.code).limit(limit)).all()
        return [dict(row._mapping) for row in rows]
    usable = select(model.id).where(model.id == table.c.owner_id, *wanted, *more).exists()
    ids = _found(session, table, q, limit, [usable])
    return [dict(row._mapping) for row in _in_order(ids, session.execute(statement.where(model.id.in_(ids))))]


def item_sets(session: Session, q: str, limit: int, department_id: int | None) -> list[dict[str, Any]]:
    """Present item sets of a department (and those of all), with lines and prices; four queries."""
    usable = ItemSet.valid_to.is_(None)
    mine = (ItemSet.department_id == department_id) | ItemSet.department_id.is_(None) if department_id else usable
    if q:
        exists = select(ItemSet.id).where(ItemSet.id == models.item_set_search.c.owner_id, usable, mine).exists()
        ids = _found(session, models.item_set_search, q, limit, [exists])
    else:
        ids = list(session.scalars(select(ItemSet.id).where(usable, mine).order_by(ItemSet.code).limit(limit)))
    sets = _in_order(ids, session.scalars(select(ItemSet).where(ItemSet.id.in_(ids))))
    lines: dict[int, list[dict[str, Any]]] = {key: [] for key in ids}
    for row in session.execute(
            select(ItemSetLine.set_id, ItemSetLine.item_id, ItemSetLine.quantity, ItemSetLine.optional, ChargeItem.code,
                   ChargeItem.name, ChargeItem.unit, ChargeItemPrice.price)
            .join(ChargeItem, ChargeItem.id == ItemSetLine.item_id)
            .outerjoin(ChargeItemPrice, (ChargeItemPrice.item_id == ChargeItem.id)
                       & valid_on(ChargeItemPrice, today(session)))
            .where(ItemSetLine.set_id.in_(ids)).order_by(ItemSetLine.set_id, ItemSetLine.position)):
        lines[row.set_id].append(dict(row._mapping))
    places = department_labels(session, [s.department_id for s in sets if s.department_id])
    return [{"id": s.id, "code": s.code, "name": s.name, "version": s.version, "lines": lines[s.id],
             "department_id": s.department_id,
             "department": places[s.department_id][1] if s.department_id in places else None} for s in sets]


def regions(session: Session, q: str, limit: int, parent: str = "") -> list[dict[str, Any]]:
    """Present regions only (M1.4): by name, pinyin or code, best first, or the children of one; ended ones lead to
    their successor. Two queries."""
    here = select(Region.code, Region.name, Region.level, Region.full_name, Region.parent_code).where(
        valid_on(Region, today(session)))
    if not q:
        rows = session.execute(here.where(Region.parent_code == parent).order_by(Region.code).limit(limit))
        return [dict(row._mapping) for row in rows]
    ids = _found(session, models.region_search, q, limit)
    old = aliased(Region)
    found: dict[str, dict[str, Any]] = {}
    hits = session.execute(here.add_columns(old.id).join(old, old.present_code == Region.code).where(old.id.in_(ids)))
    for row in sorted(hits, key=lambda hit: ids.index(hit.id)):
        found.setdefault(row.code, {key: value for key, value in row._mapping.items() if key != "id"})
    return list(found.values())


def postcodes(session: Session, q: str, limit: int) -> list[dict[str, Any]]:
    """Postcode and telephone area code, both ways (M3.3): by the beginning of a postcode, area code or region code,
    or by the place's name, pinyin or wubi. An ended region shows where it belongs today. Two queries."""
    present = aliased(Region)
    statement = select(PostalArea.place, present.code.label("region_code"), PostalArea.postcode, PostalArea.area_code,
                       present.full_name).outerjoin(Region, Region.code == PostalArea.region_code).outerjoin(
                           present, present.code == Region.present_code)
    if q.isascii() and q.isdigit():
        columns = (PostalArea.postcode, PostalArea.area_code, PostalArea.region_code, present.code)
        statement = statement.where(or_(*(column.startswith(q) for column in columns)))
    elif q:
        names = select(Region.present_code).where(Region.id.in_(_found(session, models.region_search, q, limit)))
        statement = statement.where(present.code.in_(names) | PostalArea.place.contains(q, autoescape=True))
    return [dict(row._mapping) for row in session.execute(
        statement.order_by(PostalArea.region_code, PostalArea.postcode).limit(limit))]


def dictionary(session: Session, name: str, on: date | None = None) -> list[dict[str, Any]]:
    """The entries of a dictionary that may be chosen today. :raises NotFound: there is no such dictionary."""
    rows = session.execute(
        select(DictionaryEntry.code, DictionaryEntry.name)
        .where(DictionaryEntry.dictionary == name, valid_on(DictionaryEntry, on or today(session)))
        .order_by(DictionaryEntry.position, DictionaryEntry.code)).all()
    if not rows:
        raise NotFound("masterdata.no_dictionary", "没有这个字典")
    return [dict(row._mapping) for row in rows]


def frequencies(session: Session) -> list[Frequency]:
    """All frequencies."""
    return list(session.scalars(select(Frequency).order_by(Frequency.interval_days, Frequency.times_per_day)))
