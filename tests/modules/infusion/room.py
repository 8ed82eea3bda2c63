"""An infusion room with two nurses, seats and patients who bring prescriptions."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from his_server.actor import SYSTEM
from his_server.db import now
from modules.infusion.models import InfusionSeat
from modules.kernel.stock import service as stock
from modules.kernel.stock.service import Document, Receipt
from tests.factories import masterdata as make
from tests.factories.hospital import World
from tests.factories.security import make_user, signed_in_client

API = "/api/infusion"


class Room:
    """The room over a small hospital; ``nurse``, ``nurse2`` and ``er`` (emergency) are its people."""

    def __init__(self, world: World) -> None:
        self.world = world
        with world.db.begin() as session:
            session.info["actor"] = SYSTEM
            ids = world.ids
            saline = make.make_drug(session, "6.00", name="氯化钠注射液", form="大容量注射剂", dose_amount=Decimal("250"),
                                    dose_unit="ml", base_unit="袋", pack_size=1, antimicrobial="", ingredient="氯化钠")
            penicillin = make.make_drug(session, "12.00", name="注射用青霉素钠", form="粉针剂", dose_amount=Decimal("1"),
                                        dose_unit="g", base_unit="支", pack_size=10, antimicrobial="非限制", skin_test=True,
                                        ingredient="青霉素", drug_class="青霉素类")
            for store in (ids["store"], ids["emergency_store"]):
                stock.receive(session, SYSTEM, store, [
                    Receipt(d.id, "S1", date(2028, 1, 1), Decimal("1"), Decimal(d.pack_size * 500))
                    for d in (saline, penicillin)], Document("stock_in", 77))
            session.add_all([InfusionSeat(code=f"A{n:02d}", area="A区", kind="椅", position=n, active=True, infusion_id=None,
                                          changed_at=now(session), changed_by_name="系统") for n in (1, 2, 3)])
            session.flush()
            ids.update(saline=saline.id, penicillin=penicillin.id)
            ids.update({seat.code: seat.id for seat in session.query(InfusionSeat).all()})
            place = make.make_department(session, name="输液室", kind="护理", outpatient=False)
            for who, role in (("nurse", "infusion_nurse"), ("nurse2", "infusion_nurse"), ("er", "emergency_nurse")):
                user = make_user(session, role, name={"nurse": "罗护士", "nurse2": "朱护士", "er": "杜护士"}[who],
                                 department_id=place.id)
                ids[f"user_{who}"] = user.id
        self.sign_in("nurse", "nurse2", "er")

    def sign_in(self, *who: str) -> None:
        """New sessions of these people."""
        from his_server.security.models import User

        for name in who:
            with self.world.db.begin(write=False) as session:
                user = session.get(User, self.world.ids[f"user_{name}"])
                session.expunge_all()
            self.world.clients[name] = signed_in_client(self.world.app, self.world.db, user=user)

    def patient(self, name: str = "张小明") -> tuple[int, int]:
        """A registered person and the visit."""
        person = self.world.person(name)
        return person, self.world.encounter(self.world.register(person))

    def prescription(self, encounter: int, *, penicillin: bool = False, days: int = 1, frequency: str = "qd",
                     bottles: int = 1) -> dict[str, Any]:
        """Drips: ``bottles`` groups of saline, with penicillin in the first if asked."""
        rhythm = {"usage": "静滴", "frequency": frequency, "days": days}
        lines = [{"drug_id": self.world.ids["saline"], "dose": "250", "group_no": n + 1, **rhythm} for n in range(bottles)]
        if penicillin:
            lines.insert(1, {"drug_id": self.world.ids["penicillin"], "dose": "2", "group_no": 1, **rhythm})
        return self.world.ok(self.world.post("doctor", "/api/orders/prescriptions", {
            "encounter_id": encounter, "diagnosis": "肺炎", "lines": lines}))

    def paid(self, name: str = "张小明", *, dispensed: bool = True, **more: Any) -> dict[str, Any]:
        """A paid prescription; ``person``, ``code`` (outpatient number) and ``settlement`` with it."""
        person, encounter = self.patient(name)
        made = self.prescription(encounter, **more)
        settled = self.world.ok(self.world.pay_all(person))
        if dispensed:
            self.dispense(made["id"])
        found = self.ok("nurse", "get", f"/persons/{person}")["person"]
        return {**made, "person": person, "code": found["outpatient_no"], "settlement": settled["number"]}

    def dispense(self, prescription: int) -> None:
        """Straight over the counter, whatever the store's rule."""
        from modules.kernel.orders import service as orders

        with self.world.db.begin() as session:
            session.info["actor"] = SYSTEM
            orders.dispense(session, SYSTEM, prescription)

    def ask(self, who: str, method: str, path: str, body: dict[str, Any] | None = None, key: str | None = None) -> Any:
        """An answer of the room's API."""
        if method == "get":
            return self.world.get(who, f"{API}{path}")
        return self.world.post(who, f"{API}{path}", body, key=key)

    def ok(self, who: str, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """The JSON of an answer that must have succeeded."""
        return self.world.ok(self.ask(who, method, path, body))

    def receive(self, paid: dict[str, Any], who: str = "nurse") -> dict[str, Any]:
        """The patient is here."""
        found: dict[str, Any] = self.ok(who, "post", "/receptions", {"prescription_id": paid["id"], "person_id": paid["person"]})
        return found

    def test(self, paid: dict[str, Any], clock: Any, result: str = "阴性") -> dict[str, Any]:
        """A whole skin test, 20 minutes."""
        line = next(one for one in paid["lines"] if one["skin_test"])
        made = self.ok("nurse", "post", "/skin-tests", {"person_id": paid["person"], "prescription_line_id": line["id"]})
        clock.move(minutes=20)
        self.ok("nurse", "post", f"/skin-tests/{made['id']}/read", {"result": result})
        found: dict[str, Any] = self.ok("er", "post", f"/skin-tests/{made['id']}/confirm", {"result": result})
        return found
