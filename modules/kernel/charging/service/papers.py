"""Paper for electronic invoices: exchanged once, taken back before the invoice is red-reversed (H8, FN-08).

Implements: H8

By the in-doubt protocol: the paper's row and its intent are committed, then the platform is called; an answer that got
lost is asked for. A red invoice waits until the paper has come back.
"""

from __future__ import annotations

import logging

from sqlalchemy import select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import SYSTEM, Actor
from his_server.clock import local
from his_server.db import Database, now, of, unless_taken
from his_server.errors import Conflict, NotFound, Unavailable
from his_server.security import audit
from modules.kernel.charging import ports
from modules.kernel.charging.models import ElectronicInvoice, Intent, InvoicePaper
from modules.kernel.charging.ports import CONFIRMED, REFUSED, Outcome
from modules.kernel.charging.service import intents, invoices

log = logging.getLogger("his.invoice")


def in_force(session: Session, invoice_id: int) -> InvoicePaper | None:
    """The paper of an invoice that may be in somebody's hands."""
    return session.scalars(select(InvoicePaper).where(InvoicePaper.invoice_id == invoice_id,
                                                      InvoicePaper.open_marker == 1)).first()


def due(database: Database, invoice_id: int) -> ports.Paper:
    """The platform's next paper, for an issued blue invoice that may be exchanged for it.

    :raises Conflict: it isn't in force, or has a paper already (by whom and when). :raises Unavailable: no answer.
    """
    adapter = invoices.port(database)
    with database.begin(write=False) as session:
        _may(session, invoice_id)
    try:
        found = adapter.next_paper()
    except Exception as error:
        log.warning("paper number without an answer: %s", type(error).__name__)
        raise Unavailable("invoice.no_answer", "电子票据平台没有应答，请稍后再换开") from error
    if found.state != CONFIRMED:
        raise Conflict("invoice.no_paper", f"取不到纸质票号：{found.message}，请到财务科领用纸质票据")
    return found


def open_exchange(session: Session, actor: Actor, invoice_id: int, number: ports.Paper) -> InvoicePaper:
    """The paper and its intent, to be committed before :func:`exchange`. :raises Conflict: as :func:`due`."""
    found = _may(session, invoice_id)
    intent = intents.write_down(session, actor, purpose="paper", channel=invoices.CHANNEL, person_id=found.person_id,
                                amount=found.amount, settlement_id=found.settlement_id)
    paper = InvoicePaper(invoice_id=invoice_id, open_marker=1, intent_id=intent.id, state="printing", code=number.code,
                         paper_number=number.paper_number, made_by=actor.user_id, made_by_name=actor.name,
                         made_at=now(session))
    with unless_taken(session, Conflict("invoice.paper_there", "该电子票据正由他人换开纸质票据，请刷新查看")):
        session.add(paper)
    audit.record(session, actor, "invoice.paper", "electronic_invoice", invoice_id, {"paper": number.paper_number})
    return paper


def exchange(database: Database, actor: Actor, paper_id: int) -> InvoicePaper:
    """Tell the platform of an exchange that was written down."""
    adapter = invoices.port(database)
    with database.begin(write=False) as session:
        paper = session.get_one(InvoicePaper, paper_id)
        invoice = session.get_one(ElectronicInvoice, paper.invoice_id)
        intent_id, number = paper.intent_id, session.get_one(Intent, paper.intent_id).number
        named, held = (invoice.code or "", invoice.invoice_number or ""), (paper.code, paper.paper_number)
        operator, at = paper.made_by_name, invoice.made_at
    intents.attempt(database, actor, intent_id, "paper", lambda: _sure(database, intent_id, adapter.exchange(
        number, *named, held, operator, at)))
    return follow(database, paper_id)


def _may(session: Session, invoice_id: int) -> ElectronicInvoice:
    found = session.get(ElectronicInvoice, invoice_id)
    if found is None:
        raise NotFound("invoice.none", "没有这张电子票据，请刷新后重试")
    if found.colour != "blue" or found.state != "issued":
        raise Conflict("invoice.not_in_force", "只有已开具且未冲红的电子票据可以换开纸质票据")
    if session.scalar(select(ElectronicInvoice.id).where(ElectronicInvoice.original_id == invoice_id)) is not None:
        raise Conflict("invoice.to_be_red", "该电子票据正在冲红，不能换开纸质票据")
    if (paper := in_force(session, invoice_id)) is not None:
        raise Conflict("invoice.paper_there", f"已由 {paper.made_by_name} 于 {local(paper.made_at):%m-%d %H:%M} 换开纸质票据 "
                                              f"{paper.paper_number}；如需重打，请先收回作废")
    return found


def open_void(session: Session, actor: Actor, paper_id: int, reason: str) -> InvoicePaper:
    """A paper comes back: its voiding is written down, to be committed before :func:`void`. :raises Conflict: it isn't in
    force."""
    invoices.port(of(session))
    paper = session.get(InvoicePaper, paper_id)
    if paper is None:
        raise NotFound("invoice.paper", "没有这张纸质票据，请刷新后重试")
    invoice = session.get_one(ElectronicInvoice, paper.invoice_id)
    intent = intents.write_down(session, actor, purpose="unpaper", channel=invoices.CHANNEL, person_id=invoice.person_id,
                                amount=invoice.amount, settlement_id=invoice.settlement_id)
    if not portable.guarded_update(session, InvoicePaper, (InvoicePaper.id == paper_id) & (InvoicePaper.state == "printed"),
                                   {"state": "voiding", "void_intent_id": intent.id, "reason": reason[:100],
                                    "voided_by_name": actor.name}):
        raise Conflict("invoice.paper_not_in_force", f"该纸质票据当前状态不能作废（经办 {paper.made_by_name}），请刷新查看")
    audit.record(session, actor, "invoice.void_paper", "invoice_paper", paper_id, {"reason": reason})
    return paper


def void(database: Database, actor: Actor, paper_id: int) -> InvoicePaper:
    """Tell the platform of a voiding that was written down; what waited for it (the red invoice) goes on."""
    adapter = invoices.port(database)
    with database.begin(write=False) as session:
        paper = session.get_one(InvoicePaper, paper_id)
        assert paper.void_intent_id is not None
        intent_id, number = paper.void_intent_id, session.get_one(Intent, paper.void_intent_id).number
        held, reason, operator, at = (paper.code, paper.paper_number), paper.reason or "", paper.voided_by_name, now(session)
    intents.attempt(database, actor, intent_id, "unpaper", lambda: _sure(
        database, intent_id, adapter.void_paper(number, held, operator or actor.name, reason, at)))
    return follow(database, paper_id)


def _sure(database: Database, intent_id: int, answer: Outcome) -> Outcome:
    """A refusal may be of a repeat whose first arrived: then it is done."""
    if answer.state != REFUSED:
        return answer
    intent = intents.read(database, intent_id)
    known = intents.QUESTIONS[intent.purpose](database, intent)
    return known if known.state == CONFIRMED else answer


def follow(database: Database, paper_id: int) -> InvoicePaper:
    """Let a paper follow its decided intents; harmless to repeat."""
    with database.begin() as session:
        paper = session.get_one(InvoicePaper, paper_id)
        made = session.get_one(Intent, paper.intent_id).state
        gone = session.get_one(Intent, paper.void_intent_id).state if paper.void_intent_id else None
        mine = InvoicePaper.id == paper_id
        if made == CONFIRMED:
            portable.guarded_update(session, InvoicePaper, mine & (InvoicePaper.state == "printing"), {"state": "printed"})
        elif made == REFUSED:
            portable.guarded_update(session, InvoicePaper, mine & (InvoicePaper.state == "printing"),
                                    {"state": "failed", "open_marker": None})
        if gone == CONFIRMED:
            portable.guarded_update(session, InvoicePaper, mine & (InvoicePaper.state == "voiding"),
                                    {"state": "void", "open_marker": None, "voided_at": now(session)})
        elif gone == REFUSED:
            portable.guarded_update(session, InvoicePaper, mine & (InvoicePaper.state == "voiding"), {"state": "printed"})
        session.flush()
        session.refresh(paper)
        session.expunge(paper)
        return paper


def recover(database: Database, eager: int = 0) -> int:
    """Ask about papers whose outcome is unknown, and let them follow."""
    if "invoice" not in database.ports:
        return 0
    with database.begin(write=False) as session:
        late = now(session) - intents.STALE
        rows = session.execute(
            select(InvoicePaper.id, Intent.id.label("intent_id"), Intent.state)
            .join(Intent, Intent.id.in_((InvoicePaper.intent_id, InvoicePaper.void_intent_id)))
            .where(InvoicePaper.state.in_(("printing", "voiding")),
                   (Intent.state != "calling") | (Intent.changed_at < late) | (Intent.id == eager)).limit(100)).all()
    for row in rows:
        try:
            if row.state in ("calling", "unknown"):
                intents.ask(database, SYSTEM, row.intent_id)
            follow(database, row.id)
        except Exception:  # one that can't move holds nobody else up; the worklist shows it
            log.exception("paper %s can't be brought forward", row.id)
    return len(rows)


def _found(database: Database, intent: Intent, column: str) -> tuple[InvoicePaper, Outcome]:
    with database.begin(write=False) as session:
        paper = session.scalars(select(InvoicePaper).where(getattr(InvoicePaper, column) == intent.id)).one()
        invoice = session.get_one(ElectronicInvoice, paper.invoice_id)
        named = invoice.code or "", invoice.invoice_number or ""
        session.expunge(paper)
    answer = invoices.port(database).query_paper(intent.number, *named)
    if answer.state == CONFIRMED and answer.paper_number != paper.paper_number:
        return paper, Outcome(REFUSED, message=f"平台记录的纸质票号为 {answer.paper_number}")
    return paper, answer


def _ask(database: Database, intent: Intent) -> Outcome:
    return _found(database, intent, "intent_id")[1]


def _ask_void(database: Database, intent: Intent) -> Outcome:
    answer = _found(database, intent, "void_intent_id")[1]
    if answer.state == CONFIRMED:
        return Outcome(REFUSED, message="纸质票据仍有效")
    return Outcome(CONFIRMED, message="纸质票据已作废") if answer.state == REFUSED else answer


intents.QUESTIONS.update({"paper": _ask, "unpaper": _ask_void})
intents.AFTER.append(recover)
invoices.HELD_BY.append(in_force)
