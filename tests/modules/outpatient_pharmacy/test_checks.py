"""What the outside checker and the house itself say against a prescription, before it is handed out (RX-10)."""

from __future__ import annotations

import pytest

from his_server.actor import SYSTEM
from modules.kernel.orders.ports import CHECK, CheckCase
from modules.kernel.orders.rules import Warned
from modules.kernel.patients.models import Person
from tests.factories.hospital import World
from tests.modules.outpatient_pharmacy.helping import (
    act,
    look,
    paid,
)


class Checker:
    """A stand-in of the outside checker: says what it is told to, or nothing in time."""

    def __init__(self, *alerts: Warned, down: bool = False) -> None:
        self.alerts, self.down = alerts, down
        self.asked: list[CheckCase] = []

    def check(self, case: CheckCase) -> tuple[Warned, ...]:
        self.asked.append(case)
        if self.down:
            raise TimeoutError("timed out after 3 s")
        return self.alerts


@pytest.mark.requirement("RX-10")
@pytest.mark.parametrize("who", ["down", "not asked", "alerts"])
def test_silence_or_alerts_of_the_checker_are_seen_and_need_a_person(world: World, who: str) -> None:
    checker = Checker(Warned("warn", "interaction", "lines", "与华法林合用增加出血风险"), down=who == "down")
    made = paid(world)
    world.db.ports[CHECK] = checker
    if who != "not asked":
        world.ok(act(world, made, "check"))
        case = checker.asked[-1]
        assert (case.lines[0].name, case.number) == ("阿莫西林胶囊", made["number"])
    seen = look(world, made)["task"]["check"]
    assert seen["needs_person"] is True
    wanted = {"down": "没有回答", "not asked": "尚未审查", "alerts": "华法林"}[who]
    assert wanted in seen["why"]
    refused = act(world, made, "dispense")
    assert refused.json["code"] == "pharmacy.review_first" and wanted in refused.json["message"]
    without = act(world, made, "review", {})
    assert without.status_code == 422 and without.json["errors"][0]["field"] == "note"
    world.ok(act(world, made, "review", {"note": "已电话与医师核实"}))
    world.ok(act(world, made, "dispense"))


@pytest.mark.requirement("RX-10")
def test_a_clear_answer_lets_it_pass_and_a_new_one_replaces_the_old(world: World) -> None:
    checker = Checker(down=True)
    world.db.ports[CHECK] = checker
    made = paid(world)
    assert world.ok(act(world, made, "check"))["task"]["check"]["outcome"] == "down"
    checker.down = False
    again = world.ok(act(world, made, "check"))["task"]["check"]
    assert (again["outcome"], again["needs_person"]) == ("clear", False)
    world.ok(act(world, made, "dispense"))


@pytest.mark.requirement("RX-10")
def test_the_worker_asks_before_the_patient_stands_there(world: World) -> None:
    from his_server.messaging.worker import Worker

    checker = Checker()
    world.db.ports[CHECK] = checker
    made = paid(world)
    worker = Worker(world.db, world.app.extensions["his_hospital"])
    while worker.fan_out() + worker.deliver_due():
        pass
    assert len(checker.asked) == 1
    assert look(world, made)["task"]["check"]["outcome"] == "clear"


@pytest.mark.requirement("RX-10")
@pytest.mark.parametrize("case", ["allergy", "duplicate"])
def test_the_house_knows_allergies_and_duplicates_by_itself(world: World, case: str) -> None:
    made = paid(world)
    if case == "allergy":
        with world.db.begin() as session:
            session.info["actor"] = SYSTEM
            person = session.get(Person, made["person_id"])
            assert person is not None
            person.allergies = "青霉素类、阿莫西林"
    else:
        made = paid(world, again=made)
    refused = act(world, made, "dispense")
    assert refused.json["code"] == "pharmacy.review_first"
    assert [a["kind"] for a in look(world, made)["task"]["check"]["alerts"]] == [case]
    world.ok(act(world, made, "review", {"note": "病人既往耐受"}))
    world.ok(act(world, made, "dispense"))
