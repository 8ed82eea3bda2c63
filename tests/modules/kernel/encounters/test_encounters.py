"""Visits: opened, seen, finished or cancelled, each once."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session

from his_server.actor import Actor
from his_server.clock import ManualClock
from his_server.errors import Conflict, Invalid, NotFound
from modules.kernel.encounters import service
from modules.kernel.encounters.models import Encounter


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
