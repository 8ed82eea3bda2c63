"""Insured people at the window: what they show, and the walk from preview to settlement through the API."""

from __future__ import annotations

from typing import Any

from his_server.actor import SYSTEM
from modules.kernel.charging.models import Intent
from modules.kernel.patients import service as patients
from modules.kernel.stock.service import tracing
from tests.factories.hospital import World
from tests.factories.people import id_number

API = "/api/charging/insurance"


def id_no(day: int = 2, serial: int = 1) -> str:
    """An ID number; an even ``day`` of birth means employee's insurance at the stand-in, an odd one a resident's."""
    return id_number(f"320602198001{day:02d}{serial:02d}1")


def insured_person(world: World, number: str, name: str = "张小明") -> int:
    """A person with an ID number on file and no insurance number."""
    with world.db.begin() as session:
        session.info["actor"] = SYSTEM
        return patients.create_person(session, SYSTEM, name=name, id_type="01", id_no=number, confirmed=True).id


def show(number: str, ending: str = "0000") -> dict[str, Any]:
    """An electronic credential that ends as told."""
    return {"kind": "ecode", "number": number + ending}


def no_codes_needed(world: World) -> None:
    """Put the world's drugs on the no-code list, so that they can be settled with the insurer."""
    with world.db.begin() as session:
        session.info["actor"] = SYSTEM
        for drug in ("drug", "pill", "free_drug"):
            tracing.enter_no_code(session, SYSTEM, drug_id=world.ids[drug], batch_id=None, reason="测试")


def preview(world: World, person: int, credential: dict[str, Any], lines: list[int] | None = None, **more: Any) -> Any:
    """Preview everything the person owes, or these lines; the raw answer."""
    chosen = lines or [line["id"] for line in world.unpaid(person)["lines"]]
    return world.post("cashier", f"{API}/claims", {"person_id": person, "line_ids": chosen, "credential": credential,
                                                   **more})


def settle(world: World, claim: dict[str, Any], credential: dict[str, Any], payments: list[dict[str, Any]] | None = None
           ) -> Any:
    """Settle a previewed claim, the patient's part in cash unless told otherwise; the raw answer."""
    if payments is None:
        payments = [] if claim["cash"] == "0.00" else [{"method": "cash", "covers": claim["cash"]}]
    return world.post("cashier", f"{API}/claims/{claim['id']}/settle", {"credential": credential, "payments": payments})


def states(world: World) -> list[tuple[str, str]]:
    """Purpose and state of every intent, in order."""
    with world.db.begin(write=False) as session:
        return [(row.purpose, row.state) for row in session.query(Intent).order_by(Intent.id)]
