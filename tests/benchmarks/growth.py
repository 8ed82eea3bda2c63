"""Years of visits in seconds per hundred thousand: real rows, made once by the services, multiplied inside PostgreSQL.

One visit goes the whole way through the API: registered, seen, charged, dispensed. Its rows are templates; ``INSERT … SELECT``
over ``generate_series`` makes as many as are wanted, each with keys, numbers, person, day and cashier of its own. A further
ledger is added by one line of :func:`ledgers`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import psycopg
from sqlalchemy import Table, text

from his_server.db import Base, Database
from modules.kernel.charging.models import ElectronicInvoice
from tests.benchmarks.crowd import add_persons
from tests.benchmarks.floor import bare_url
from tests.factories.hospital import World

PER_DAY, SESSIONS, CASHIERS = 5_000, 100, 40
BASE = 10**11
"""Keys of copies begin here; each kind of row has a hundred thousand million of them."""
STEP = 10**11


@dataclass(frozen=True)
class Ledger:
    """A table whose rows are multiplied: from the template with this key, so many of them (``every`` n-th visit)."""

    table: str
    template: int
    changed: dict[str, str]
    """Column → SQL over ``n`` (number of the visit), ``p.id`` (its person) and ``d`` (its day, a date)."""
    every: int = 1
    key: str = "id"


@dataclass
class Grown:
    """What there is after growing."""

    visits: int
    persons: list[tuple[str, str]] = field(default_factory=list)
    """Name and phone of some."""


MOST = 10**9
"""More visits than anybody grows: a visit's number counts back from here, so that newer rows have greater keys."""


def _key(kind: int, expression: str = "n") -> str:
    return f"({BASE + kind * STEP + 4 * MOST} - ({expression}))"


def _moment(hours: str = "8") -> str:
    return f"(d + interval '{hours} hours' + (n % 36000) * interval '1 second')"


def ledgers(ids: dict[str, int], day: str) -> list[Ledger]:
    """The tables of a visit, children after parents. ``day``: SQL of the newest day."""
    cashier = f"(9000 + n % {CASHIERS})"
    shift = _key(9, f"n / {PER_DAY} * {CASHIERS} + n % {CASHIERS}")
    fee, bill = _key(5, "n * 2"), _key(5, "n * 2 + 1")
    settled = {"person_id": "p.id", "cashier_id": cashier, "shift_id": shift, "settled_at": _moment(), "business_date": "d"}

    def line(number: int, template: str, source: str, settlement: str, receipt: str) -> Ledger:
        return Ledger("charge_line", ids[template], {
            "id": _key(4, f"n * 4 + {number}"), "person_id": "p.id", "encounter_id": _key(1), "source_id": source,
            "source_line_id": source, "settlement_id": settlement, "receipt_id": receipt, "created_at": _moment()})

    def state(number: int, template: str) -> Ledger:
        return Ledger("charge_line_state", ids[template], {"line_id": _key(4, f"n * 4 + {number}")}, key="line_id")

    def receipt(number: int, template: str, settlement: str) -> Ledger:
        key = _key(6, f"n * 3 + {number}")
        return Ledger("receipt", ids[template], {
            "id": key, "number": f"'B' || (n * 3 + {number})", "settlement_id": settlement, "person_id": "p.id",
            "root_id": key, "issued_at": _moment()})

    def payment(number: int, template: str, settlement: str) -> list[Ledger]:
        key = _key(7, f"n * 2 + {number}")
        return [Ledger("payment", ids[template], {"id": key, "settlement_id": settlement, "paid_at": _moment()}),
                Ledger("payment_state", ids[template], {"payment_id": key}, key="payment_id")]

    return [
        Ledger("encounter", ids["encounter"], {"id": _key(1), "visit_no": "'B' || n", "person_id": "p.id",
                                               "started_at": _moment(), "changed_at": _moment(), "business_date": "d"}),
        Ledger("clinic_session", ids["session"], {"id": _key(2, "n"), "day": "d", "template_id": "NULL"}, every=-SESSIONS),
        Ledger("registration", ids["registration"], {
            "id": _key(3), "number": "'GHB' || n", "person_id": "p.id", "encounter_id": _key(1), "day": "d",
            "session_id": _key(2, f"n / {PER_DAY} * {SESSIONS} + n % {SESSIONS}"),
            "queue_no": f"(n % {PER_DAY}) / {SESSIONS} + 1",
            "settlement_id": fee, "registered_at": _moment()}),
        Ledger("registration_count", ids["count"], {"id": _key(14), "registration_id": _key(3), "business_date": "d",
                                                    "counted_at": _moment()}),
        Ledger("shift", ids["shift"], {
            "id": _key(9), "number": "'BCB' || n", "cashier_id": f"(9000 + n % {CASHIERS})", "state": "'handed_over'",
            "open_marker": "NULL", "closed_at": "d + interval '10 hours'", "opened_at": "d"}, every=-CASHIERS),
        Ledger("settlement", ids["fee"], {"id": fee, "number": "'JSF' || n", **settled}),
        Ledger("settlement", ids["bill"], {"id": bill, "number": "'JSB' || n", **settled}),
        line(0, "fee_line", _key(3), fee, _key(6, "n * 3")),
        line(1, "drug_line", _key(10), bill, _key(6, "n * 3 + 1")),
        line(2, "exam_line", _key(12), bill, _key(6, "n * 3 + 2")),
        state(0, "fee_line"), state(1, "drug_line"), state(2, "exam_line"),
        receipt(0, "fee_receipt", fee), receipt(1, "drug_receipt", bill), receipt(2, "exam_receipt", bill),
        *payment(0, "fee_payment", fee), *payment(1, "bill_payment", bill),
        Ledger("prescription", ids["prescription"], {
            "id": _key(10), "number": "'CFB' || n", "person_id": "p.id", "encounter_id": _key(1), "settlement_id": bill,
            "issued_at": _moment(), "charged_at": _moment(), "business_date": "d"}),
        Ledger("request", ids["request"], {
            "id": _key(12), "number": "'SQB' || n", "person_id": "p.id", "encounter_id": _key(1), "settlement_id": bill,
            "issued_at": _moment(), "business_date": "d"}),
        Ledger("stock_move", ids["move"], {"id": _key(13), "document_id": _key(10), "moved_at": _moment(),
                                           "business_date": "d"}),
        Ledger("electronic_invoice", ids["invoice"], {
            "id": _key(15), "intent_id": _key(15), "settlement_id": bill, "root_id": bill, "person_id": "p.id",
            "cashier_id": cashier, "invoice_number": "'EB' || n", "business_date": "d", "made_at": _moment()}),
        # one bill in fifty is not paid yet
        Ledger("charge_line", ids["open_line"], {
            "id": _key(4, "n * 4 + 3"), "person_id": "p.id", "encounter_id": _key(1), "source_id": _key(1),
            "created_at": _moment()}, every=50),
    ]


def templates(world: World) -> dict[str, int]:
    """One whole visit through the API; the keys of its rows."""
    person = world.person("样板病人")
    made = world.register(person)
    visit = world.encounter(made)
    prescription = world.prescribe(visit)
    request = world.request(visit)
    bill = world.ok(world.pay_all(person))
    path = f"/api/outpatient-pharmacy/prescriptions/{prescription['id']}"
    world.ok(world.post("pharmacist", f"{path}/dispense"))
    world.ok(world.post("cashier", "/api/outpatient-billing/supplements", {
        "encounter_id": visit, "performing_department_id": world.ids["radiology"],
        "lines": [{"item_id": world.ids["exam"], "quantity": "1"}]}))
    fee_rows, bill_rows = world.settlement(made["id"]), world.settlement(bill["id"])
    drug = next(line for line in bill_rows["lines"] if line["kind"] == "drug")
    exam = next(line for line in bill_rows["lines"] if line["kind"] == "item")
    with world.db.begin() as session:
        invoice = ElectronicInvoice(
            intent_id=bill["id"], settlement_id=bill["id"], root_id=bill["id"], person_id=person, colour="blue",
            kind="charge", state="issued", amount=Decimal(bill["total"]), invoice_number="E0", cashier_id=1,
            cashier_name="李收费", business_date=world.db.clock.today(), made_at=world.db.clock.now())
        session.add(invoice)
        session.flush()
        invoiced = invoice.id
    with world.db.engine.connect() as connection:
        def one(statement: str, value: int) -> int:
            return int(connection.execute(text(statement), {"v": value}).scalar_one())

        return {
            "encounter": visit, "session": world.ids["session"], "registration": made["registration_id"],
            "count": one("SELECT id FROM registration_count WHERE registration_id = :v", made["registration_id"]),
            "shift": fee_rows["shift_id"], "fee": made["id"], "bill": bill["id"], "fee_line": fee_rows["lines"][0]["id"],
            "drug_line": drug["id"], "exam_line": exam["id"], "fee_receipt": fee_rows["receipts"][0]["id"],
            "drug_receipt": drug["receipt_id"], "exam_receipt": exam["receipt_id"],
            "fee_payment": fee_rows["payments"][0]["id"], "bill_payment": bill_rows["payments"][0]["id"],
            "prescription": prescription["id"], "request": request["id"],
            "invoice": invoiced, "move": one("SELECT min(id) FROM stock_move WHERE document_id = :v", prescription["id"]),
            "open_line": one("SELECT max(id) FROM charge_line WHERE person_id = :v AND state = 'open'", person),
        }


def grow(database: Database, world: World, ids: dict[str, int], before: int, visits: int,
         say: Callable[[str], None] = print) -> Grown:
    """Bring the hospital from ``before`` to ``visits`` visits, the newest yesterday; a person has five of them."""
    some = add_persons(database, (visits - before) // 5, visits)
    day = str(database.clock.today())
    with psycopg.connect(bare_url(database.url.render_as_string(hide_password=False)), autocommit=True) as connection:
        connection.execute("SET work_mem = '128MB'")
        connection.execute("DROP TABLE IF EXISTS bench_person")
        connection.execute("CREATE TABLE bench_person AS SELECT row_number() OVER (ORDER BY id) - 1 AS place, id "
                           "FROM person WHERE outpatient_no LIKE 'C%'")
        connection.execute("CREATE UNIQUE INDEX ON bench_person (place)")
        people = connection.execute("SELECT count(*) FROM bench_person").fetchone()
        assert people is not None
        for ledger in ledgers(ids, day):
            count = _multiply(connection, Base.metadata.tables[ledger.table], ledger, before, visits, int(people[0]), day)
            say(f"    {ledger.table:<20}{count:>10,}")
        connection.execute("VACUUM ANALYZE")
    return Grown(visits, some)


def _multiply(connection: psycopg.Connection[Any], table: Table, ledger: Ledger, before: int, visits: int, people: int,
              day: str) -> int:
    columns: Sequence[str] = [column.name for column in table.columns]
    changed = {name: value for name, value in ledger.changed.items() if name in columns}
    chosen = ", ".join(changed.get(name, f't."{name}"') for name in columns)
    if ledger.every < 0:  # so many a day
        per_day = -ledger.every
        first, last = -(-before // PER_DAY) * per_day, -(-visits // PER_DAY) * per_day
        numbers, days_back = f"generate_series({first}, {last - 1}) AS n", f"n / {per_day}"
    else:
        numbers, days_back = f"generate_series({before}, {visits - 1}, {ledger.every}) AS n", f"n / {PER_DAY}"
    statement = (f'INSERT INTO "{table.name}" ({", ".join(f"{chr(34)}{name}{chr(34)}" for name in columns)}) '
                 f'SELECT {chosen} FROM "{table.name}" t, {numbers} '
                 f"CROSS JOIN LATERAL (SELECT date '{day}' - 1 - ({days_back})::int AS d) days "
                 f"JOIN bench_person p ON p.place = n % {people} WHERE t.\"{ledger.key}\" = {ledger.template}")
    return connection.execute(statement).rowcount
