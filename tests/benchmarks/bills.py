"""Bills for the settlement benchmark: one visit's orders, made by the services, then copied row by row."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import SYSTEM, Actor
from his_server.db import Base, numbering, of, today
from modules.kernel.charging.models import ChargeLine
from modules.kernel.charging.service.settling import RECEIPT_SERIES
from modules.kernel.orders import service as orders
from modules.kernel.orders.models import Prescription, PrescriptionLine, Request, RequestLine
from modules.kernel.stock import service as stock
from modules.kernel.stock.models import StockBalance
from modules.kernel.stock.service import Document, Receipt
from tests.benchmarks.floor import Statements, insert_sql
from tests.factories import masterdata as make
from tests.factories.hospital import World

DRUGS = 60
TEMPLATES = 30


@dataclass(frozen=True)
class Bill:
    """Five open lines: two drugs of a prescription, three items of a request."""

    person: int
    prescription: int
    request: int
    lines: tuple[int, ...]
    prescription_lines: tuple[int, ...]
    drugs: tuple[int, ...]
    total: Decimal


def stock_up(world: World) -> tuple[list[int], list[int]]:
    """A pharmacy with so many drugs, two batches of each, and three more items: their ids."""
    with world.db.begin() as session:
        day = today(session)
        drugs = [make.make_drug(session, "24.00", name=f"基准药{n}", antimicrobial="") for n in range(DRUGS)]
        items = [make.make_item(session, "60.50", name=f"基准检查{n}") for n in range(3)]
        stock.receive(session, SYSTEM, world.ids["store"], [
            Receipt(drug.id, f"B{n}", day + timedelta(days=200 + n), Decimal("0.5"), Decimal(24 * 10**6))
            for drug in drugs for n in (1, 2)], Document("stock_in", 2))
        return [drug.id for drug in drugs], [item.id for item in items]


def make_bills(world: World, count: int) -> list[Bill]:
    """So many unpaid bills."""
    drugs, items = stock_up(world)
    rng = random.Random(5)
    registration = world.register(world.person("基准病人"))
    visit = world.encounter(registration)
    actor = Actor(user_id=world.ids["user_doctor"], login="doctor", name="单文渊", staff_id=world.ids["doctor"],
                  department_id=world.ids["clinic"])
    templates = []
    with world.db.begin() as session:
        session.info["actor"] = actor
        for _ in range(TEMPLATES):
            prescription = orders.prescribe(session, actor, encounter_id=visit, diagnosis="咳嗽", lines=[
                {"drug_id": d, "dose": Decimal("0.25"), "usage": "口服", "frequency": "tid", "days": 4,
                 "quantity": Decimal(24), "note": ""} for d in rng.sample(drugs, 2)])
            request = orders.request_items(
                session, actor, encounter_id=visit, diagnosis="咳嗽", performing_department_id=world.ids["radiology"],
                lines=[{"item_id": i, "quantity": Decimal(1), "note": ""} for i in items])
            templates.append(_rows(session, prescription.id, request.id))
    with world.db.begin() as session:
        return [_copy(session, templates[n % TEMPLATES]) for n in range(count)]


def _rows(session: Session, prescription: int, request: int) -> dict[str, list[dict[str, Any]]]:
    def rows(model: Any, where: Any) -> list[dict[str, Any]]:
        table = model.__table__
        return [dict(row._mapping) for row in session.execute(select(table).where(where).order_by(table.c.id))]

    return {
        "prescription": rows(Prescription, Prescription.id == prescription),
        "prescription_line": rows(PrescriptionLine, PrescriptionLine.prescription_id == prescription),
        "request": rows(Request, Request.id == request),
        "request_line": rows(RequestLine, RequestLine.request_id == request),
        "charge_line": rows(ChargeLine, ((ChargeLine.source == "prescription") & (ChargeLine.source_id == prescription))
                            | ((ChargeLine.source == "request") & (ChargeLine.source_id == request)))}


def _copy(session: Session, template: dict[str, list[dict[str, Any]]]) -> Bill:
    keys = iter(of(session).keys.take(sum(len(rows) for rows in template.values())))
    new = {row["id"]: next(keys) for rows in template.values() for row in rows}
    made: dict[str, list[dict[str, Any]]] = {}
    for table, rows in template.items():
        made[table] = []
        for row in rows:
            copy = {**row, "id": new[row["id"]]}
            if table == "charge_line":
                del copy["row_mac"]  # the copy gets its own; settling checks it
            if "number" in copy:
                copy["number"] = f"{table[:3]}{copy['id']:012d}"
            for column in ("prescription_id", "request_id", "charge_line_id", "source_id", "source_line_id"):
                if column in copy:
                    copy[column] = new[copy[column]]
            made[table].append(copy)
        portable.insert_many(session, Base.metadata.tables[table], made[table])
    lines = made["charge_line"]
    return Bill(lines[0]["person_id"], made["prescription"][0]["id"], made["request"][0]["id"],
                tuple(sorted(line["id"] for line in lines)), tuple(line["id"] for line in made["prescription_line"]),
                tuple(line["drug_id"] for line in made["prescription_line"]), sum(line["amount"] for line in lines))


# The floor: what a settlement of such a bill writes, and nothing else


def floor_jobs(world: World, bills: Sequence[Bill], cashier: int) -> list[Statements]:
    """The statements of each bill's settlement by bare SQL: the same rows in the same tables, nothing read or checked."""
    with world.db.begin() as session:
        now, day = world.db.clock.now().replace(tzinfo=None), today(session)
        shift = of(session).keys.next()
        numbering.grant_range(session, RECEIPT_SERIES, cashier, cashier * 10**6, cashier * 10**6 + 10**5)
        session.execute(*_shift(shift, cashier, now))
        balances: dict[int, tuple[int, int]] = {}
        for row in session.execute(select(StockBalance.id, StockBalance.drug_id, StockBalance.batch_id)
                                   .where(StockBalance.store_id == world.ids["store"]).order_by(StockBalance.expiry)):
            balances.setdefault(row.drug_id, (row.id, row.batch_id))
        keys = iter(of(session).keys.take(10 * len(bills)))
    return [_floor_job(world, bill, cashier, shift, [next(keys) for _ in range(10)], balances, now, day)
            for bill in bills]


def _shift(key: int, cashier: int, now: Any) -> tuple[Any, dict[str, Any]]:
    from datetime import UTC

    from sqlalchemy import insert

    from modules.kernel.charging.models import Shift

    return insert(Shift), {"id": key, "number": f"FLOOR{cashier}", "cashier_id": cashier, "cashier_name": "李收费",
                           "state": "open", "open_marker": 1, "settlements": 0, "opened_at": now.replace(tzinfo=UTC)}


def _floor_job(world: World, bill: Bill, cashier: int, shift: int, keys: list[int],
               balances: dict[int, tuple[int, int]], now: Any, day: Any) -> Statements:
    settlement, drug_receipt, item_receipt, payment, event, audit, first, second, ready, task = keys
    quantity, body = Decimal(24), f'{{"id":{settlement},"number":"{uuid4().hex}","total":"{bill.total}"}}'
    held = sorted((balances[drug], drug, line, key) for drug, line, key in zip(
        bill.drugs, bill.prescription_lines, (first, second), strict=True))
    common = {"settlement_id": settlement, "person_id": bill.person, "colour": "blue", "reverses_receipt_id": None,
              "issued_at": now, "issued_by": cashier}
    mark = ("UPDATE charge_line SET state = 'settled', settlement_id = %s, receipt_id = %s"
            " WHERE id = ANY(%s) AND state = 'open'")
    return [
        ("UPDATE shift SET settlements = settlements + 1 WHERE cashier_id = %s AND open_marker = 1", [cashier]),
        ("UPDATE number_range SET next = next + 2 WHERE series = 'receipt' AND holder_id = %s", [cashier]),
        (mark, [settlement, drug_receipt, list(bill.lines[:2])]),
        (mark, [settlement, item_receipt, list(bill.lines[2:])]),
        insert_sql("charge_line_state", [{"line_id": key, "quantity": quantity, "performed": Decimal(0),
                                          "refunded": Decimal(0)} for key in bill.lines]),
        insert_sql("settlement", [{
            "id": settlement, "number": f"F{settlement}", "kind": "charge", "person_id": bill.person,
            "total": bill.total, "channel": "window", "cashier_id": cashier, "cashier_name": "李收费",
            "shift_id": shift, "settled_at": now, "business_date": day, "reverses_id": None, "reason": None,
            "approver_id": None}]),
        insert_sql("receipt", [{"id": key, "number": f"F{key}", "title": title, "amount": bill.total / 2, "root_id": key,
                                **common} for key, title in ((drug_receipt, "药费"), (item_receipt, "诊疗费"))]),
        insert_sql("payment", [{"id": payment, "settlement_id": settlement, "method": "cash", "amount": bill.total,
                                "intent_id": None, "returns_payment_id": None, "tendered": None, "paid_at": now}]),
        insert_sql("payment_state", [{"payment_id": payment, "covered": bill.total, "returned": Decimal(0)}]),
        ("UPDATE prescription SET state = 'charged', settlement_id = %s, charged_at = %s, changed_at = %s,"
         " changed_by_name = '李收费' WHERE id = %s AND state = 'issued'", [settlement, now, now, bill.prescription]),
        ("UPDATE request SET state = 'charged', settlement_id = %s, changed_at = %s, changed_by_name = '李收费'"
         " WHERE id = %s AND state = 'issued'", [settlement, now, bill.request]),
        *(("UPDATE stock_balance SET reserved = reserved + %s WHERE id = %s AND on_hand >= reserved + %s",
           [quantity, balance, quantity]) for (balance, _), _, _, _ in held),
        insert_sql("stock_reservation", [{
            "id": key, "document_kind": "prescription", "document_id": bill.prescription, "line_id": line,
            "store_id": world.ids["store"], "balance_id": balance, "batch_id": batch, "drug_id": drug,
            "quantity": quantity, "state": "open", "reserved_at": now, "ended_at": None}
            for (balance, batch), drug, line, key in held]),
        insert_sql("outbox_event", [{
            "id": event, "type": "ChargeSettled", "business_key": f"F{settlement}", "payload": body * 2,
            "occurred_at": now, "actor_id": cashier, "trace_id": uuid4().hex[:16], "fanned_out": False}]),
        insert_sql("security_audit", [{
            "id": audit, "at": now, "zone": "+08:00", "user_id": cashier, "login": "u", "name": "李收费",
            "staff_id": None, "roles": "cashier", "channel": "window", "ip": "127.0.0.1", "terminal": "",
            "event": "charge.settle", "object_type": "settlement", "object_id": str(settlement), "success": True,
            "trace_id": uuid4().hex[:16], "detail": body, "row_mac": uuid4().hex * 2}]),
        insert_sql("idempotency_key", [{"actor_id": cashier, "key": uuid4().hex, "request_hash": uuid4().hex * 2,
                                        "status": 201, "body_sealed": body.encode(), "created_at": now}]),
        insert_sql("outbox_event", [{
            "id": ready, "type": "PrescriptionReady", "business_key": f"F{settlement}", "payload": body * 2,
            "occurred_at": now, "actor_id": cashier, "trace_id": uuid4().hex[:16], "fanned_out": False}]),
        insert_sql("dispensing_task", [{
            "id": task, "prescription_id": bill.prescription, "settlement_id": settlement, "person_id": bill.person,
            "store_id": world.ids["store"], "window_id": None, "state": "waiting", "arrived_at": now, "business_date": day,
            "call_state": "", "calls": 0, "reviewed_by_name": "", "review_note": "", "answered_by_name": "", "answer": "",
            "picked_by_name": "", "checked_by_name": "", "changed_at": now, "changed_by_name": "李收费"}]),
    ]
