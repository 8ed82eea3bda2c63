"""Two wards with a ward pharmacy each, and patients who lie there, for tests of what is done for them at night."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from his_server.actor import SYSTEM
from his_server.db import now, today
from interfaces.ward_standin import simulator
from modules.kernel.dispensing.models import StoreRule
from modules.kernel.stock import service as stock
from modules.kernel.stock.models import Store
from modules.kernel.stock.service import Document, Receipt
from tests.factories import masterdata as make
from tests.factories.hospital import World


def make_wards(world: World, *drugs: str) -> None:
    """Wards ``ward_one`` and ``ward_two``, supplied by ``ward_store_one`` and ``ward_store_two`` (07:30–17:30), each with a
    lot ``W1`` of every drug."""
    with world.db.begin() as session:
        session.info["actor"] = SYSTEM
        for name, title in (("one", "内一"), ("two", "外二")):
            department = make.make_department(session, name=f"{title}科", outpatient=False)
            pharmacy = make.make_department(session, name=f"{title}病区药房", kind="药房", outpatient=False)
            ward = make.make_ward(session, department, name=f"{title}病区")
            store = Store(code=f"W{name}", name=f"{title}病区药房", kind="ward", department_id=pharmacy.id, active=True)
            session.add(store)
            session.flush()
            session.add(StoreRule(store_id=store.id, opens="07:30", closes="17:30", changed_at=now(session),
                                  changed_by_name=""))
            simulator.supply(session, ward.id, store.id)
            stock.receive(session, SYSTEM, store.id, [
                Receipt(world.ids[drug], "W1", today(session) + timedelta(days=300), Decimal("12"), Decimal(960), None, 24)
                for drug in drugs or ("drug",)], Document("stock_in", 9))
            world.ids |= {f"ward_{name}": ward.id, f"ward_store_{name}": store.id}


def make_slip(world: World, name: str = "王住院", drug: str = "drug", quantity: int = 48, out: int = 96) -> tuple[int, int]:
    """A patient of ward one got ``out`` of a drug, and the ward asks to give ``quantity`` back; (slip, stay)."""
    person = world.person(name)
    with world.db.begin() as session:
        session.info["actor"] = SYSTEM
        stay = simulator.admit(session, person_id=person, number=f"ZY{person}", ward_id=world.ids["ward_one"], bed="12")
        [line] = simulator.hand_out(session, SYSTEM, stay, [(world.ids[drug], Decimal(out))])
        return simulator.ask_back(session, stay_id=stay, asked_by="护士甲", reason="停医嘱",
                                  lines=[{**line, "quantity": Decimal(quantity)}]), stay


def move(world: World, stay: int, ward: str = "ward_two") -> None:
    """转科."""
    with world.db.begin() as session:
        session.info["actor"] = SYSTEM
        simulator.transfer(session, stay, world.ids[ward], "07")
