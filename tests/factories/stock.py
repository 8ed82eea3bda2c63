"""Stores and batches for tests of stock."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from itertools import count
from typing import Any

from sqlalchemy.orm import Session

from his_server.actor import SYSTEM
from his_server.db import today
from modules.kernel.masterdata.models import Drug
from modules.kernel.stock import service as stock
from modules.kernel.stock.models import Store
from modules.kernel.stock.service import BatchQuantity, Document, Receipt
from tests.factories import masterdata as make

_number = count(1)


def make_store(session: Session, kind: str = "outpatient", **values: Any) -> Store:
    """A store with a department of its own."""
    n = next(_number)
    department = make.make_department(session, name=f"库房{n}", kind="药房", outpatient=False)
    found = Store(**{"code": f"S{n:03d}", "name": f"药房{n}", "kind": kind, "department_id": department.id,
                     "active": True, **values})
    session.add(found)
    session.flush()
    return found


def fill(session: Session, store: Store, drug: Drug, packs: int = 10, *, days: int = 400, pack_cost: str = "20.00",
         lot: str | None = None) -> BatchQuantity:
    """Packs of a new lot in a store."""
    [found] = stock.receive(session, SYSTEM, store.id, [Receipt(
        drug.id, lot or f"L{next(_number)}", today(session) + timedelta(days=days), Decimal(pack_cost),
        Decimal(packs * drug.pack_size), None, drug.pack_size)], Document("opening", next(_number)), "opening")
    return found
