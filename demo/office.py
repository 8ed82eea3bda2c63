"""The demo's insurance office: last week's statements on their way, this morning's failures, a bill that became insured."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date, timedelta

from sqlalchemy import func, select

from demo.insured import IDENTITY_CARD
from his_server.actor import Actor
from his_server.clock import HOSPITAL_ZONE
from his_server.db import Database
from his_server.errors import Conflict
from modules.insurance_office import service
from modules.insurance_office.service import comparing, statements
from modules.kernel.charging.models import ChargeLine, InsuranceClaim, Payment, Settlement
from modules.kernel.charging.ports import Credential
from modules.kernel.charging.rules import Pay
from modules.kernel.charging.service import converting, insured
from modules.kernel.patients.models import Person

DAYS = 6
CONFIRMED_TO, UPLOADED_TO = 3, 2
"""Statements of so many days ago and older are confirmed, uploaded; yesterday's is a draft."""


def fill(database: Database, keeper: Actor, cashier: Actor) -> None:
    """All of it; what the settings bound no adapter for stays out."""
    if "insurance" not in database.ports:
        return
    today = database.clock.now().astimezone(HOSPITAL_ZONE).date()
    for back in range(DAYS, 0, -1):
        _statements(database, keeper, today - timedelta(days=back), back)
    _failures(database, cashier)
    _conversion(database, cashier, today)


def _statements(database: Database, keeper: Actor, day: date, back: int) -> None:
    with database.begin() as session:
        session.info["actor"] = keeper
        made = [one.id for one in service.build_day(session, keeper, day)]
    if statements.PORT not in database.ports or back < UPLOADED_TO:
        return
    for key in made:
        _act(database, keeper, key, "upload")
        if comparing.PORT in database.ports:
            found = service.compare(database, keeper, key)
            if back >= CONFIRMED_TO and found.state == "matched":
                _act(database, keeper, key, "confirm")


def _act(database: Database, keeper: Actor, statement_id: int, act: str) -> None:
    with database.begin() as session:
        session.info["actor"] = keeper
        service.open_act(session, keeper, statement_id, act)
    service.act(database, keeper, statement_id, act)


def _failures(database: Database, cashier: Actor) -> None:
    """A settlement that the insurer refuses, a preview that it doesn't answer; both bills stay to be paid."""
    with database.begin(write=False) as session:
        rows = session.execute(
            select(ChargeLine.person_id, ChargeLine.encounter_id)
            .join(Person, Person.id == ChargeLine.person_id)
            .where(ChargeLine.state == "open", ChargeLine.kind == "item", Person.id_type == IDENTITY_CARD)
            .group_by(ChargeLine.person_id, ChargeLine.encounter_id)
            .order_by(func.min(ChargeLine.id)).limit(2)).all()
        owing = [(row.person_id, session.get_one(Person, row.person_id).id_no, list(session.scalars(
            select(ChargeLine.id).where(ChargeLine.encounter_id == row.encounter_id, ChargeLine.state == "open",
                                        ChargeLine.kind == "item")))) for row in rows]
    for (person, number, lines), ending in zip(owing, ("0001", "0005"), strict=False):
        credential = Credential("ecode", f"{number}{ending}")
        with suppress(Conflict), _unheard():  # that is what it is here for
            claim = insured.preview(database, cashier, person_id=person, line_ids=lines, credential=credential,
                                    member=insured.identify(database, credential))
            insured.settle(database, cashier, claim.id, credential=credential, to_jiao=True,
                           payments=[Pay("cash", claim.cash)] if claim.cash else [])


@contextmanager
def _unheard() -> Iterator[None]:
    """The log's warning of an answer that stays away, where it stays away by order: it is no news to whoever makes the demo."""
    log = logging.getLogger("his.insurance")
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before


def _conversion(database: Database, cashier: Actor, today: date) -> None:
    """Somebody forgot the card this morning."""
    with database.begin(write=False) as session:
        insured_ones = select(InsuranceClaim.settlement_id).where(InsuranceClaim.settlement_id.is_not(None))
        changed = select(Settlement.reverses_id).where(Settlement.reverses_id.is_not(None))
        paid = select(Payment.settlement_id).where(Payment.method == "scan")
        drugs = select(ChargeLine.settlement_id).where(ChargeLine.kind == "drug", ChargeLine.settlement_id.is_not(None))
        found = session.scalars(
            select(Settlement).join(Person, Person.id == Settlement.person_id)
            .where(Settlement.business_date == today, Settlement.kind == "charge", Settlement.total > 0,
                   Settlement.id.in_(paid), Settlement.id.not_in(insured_ones), Settlement.id.not_in(changed),
                   Settlement.id.not_in(drugs), Person.id_type == IDENTITY_CARD)
            .order_by(Settlement.id).limit(1)).first()
        if found is None:
            return
        settlement_id, number = found.id, session.get_one(Person, found.person_id).id_no
    credential = Credential("ecode", f"{number}0000")
    made = converting.quote(database, cashier, settlement_id, credential=credential,
                            member=insured.identify(database, credential), days=1)
    converting.convert(database, cashier, made.id, credential=credential, to_jiao=True)

