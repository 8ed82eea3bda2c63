"""How much the pages of the journey ask of the database when they are opened: pinned, and never more than 12 a request.

A page is what its requests are (their paths stand in its ``.vue`` file); what a list holds doesn't count: the numbers
are the same with three patients as with one.
"""

from __future__ import annotations

from typing import Any

import pytest

from his_server.db import Database
from tests.factories.hospital import World

MOST = 12
BILLING, PHARMACY = "/api/outpatient-billing", "/api/outpatient-pharmacy"
PAGES: dict[str, tuple[str, dict[str, int]]] = {
    "挂号": ("cashier", {
        "/api/session": 6, "/api/patients?q=zxm": 5, "/api/scheduling/sessions": 3,
        "/api/scheduling/registrations?person_id={person}": 3, f"{BILLING}/renewals?person_id={{person}}": 5,
        f"{BILLING}/payment-intents?person_id={{person}}": 3, "/api/masterdata/dictionaries/insutype": 3}),
    "门诊医生": ("doctor", {
        "/api/orders/choices": 5, "/api/orders/visits?mine=true": 3, "/api/orders/visits/{encounter}": 9,
        "/api/masterdata/diagnoses?q=jxzqg": 4, "/api/orders/drugs?q=amxl&encounter_id={encounter}": 9}),
    "收费": ("cashier", {
        f"{BILLING}/unpaid?person_id={{person}}": 3, f"{BILLING}/payment-intents?person_id={{person}}": 3}),
    "发药": ("pharmacist", {
        f"{PHARMACY}/stores": 4, f"{PHARMACY}/windows?store_id={{store}}": 4,
        f"{PHARMACY}/queue?store_id={{store}}&state=charged": 6, f"{PHARMACY}/prescriptions/{{prescription}}": 12}),
    "退费与补打": ("cashier", {
        f"{BILLING}/settlements?day=2026-03-02": 3, f"{BILLING}/settlements/{{settlement}}": 10}),
    "日结交账": ("cashier", {f"{BILLING}/shifts?mine=true": 3, f"{BILLING}/shifts/{{shift}}": 12}),
    "票据号段": ("cashier", {f"{BILLING}/receipt-ranges": 5}),
    "执行确认": ("technician", {"/api/orders/requests?department_id={radiology}&state=charged": 5}),
}


def _ids(world: World, people: int) -> dict[str, Any]:
    """Some people, each registered, seen and charged; the ids of the last."""
    ids: dict[str, Any] = {}
    for n in range(people):
        person = world.person(f"张小明{n}")
        encounter = world.encounter(world.register(person))
        prescription = world.prescribe(encounter)
        world.request(encounter)
        settled = world.ok(world.pay_all(person))
        world.request(encounter)  # owed again
        ids = {"person": person, "encounter": encounter, "prescription": prescription["id"], "settlement": settled["id"]}
    ids["shift"] = world.settlement(ids["settlement"])["shift_id"]
    return {**ids, "store": world.ids["store"], "radiology": world.ids["radiology"]}


@pytest.mark.requirement("M1.13")
@pytest.mark.parametrize("people", [1, 3])
def test_no_page_of_the_journey_asks_more_than_pinned(world: World, db: Database, query_counter: Any, people: int) -> None:
    ids = _ids(world, people)
    seen: dict[str, int] = {}
    for _ in range(2):  # what is remembered between requests is remembered now
        for page, (who, paths) in PAGES.items():
            for path in paths:
                with query_counter() as count:
                    answer = world.get(who, path.format(**ids))
                assert answer.status_code == 200, (page, path, answer.get_data(as_text=True))
                seen[path] = count.total
    pinned = {path: most for _, paths in PAGES.values() for path, most in paths.items()}
    assert max(pinned.values()) <= MOST
    assert {path: (count, pinned[path]) for path, count in seen.items() if count > pinned[path]} == {}, seen
