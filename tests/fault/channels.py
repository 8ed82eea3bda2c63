"""Insured patients at a window, at a kiosk and on the phone, while lines fail and processes die under all three.

Whoever gets no answer does what such a client does: sends the same again, asks, tries anew, or pays otherwise; some hurry
on to pay in cash what is still in doubt, some pay an order on the phone after it was taken back.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from interfaces.kiosk.simulator import Kiosk
from interfaces.med_mobile_pay import simulator as phones
from tests.factories import insured as make
from tests.factories.people import id_number
from tests.fault.walking import BILLING, Progress, Walker
from tests.interfaces.hub.opening import Partner
from tests.serving import START_SECONDS, House

API = "/api/charging"
NOTIFY = "/api/open/med-mobile-pay/notify"
WELL = "0000"
ODD = ("0001", "0002", "0003", "0004", "0005", "0006", "0008", "0009", "0010", "0011")
"""What the simulated centre does by the last digits of a credential (interfaces/nhsa/simulator)."""
BUSY = (409, 503)
"""Refusals that a client meets by asking, trying again or paying otherwise."""


class Quota:
    """How many insured settlements are yet to be begun, over all channels, and how often each channel began one."""

    def __init__(self, wanted: int) -> None:
        self._lock = threading.Lock()
        self._left = wanted
        self.begun: Counter[str] = Counter()
        self.over = threading.Event()

    def take(self, channel: str) -> None:
        """One more is begun."""
        with self._lock:
            self.begun[channel] += 1
            self._left -= 1
            if self._left <= 0:
                self.over.set()


@dataclass(frozen=True)
class Heard:
    """An answer, as a partner's client looks at it."""

    status_code: int
    headers: dict[str, str]
    data: bytes

    def get_json(self) -> Any:
        """The body."""
        return json.loads(self.data)


@dataclass
class Wire:
    """One-request connections to a port: what :class:`Partner` and a phone send by. :raises ConnectionError: no whole answer."""

    port: int
    house: House
    timeout: float = 60

    def open(self, path: str, *, method: str, data: bytes = b"", query_string: str = "",
             headers: dict[str, str] | None = None) -> Heard:
        """Send one request."""
        assert self.house.up.wait(START_SECONDS), "the server doesn't come back"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout)
        try:
            connection.request(method, f"{path}?{query_string}" if query_string else path, data or None, headers or {})
            with connection.getresponse() as answer:
                return Heard(answer.status, dict(answer.headers), answer.read())
        except (OSError, http.client.HTTPException) as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()


@dataclass
class Outside:
    """What patients use beside the hospital's own windows."""

    folder: Path
    """The simulators' books."""
    port: int
    """The simulators' host."""
    kiosk: Partner
    quota: Quota
    told: dict[int, str] = field(default_factory=dict)
    """Claim → the end that its client was told of."""


class Channel(Walker):
    """A patient after the other, each insured; ``channel`` window, kiosk or mobile. Clinic, pharmacy and radiology as ever."""

    def __init__(self, house: House, cashier: str, seed: int, progress: Progress, outside: Outside, channel: str) -> None:
        super().__init__(house, cashier, seed, progress)
        self.outside, self.channel, self.seed = outside, channel, seed
        self.came = 0
        self.wire = Wire(house.port, house)
        self.machine = Partner(outside.kiosk.db, self.wire, "kiosk", outside.kiosk.private,  # type: ignore[arg-type]
                               outside.kiosk.id, outside.kiosk.key_id)

    defects = frozenset((*range(500, 503), *range(504, 600)))  # type: ignore[assignment]

    # How a client sends

    def answered(self, who: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """As a walker; a peer that doesn't answer is a 503, which is for whoever asked."""
        for _ in range(50):
            status, answer = super().answered(who, method, path, body)
            if status == 503 and str(answer.get("code", "")).startswith("database."):
                continue
            return status, answer
        raise AssertionError(f"{path}: the database stays away")

    def tried(self, path: str, body: Any, times: int = 4) -> dict[str, Any] | None:
        """An answer that went well, tried some times; None when it is refused every time."""
        for _ in range(times):
            status, answer = self.answered(self.cashier, "POST", path, body)
            if status < 300:
                found: dict[str, Any] = answer
                return found
            assert status in BUSY, (path, status, answer)
            self.done[f"refused {answer['code']}"] += 1
        return None

    def pause(self, seconds: float) -> None:
        """A client waits before it asks again, unless the day is over."""
        self.enough.wait(seconds)

    # The patient

    def journey(self) -> None:
        """Registers, then two bills of the same visit: drugs and perhaps a film, then films."""
        person, number = self.newcomer()
        self.register(person)
        for order in (self.order, self.order_films):
            if self.enough.is_set():
                return
            self.made, self.film = [], None
            order(person)
            settled = getattr(self, f"by_{self.channel}")(person, number)
            if settled is None and self.rng.random() < 0.6:
                self.instead(person)
            elif settled is not None:
                self.settled = settled
                self.dispense(person)
                self.perform(person)
                self.refund(person)

    def order_films(self, _person: int) -> None:
        """A request of some films."""
        self.film = self.must("doctor", "POST", "/api/orders/requests", {
            "encounter_id": self.visit, "diagnosis": "急性支气管炎", "performing_department_id": self.ids["radiology"],
            "lines": [{"item_id": self.ids["exam"], "quantity": str(self.rng.randrange(1, 9))}]})

    def newcomer(self) -> tuple[int, str]:
        """Somebody insured whom nobody knows yet; the number they are insured by."""
        self.came += 1
        day = 2 + (self.came + self.seed) % 20
        number = id_number(f"320602{1940 + self.seed % 60}01{day:02d}{self.came % 1000:03d}")
        return make.insured_person(self.house.world, number, f"病人{self.seed}号{self.came}"), number

    def ending(self) -> str:
        """Mostly nothing happens at the centre."""
        return WELL if self.rng.random() < 0.8 else self.rng.choice(ODD)

    def owed(self, person: int) -> dict[str, Any]:
        """What is to be paid."""
        found: dict[str, Any] = self.must(self.cashier, "GET", f"{BILLING}/unpaid?person_id={person}")
        return found

    def instead(self, person: int) -> int | None:
        """Pay alone, though the insurer may yet be found to have paid: one of the two must come to nothing."""
        owed = self.owed(person)
        if not owed["lines"]:
            return None
        made = self.tried(f"{BILLING}/settlements", {
            "person_id": person, "line_ids": [line["id"] for line in owed["lines"]],
            "payments": self.pays(person, Decimal(owed["total"])), "expected_total": owed["total"]}, times=1)
        if made is not None:
            self.done["paid alone"] += 1
        return None if made is None else int(made["id"])

    def dispense(self, person: int) -> None:
        """发药; what a refund of the recovery took back meanwhile isn't handed out."""
        for made in self.made:
            if self.rng.random() < 0.7:
                status, answer = self.answered("pharmacist", "POST",
                                               f"/api/outpatient-pharmacy/prescriptions/{made['id']}/dispense", {})
                assert status in (200, 409), answer
                self.done["dispense"] += status == 200

    # At the window

    def by_window(self, person: int, number: str) -> int | None:
        """Preview, settle, ask; the settlement, or None where it came to nothing or isn't known yet."""
        credential = {"kind": "ecode", "number": number + self.ending()}
        owed = self.owed(person)
        if not owed["lines"]:
            return None
        claim = self.tried(f"{API}/insurance/claims", {
            "person_id": person, "line_ids": [line["id"] for line in owed["lines"]], "credential": credential})
        if claim is None:
            return None
        own = Decimal(claim["cash"])
        payments = self.pays(person, own) if own else []
        self.outside.quota.take(self.channel)
        path = f"{API}/insurance/claims/{claim['id']}"
        status, answer = self.answered(self.cashier, "POST", f"{path}/settle", {
            "credential": credential, "payments": payments})
        assert status < 300 or status in BUSY, (status, answer)
        return self.followed(claim["id"], path, answer)

    def followed(self, claim: int, path: str, answer: dict[str, Any]) -> int | None:
        """Ask until it is decided, for as long as a cashier would."""
        for _ in range(5):
            if answer.get("state") in ("used", "refused", "reversed"):
                self.outside.told[claim] = answer["state"]
                self.done[f"{self.channel} {answer['state']}"] += 1
                return int(answer["settlement_id"]) if answer["state"] == "used" else None
            self.pause(0.7)
            answer = self.answered(self.cashier, "POST", f"{path}/query", {})[1]
        self.done[f"{self.channel} left in doubt"] += 1
        return None

    # At the kiosk

    def by_kiosk(self, person: int, number: str) -> int | None:
        """Paid alone by scan, then made insured at the kiosk."""
        owed = self.owed(person)
        total = Decimal(owed["total"])
        if total == 0 or (intent := self.scan(person, total)) is None:
            return None
        made = self.tried(f"{BILLING}/settlements", {
            "person_id": person, "line_ids": [line["id"] for line in owed["lines"]], "expected_total": owed["total"],
            "payments": [{"method": "scan", "covers": owed["total"], "intent_id": intent}]}, times=1)
        if made is None:
            return None
        card = {"cert_type": "ecode", "cert_no": number + self.ending()}
        for _ in range(3):
            begun = False

            def consent(_shown: dict[str, Any]) -> bool:
                nonlocal begun
                begun = True
                self.outside.quota.take(self.channel)
                return True

            status, answer = Kiosk(self.press, tries=30).convert(made["number"], card, consent)
            assert status == 200 or status in BUSY, (status, answer)
            self.done[f"kiosk {answer.get('state') or answer['code']}"] += 1
            if status == 200 or begun:
                break
        return int(made["id"])

    def press(self, method: str, path: str, body: Any, key: str) -> tuple[int, Any]:
        """One signed request of the kiosk."""
        self.progress.step()
        try:
            answer = self.machine.send(method, path, body, key=key)
        except ConnectionError:
            self.done["lost"] += 1
            raise
        return answer.status_code, answer.get_json()

    # On the phone

    def by_mobile(self, person: int, number: str) -> int | None:
        """Put on the phone; paid there, by an authorisation, too late, or at the window after all."""
        owed = self.owed(person)
        if not owed["lines"]:
            return None
        order = self.tried(f"{API}/mobile/orders", {
            "person_id": person, "line_ids": [line["id"] for line in owed["lines"]],
            "credential": {"kind": "ecode", "number": number + WELL}})
        if order is None:
            return None
        self.outside.quota.take(self.channel)
        path = f"{API}/mobile/orders/{order['claim_id']}"
        way = self.rng.choices(("phone", "authorise", "half", "late", "window", "nobody"), (50, 20, 8, 8, 8, 6))[0]
        self.done[f"mobile {way}"] += 1
        if way == "phone":
            self.pay_on_phone(order)
        elif way in ("authorise", "half"):
            self.answered(self.cashier, "POST", f"{path}/pay", {"authorisation": "AUTH0004" if way == "half" else "AUTH9999"})
            if way == "half":
                self.pay_on_phone(order)
        elif way == "late":
            self.answered(self.cashier, "POST", f"{path}/withdraw", {})
            self.notify(phones.phone(self.outside.folder / "med_mobile_pay", order["number"], even_if_closed=True))
        elif way == "window":
            self.instead(person)
            self.pay_on_phone(order)
        else:
            return None
        return self.followed(order["claim_id"], path, self.answered(self.cashier, "POST", f"{path}/query", {})[1])

    def pay_on_phone(self, order: dict[str, Any]) -> None:
        """The payer presses the button of the platform's page until it says something."""
        place = urlsplit(order["url"]).path
        for _ in range(4):
            try:
                Wire(self.outside.port, self.house).open(place, method="POST", data=urlencode({"pay": "1"}).encode(), headers={
                    "Content-Type": "application/x-www-form-urlencoded"})
                return
            except ConnectionError:
                self.done["phone lost"] += 1

    def notify(self, message: dict[str, Any]) -> None:
        """The platform's notice, twice, as long as nobody acknowledges it."""
        for _ in range(2):
            try:
                if self.wire.open(NOTIFY, method="POST", data=json.dumps(message).encode(),
                                  headers={"Content-Type": "application/json"}).status_code == 200:
                    return
            except ConnectionError:
                self.done["lost"] += 1

    # Refunds

    def refund(self, person: int) -> None:
        """退费 of some lines, the insurer first; a kiosk's bill is refunded by whoever pays for it now."""
        if self.rng.random() > 0.35:
            return
        whole = self.must(self.cashier, "GET", f"{BILLING}/settlements/{self.settled}")
        lines = [{"line_id": line["id"], "quantity": line["refundable"]} for line in whole["lines"]
                 if Decimal(line["refundable"] or 0) > 0 and self.rng.random() < 0.6]
        if not lines:
            return
        body = {"settlement_id": self.settled, "lines": lines, "reason": "病人要求退费"}
        status, case = self.answered(self.cashier, "POST", f"{API}/insurance/refunds", body)
        if status >= 300:  # not insured (any more), or the first of two tries was heard
            assert status in (409, 422, 503), case
            self.done[f"refund {case['code']}"] += 1
            return
        self.done["refund case"] += 1
        for _ in range(4):
            if case.get("state") == "due":
                case = self.answered(self.cashier, "POST", f"{API}/insurance/refunds/{case['id']}/collect",
                                     {"tendered": None})[1]
            if case.get("state") in ("done", "undone") or "id" not in case:
                self.done[f"case {case.get('state')}"] += 1
                return
            self.pause(0.7)
            case = self.answered(self.cashier, "POST", f"{API}/insurance/refunds/{case['id']}/continue", {})[1]
