"""From self-paid to insured (自费转医保): the insurer settles first, then the ledger exchanges what paid (N1, N2).

Implements: N1, N2

A settlement that the patient paid alone becomes insured afterwards. Its lines stay as they are: what was dispensed,
performed or refused is untouched, and nothing is sent to pharmacy, LIS or PACS again. What is exchanged is the money: a
settlement of kind ``convert`` and total 0 takes the insurer's parts in, gives the patient the same amount back to where it
came from, cancels each receipt by a red one and issues it anew; the electronic invoice likewise.

The one rule of return: only the difference goes back (every channel returns parts), electronic payments first, cash last.
So the patient never pays twice, and what we hold never exceeds what they owe but for a return that is queued.

The conversion is a claim (:mod:`insured`): intent committed, insurer called, outcome recorded, booking; whatever instant a
process dies at, its recovery asks the insurer and ends in booked or undone. Undone, the settlement is self-paid as before.
"""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.clock import local
from his_server.db import Database, now, numbering, of, today, unless_taken
from his_server.errors import Conflict, NotFound
from his_server.messaging import outbox
from his_server.money import ZERO
from his_server.security import audit, integrity
from modules.kernel.charging import rules
from modules.kernel.charging.models import (
    ChargeLine,
    ChargeLineState,
    Conversion,
    InsuranceClaim,
    Intent,
    Payment,
    PaymentState,
    Receipt,
    RefundApproval,
    Settlement,
)
from modules.kernel.charging.ports import REFUSED, Credential, Member
from modules.kernel.charging.service import insured, intents, payments, refunding, reversing, signing
from modules.kernel.charging.service.insured import Plan
from modules.kernel.charging.service.settling import RECEIPT_SERIES, SETTLEMENT_SERIES
from modules.kernel.charging.service.shifts import enter_shift

log = logging.getLogger("his.insurance")

REASON = "自费转医保"


def quote(database: Database, actor: Actor, settlement_id: int, *, credential: Credential, member: Member, days: int,
          insurance: str | None = None, use_account: bool = True, request_key: str | None = None) -> Conversion:
    """Ask the insurer what a self-paid settlement would be if it were insured; nothing of it changes.

    ``days``: how old it may be, in calendar days, today included. ``request_key``: the same key is the same quote.
    :raises Conflict: it can't be converted (why), or the insurer refuses.
    """
    adapter = reversing.port(database)
    if request_key is not None and (known := _quoted(database, request_key, settlement_id)) is not None:
        return known
    with database.begin() as session:
        session.info["actor"] = actor
        original = convertible(session, settlement_id, days)
        lines = list(session.scalars(select(ChargeLine.id).where(ChargeLine.settlement_id == settlement_id)
                                     .order_by(ChargeLine.id)))
        claim, bill = insured.open_claim(session, actor, person_id=original.person_id, line_ids=lines, member=member,
                                         insurance=insurance, use_account=use_account, converts=settlement_id)
        at = now(session)
        made = Conversion(settlement_id=settlement_id, claim_id=claim.id, state="quoted", channel=actor.channel,
                          opened_at=at, opened_by=actor.user_id, opened_by_name=actor.name, changed_at=at,
                          request_key=request_key)
        session.add(made)
        session.flush()
        key = made.id
    try:
        insured.shown(database, actor, adapter, claim, bill, credential)
    except Conflict:
        follow(database, key)
        raise
    return read(database, key)


def _quoted(database: Database, request_key: str, settlement_id: int) -> Conversion | None:
    """What the same request made before; one whose answer never came is taken back, so that it can be asked anew.

    :raises Conflict: the key was used for another settlement.
    """
    with database.begin() as session:
        found = session.scalars(select(Conversion).where(Conversion.request_key == request_key)).first()
        if found is None:
            return None
        if found.settlement_id != settlement_id:
            raise Conflict("idempotency.reused", "该提交编号已用于另一笔结算，请换一个提交编号")
        claim = session.get_one(InsuranceClaim, found.claim_id)
        if found.state == "quoted" and claim.total == ZERO:
            found.request_key = None
            session.flush()
            return None
        session.expunge(found)
        return found


def convertible(session: Session, settlement_id: int, days: int) -> Settlement:
    """A settlement that may be converted; three queries.

    Same visit is what the bill demands (one visit at a time). :raises Conflict: it is not self-paid, refunded, converted,
    for nothing, or older than ``days``.
    """
    found = session.get(Settlement, settlement_id)
    if found is None or found.kind != "charge":
        raise NotFound("charging.settlement", "没有这次结算，请核对结算号")
    if found.total == ZERO:
        raise Conflict("conversion.nothing", "该结算金额为 0，不需要转医保")
    if (today(session) - found.business_date).days >= days:
        raise Conflict("conversion.too_old", f"该结算已超过 {days} 天，不能转医保，请到医保办咨询手工报销")
    after = session.execute(
        select(Settlement.kind, Settlement.cashier_name, Settlement.settled_at).where(
            Settlement.reverses_id == settlement_id).order_by(Settlement.kind).limit(1)).first()
    if after is not None:
        what = "转为医保" if after.kind == "convert" else "退费"
        raise Conflict("conversion.changed",
                       f"该结算已由 {after.cashier_name} 于 {local(after.settled_at):%m-%d %H:%M} {what}，不能再转医保")
    if session.scalar(select(InsuranceClaim.id).where(InsuranceClaim.settlement_id == settlement_id).limit(1)):
        raise Conflict("conversion.insured", "该结算已是医保结算，不需要转医保")
    return found


def read(database: Database, conversion_id: int) -> Conversion:
    """A conversion as it is now, apart from any session. :raises NotFound: there is none."""
    with database.begin(write=False) as session:
        found = session.get(Conversion, conversion_id)
        if found is None:
            raise NotFound("conversion.none", "没有这笔自费转医保，请刷新后重试")
        session.expunge(found)
        return found


def returns(session: Session, settlement_id: int, amount: Decimal, *, to_jiao: bool) -> list[rules.ReturnRow]:
    """Where so much of a settlement's payments goes back: electronic ones first, cash last; one query.

    :raises Conflict: that much isn't there any more.
    """
    try:
        return rules.allocate_returns(amount, _paid(session, settlement_id), None, to_jiao=to_jiao) if amount else []
    except rules.RuleError as error:
        raise Conflict(error.code, error.message) from error


def _paid(session: Session, settlement_id: int) -> list[rules.Paid]:
    return [rules.Paid(p.id, p.method, p.amount, s.covered, s.returned, p.intent_id) for p, s in session.execute(
        select(Payment, PaymentState).join(PaymentState, PaymentState.payment_id == Payment.id)
        .where(Payment.settlement_id == settlement_id).order_by(Payment.id))]


def convert(database: Database, actor: Actor, conversion_id: int, *, credential: Credential, to_jiao: bool,
            approval_from: Decimal | None = None) -> Conversion:
    """Settle a quoted conversion with the insurer and exchange the payments; repeating it does nothing twice.

    ``approval_from``: so much cash or more back needs a second person's consent, as a refund does (FN-10).

    The answer is ``done``, ``ended`` (nothing changed, its message says why) or ``settling`` (the insurer's answer is being
    asked for). :raises Conflict: it can't be converted any more, or it is being converted elsewhere.
    """
    found = read(database, conversion_id)
    if found.state == "quoted":
        _consent(database, actor, found, approval_from, to_jiao)
    if found.state in ("quoted", "settling"):
        insured.settle(database, actor, found.claim_id, credential=credential, payments=(), to_jiao=to_jiao)
        found = follow(database, conversion_id)
        send_returns(database, actor, found)
    return found


def _consent(database: Database, actor: Actor, found: Conversion, approval_from: Decimal | None, to_jiao: bool) -> None:
    """Use up the second person's consent to the cash that goes back; kept where the conversion comes to nothing."""
    with database.begin() as session:
        session.info["actor"] = actor
        kept = session.get_one(Conversion, found.id)
        if kept.approval_id is not None:
            return
        covered = insured.split_of(session.get_one(InsuranceClaim, found.claim_id)).covered
        cash = sum((row.amount for row in returns(session, found.settlement_id, covered, to_jiao=to_jiao)
                    if row.method == rules.CASH), ZERO)
        approval = refunding.approved(session, actor, found.settlement_id, cash, approval_from)
        if approval is not None:
            kept.approval_id = approval[0]


def ask(database: Database, actor: Actor, conversion_id: int) -> Conversion:
    """Ask the insurer about a conversion that isn't decided, and go on with it."""
    found = read(database, conversion_id)
    if found.state == "settling":
        intents.ask(database, actor, insured.load(database, found.claim_id)[1].id)
        insured.go_on(database, actor, found.claim_id)
        found = follow(database, conversion_id)
        send_returns(database, actor, found)
    return found


def withdraw(database: Database, actor: Actor, conversion_id: int) -> Conversion:
    """The patient doesn't want it: take the preview back from the insurer. Harmless to repeat."""
    found = read(database, conversion_id)
    if found.state == "quoted":
        insured.withdraw(database, actor, found.claim_id)
        found = follow(database, conversion_id)
    return found


def follow(database: Database, conversion_id: int) -> Conversion:
    """A conversion whose claim came to nothing is over; ``done`` was written with the booking."""
    with database.begin() as session:
        intent = session.scalars(
            select(Intent).join(InsuranceClaim, InsuranceClaim.intent_id == Intent.id)
            .join(Conversion, Conversion.claim_id == InsuranceClaim.id).where(Conversion.id == conversion_id)).first()
        if intent is not None and intent.state in (REFUSED, "reversed") and portable.guarded_update(
                session, Conversion, (Conversion.id == conversion_id) & Conversion.state.in_(("quoted", "settling")),
                {"state": "ended", "live": None, "message": intent.message, "changed_at": now(session)}):
            unused = select(Conversion.approval_id).where(Conversion.id == conversion_id).scalar_subquery()
            portable.guarded_update(session, RefundApproval, (RefundApproval.id == unused)
                                    & (RefundApproval.state == "used"), {"state": "approved"})
    return read(database, conversion_id)


def send_returns(database: Database, actor: Actor, found: Conversion) -> None:
    """Send what goes back through a channel now; what doesn't arrive is the recovery's (``payment-recovery``)."""
    if found.booked_id is None:
        return
    with database.begin(write=False) as session:
        waiting = list(session.scalars(select(Intent.id).where(
            Intent.settlement_id == found.booked_id, Intent.purpose == "refund", Intent.state == "created")))
    for key in waiting:
        try:
            payments.send_refund(database, key, actor)
        except Exception:  # the money's return is written down: the recovery sends it
            log.exception("return %s of conversion %s not sent", key, found.id)


# Inside the claim's units of work


def _take(session: Session, actor: Actor, claim_id: int) -> None:
    """``quoted`` → ``settling``, one conversion of a settlement at a time. :raises Conflict: another one is."""
    try:
        with session.begin_nested():
            taken = portable.guarded_update(
                session, Conversion, (Conversion.claim_id == claim_id) & (Conversion.state == "quoted"),
                {"state": "settling", "live": 1, "changed_at": now(session), "opened_by": actor.user_id,
                 "opened_by_name": actor.name})
    except Exception as error:
        if not portable.is_unique_violation(error):
            raise
        taken = 0
    if not taken:
        mine = select(Conversion.settlement_id).where(Conversion.claim_id == claim_id).scalar_subquery()
        other = session.scalars(select(Conversion).where(Conversion.settlement_id == mine, Conversion.live == 1)).first()
        who = f"由 {other.opened_by_name} 于 {local(other.changed_at):%H:%M} " if other else "在另一窗口"
        raise Conflict("conversion.under_way", f"该结算正{who}办理转医保，请稍候刷新查看")


def _book(session: Session, actor: Actor, intent_id: int, plan: Plan) -> None:
    """Exchange payments and receipts of a settlement; the lines stay. Its sums are zero, its parts are those of the claim.

    :raises Conflict: it was refunded or converted meanwhile.
    """
    shift_id = enter_shift(session, actor)
    original = session.get_one(Settlement, plan.converts)
    _hold_lines(session, original, plan)
    booked = of(session).keys.next()
    at = now(session)
    receipts = _receipts(session, actor, booked, original)
    back = sum((pay.covers for pay in plan.payments), ZERO)
    number = numbering.take(session, SETTLEMENT_SERIES)
    claim_id = select(InsuranceClaim.id).where(InsuranceClaim.intent_id == intent_id).scalar_subquery()
    approver = session.scalar(
        select(RefundApproval.decided_by).join(Conversion, Conversion.approval_id == RefundApproval.id)
        .where(Conversion.claim_id == claim_id))
    session.add(Settlement(id=booked, number=number, kind="convert", person_id=original.person_id, total=ZERO,
                           channel=actor.channel, cashier_id=actor.user_id, cashier_name=actor.name, shift_id=shift_id,
                           settled_at=at, business_date=today(session), reverses_id=original.id, reason=REASON,
                           approver_id=approver))
    _exchange(session, actor, original, booked, plan, back)
    session.flush()
    signing.sign_reds(session, actor, receipts)
    if not portable.guarded_update(
            session, Conversion, (Conversion.claim_id == claim_id) & Conversion.state.in_(("quoted", "settling")),
            {"state": "done", "booked_id": booked, "changed_at": at}):
        raise Conflict("conversion.changed", "该转医保已由他人办完，请刷新")
    outbox.record(session, "SettlementConverted", original.number, {
        "refund_id": booked, "number": number, "of_settlement_id": original.id, "of_number": original.number,
        "person_id": original.person_id, "returned": str(back)})
    audit.record(session, actor, "charge.convert", "settlement", booked,
                 {"number": number, "of": original.number, "returned": str(back)})


def _hold_lines(session: Session, original: Settlement, plan: Plan) -> None:
    """Take the lines' rows, in order, as a refund does: whichever comes first is seen by the other.

    :raises Conflict: something of it was refunded, converted, or altered behind our back.
    """
    state = ChargeLineState
    held = sum(portable.guarded_update(session, state, (state.line_id == key) & (state.refunded == 0),
                                       {"refunded": state.refunded}) for key in sorted(plan.line_ids))
    after = session.scalar(select(func.count()).select_from(Settlement).where(Settlement.reverses_id == original.id))
    if held != len(plan.line_ids) or after:
        raise Conflict("conversion.changed", "该结算已退费或已转医保，请刷新后核对")
    lines = session.scalars(select(ChargeLine).where(ChargeLine.settlement_id == original.id))
    if not all(integrity.holds(of(session).sealer, line) for line in lines):
        raise Conflict("integrity.violation", "费用明细校验未通过，不能转医保，请立即联系信息科核查")


def _exchange(session: Session, actor: Actor, original: Settlement, booked: int, plan: Plan, back: Decimal) -> None:
    """The insurer's parts in, the same amount of the patient's own back."""
    keys, at = of(session).keys, now(session)
    rows = [{"id": keys.next(), "settlement_id": booked, "method": pay.method, "amount": pay.covers,
             "intent_id": pay.intent_id, "returns_payment_id": None, "tendered": None, "paid_at": at}
            for pay in plan.payments]
    portable.insert_many(session, Payment, rows)
    portable.insert_many(session, PaymentState, [
        {"payment_id": row["id"], "covered": row["amount"], "returned": ZERO} for row in rows])
    refunding.give_back(session, actor, original.person_id, booked, back,
                        _paid(session, original.id), None, plan.to_jiao)


def _receipts(session: Session, actor: Actor, booked: int, original: Settlement) -> list[int]:
    """Cancel every receipt of a settlement and issue it anew for the same amount; their ids.

    :raises Conflict: one was cancelled by a refund meanwhile.
    """
    keys, at = of(session).keys, now(session)
    rows: list[dict[str, Any]] = []
    olds = list(session.scalars(select(Receipt).where(Receipt.settlement_id == original.id).order_by(Receipt.id)))
    numbers = numbering.take_from_range(session, RECEIPT_SERIES, actor.user_id, 2 * len(olds))
    for n, old in enumerate(olds):
        common = {"settlement_id": booked, "person_id": old.person_id, "title": old.title, "root_id": old.root_id,
                  "issued_at": at, "issued_by": actor.user_id}
        rows += [{**common, "id": keys.next(), "number": numbers[2 * n], "colour": "red", "amount": -old.amount,
                  "reverses_receipt_id": old.id},
                 {**common, "id": keys.next(), "number": numbers[2 * n + 1], "colour": "blue", "amount": old.amount,
                  "reverses_receipt_id": None}]
    with unless_taken(session, Conflict("charging.receipt_reversed", "该票据正被他人冲红，请刷新后重试")):
        portable.insert_many(session, Receipt, rows)
    return [row["id"] for row in rows]


def recover(database: Database, eager: int = 0) -> int:
    """Bring conversions after their claims (which ``insurance-recovery`` brings forward), and send what goes back."""
    with database.begin(write=False) as session:
        over = (select(Conversion.id).join(InsuranceClaim, InsuranceClaim.id == Conversion.claim_id)
                .join(Intent, Intent.id == InsuranceClaim.intent_id)
                .where(Conversion.state.in_(("quoted", "settling")), or_(
                    Intent.state.in_((REFUSED, "reversed")), Intent.id == eager))
                .order_by(Conversion.changed_at).limit(200))
        ids = list(session.scalars(over))
    for key in ids:
        follow(database, key)
    return len(ids)


insured.CONVERSIONS.append(insured.Conversions(take=_take, book=_book))
intents.AFTER.append(recover)
