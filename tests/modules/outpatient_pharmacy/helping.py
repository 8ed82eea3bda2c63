"""What the tests of the pharmacies share."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from his_server.actor import SYSTEM
from his_server.db import today
from modules.kernel.dispensing.models import StoreRule
from modules.kernel.stock import service as stock
from modules.kernel.stock.service import Document, Receipt
from tests.factories import masterdata as make
from tests.factories.hospital import World

PHARMACY = "/api/outpatient-pharmacy"


def paid(world: World, quantity: str = "24", drug: str = "drug", name: str = "张小明", again: dict[str, Any] | None = None,
         **more: Any) -> dict[str, Any]:
    """A paid prescription, ``again`` of that one's visit; ``settled`` is what paid it."""
    who = again["person_id"] if again else world.person(name)
    visit = again["visit"] if again else world.encounter(world.register(who))
    made = world.prescribe(visit, quantity, drug=drug, **more)
    return {**made, "visit": visit, "person_id": who, "settled": world.ok(world.pay_all(who))}


def act(world: World, made: dict[str, Any], verb: str, body: dict[str, Any] | None = None, who: str = "pharmacist",
        **more: Any) -> Any:
    """POST …/prescriptions/<id>/<verb>."""
    return world.post(who, f"{PHARMACY}/prescriptions/{made['id']}/{verb}", body, **more)


def look(world: World, made: dict[str, Any], who: str = "pharmacist") -> dict[str, Any]:
    """A prescription as the pharmacist sees it."""
    return world.ok(world.get(who, f"{PHARMACY}/prescriptions/{made['id']}"))


def give_back(world: World, made: dict[str, Any], quantity: str = "24", who: str = "pharmacist", **more: Any) -> Any:
    """Ask to give back of the first line."""
    return act(world, made, "returns", {"lines": [{"line_id": made["lines"][0]["id"], "quantity": quantity}],
                                        "reason": "药物过敏", **more}, who)


def set_rule(world: World, store: str = "store", **values: Any) -> None:
    """How a store works."""
    with world.db.begin() as session:
        session.info["actor"] = SYSTEM
        rule = session.query(StoreRule).filter_by(store_id=world.ids[store]).one()
        for name, value in values.items():
            setattr(rule, name, value)


def open_windows(world: World, *numbers: int, store: str = "store") -> dict[int, int]:
    """Open windows: number → key."""
    keys = {}
    for number in numbers:
        made = world.ok(world.post("pharmacist", f"{PHARMACY}/windows", {
            "store_id": world.ids[store], "number": number}))
        world.ok(world.post("pharmacist", f"{PHARMACY}/windows/{made['id']}/state", {"state": "open"}))
        keys[number] = made["id"]
    return keys


def stock_drug(world: World, name: str, key: str, **values: Any) -> int:
    """A further drug in both stores, lot ``N1``."""
    with world.db.begin() as session:
        session.info["actor"] = SYSTEM
        drug = make.make_drug(session, "30.00", name=name, antimicrobial="", **values)
        for store in ("store", "emergency_store"):
            stock.receive(session, SYSTEM, world.ids[store], [
                Receipt(drug.id, "N1", today(session) + timedelta(days=300), Decimal("20"),
                        Decimal(drug.pack_size * 50), None, drug.pack_size)], Document("stock_in", 3))
        world.ids[key] = drug.id
        return drug.id
