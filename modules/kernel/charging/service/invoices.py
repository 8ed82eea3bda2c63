"""Electronic invoices: asked for by events, issued by a job, exactly once each (M1.2, FN-08, FN-09).

Implements: M1.2

A settlement makes a blue invoice, unless its total is zero (M1.1); a refund a red one of the whole and a new blue one of the
rest. They go to the platform in this order, by the in-doubt protocol: an answer that got lost is asked for before anything
is sent again. A settlement never waits for the platform and never fails with it.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import SYSTEM, Actor
from his_server.db import Database, now, of
from his_server.errors import Conflict, NotFound, Unavailable
from his_server.messaging.outbox import Event
from his_server.money import ZERO
from his_server.security import audit
from modules.kernel.charging import rules
from modules.kernel.charging.models import (
    ChargeLine,
    ElectronicInvoice,
    InsuranceClaim,
    Intent,
    InvoiceImage,
    Payment,
    Settlement,
)
from modules.kernel.charging.ports import (
    CONFIRMED,
    REFUSED,
    Invoice,
    InvoiceLine,
    InvoicePort,
    InvoiceRequest,
    Outcome,
)
from modules.kernel.charging.service import intents
from modules.kernel.charging.service.intents import STALE
from modules.kernel.encounters.models import Encounter
from modules.kernel.masterdata.models import Department
from modules.kernel.patients.models import Person
from modules.kernel.patients.rules import age

log = logging.getLogger("his.invoice")

CHANNEL = "einvoice"
HELD_BY: list[Callable[[Session, int], object | None]] = []
"""What of an invoice has to come back before it is red-reversed (its paper); put here by whoever knows."""
CODE, NUMBER, CHECK = re.compile(r"\d{8}\Z"), re.compile(r"\d{10}\Z"), re.compile(r"[0-9A-Za-z]{6}\Z")


def port(database: Database) -> InvoicePort:
    """The platform's adapter. :raises Unavailable: none is bound."""
    found: InvoicePort | None = database.ports.get("invoice")
    if found is None:
        raise Unavailable("invoice.none", "电子票据平台未开通，请联系财务科")
    return found


# Planning: in the unit of work that marks the event delivered, so each is planned once


def on_settled(session: Session, event: Event) -> None:
    """Plan the blue invoice of a settlement; none for nothing (M1.1), none where no platform is bound."""
    if Decimal(event.payload["total"]) == 0 or "invoice" not in of(session).ports:
        return
    settlement = session.get_one(Settlement, event.payload["settlement_id"])
    kinds = set(session.scalars(select(ChargeLine.source).where(ChargeLine.settlement_id == settlement.id).distinct()))
    _plan(session, settlement, settlement.id, "blue", settlement.total,
          kind="registration" if kinds == {"registration"} else "outpatient")


def on_refunded(session: Session, event: Event) -> None:
    """Plan the red invoice of the whole and, where something remains, a new blue one (FN-09)."""
    root = event.payload["of_settlement_id"]
    chain = list(session.scalars(select(ElectronicInvoice).where(ElectronicInvoice.root_id == root)
                                 .order_by(ElectronicInvoice.id)))
    cancelled = {one.original_id for one in chain}
    live = [one for one in chain if one.colour == "blue" and one.id not in cancelled]
    if not live:
        return
    refund = session.get_one(Settlement, event.payload["refund_id"])
    red = _plan(session, refund, root, "red", -live[0].amount, kind=live[0].kind, original_id=live[0].id,
                after_id=live[0].id, reason=refund.reason)
    rest = live[0].amount + refund.total
    if rest > 0:
        _plan(session, refund, root, "blue", rest, kind=live[0].kind, after_id=red.id)


def _plan(session: Session, settlement: Settlement, root: int, colour: str, amount: Decimal, **more: Any
          ) -> ElectronicInvoice:
    intent = intents.write_down(
        session, SYSTEM, purpose="red" if colour == "red" else "issue", channel=CHANNEL,
        person_id=settlement.person_id, amount=amount, state="created", settlement_id=settlement.id,
        owner_id=settlement.cashier_id, owner_name=settlement.cashier_name)
    made = ElectronicInvoice(
        intent_id=intent.id, settlement_id=settlement.id, root_id=root, person_id=settlement.person_id, colour=colour,
        state="waiting", amount=amount, cashier_id=settlement.cashier_id, cashier_name=settlement.cashier_name,
        business_date=settlement.business_date, made_at=settlement.settled_at, **more)
    session.add(made)
    session.flush()
    return made


# Sending


def send_due(database: Database, limit: int = 100) -> int:
    """Send what waits and ask about what is unknown; returns how many. Runs every few seconds in the worker."""
    if "invoice" not in database.ports:
        return 0
    with database.begin(write=False) as session:
        at = now(session)
        rows = session.execute(
            select(ElectronicInvoice.id, Intent.state, Intent.changed_at, Intent.id.label("intent_id"))
            .join(Intent, Intent.id == ElectronicInvoice.intent_id)
            .where(Intent.purpose.in_(("issue", "red")), Intent.state.in_(intents.UNDECIDED))
            .order_by(Intent.changed_at, Intent.id).limit(limit)).all()
    done = 0
    for row in rows:
        if row.state == "calling" and at - row.changed_at <= STALE:
            continue
        try:
            if row.state in ("calling", "unknown") and intents.ask(database, SYSTEM, row.intent_id).state != "created":
                _follow(database, row.id)
            else:
                send(database, row.id)
            done += 1
        except Exception:  # one that can't move holds nobody else up; the worklist shows it
            log.exception("invoice %s can't be brought forward", row.id)
    return done


def send(database: Database, invoice_id: int, actor: Actor = SYSTEM) -> ElectronicInvoice:
    """Send an invoice that waits, once what it follows is issued; harmless to repeat."""
    adapter = port(database)
    with database.begin() as session:
        found = _get(session, invoice_id)
        before = session.get(ElectronicInvoice, found.after_id) if found.after_id else None
        if before is not None and before.state not in ("issued", "red"):
            return _read(database, session, invoice_id)
        if found.colour == "red" and before is not None and any(held(session, before.id) for held in HELD_BY):
            portable.guarded_update(session, Intent, Intent.id == found.intent_id, {
                "message": "已换开纸质票据：请先收回纸质票据并作废，再自动冲红"})
            return _read(database, session, invoice_id)
        request = _request(session, found) if found.colour == "blue" else None
        number = session.get_one(Intent, found.intent_id).number
        mine = intents.start(session, found.intent_id, ("created",))
        intent_id, reason, operator = found.intent_id, found.reason or "退费", found.cashier_name
        code, invoice_number, at = *_named(before), found.made_at
    if mine:
        if request is not None:
            asked = request
            intents.attempt(database, actor, intent_id, "issue", lambda: _checked(adapter.issue(asked)), keep)
        else:
            intents.attempt(database, actor, intent_id, "red", lambda: _checked(
                adapter.red(number, code, invoice_number, reason, operator, at)), keep)
        _follow(database, invoice_id)
    with database.begin(write=False) as session:
        return _read(database, session, invoice_id)


def _named(invoice: ElectronicInvoice | None) -> tuple[str, str]:
    return ((invoice.code or "", invoice.invoice_number or "") if invoice is not None else ("", ""))


def _get(session: Session, invoice_id: int) -> ElectronicInvoice:
    found = session.get(ElectronicInvoice, invoice_id)
    if found is None:
        raise NotFound("invoice.none", "没有这张电子票据，请刷新后重试")
    return found


def _read(_database: Database, session: Session, invoice_id: int) -> ElectronicInvoice:
    found = _get(session, invoice_id)
    session.expunge(found)
    return found


def _checked(answer: Outcome) -> Outcome:
    """An answer as the specification has it; another one is no answer. :raises ValueError: format (FN-08)."""
    if answer.state == CONFIRMED and isinstance(answer, Invoice) and not (
            CODE.match(answer.code) and NUMBER.match(answer.invoice_number) and CHECK.match(answer.check_code)):
        raise ValueError("malformed invoice numbers")
    return answer


def keep(session: Session, intent_id: int, answer: Outcome) -> None:
    """Beside a confirmed answer: the platform's numbers; a red one makes its original ``red``."""
    assert isinstance(answer, Invoice)
    portable.guarded_update(
        session, ElectronicInvoice, (ElectronicInvoice.intent_id == intent_id)
        & ElectronicInvoice.state.in_(("waiting", "failed")),
        {"state": "issued", "code": answer.code, "invoice_number": answer.invoice_number,
         "check_code": answer.check_code, "issued_at": answer.issued_at or now(session),
         "picture_url": answer.picture_url[:300] or None})
    original = session.scalar(select(ElectronicInvoice.original_id).where(ElectronicInvoice.intent_id == intent_id))
    if original is not None:
        portable.guarded_update(session, ElectronicInvoice, (ElectronicInvoice.id == original)
                                & (ElectronicInvoice.state == "issued"), {"state": "red"})


def _follow(database: Database, invoice_id: int) -> None:
    """A refused one is ``failed`` until a person has it sent again."""
    with database.begin() as session:
        found = _get(session, invoice_id)
        refused = session.get_one(Intent, found.intent_id).state == REFUSED
        if refused:
            portable.guarded_update(session, ElectronicInvoice, (ElectronicInvoice.id == invoice_id)
                                    & (ElectronicInvoice.state == "waiting"), {"state": "failed"})


def again(session: Session, actor: Actor, invoice_id: int) -> ElectronicInvoice:
    """Have a failed invoice sent once more, under the same number. :raises Conflict: it isn't failed."""
    found = _get(session, invoice_id)
    if not portable.guarded_update(session, Intent, (Intent.id == found.intent_id) & (Intent.state == REFUSED),
                                   {"state": "created", "changed_at": now(session)}):
        raise Conflict("invoice.not_failed", "只有开具失败的电子票据可以重开，请刷新查看")
    portable.guarded_update(session, ElectronicInvoice, (ElectronicInvoice.id == invoice_id)
                            & (ElectronicInvoice.state == "failed"), {"state": "waiting"})
    audit.record(session, actor, "invoice.again", "electronic_invoice", invoice_id, {})
    return found


def _request(session: Session, invoice: ElectronicInvoice) -> InvoiceRequest:
    """What a blue invoice says: the chain's lines and payments up to the settlement or refund that it is of."""
    upto = _up_to(session, invoice)
    person = session.get_one(Person, invoice.person_id)
    paid: dict[str, Decimal] = defaultdict(lambda: ZERO, dict(session.execute(
        select(Payment.method, func.sum(Payment.amount)).where(Payment.settlement_id.in_(upto))
        .group_by(Payment.method)).all()))
    first: dict[int, ChargeLine] = {}
    sums: dict[int, list[Decimal]] = defaultdict(lambda: [Decimal(0), ZERO])
    for line in session.scalars(select(ChargeLine).where(ChargeLine.settlement_id.in_(upto)).order_by(ChargeLine.id)):
        key = line.reverses_line_id or line.id
        first.setdefault(key, line)
        sums[key][0] += line.quantity
        sums[key][1] += line.amount
    lines = tuple(InvoiceLine(line.code, line.name, line.unit, line.price, sums[key][0], sums[key][1],
                              line.fiscal_category) for key, line in first.items() if sums[key][0] > 0)
    own = [(method, amount) for method, amount in sorted(paid.items())
           if amount and method not in (*rules.INSURED, rules.ROUNDING)]
    cash = sum((amount for _, amount in own), ZERO) + paid[rules.ROUNDING]
    visit, department = session.execute(
        select(Encounter, Department.name).outerjoin(Department, Department.id == Encounter.department_id)
        .where(Encounter.id == min(line.encounter_id for line in first.values()))).one()
    claim = session.execute(
        select(InsuranceClaim.insurance, InsuranceClaim.own_expense, Intent.peer_number)
        .join(Intent, Intent.id == InsuranceClaim.intent_id)
        .where(InsuranceClaim.settlement_id == invoice.root_id, InsuranceClaim.total == invoice.amount,
               Intent.state.in_(("used", "reversed"))).order_by(InsuranceClaim.made_at.desc(), InsuranceClaim.id.desc())
        .limit(1)).first()
    insured = paid[rules.FUND] + paid[rules.HOSPITAL] + paid[rules.ACCOUNT] > 0
    return InvoiceRequest(
        number=session.get_one(Intent, invoice.intent_id).number, kind=invoice.kind, issued_at=invoice.made_at,
        payer=person.legal_name, payer_id=person.id_no, outpatient_no=person.outpatient_no, sex=person.sex,
        age=age(person.birth_date, invoice.business_date) if person.birth_date else "", department=department or "",
        payee=invoice.cashier_name, total=invoice.amount, fund=paid[rules.FUND] + paid[rules.HOSPITAL],
        account=paid[rules.ACCOUNT], cash=cash, channels=tuple(own), lines=lines, visit_no=visit.visit_no,
        seen_at=visit.started_at, own_expense=claim.own_expense if claim and insured else ZERO,
        insurance=claim.insurance if claim and insured else "",
        insurer_number=(claim.peer_number or "") if claim and insured else "")


def _up_to(session: Session, invoice: ElectronicInvoice) -> list[int]:
    """The settlements that an invoice sums up: the first of its chain, and the refunds whose red ones stand before it."""
    chain = {one.id: one for one in session.scalars(
        select(ElectronicInvoice).where(ElectronicInvoice.root_id == invoice.root_id))}
    found = {invoice.root_id}
    at: ElectronicInvoice | None = invoice
    while at is not None:
        found.add(at.settlement_id)
        at = chain.get(at.after_id or 0)
    return sorted(found)


def image(database: Database, invoice_id: int) -> bytes:
    """The invoice's picture: from the cache, or fetched now and kept. :raises Conflict: it isn't issued yet."""
    with database.begin(write=False) as session:
        found = _get(session, invoice_id)
        cached = session.get(InvoiceImage, invoice_id)
        if cached is not None:
            return bytes(cached.content)
        if found.code is None or found.invoice_number is None or found.check_code is None:
            raise Conflict("invoice.not_issued", "电子票据尚未开出，请稍后再看")
        asked = found.code, found.invoice_number, found.check_code
    try:
        content = port(database).image(*asked)
    except Unavailable:
        raise
    except Exception as error:
        log.warning("invoice picture without an answer: %s", type(error).__name__)
        raise Unavailable("invoice.no_answer", "电子票据平台没有应答，请稍后再看") from error
    with database.begin() as session:
        portable.upsert(session, InvoiceImage, [{"invoice_id": invoice_id, "content": content}], ["invoice_id"], [])
    return content


def _ask(database: Database, intent: Intent) -> Outcome:
    with database.begin(write=False) as session:
        at = session.scalars(select(ElectronicInvoice.made_at).where(ElectronicInvoice.intent_id == intent.id)).one()
    return _checked(port(database).query(intent.number, at))


def _ask_red(database: Database, intent: Intent) -> Outcome:
    with database.begin(write=False) as session:
        original = session.scalars(select(ElectronicInvoice.original_id).where(
            ElectronicInvoice.intent_id == intent.id)).one()
        named = _named(session.get(ElectronicInvoice, original))
    return _checked(port(database).query_red(intent.number, *named))


def _after(database: Database, eager: int) -> int:
    """A person asked or decided: let the invoice follow at once."""
    with database.begin(write=False) as session:
        found = session.scalar(select(ElectronicInvoice.id).where(ElectronicInvoice.intent_id == eager))
    if found is None or "invoice" not in database.ports:
        return 0
    _follow(database, found)
    with database.begin(write=False) as session:
        waiting = session.get_one(Intent, eager).state == "created"
    if waiting:
        send(database, found)
    return 1


intents.QUESTIONS.update({"issue": _ask, "red": _ask_red})
intents.KEEP.update({"issue": keep, "red": keep})
intents.AFTER.append(_after)
