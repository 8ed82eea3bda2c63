"""Windows that keep working while the server dies under them: who gets no answer sends the same key again."""

from __future__ import annotations

import http.client
import random
import threading
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import uuid4

from tests.serving import START_SECONDS, House

BILLING = "/api/outpatient-billing"
PHARMACY = "/api/outpatient-pharmacy"
PACKS = {"drug": 24, "pill": 3, "free_drug": 100}
CODES = tuple(f"13456789012345{ending}" for ending in ("9999", "9999", "9999", "9999", "0001", "0002", "0003", "0004"))
"""Payers' codes of the simulated channel: pays, no money, paid and answer lost, not paid and answer lost, slow."""


class Progress:
    """How many requests all windows have sent, to wait for."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._sent = 0
        self.failure: BaseException | None = None

    def step(self) -> None:
        """One more."""
        with self._changed:
            self._sent += 1
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """A window has failed: nobody need wait."""
        with self._changed:
            self.failure = self.failure or error
            self._changed.notify_all()

    def more(self, count: int, timeout: float = 60) -> None:
        """Wait until so many more are sent. :raises BaseException: what a window failed of."""
        with self._changed:
            goal = self._sent + count
            went_on = self._changed.wait_for(lambda: self.failure is not None or self._sent >= goal, timeout)
        if self.failure is not None:
            raise self.failure
        assert went_on, "the windows stand still"


class Walker(threading.Thread):
    """A window: cashier, doctor, pharmacist and technician in one, one patient after the other."""

    defects = range(500, 600)
    """Statuses that nobody may ever be answered."""

    def __init__(self, house: House, cashier: str, seed: int, progress: Progress) -> None:
        super().__init__(name=cashier, daemon=True)
        self.house, self.ids, self.cashier = house, house.world.ids, cashier
        self.callers = {who: house.caller(who) for who in (cashier, "doctor", "pharmacist", "technician")}
        self.rng = random.Random(seed)
        self.progress = progress
        self.enough = threading.Event()
        self.done: Counter[str] = Counter()
        """What was answered as done, by kind; ``lost``: answers that never came."""
        self.takings = Decimal(0)
        """Bills settled less bills refunded, as this window was told."""

    def run(self) -> None:
        try:
            while not self.enough.is_set():
                self.journey()
        except BaseException as error:
            self.progress.fail(error)
        finally:
            for caller in self.callers.values():
                caller.close()

    def answered(self, who: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """A request, sent again with the same key until it is answered."""
        key = uuid4().hex
        for _ in range(1000):
            assert self.house.up.wait(START_SECONDS), "the server doesn't come back"
            self.progress.step()
            try:
                status, answer = self.callers[who].send(method, path, body, key)
            except (OSError, http.client.HTTPException):
                self.done["lost"] += 1
                continue
            assert status not in self.defects, (method, path, status, answer)
            return status, answer
        raise AssertionError(f"{method} {path} was never answered")

    def must(self, who: str, method: str, path: str, body: Any = None) -> Any:
        """The answer to a request that nothing stands against."""
        status, answer = self.answered(who, method, path, body)
        assert status < 300, (method, path, body, status, answer)
        return answer

    def journey(self) -> None:
        """One patient, from registration to refund; the rest is left where it is when the day ends."""
        person = self.house.world.person(f"病人{self.rng.randrange(10**6)}")
        steps: list[Callable[[int], None]] = [self.register, self.order, self.settle, self.dispense, self.perform,
                                              self.take_back, self.refund, self.close]
        self.made: list[dict[str, Any]] = []
        self.film: dict[str, Any] | None = None
        for step in steps:
            if self.enough.is_set():
                return
            step(person)

    # The steps

    def register(self, person: int) -> None:
        """挂号."""
        made = self.must(self.cashier, "POST", f"{BILLING}/registrations", {
            "person_id": person, "session_id": self.ids["session"], "payments": self.pays(person, Decimal(20)),
            "expected_total": "20.00"})
        self.count("register", made)
        self.visit = self.house.world.encounter(made)

    def order(self, _person: int) -> None:
        """Two drugs; sometimes a film too."""
        drugs = self.rng.sample(sorted(PACKS), 2)
        lines = [{"drug_id": self.ids[d], "dose": "1", "usage": "口服", "frequency": "tid", "days": 3,
                  "quantity": str(PACKS[d] * self.rng.randrange(1, 4))} for d in drugs]
        self.made.append(self.must("doctor", "POST", "/api/orders/prescriptions", {
            "encounter_id": self.visit, "diagnosis": "急性支气管炎", "lines": lines}))
        if self.rng.random() < 0.5:
            self.film = self.must("doctor", "POST", "/api/orders/requests", {
                "encounter_id": self.visit, "diagnosis": "急性支气管炎",
                "performing_department_id": self.ids["radiology"],
                "lines": [{"item_id": self.ids["exam"], "quantity": str(self.rng.randrange(1, 4))}]})

    def settle(self, person: int) -> None:
        """收费."""
        owed = self.must(self.cashier, "GET", f"{BILLING}/unpaid?person_id={person}")
        made = self.must(self.cashier, "POST", f"{BILLING}/settlements", {
            "person_id": person, "line_ids": [line["id"] for line in owed["lines"]],
            "payments": self.pays(person, Decimal(owed["total"])), "expected_total": owed["total"]})
        self.count("settle", made)
        self.settled: int = made["id"]

    def dispense(self, _person: int) -> None:
        """发药."""
        if self.rng.random() < 0.8:
            for made in self.made:
                self.must("pharmacist", "POST", f"{PHARMACY}/prescriptions/{made['id']}/dispense", {})
                self.done["dispense"] += 1

    def perform(self, _person: int) -> None:
        """The film, at once or not until the end of the day. (Performing has no key: asked again it says 409.)"""
        if self.film and self.rng.random() < 0.5:
            status, _ = self.answered("technician", "POST", f"/api/orders/requests/{self.film['id']}/perform", {})
            assert status in (200, 409)

    def take_back(self, _person: int) -> None:
        """退药, one pack of a line."""
        for made in self.made:
            found = self.must("pharmacist", "GET", f"{PHARMACY}/prescriptions/{made['id']}")
            line = self.rng.choice(found["lines"])
            if found["state"] == "dispensed" and Decimal(line["returnable"]) > 0 and self.rng.random() < 0.6:
                self.must("pharmacist", "POST", f"{PHARMACY}/prescriptions/{made['id']}/returns", {
                    "lines": [{"line_id": line["id"], "quantity": line["factor"]}], "reason": "病人过敏"})
                self.done["return"] += 1

    def refund(self, _person: int) -> None:
        """退费, by line; the electronic part is sent at once or left to the worker."""
        whole = self.must(self.cashier, "GET", f"{BILLING}/settlements/{self.settled}")
        lines = [{"line_id": line["id"], "quantity": line["refundable"]} for line in whole["lines"]
                 if Decimal(line["refundable"] or 0) > 0 and self.rng.random() < 0.5]
        if not lines:
            return
        made = self.must(self.cashier, "POST", f"{BILLING}/settlements/{self.settled}/refunds",
                         {"lines": lines, "reason": "退药退费"})
        self.done["refund"] += 1
        self.takings -= Decimal(made["total"])
        if self.rng.random() < 0.7:
            for intent in made["intent_ids"]:
                self.must(self.cashier, "POST", f"{BILLING}/payment-intents/{intent}/send", {})

    def close(self, _person: int) -> None:
        """日结 now and then."""
        if self.rng.random() < 0.15:
            self.must(self.cashier, "POST", f"{BILLING}/shifts/close", {"counted_cash": "0.00"})
            self.done["close"] += 1

    # Money

    def count(self, what: str, made: dict[str, Any]) -> None:
        """Note a settlement that this window was told of."""
        self.done[what] += 1
        self.takings += Decimal(made["total"])

    def pays(self, person: int, total: Decimal) -> list[dict[str, Any]]:
        """Cash, or scan, or half and half; cash if the scan comes to nothing."""
        if total == 0:
            return []
        by_scan = self.rng.choice((Decimal(0), total, (total / 2).quantize(Decimal("0.01"))))
        rows = []
        if by_scan and (intent := self.scan(person, by_scan)) is not None:
            rows.append({"method": "scan", "covers": str(by_scan), "intent_id": intent})
            total -= by_scan
        return [*rows, {"method": "cash", "covers": str(total)}] if total else rows

    def scan(self, person: int, amount: Decimal) -> int | None:
        """A scan payment; where the answer is lost, the person's payments are looked up and asked about."""
        code = self.rng.choice(CODES)
        assert self.house.up.wait(START_SECONDS)
        self.progress.step()
        try:
            status, intent = self.callers[self.cashier].send("POST", f"{BILLING}/payment-intents", {
                "person_id": person, "channel": "scan", "amount": str(amount), "auth_code": code})
        except (OSError, http.client.HTTPException):
            self.done["lost"] += 1  # nothing is sent again here: the payer would pay twice
        else:
            assert status == 201, intent
            if intent["state"] == "confirmed":
                return int(intent["id"])
        for _ in range(2):  # a slow channel can tell at the second question
            found = self.must(self.cashier, "GET", f"{BILLING}/payment-intents?person_id={person}")["items"]
            for open_ in found:
                if open_["state"] in ("calling", "unknown"):
                    open_ = self.must(self.cashier, "POST", f"{BILLING}/payment-intents/{open_['id']}/query", {})
                if open_["state"] == "confirmed" and Decimal(open_["amount"]) == amount:
                    self.done["found again"] += 1
                    return int(open_["id"])
        return None
