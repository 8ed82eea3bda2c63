"""Reads that every document makes: prices on a day, items, drugs, staff, departments. One query each."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session

from his_server.errors import NotFound
from modules.kernel.masterdata.models import (
    ChargeItem,
    ChargeItemPrice,
    Department,
    Drug,
    DrugPrice,
    InsuranceMapping,
    ItemSet,
    ItemSetLine,
    Staff,
)

Row = TypeVar("Row", ChargeItem, Drug, Department, Staff)


def valid_on(table: Any, day: date) -> ColumnElement[bool]:
    """The condition that a row is valid on a day: ``valid_from`` <= day < ``valid_to``, empty = open."""
    return and_(or_(table.valid_from.is_(None), table.valid_from <= day),
                or_(table.valid_to.is_(None), table.valid_to > day))


def item_prices(session: Session, item_ids: Iterable[int], on: date) -> dict[int, Decimal]:
    """Unit prices in yuan of charge items on a day; items without a price then are left out. One query."""
    rows = session.execute(select(ChargeItemPrice.item_id, ChargeItemPrice.price)
                           .where(ChargeItemPrice.item_id.in_(set(item_ids)), valid_on(ChargeItemPrice, on)))
    return {item_id: price for item_id, price in rows}


def drug_prices(session: Session, drug_ids: Iterable[int], on: date) -> dict[int, Decimal]:
    """Pack prices in yuan of drugs on a day; drugs without a price then are left out. One query."""
    rows = session.execute(select(DrugPrice.drug_id, DrugPrice.pack_price)
                           .where(DrugPrice.drug_id.in_(set(drug_ids)), valid_on(DrugPrice, on)))
    return {drug_id: price for drug_id, price in rows}


def _many(session: Session, model: type[Row], ids: Iterable[int]) -> dict[int, Row]:
    wanted = set(ids)
    return {row.id: row for row in session.scalars(select(model).where(model.id.in_(wanted)))} if wanted else {}


def items(session: Session, ids: Iterable[int]) -> dict[int, ChargeItem]:
    """Charge items by id; unknown ids are left out. One query."""
    return _many(session, ChargeItem, ids)


def drugs(session: Session, ids: Iterable[int]) -> dict[int, Drug]:
    """Drugs by id; unknown ids are left out. One query."""
    return _many(session, Drug, ids)


def departments(session: Session, ids: Iterable[int]) -> dict[int, Department]:
    """Departments by id; unknown ids are left out. One query."""
    return _many(session, Department, ids)


def staff_members(session: Session, ids: Iterable[int]) -> dict[int, Staff]:
    """Staff by id; unknown ids are left out. One query."""
    return _many(session, Staff, ids)


def department(session: Session, department_id: int) -> Department:
    """A department. :raises NotFound: there is none with this id."""
    found = session.get(Department, department_id)
    if found is None:
        raise NotFound("masterdata.no_department", "没有这个科室，请重新选择")
    return found


def staff(session: Session, staff_id: int) -> Staff:
    """A member of staff. :raises NotFound: there is none with this id."""
    found = session.get(Staff, staff_id)
    if found is None:
        raise NotFound("masterdata.no_staff", "没有这名职工，请重新选择")
    return found


def _by_code(session: Session, model: type[Row], code: str, message: str) -> Row:
    found = session.scalars(select(model).where(model.code == code)).one_or_none()
    if found is None:
        raise NotFound("masterdata.no_code", f"{message}（{code}）")
    return found


def department_by_code(session: Session, code: str) -> Department:
    """A department by its code. :raises NotFound: there is none."""
    return _by_code(session, Department, code, "没有这个科室编码")


def staff_by_code(session: Session, code: str) -> Staff:
    """A member of staff by staff number. :raises NotFound: there is none."""
    return _by_code(session, Staff, code, "没有这个工号")


def item_by_code(session: Session, code: str) -> ChargeItem:
    """A charge item by its code. :raises NotFound: there is none."""
    return _by_code(session, ChargeItem, code, "没有这个收费项目编码")


def current_set(session: Session, code: str) -> ItemSet:
    """The present version of an item set. :raises NotFound: there is none."""
    found = session.scalars(select(ItemSet).where(ItemSet.code == code, ItemSet.valid_to.is_(None))).one_or_none()
    if found is None:
        raise NotFound("masterdata.no_set", f"没有这个套餐编码（{code}）")
    return found


def set_lines(session: Session, set_ids: Iterable[int]) -> dict[int, list[ItemSetLine]]:
    """The lines of item set versions, in order, by set id. One query."""
    found: dict[int, list[ItemSetLine]] = {set_id: [] for set_id in set_ids}
    for line in session.scalars(select(ItemSetLine).where(ItemSetLine.set_id.in_(found))
                                .order_by(ItemSetLine.set_id, ItemSetLine.position)):
        found[line.set_id].append(line)
    return found


def department_labels(session: Session, ids: Iterable[int] | None) -> dict[int, tuple[str, str]]:
    """Code and name of departments by key; ``ids`` None: all that are in use. One query."""
    query = select(Department.id, Department.code, Department.name)
    query = query.where(Department.active) if ids is None else query.where(Department.id.in_(set(ids)))
    return {row.id: (row.code, row.name) for row in session.execute(query)}


def national_codes(session: Session, codes: Iterable[str], on: date) -> dict[tuple[str, str], tuple[str, str]]:
    """The insurer's (list_type, med_list_codg) of our codes on a day, by (kind, code); what nobody mapped is left out."""
    rows = session.execute(
        select(InsuranceMapping.kind, InsuranceMapping.code, InsuranceMapping.list_type, InsuranceMapping.national)
        .where(InsuranceMapping.code.in_(set(codes)), valid_on(InsuranceMapping, on), InsuranceMapping.state != "withdrawn"))
    return {(row.kind, row.code): (row.list_type, row.national) for row in rows}
