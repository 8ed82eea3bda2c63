"""The demo's insured: visits with requests only are settled with the insurer, and old deposits wait to be given back."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import select

from his_server.actor import Actor
from his_server.db import Database
from his_server.errors import AppError, Conflict
from modules.kernel.charging.ports import Credential
from modules.kernel.charging.rules import Pay
from modules.kernel.charging.service import deposits, insured, mobile
from modules.kernel.masterdata.importing.table import TableRow
from modules.kernel.patients.models import Person

IDENTITY_CARD = "01"


def settle(database: Database, cashier: Actor, person: int, owed: dict[str, Any]) -> Any:
    """Settle what a person owes with the insurer, the own part in cash; None where they aren't insured or it refuses."""
    with database.begin(write=False) as session:
        found = session.get_one(Person, person)
        number = found.id_no if found.id_type == IDENTITY_CARD else None
    if number is None or "insurance" not in database.ports or not owed["total"]:
        return None
    credential = Credential("ecode", f"{number}0000")
    try:
        claim = insured.preview(database, cashier, person_id=person, line_ids=[line["id"] for line in owed["lines"]],
                                credential=credential, member=insured.identify(database, credential))
    except Conflict:  # of several visits: the insurer takes one at a time
        return None
    own = [Pay("cash", claim.cash)] if claim.cash else []
    return insured.settle(database, cashier, claim.id, credential=credential, payments=own, to_jiao=True)[1]


def on_the_phone(database: Database, actor: Actor, bills: Sequence[tuple[int, list[int]]]) -> int:
    """Some open bills wait on their payers' phones, every second is paid there; returns how many were offered."""
    done = 0
    for person, lines in bills:
        with database.begin(write=False) as session:
            found = session.get_one(Person, person)
            number = found.id_no if found.id_type == IDENTITY_CARD else None
        if number is None or "med_mobile" not in database.ports:
            continue
        credential = Credential("ecode", f"{number}0000")
        try:
            order = mobile.offer(database, actor, person_id=person, line_ids=lines,
                                 member=insured.identify(database, credential), token=credential.number)
            if done % 2:
                mobile.pay(database, actor, order.claim_id, "AUTH000000")
        except AppError:  # several visits, drugs without codes: such a bill goes to the window
            continue
        done += 1
    return done


def leave_deposits(database: Database, finance: Actor, persons: Sequence[int]) -> None:
    """What an older system still held of eight people's deposits (R2)."""
    with database.begin() as session:
        session.info["actor"] = finance
        numbers = session.scalars(select(Person.outpatient_no).where(Person.id.in_(persons[:8])).order_by(Person.id))
        deposits.store(session, finance, deposits.COLUMNS, [
            TableRow(n, {"source": "旧门诊系统", "number": f"YJ2024{n:05d}", "outpatient_no": number,
                         "balance": str(Decimal("36.50") * n)}) for n, number in enumerate(numbers, 2)])
