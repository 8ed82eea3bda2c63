"""Suppliers and their papers, whose ends are warned of."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from his_server.actor import Actor
from his_server.db import today
from his_server.errors import Conflict, FieldError, Invalid, NotFound
from his_server.search import search_keys, store_keys
from his_server.security import audit
from modules.drug_warehouse.models import Supplier, SupplierPaper, supplier_search
from modules.drug_warehouse.rules import PAPER_KINDS

NEEDED = ("药品经营许可证", "营业执照")
WARN_DAYS = 60


def get(session: Session, supplier_id: int) -> Supplier:
    """A supplier. :raises NotFound: there is none."""
    found = session.get(Supplier, supplier_id)
    if found is None:
        raise NotFound("warehouse.no_supplier", "没有这个供应商，请重新选择")
    return found


def save(session: Session, actor: Actor, supplier_id: int | None, *, code: str, name: str, contact: str = "",
         phone: str = "", active: bool = True) -> Supplier:
    """Make or change a supplier. :raises Conflict: the code is another's."""
    other = session.scalar(select(Supplier.id).where(Supplier.code == code))
    if other is not None and other != supplier_id:
        raise Conflict("warehouse.supplier_code", "该编码已被其他供应商使用，请更换", [FieldError("code", "已被使用")])
    values = {"code": code, "name": name, "contact": contact, "phone": phone, "active": active}
    if supplier_id is None:
        found = Supplier(**values)
        session.add(found)
    else:
        found = get(session, supplier_id)
        for key, value in values.items():
            setattr(found, key, value)
    session.flush()
    store_keys(session, supplier_search, found.id, search_keys(name, person=False, code=code))
    audit.record(session, actor, "supplier.save", "supplier", found.id, {"code": code, "active": active})
    return found


def add_paper(session: Session, actor: Actor, supplier_id: int, *, kind: str, number: str, valid_from: date,
              valid_to: date, note: str = "") -> SupplierPaper:
    """Enter a licence or contract. :raises Invalid: it ends before it begins."""
    get(session, supplier_id)
    if kind not in PAPER_KINDS:
        raise Invalid("warehouse.paper_kind", "请选择证照类别", [FieldError("kind", "请选择")])
    if valid_to < valid_from:
        raise Invalid("warehouse.paper_period", "截止日期早于起始日期", [FieldError("valid_to", "不能早于起始日期")])
    found = SupplierPaper(supplier_id=supplier_id, kind=kind, number=number, valid_from=valid_from, valid_to=valid_to,
                          note=note)
    session.add(found)
    session.flush()
    audit.record(session, actor, "supplier.paper", "supplier", supplier_id, {"kind": kind, "number": number})
    return found


def papers(session: Session, supplier_ids: Iterable[int]) -> dict[int, list[dict[str, Any]]]:
    """Papers of suppliers, soonest end first, each with days left; one query."""
    day = today(session)
    found: dict[int, list[dict[str, Any]]] = {}
    for paper in session.scalars(select(SupplierPaper).where(SupplierPaper.supplier_id.in_(set(supplier_ids)))
                                 .order_by(SupplierPaper.valid_to, SupplierPaper.id)):
        found.setdefault(paper.supplier_id, []).append({
            "id": paper.id, "supplier_id": paper.supplier_id, "kind": paper.kind, "number": paper.number,
            "valid_from": paper.valid_from, "valid_to": paper.valid_to, "note": paper.note,
            "days_left": (paper.valid_to - day).days})
    return found


def check(session: Session, supplier_id: int) -> Supplier:
    """A supplier that we may buy from. :raises Conflict: stopped, or a needed licence is missing or has ended."""
    found = get(session, supplier_id)
    if not found.active:
        raise Conflict("warehouse.supplier_stopped", f"{found.name} 已停用，不能采购或入库")
    valid = {p["kind"] for p in papers(session, [supplier_id]).get(supplier_id, ()) if p["days_left"] >= 0}
    if missing := [kind for kind in NEEDED if kind not in valid]:
        raise Conflict("warehouse.licence", f"{found.name} 的{'、'.join(missing)}未登记或已过期，请先更新证照")
    return found


def ending(session: Session, within: int = WARN_DAYS) -> list[dict[str, Any]]:
    """Papers that end within so many days or have ended and weren't replaced, soonest first; one query."""
    day = today(session)
    rows = session.execute(
        select(SupplierPaper.supplier_id, Supplier.name, SupplierPaper.kind, SupplierPaper.number, SupplierPaper.valid_to)
        .join(Supplier, Supplier.id == SupplierPaper.supplier_id).where(Supplier.active)
        .order_by(SupplierPaper.valid_to.desc())).all()
    newest: dict[tuple[int, str], Any] = {}
    for row in rows:
        newest.setdefault((row.supplier_id, row.kind), row)
    return sorted(({**row._mapping, "days_left": (row.valid_to - day).days} for row in newest.values()
                   if row.valid_to <= day + timedelta(days=within)), key=lambda one: one["valid_to"])
