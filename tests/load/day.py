"""A day of a big hospital in twenty minutes: ``python -m tests.load.day [--scale 1] [--minutes 20] [--url URL]``.

Registrars, doctors, cashiers, pharmacists and technicians work over HTTP against gunicorn, the worker and PostgreSQL, each with
a session of his own. At scale 1: 5,000 registrations, 6,000 prescriptions and 3,000 requests, each of these orders paid by a
settlement of its own (9,000), 300 refunds, 40 cashiers, 20 pharmacists. Prints latencies per action, refusals, memory, and what
``balance`` finds; ends with 1 if there was an error that is no legal refusal, a finding, or if memory grew.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from http.client import RemoteDisconnected
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from pypinyin import Style, lazy_pinyin

from his_server.security import seals
from tests.load.hospital import Place, open_hospital
from tests.load.watch import MemoryWatch, Watch, cpu_seconds
from tests.serving import Caller

BILLING = "/api/outpatient-billing"
REGISTRATIONS, PRESCRIPTIONS, REQUESTS, REFUNDS = 5_000, 6_000, 3_000, 300
MOST_GROWTH = 1.15
Act = Callable[["Hands"], None]


class Work:
    """What is to be done by a role, when: taken by whoever is free."""

    def __init__(self) -> None:
        self.condition = threading.Condition()
        self.queues: dict[str, list[tuple[float, int, Act]]] = {}
        self.numbers = itertools.count()
        self.open = 0

    def add(self, role: str, at: float, act: Act) -> None:
        """Somebody of the role does it at that time (perf_counter) or as soon as he can."""
        with self.condition:
            heapq.heappush(self.queues.setdefault(role, []), (at, next(self.numbers), act))
            self.open += 1
            self.condition.notify_all()

    def take(self, role: str) -> tuple[float, Act] | None:
        """The next thing that is due; None when all work of all roles is done."""
        with self.condition:
            while True:
                queue = self.queues.get(role)
                wait = 1.0
                if queue:
                    wait = queue[0][0] - time.perf_counter()
                    if wait <= 0:
                        at, _, act = heapq.heappop(queue)
                        return at, act
                elif self.open == 0:
                    return None
                self.condition.wait(min(wait, 1.0))

    def done(self) -> None:
        """One of the things taken is done."""
        with self.condition:
            self.open -= 1
            if self.open == 0:
                self.condition.notify_all()


class Hands:
    """One person at work: a connection, what he sees."""

    def __init__(self, day: Day, caller: Caller) -> None:
        self.day, self.caller = day, caller

    def send(self, action: str, method: str, path: str, body: Any = None) -> Any:
        """One request, timed. None when it was refused or failed.

        The server closes a connection that was idle; a browser then opens another and sends again, and so does this, once,
        with the same Idempotency-Key.
        """
        began, key = time.perf_counter(), uuid4().hex
        try:
            try:
                status, answer = self.caller.send(method, path, body, key)
            except (RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                status, answer = self.caller.send(method, path, body, key)
        except Exception as error:
            self.day.watch.failed(action, error)
            return None
        self.day.watch.answered(action, time.perf_counter() - began, status, answer)
        return answer if status < 400 else None

    def get(self, action: str, path: str) -> Any:
        return self.send(action, "GET", path)

    def post(self, action: str, path: str, body: Any = None) -> Any:
        return self.send(action, "POST", path, body or {})


class Day:
    """The day: who comes when, and what follows from it."""

    def __init__(self, place: Place, scale: float, minutes: float, seed: int) -> None:
        self.place, self.seconds = place, minutes * 60
        self.rng = random.Random(seed)
        self.watch, self.work = Watch(), Work()
        self.visits = max(int(REGISTRATIONS * scale), 4)
        self.orders = [*["prescription"] * int(PRESCRIPTIONS * scale), *["request"] * int(REQUESTS * scale)]
        self.refunds = int(REFUNDS * scale)
        self.rng.shuffle(self.orders)
        self.sessions: list[tuple[int, str]] = []
        self.counted: Counter[str] = Counter()
        self._lock = threading.Lock()

    def count(self, what: str) -> int:
        """One more; how many there are now."""
        with self._lock:
            self.counted[what] += 1
            return self.counted[what]

    def plan(self) -> None:
        """Everybody's arrival, evenly over the first four fifths of the time."""
        began = self.watch.began = time.perf_counter()
        share = len(self.orders) / self.visits
        taken = 0
        for n in range(self.visits):
            upto = round((n + 1) * share)
            mine, taken = self.orders[taken:upto], upto
            at = began + self.seconds * 0.8 * n / self.visits
            self.work.add("cashier", at, self.registering(self.rng.choice(self.place.persons), mine, random.Random(n)))
        for n in range(int(self.seconds / 15)):
            self.work.add("finance", began + n * 15, self.looking(n))

    def later(self, low: float, high: float, rng: random.Random) -> float:
        """A moment after now: people walk, talk, wait. Compressed as the day is."""
        return time.perf_counter() + rng.uniform(low, high) * self.seconds / 1200

    def registering(self, person: tuple[int, str], orders: list[str], rng: random.Random) -> Act:
        def act(hands: Hands) -> None:
            key, name = person
            hands.get("search patient", f"/api/patients?q={quote(''.join(lazy_pinyin(name, style=Style.FIRST_LETTER)))}")
            hands.get("sessions", "/api/scheduling/sessions")
            for session_id, price in rng.sample(self.sessions, len(self.sessions)):  # who has come to one already goes to another
                made = hands.post("register", f"{BILLING}/registrations", {
                    "person_id": key, "session_id": session_id, "payments": _cash(price), "expected_total": price})
                if made is not None:
                    break
            else:
                return
            self.count("registration")
            hands.post("print voucher", f"{BILLING}/settlements/{made['id']}/print")
            found = hands.get("registrations of person", f"/api/scheduling/registrations?person_id={key}")
            visit = next(row["encounter_id"] for row in found["items"] if row["id"] == made["registration_id"])
            if orders:
                self.work.add("doctor", self.later(5, 60, rng), self.ordering(key, visit, orders, rng))
        return act

    def ordering(self, person: int, visit: int, orders: list[str], rng: random.Random) -> Act:
        def act(hands: Hands) -> None:
            hands.get("visit's orders", f"/api/orders/visits/{visit}")
            kind, rest = orders[0], orders[1:]
            body: dict[str, Any] = {"encounter_id": visit, "diagnosis": "急性支气管炎"}
            if kind == "prescription":
                body["lines"] = [{"drug_id": drug, "dose": str(dose), "usage": usage, "frequency": frequency, "days": 3,
                                  "quantity": str(pack)}
                                 for drug, dose, usage, frequency, pack in rng.sample(self.place.drugs, 2)]
                made = hands.post("prescribe", "/api/orders/prescriptions", body)
            else:
                body |= {"performing_department_id": self.place.radiology,
                         "lines": [{"item_id": item, "quantity": "1"} for item in rng.sample(self.place.exams, 2)]}
                made = hands.post("request exam", "/api/orders/requests", body)
            if made is not None:
                self.count(kind)
                self.work.add("cashier", self.later(5, 60, rng), self.paying(person, visit, kind, made["id"], rest, rng))
        return act

    def paying(self, person: int, visit: int, kind: str, order: int, rest: list[str], rng: random.Random) -> Act:
        def act(hands: Hands) -> None:
            owed = hands.get("unpaid list", f"{BILLING}/unpaid?person_id={person}")
            lines = [line for line in (owed or {"lines": []})["lines"] if line["source"] == kind and line["source_id"] == order]
            total = str(sum((Decimal(line["amount"]) for line in lines), Decimal("0.00")))
            payments = _cash(total)
            if payments and rng.random() < 0.4:
                intent = hands.post("scan payment", f"{BILLING}/payment-intents", {
                    "person_id": person, "channel": "scan", "amount": total,
                    "auth_code": f"13{rng.randrange(10**12, 10**13)}999"})
                if intent is None or intent["state"] != "confirmed":
                    return
                payments = [{"method": "scan", "covers": total, "intent_id": intent["id"]}]
            settled = hands.post("settle", f"{BILLING}/settlements", {
                "person_id": person, "line_ids": [line["id"] for line in lines], "payments": payments,
                "expected_total": total})
            if settled is None:
                return
            self.count("settlement")
            hands.post("print voucher", f"{BILLING}/settlements/{settled['id']}/print")
            if kind == "prescription":
                self.work.add("pharmacist", self.later(5, 40, rng), self.dispensing(order))
            elif self._refund_this():
                self.work.add("cashier", self.later(5, 40, rng), self.refunding(settled["id"]))
            else:
                self.work.add("technician", self.later(5, 40, rng), self.performing(order))
            if rest:
                self.work.add("doctor", self.later(5, 30, rng), self.ordering(person, visit, rest, rng))
        return act

    def _refund_this(self) -> bool:
        """Whether this paid request is one of those that are refunded: evenly among all."""
        number, all_of_them = self.count("paid request"), max(self.orders.count("request"), 1)
        return number * self.refunds // all_of_them > (number - 1) * self.refunds // all_of_them

    def dispensing(self, prescription: int) -> Act:
        def act(hands: Hands) -> None:
            hands.get("pharmacy queue", f"/api/outpatient-pharmacy/queue?store_id={self.place.store}")
            path = f"/api/outpatient-pharmacy/prescriptions/{prescription}"
            hands.get("open prescription", path)
            if hands.post("review", f"{path}/review", {"note": "已与医师核实，同意发药"}) is None:
                return
            if hands.post("dispense", f"{path}/dispense") is not None:
                self.count("dispensed")
        return act

    def performing(self, request: int) -> Act:
        def act(hands: Hands) -> None:
            if hands.post("perform", f"/api/orders/requests/{request}/perform") is not None:
                self.count("performed")
        return act

    def refunding(self, settlement: int) -> Act:
        def act(hands: Hands) -> None:
            whole = hands.get("refund page", f"{BILLING}/settlements/{settlement}")
            if whole is None:
                return
            lines = [{"line_id": line["id"], "quantity": line["quantity"]} for line in whole["lines"][:1]]
            hands.post("refund preview", f"{BILLING}/settlements/{settlement}/refund-preview", {"lines": lines})
            done = hands.post("refund", f"{BILLING}/settlements/{settlement}/refunds", {"lines": lines, "reason": "病人要求"})
            if done is None:
                return
            self.count("refund")
            for intent in done["intent_ids"]:
                hands.post("send refund", f"{BILLING}/payment-intents/{intent}/send")
        return act

    def looking(self, number: int) -> Act:
        day = str(self.place.database.clock.today())

        def act(hands: Hands) -> None:
            name = ("cashier-summary", "income-by-department", "registered-patients", "refunds")[number % 4]
            hands.get(f"report {name}", f"/api/reports/{name}?from={day}&to={day}")
        return act

    def closing(self, hands: Hands) -> None:
        """The end of a cashier's day."""
        closed = hands.post("close shift", f"{BILLING}/shifts/close")
        if closed is not None and closed["statement"]["unbalanced"]:
            self.watch.failed("close shift", AssertionError(str(closed["statement"]["unbalanced"])))

    def person(self, role: str, name: str) -> Counter[str]:
        """One person's day: takes what is due until all is done."""
        hands = Hands(self, self.place.house.caller(name))
        did: Counter[str] = Counter()
        while (found := self.work.take(role)) is not None:
            at, act = found
            self.watch.was_late(role, time.perf_counter() - at)
            try:
                act(hands)
                did["done"] += 1
            except Exception as error:
                self.watch.failed(act.__qualname__, error)
            finally:
                self.work.done()
        if role == "cashier" and did["done"]:
            self.closing(hands)
        return did


def _cash(total: str) -> list[dict[str, str]]:
    return [{"method": "cash", "covers": total}] if Decimal(total) else []


def work_a_day(place: Place, scale: float, minutes: float, seed: int, processes: int, threads: int) -> bool:
    """Run the day, print what was seen; whether it was a good one."""
    place.house.start_web(processes=processes, threads=threads)
    place.house.start_worker()
    assert place.house.web is not None and place.house.worker is not None
    day = Day(place, scale, minutes, seed)
    first = Hands(day, place.house.caller(place.hands["cashier"][0]))
    day.sessions = [(row["id"], str(Decimal(row["price"]).quantize(Decimal("0.01")))) for row in first.get(
        "sessions", "/api/scheduling/sessions")["items"] if row["state"] == "open" and row["price"]
        and row["level"] != "急诊"]
    assert day.sessions, "no clinic session today"
    print(f"  {day.visits} visits, {len(day.orders)} orders, {day.refunds} refunds in {minutes} minutes; "
          + ", ".join(f"{len(names)} {role}" for role, names in place.hands.items()), flush=True)
    watch = MemoryWatch([place.house.web.pid, place.house.worker.pid], max(minutes * 60 / 100, 1))
    watch.start()
    day.plan()
    with ThreadPoolExecutor(sum(map(len, place.hands.values()))) as pool:
        for role, names in place.hands.items():
            for name in names:
                pool.submit(day.person, role, name)
    elapsed = time.perf_counter() - day.watch.began
    watch.stop()
    spent = {name: cpu_seconds(process.pid) for name, process in (("web", place.house.web), ("worker", place.house.worker))}
    seals.seal_all(place.database)
    with place.database.begin(write=False) as session:
        findings = [f"{f.check} {f.where}: {f.message}" for check in place.hospital.checks for f in check.run(session)]
    print(f"  done in {elapsed:.0f} s: {dict(day.counted)}")
    print(day.watch.report())
    print(watch.report())
    asked = sum(map(len, day.watch.latencies.values()))
    print(f"  processor seconds of the server: web {spent['web']:.0f} ({spent['web'] / asked * 1000:.1f} ms a request), "
          f"worker {spent['worker']:.0f}")
    print(f"  balance: {len(findings)} findings")
    for line in [*findings[:20], *(f"ERROR {error}" for error in day.watch.errors[:20])]:
        print(f"    {line}")
    print(f"  errors that are no legal refusal: {len(day.watch.errors)}")
    wanted = {"registration": day.visits, "settlement": len(day.orders), "refund": day.refunds}
    short = {what: count for what, count in wanted.items() if day.counted[what] < count}
    if short:
        print(f"  SHORT of {short}")
    flat = watch.growth() <= MOST_GROWTH
    if not flat:
        print("  MEMORY GREW (a run of a few minutes is all warming up)")
    return not day.watch.errors and not findings and not short and flat


def main() -> None:
    """Command line."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--scale", type=float, default=1.0, help="1 = 5,000 registrations")
    options.add_argument("--minutes", type=float, default=20.0, help="how long the day takes")
    options.add_argument("--url", help="an empty PostgreSQL database; without it one is started")
    options.add_argument("--cashiers", type=int, default=40)
    options.add_argument("--pharmacists", type=int, default=20)
    options.add_argument("--doctors", type=int, default=30)
    options.add_argument("--persons", type=int, default=2000)
    options.add_argument("--processes", type=int, default=2, help="gunicorn processes")
    options.add_argument("--threads", type=int, default=8, help="threads of each")
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    url = given.url
    if url is None:
        from tests import databases
        from tests.pg import start_postgres

        url = databases.create_postgres(start_postgres(durable=True), "his_load_day")
    with tempfile.TemporaryDirectory() as folder, open_hospital(
            Path(folder), url, persons=given.persons, cashiers=given.cashiers, pharmacists=given.pharmacists,
            doctors=given.doctors) as place:
        good = work_a_day(place, given.scale, given.minutes, given.seed, given.processes, given.threads)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
