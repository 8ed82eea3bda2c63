"""The insurer's mobile payment of a test: our true adapters over its simulator in this process, and its payer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from interfaces.hub import transport
from interfaces.hub.simulating import Faults, Rule
from interfaces.med_mobile_pay import inbound, simulator
from interfaces.med_mobile_pay.client import Caller, Orders, OwnPart
from interfaces.med_mobile_pay.settings import Settings
from tests.factories import insured as make
from tests.factories.hospital import World

API = "/api/charging/mobile/orders"
NOTIFY = "/api/open/med-mobile-pay/notify"


class Mobile:
    """The platform beside a :class:`World`; ``books`` is its folder."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.books = world, folder / "med_mobile_pay"
        bind(world.db, folder, cashier_of(world))

    def misbehave(self, *kinds: str, where: str) -> None:
        """What happens to the next calls of a transaction, one each."""
        Faults(self.books).write([Rule(kind, where, count=1) for kind in kinds])

    def bill(self, day: int = 3, quantity: str = "10") -> tuple[int, str]:
        """A person with an exam to pay; the ID number they are insured by."""
        number = make.id_no(day)
        person = make.insured_person(self.world, number)
        self.world.request(self.world.encounter(self.world.register(person)), quantity)
        return person, number

    def offer(self, person: int, number: str, lines: list[int] | None = None) -> Any:
        """Put what the person owes on their phone; the raw answer."""
        chosen = lines or [line["id"] for line in self.world.unpaid(person)["lines"]]
        return self.world.post("cashier", API, {"person_id": person, "line_ids": chosen, "credential": make.show(number)})

    def act(self, order: dict[str, Any], what: str, **body: Any) -> dict[str, Any]:
        """pay, query or withdraw an order."""
        answer: dict[str, Any] = self.world.ok(self.world.post("cashier", f"{API}/{order['claim_id']}/{what}", body))
        return answer

    def phone(self, order: dict[str, Any], **options: Any) -> dict[str, Any]:
        """The payer pays on the phone; the notice that the platform sends."""
        return simulator.phone(self.books, order["number"], self.world.db.clock.now(), **options)

    def notify(self, message: dict[str, Any]) -> Any:
        """The platform's notice arrives; the raw answer."""
        return self.world.app.test_client().post(NOTIFY, json=message)


def cashier_of(world: World) -> str:
    """The login of the world's cashier: the channel settles in that name."""
    from his_server.security.models import User

    with world.db.begin(write=False) as session:
        return session.get_one(User, world.ids["user_cashier"]).login


def bind(database: Any, folder: Path, cashier: str) -> Caller:
    """Bind the adapters over the simulator in ``folder``."""
    keys = simulator.keys(ours=True)
    caller = Caller(transport.in_process("med_mobile_pay", folder, database.clock), database,
                    Settings(cashier=cashier, app_id=keys.app_id), keys)
    database.ports.update({inbound.CALLER: caller, "med_mobile": Orders(caller), "payment:med_mobile": OwnPart(caller)})
    return caller


