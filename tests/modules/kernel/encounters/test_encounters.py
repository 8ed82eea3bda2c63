"""Visits: opened, seen, finished or cancelled, each once."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session

from his_server.actor import Actor
from his_server.clock import ManualClock
from his_server.errors import Conflict, Invalid, NotFound
from modules.kernel.encounters import service
from modules.kernel.encounters.models import Encounter
from tests.conftest import ACTOR
from tests.factories.hospital import World


def _open(session: Session, actor: Actor, **values: str) -> Encounter:
    return service.open_encounter(session, actor, person_id=7, department_id=3, **{"kind": "outpatient", **values})


@pytest.mark.requirement("M3.2")
def test_visit_numbers_begin_anew_each_day(session: Session, actor: Actor, clock: ManualClock) -> None:
    numbers = [_open(session, actor).visit_no for _ in range(2)]
    clock.move(hours=24)
    assert [*numbers, _open(session, actor, kind="inpatient").visit_no] == ["2026030200001", "2026030200002", "2026030300001"]


def test_a_visit_takes_its_way_once_and_the_loser_reads_who_was_faster(session: Session, actor: Actor) -> None:
    visit = _open(session, actor, kind="emergency")
    assert (visit.state, visit.insurance, str(visit.business_date)) == ("waiting", "自费", "2026-03-02")
    assert service.start(session, actor, visit.id, doctor_id=9).doctor_id == 9
    with pytest.raises(Conflict, match="测试员 已于 03-02 08:30 把本次就诊改为“就诊中”"):
        service.cancel(session, actor, visit.id, "不来了")
    assert service.finish(session, actor, visit.id).state == "finished"
    for again in (service.finish, service.start):
        with pytest.raises(Conflict, match="已结束"):
            again(session, actor, visit.id)
    other = _open(session, actor)
    assert service.cancel(session, actor, other.id, "不来了").cancel_reason == "不来了"
    with pytest.raises(Conflict, match="已取消"):
        service.start(session, actor, other.id)


def test_unknown_kinds_and_visits_are_refused(session: Session, actor: Actor) -> None:
    with pytest.raises(Invalid):
        _open(session, actor, kind="home")
    with pytest.raises(NotFound):
        service.finish(session, actor, 5)
    assert service.get(session, _open(session, actor).id).person_id == 7


def test_a_doctor_ends_a_visit_and_goes_on_with_it_the_same_day(world: World, clock: ManualClock) -> None:
    person = world.person("王五")
    registration = world.register(person)
    visit = world.encounter(registration)
    path = f"/api/orders/visits/{visit}"

    def listed(**query: str) -> list[str]:
        return [row["name"] for row in world.ok(world.clients["doctor"].get(
            "/api/orders/visits", query_string={"mine": "true", **query}))["items"]]

    world.prescribe(visit)
    assert (listed(), listed(finished="true")) == (["王五"], [])
    ended = world.ok(world.post("doctor", f"{path}/finish"))
    assert (ended["state"], ended["changed_by_name"]) == ("finished", "单文渊")
    assert (listed(), listed(finished="true")) == ([], ["王五"])
    again = world.post("doctor", f"{path}/finish")
    assert again.status_code == 409 and "单文渊 已于 03-02 08:30" in again.json["message"]
    late = world.post("doctor", "/api/orders/prescriptions", {"encounter_id": visit, "diagnosis": "咳嗽", "lines": [
        {"drug_id": world.ids["pill"], "dose": "30", "usage": "口服", "frequency": "tid", "days": 1, "quantity": "3"}]})
    assert late.status_code == 409
    assert world.ok(world.pay_all(person))["total"] == "24.00"  # what was ordered
    assert world.post("cashier", f"{path}/finish").status_code == 403
    world.ok(world.post("doctor", f"{path}/reopen"))
    world.prescribe(visit, "3", drug="pill", dose="30")
    assert world.post("doctor", f"{path}/reopen").status_code == 409
    world.ok(world.post("doctor", f"{path}/finish"))
    refused = world.post("cashier", f"/api/outpatient-billing/registrations/{registration['registration_id']}/cancel",
                         {"reason": "不看了"})
    assert refused.status_code == 409
    with world.db.begin() as session:
        session.info["actor"] = ACTOR
        clock.move(hours=24)
        with pytest.raises(Conflict, match="当天"):
            service.reopen(session, ACTOR, visit)
    assert world.findings() == []
