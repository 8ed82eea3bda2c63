"""M7.5: a count sheet of 10,000 batches, made, opened, counted and posted, each against bare SQL on the same rows.

Every step runs through HTTP as the screen asks for it (permission, validation, audit, idempotency, JSON); the floor is
psycopg alone with the same rows in the same tables. They run in turns; the ratio is that of the sums.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from flask.testing import FlaskClient

from his_server.actor import SYSTEM
from his_server.cli.serving import settle_memory
from his_server.db import Database, today
from modules.kernel.stock import service as stock
from modules.kernel.stock.service import Document, Receipt
from tests.benchmarks.floor import bare_url
from tests.factories import masterdata as make
from tests.factories.stock import make_store

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]
DRUGS, LOTS, DIFFER, ROUNDS = 1000, 10, 1000, 3
LINES = DRUGS * LOTS
AT_ONCE = 200
"""Counts that a hand terminal sends in one request."""
PIECE = 5000
"""Lines that the page asks for at a time."""
MOST_RATIO = 3.0


@pytest.fixture
def store(db: Database) -> int:
    """A store with 10,000 batches of 1,000 drugs."""
    with db.begin() as session:
        session.info["actor"] = SYSTEM
        drugs = [make.make_drug(session) for _ in range(DRUGS)]
        found = make_store(session)
        day = today(session)
        stock.receive(session, SYSTEM, found.id, [
            Receipt(drug.id, f"L{drug.id}-{n}", day + timedelta(days=100 + n), Decimal("12.34"), Decimal(240), None, 24)
            for drug in drugs for n in range(LOTS)], Document("opening", 1), "opening")
        return found.id


def _timed(act: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.perf_counter()
    result = act()
    return time.perf_counter() - begun, result


class Bare:
    """The same four steps by psycopg alone, with rows of its own."""

    def __init__(self, database: Database, store: int) -> None:
        self.link = psycopg.connect(bare_url(database.url.render_as_string(hide_password=False)), autocommit=False)
        self.store, self.sheet = store, 10**15

    def make(self) -> None:
        self.sheet += 1
        with self.link.transaction(), self.link.cursor() as cursor:
            cursor.execute("""INSERT INTO stocktake_line (stocktake_id, position, balance_id, batch_id, drug_id, book)
                SELECT %s, row_number() OVER (ORDER BY d.code, b.expiry, b.id), b.id, b.batch_id, b.drug_id, b.on_hand
                FROM stock_balance b JOIN drug d ON d.id = b.drug_id WHERE b.store_id = %s AND b.on_hand > 0""",
                           (self.sheet, self.store))

    def open(self) -> int:
        seen, after = 0, 0
        with self.link.transaction(), self.link.cursor() as cursor:
            while True:
                cursor.execute("""SELECT l.position, l.drug_id, l.batch_id, l.book, l.expected, l.first_expected, l.counted,
                    l.counted_by_name, l.merged_into, d.code, d.name, d.spec, d.manufacturer, d.pack_unit, d.base_unit,
                    d.pack_size, d.control, b.lot_no, b.expiry FROM stocktake_line l JOIN drug d ON d.id = l.drug_id
                    JOIN batch b ON b.id = l.batch_id WHERE l.stocktake_id = %s AND l.position > %s
                    ORDER BY l.position LIMIT %s""", (self.sheet, after, PIECE))
                rows = cursor.fetchall()
                seen += len(rows)
                if len(rows) < PIECE:
                    return seen
                after = rows[-1][0]

    def count(self, counts: list[tuple[int, Decimal]]) -> None:
        for start in range(0, len(counts), AT_ONCE):
            with self.link.transaction(), self.link.cursor() as cursor:
                cursor.executemany("""UPDATE stocktake_line SET counted = %s, counted_at = now(), counted_by_name = 'x',
                    expected = (SELECT on_hand FROM stock_balance b WHERE b.id = balance_id),
                    first_expected = (SELECT on_hand FROM stock_balance b WHERE b.id = balance_id)
                    WHERE stocktake_id = %s AND position = %s""",
                                   [(q, self.sheet, p) for p, q in counts[start:start + AT_ONCE]])

    def post(self) -> None:
        with self.link.transaction(), self.link.cursor() as cursor:
            cursor.execute("""SELECT l.balance_id, l.batch_id, l.drug_id, l.counted - l.expected FROM stocktake_line l
                WHERE l.stocktake_id = %s AND l.counted <> l.expected""", (self.sheet,))
            rows = cursor.fetchall()
            cursor.executemany("UPDATE stock_balance SET on_hand = on_hand + %s WHERE id = %s", [(r[3], r[0]) for r in rows])
            cursor.executemany("""INSERT INTO stock_move (id, kind, store_from, store_to, batch_id, drug_id, quantity,
                document_kind, document_id, line_id, moved_at, business_date, actor_id, row_mac)
                VALUES (%s, 'stocktake', %s, %s, %s, %s, %s, 'stocktake', %s, 1, now(), current_date, 1, %s)""",
                               [(self.sheet * 1000 + n, None if r[3] > 0 else self.store, self.store if r[3] > 0 else None,
                                 r[1], r[2], abs(r[3]), self.sheet, "0" * 64) for n, r in enumerate(rows)])


class Screen:
    """The four steps as the page does them."""

    def __init__(self, client: FlaskClient, store: int) -> None:
        self.client, self.store, self.key = client, store, 0

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        answer = self.client.post(f"/api/stock/sheets{path}", json=body, headers={"Idempotency-Key": uuid4().hex})
        assert answer.status_code < 300, answer.get_data(as_text=True)
        return answer.json

    def make(self) -> None:
        self.key = self._post("", {"store_id": self.store})["id"]

    def open(self) -> int:
        seen, after = 0, 0
        while after is not None:
            page = self.client.get(f"/api/stock/sheets/{self.key}/lines?after={after}&limit={PIECE}").json
            seen, after = seen + len(page["rows"]), page["next"]
        return seen

    def count(self, counts: list[tuple[int, Decimal]]) -> None:
        for start in range(0, len(counts), AT_ONCE):
            self._post(f"/{self.key}/counts", {"counts": [
                {"position": p, "quantity": str(q)} for p, q in counts[start:start + AT_ONCE]]})

    def post(self) -> None:
        assert self._post(f"/{self.key}/post", {})["gain"] == DIFFER


@pytest.mark.parametrize("db_url", ["postgresql"], indirect=True)
@pytest.mark.requirement("M7.5")
def test_sheet_of_ten_thousand_batches(db: Database, store: int, sign_in: Callable[..., FlaskClient]) -> None:
    bare, screen = Bare(db, store), Screen(sign_in("pharmacist"), store)
    settle_memory()  # as the server does once it is loaded
    spent: dict[str, list[float]] = {step: [0.0, 0.0] for step in ("make", "open", "count", "post")}
    for turn in range(ROUNDS):
        held = Decimal(240 + 2 * turn)  # each post, ours and the bare one, finds one more of what differs
        for who, side in enumerate((bare, screen)):
            counts = [(p, held + who + (1 if p <= DIFFER else 0) if p <= DIFFER else Decimal(240))
                      for p in range(1, LINES + 1)]
            for step in spent:
                seconds, result = _timed(getattr(side, step) if step != "count" else lambda s=side, c=counts: s.count(c))
                spent[step][who] += seconds
                assert step != "open" or result == LINES
    bare.link.close()
    print()
    for step, (floor, ours) in spent.items():
        print(f"  {step:6} bare {floor / ROUNDS * 1000:8.1f} ms   through HTTP {ours / ROUNDS * 1000:8.1f} ms   "
              f"ratio {ours / floor:5.2f}")
    assert all(ours / floor <= MOST_RATIO for floor, ours in spent.values()), spent

