"""What a database administrator does to the ledgers with SQL is found (COMPLIANCE MP-08, MP-14)."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import delete, insert, literal, select, update

from his_server.db import Database
from his_server.security import anchor, integrity, seals
from modules.kernel.charging.models import ChargeLine, Payment, Receipt, Settlement
from modules.kernel.encounters.models import Encounter
from modules.kernel.orders.models import Prescription, PrescriptionLine, Request, RequestLine
from modules.kernel.stock.models import StockMove
from tests.factories.hospital import World

pytestmark = pytest.mark.requirement("MP-14")


@pytest.fixture
def journey(world: World, db: Database, tmp_path: Any) -> World:
    """Two patients seen, charged and sealed; one has part of it back."""
    anchor.place(db, tmp_path)
    for _ in range(2):
        person = world.person()
        encounter = world.encounter(world.register(person))
        world.prescribe(encounter, note="饭后")
        world.request(encounter)
        world.ok(world.pay_all(person))
    seals.seal_all(db)
    seals.checkpoint_now(db)
    assert findings(db) == []
    return world


def findings(db: Database) -> list[str]:
    """What verification says, all chains."""
    with db.begin(write=False) as session:
        return [f"{f.check} {f.where} {f.message}" for f in seals.verify_all(session)]


def sql(db: Database, *statements: Any) -> None:
    """Behind our back: no unit of work."""
    with db.engine.begin() as connection:
        for statement in statements:
            connection.execute(statement)


def ids(db: Database, model: Any, *where: Any) -> list[int]:
    """Keys of rows, in order."""
    with db.engine.connect() as connection:
        return list(connection.scalars(select(model.__table__.c.id).where(*where).order_by(model.__table__.c.id)))


EDITS: dict[str, tuple[Any, dict[str, Any]]] = {
    "an amount of a line": (ChargeLine, {"amount": Decimal("0.01")}),
    "a quantity of a line": (ChargeLine, {"quantity": Decimal(777)}),
    "the total": (Settlement, {"total": Decimal("777.77")}),
    "a receipt's amount": (Receipt, {"amount": Decimal("777.77")}),
    "a payment": (Payment, {"amount": Decimal("777.77")}),
    "a payment's method": (Payment, {"method": "x"}),
    "a drug's quantity": (PrescriptionLine, {"quantity": Decimal(99)}),
    "a drug": (PrescriptionLine, {"drug_id": 1}),
    "a prescription's kind (its sensitivity label)": (Prescription, {"kind": "麻精一"}),
    "a request's patient": (Request, {"person_id": 1}),
    "a request's item": (RequestLine, {"item_id": 1}),
    "a request's quantity": (RequestLine, {"quantity": Decimal(99)}),
    "a prescription's diagnosis": (Prescription, {"diagnosis_sealed": b"\1" + bytes(60)}),
    "a request's diagnosis": (Request, {"diagnosis_sealed": b"\1" + bytes(60)}),
    "a note on a drug": (PrescriptionLine, {"note_sealed": None}),
    "whose visit it was": (Encounter, {"person_id": 1}),
    "a move": (StockMove, {"quantity": Decimal(777)}),
}


@pytest.mark.requirement("MP-08")
@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_edits_are_found(journey: World, db: Database) -> None:
    for what, (model, values) in EDITS.items():
        table = model.__table__
        key = ids(db, model)[0]
        with db.engine.connect() as connection:
            before = dict(connection.execute(select(table).where(table.c.id == key)).mappings().one())
        sql(db, update(table).where(table.c.id == key).values(values))
        assert any(f"id {key}" in found for found in findings(db)), what
        sql(db, update(table).where(table.c.id == key).values({name: before[name] for name in values}))
    assert findings(db) == []


def _swap(db: Database, model: Any, column: str) -> None:
    first, second = ids(db, model)[0], ids(db, model)[-1]
    table = model.__table__
    with db.engine.begin() as connection:
        values = {row.id: row[1] for row in connection.execute(
            select(table.c.id, table.c[column]).where(table.c.id.in_([first, second])))}
        for key, other in ((first, second), (second, first)):
            connection.execute(update(table).where(table.c.id == key).values({column: values[other]}))


def _copy(db: Database, model: Any, **changes: Any) -> None:
    """Plant a copy of a row, its MAC included."""
    table = model.__table__
    with db.engine.begin() as connection:
        row = dict(connection.execute(select(table).order_by(table.c.id).limit(1)).mappings().one())
        connection.execute(insert(table).values({**row, "id": 9_000_000_000, **changes}))


ATTACKS: dict[str, Callable[[Database], None]] = {
    "delete a settlement": lambda db: sql(db, delete(Settlement.__table__).where(
        Settlement.id == ids(db, Settlement)[0])),
    "delete the last settlement": lambda db: sql(db, delete(Settlement.__table__).where(
        Settlement.id == ids(db, Settlement)[-1])),
    "delete a line": lambda db: sql(db, delete(ChargeLine.__table__).where(ChargeLine.id == ids(db, ChargeLine)[0])),
    "delete a receipt": lambda db: sql(db, delete(Receipt.__table__).where(Receipt.id == ids(db, Receipt)[0])),
    "delete a payment": lambda db: sql(db, delete(Payment.__table__).where(Payment.id == ids(db, Payment)[0])),
    "delete a drug": lambda db: sql(db, delete(PrescriptionLine.__table__).where(
        PrescriptionLine.id == ids(db, PrescriptionLine)[0])),
    "delete a move": lambda db: sql(db, delete(StockMove.__table__).where(StockMove.id == ids(db, StockMove)[0])),
    "delete a request": lambda db: sql(db, delete(RequestLine.__table__), delete(Request.__table__)),
    "delete an item of a request": lambda db: sql(db, delete(RequestLine.__table__).where(
        RequestLine.id == ids(db, RequestLine)[0])),
    "plant an item": lambda db: _copy(db, RequestLine),
    "plant a visit": lambda db: sql(db, insert(Encounter.__table__).from_select(
        ["id", "visit_no", *(column := [c.name for c in Encounter.__table__.c if c.name not in ("id", "visit_no")])],
        select(literal(9_000_000_000), literal("X"), *(Encounter.__table__.c[name] for name in column)).limit(1))),
    "swap two diagnoses": lambda db: _swap(db, Prescription, "diagnosis_sealed"),
    "plant a payment": lambda db: _copy(db, Payment),
    "plant a move": lambda db: _copy(db, StockMove),
    "plant a drug": lambda db: _copy(db, PrescriptionLine),
    "plant a settlement": lambda db: _copy(db, Settlement, number="X1"),
    "swap two drugs": lambda db: _swap(db, PrescriptionLine, "prescription_id"),
    "move a line to another settlement": lambda db: _swap(db, ChargeLine, "settlement_id"),
}


@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("attack", ATTACKS)
def test_deleting_planting_and_swapping_are_found(journey: World, db: Database, attack: str) -> None:
    ATTACKS[attack](db)
    assert findings(db) != []
    assert seals.verify_daily(db) > 0  # the nightly job says so too, and audits it


def test_truncation_and_rollback_are_found(journey: World, db: Database) -> None:
    with db.engine.connect() as connection:
        old = {table: [dict(row) for row in connection.execute(select(table)).mappings()]
               for table in (Settlement.__table__, seals.Seal.__table__, seals.SealCheckpoint.__table__)}
    person = journey.person()
    journey.register(person)
    seals.seal_all(db)
    seals.checkpoint_now(db)
    assert findings(db) == []
    # the tables as they were before the last patient, seals and checkpoints included
    for table, rows in old.items():
        sql(db, delete(table))
        with db.engine.begin() as connection:
            connection.execute(insert(table), rows)
    assert any("settlement" in found and "外部锚" in found for found in findings(db))
    sql(db, *(delete(table) for table in old))
    assert any("settlement" in found for found in findings(db))


@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_an_altered_line_cannot_be_refunded(journey: World, db: Database) -> None:
    line = ids(db, ChargeLine, ChargeLine.source == "request")[0]
    with db.engine.connect() as connection:
        settlement = connection.scalar(select(ChargeLine.settlement_id).where(ChargeLine.id == line))
    sql(db, update(ChargeLine.__table__).where(ChargeLine.id == line).values(amount=Decimal("999.00")))
    answer = journey.post("cashier", f"/api/outpatient-billing/settlements/{settlement}/refunds",
                          {"lines": [{"line_id": line, "quantity": "1"}], "reason": "试验"}, key="refund-altered-1")
    assert answer.status_code == 409 and answer.get_json()["code"] == "integrity.violation", answer.get_json()


@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_an_altered_line_cannot_be_paid(world: World, db: Database) -> None:
    person = world.person()
    world.request(world.encounter(world.register(person)))
    open_ = ids(db, ChargeLine, ChargeLine.state == "open")
    sql(db, update(ChargeLine.__table__).where(ChargeLine.id == open_[0]).values(amount=Decimal("0.01")))
    answer = world.pay_all(person)
    assert answer.status_code == 409 and answer.get_json()["code"] == "integrity.violation"


def test_an_unpaid_line_that_is_deleted_is_found(world: World, db: Database, tmp_path: Any) -> None:
    """What a patient owes can't be made to disappear; what was lawfully cancelled is no finding."""
    anchor.place(db, tmp_path)
    person = world.person()
    encounter = world.encounter(world.register(person))
    cancelled = world.request(encounter)
    world.request(encounter)
    seals.seal_all(db)
    world.ok(world.post("doctor", f"/api/orders/requests/{cancelled['id']}/cancel", {"reason": "开错重开"}))
    seals.seal_all(db)
    assert findings(db) == []
    unpaid = ids(db, ChargeLine, ChargeLine.state == "open")
    assert len(unpaid) == 1
    sql(db, delete(ChargeLine.__table__).where(ChargeLine.id == unpaid[0]))
    assert findings(db) == [f"charge_line id {unpaid[0]} 记录被删除（序号 3）"]


@pytest.mark.requirement("MP-12")
@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_macs_hold_when_diagnoses_are_sealed_anew(journey: World, db: Database) -> None:
    """A rotation moves the blobs; MACs and chains cover the texts."""
    with db.engine.begin() as connection:
        for row in connection.execute(select(Prescription.__table__.c.id, Prescription.__table__.c.diagnosis_sealed)):
            place = f"prescription.diagnosis:{row.id}"
            text = db.sealer.open("column", bytes(row.diagnosis_sealed), place)
            connection.execute(update(Prescription.__table__).where(Prescription.__table__.c.id == row.id)
                               .values(diagnosis_sealed=db.sealer.seal("column", text, place)))
    assert findings(db) == []


@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_every_way_of_inserting_writes_the_mac(journey: World, db: Database) -> None:
    with db.begin() as session:
        for model in (ChargeLine, Settlement, Receipt, Payment, Prescription, PrescriptionLine, Request, RequestLine,
                      Encounter, StockMove):
            assert session.scalar(select(model.id).limit(1)) is not None
            assert list(integrity.broken_rows(session, model)) == [], model
        with pytest.raises(TypeError):
            session.execute(insert(StockMove).values(id=1))
        move = session.scalars(select(StockMove)).first()
        assert move is not None and integrity.holds(db.sealer, move)
