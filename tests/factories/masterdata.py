"""Departments, staff, charge items and drugs for tests: valid, with a price since 2020, told apart by a counter."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from itertools import count
from typing import Any

from sqlalchemy.orm import Session

from his_server.search import search_keys, store_keys
from modules.kernel.masterdata import models

SINCE = date(2020, 1, 1)
_number = count(1)


def make_department(session: Session, **values: Any) -> models.Department:
    """A clinical outpatient department with its search keys."""
    n = next(_number)
    given = {"code": f"D{n:04d}", "name": f"内科{n}", "kind": "临床", "outpatient": True, "emergency": False,
             "building": "门诊楼", **values}
    return _store(session, models.Department(**given), models.department_search)


def make_ward(session: Session, department: models.Department, **values: Any) -> models.Ward:
    """A ward of a department with 40 beds."""
    n = next(_number)
    given = {"code": f"W{n:04d}", "name": f"病区{n}", "department_id": department.id, "beds": 40, **values}
    found = models.Ward(**given)
    session.add(found)
    session.flush()
    return found


def make_staff(session: Session, department: models.Department | None = None, **values: Any) -> models.Staff:
    """A doctor of the department (of a new one if none is given)."""
    n = next(_number)
    if "department_id" not in values:
        values["department_id"] = (department or make_department(session)).id
    given = {"code": f"{n:05d}", "name": f"王医生{n}", "sex": "1", "title": "主治医师", "role": "doctor", **values}
    return _store(session, models.Staff(**given), models.staff_search, person=True)


def make_item(session: Session, price: Decimal | str | None = "12.00", **values: Any) -> models.ChargeItem:
    """A charge item (检查费, 乙类) with one open price in yuan; ``price=None`` for none."""
    n = next(_number)
    given = {"code": f"F{n:05d}", "name": f"胸部X线检查{n}", "unit": "次", "fiscal_category": "03",
             "insurance_level": "02", "performing_kind": "检查", **values}
    found = _store(session, models.ChargeItem(**given), models.charge_item_search)
    if price is not None:
        session.add(models.ChargeItemPrice(item_id=found.id, price=Decimal(price), valid_from=SINCE, valid_to=None))
        session.flush()
    return found


def make_drug(session: Session, price: Decimal | str | None = "24.00", **values: Any) -> models.Drug:
    """阿莫西林胶囊 0.25g×24粒 with one open pack price in yuan; ``price=None`` for none."""
    n = next(_number)
    given = {"code": f"Y{n:05d}", "name": f"阿莫西林胶囊{n}", "form": "胶囊剂", "spec": "0.25g",
             "dose_amount": Decimal("0.25"), "dose_unit": "g", "base_unit": "粒", "pack_unit": "盒", "pack_size": 24,
             "manufacturer": "示例制药", "fiscal_category": "09", "control": "普通", "antimicrobial": "非限制",
             "insurance_level": "01", "splittable": True, "default_usage": "口服", "default_frequency": "tid", **values}
    found = _store(session, models.Drug(**given), models.drug_search)
    if price is not None:
        session.add(models.DrugPrice(drug_id=found.id, pack_price=Decimal(price), valid_from=SINCE, valid_to=None))
        session.flush()
    return found


def make_region(session: Session, code: str, name: str, **values: Any) -> models.Region:
    """A region valid now unless ``valid_to`` and ``present_code`` say otherwise."""
    given = {"level": 3, "parent_code": code[:4] + "00", "present_code": code, "full_name": name, **values}
    return _store(session, models.Region(code=code, name=name, **given), models.region_search)


def _store(session: Session, row: Any, table: Any, person: bool = False) -> Any:
    session.add(row)
    session.flush()
    store_keys(session, table, row.id, search_keys(row.name, person=person, code=row.code))
    return row
