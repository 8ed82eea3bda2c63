"""Refunds of insured settlements: the insurer first, then the ledger (M1.14, YB-06, FN-09, FN-11).

Implements: M1.14

The insurer reverses whole settlements only. So: quantities are taken back under guard and their orders follow; the
insurer's settlement is reversed; what remains of the bill is settled with the insurer anew; the ledger books the refund
with the old insurance parts out, the new ones in, and the difference of the patient's own part back to where it came
from. A :class:`RefundCase` keeps how far it is; :func:`advance` is the one way on, for the window and the recovery alike.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import SYSTEM, Actor
from his_server.db import Database, now, of, unless_taken
from his_server.errors import Conflict, Forbidden, Invalid, NotFound
from his_server.money import ZERO, cash_rounding
from his_server.security import audit
from modules.kernel.charging import ports, rules
from modules.kernel.charging.models import (
    ChargeLineState,
    InsuranceClaim,
    Intent,
    IntentTry,
    Payment,
    PaymentState,
    RefundApproval,
    RefundCase,
    Settlement,
)
from modules.kernel.charging.ports import CONFIRMED, REFUSED, Credential
from modules.kernel.charging.service import bills, followers, insured, intents, refunding, reversing
from modules.kernel.charging.service.lines import REGISTRATION
from modules.kernel.charging.service.refunding import Returns
from modules.kernel.charging.service.shifts import enter_shift

log = logging.getLogger("his.insurance")

OPEN = ("reversing", "resettling", "finishing", "due")


def active_claim(session: Session, settlement_id: int) -> InsuranceClaim | None:
    """The claim by which the insurer pays for a settlement today."""
    return session.scalar(
        select(InsuranceClaim).join(Intent, Intent.id == InsuranceClaim.intent_id)
        .where(InsuranceClaim.settlement_id == settlement_id, Intent.state == "used"))


def open_case(session: Session, actor: Actor, settlement_id: int, quantities: Mapping[int, Decimal], *, reason: str,
              returns: Returns | None = None, approval_from: Decimal | None = None, to_jiao: bool = True,
              registration: bool = False) -> RefundCase:
    """Begin the refund: who may, what is left, whose consent; the quantities count as refunded from now on.

    ``registration``: its fee goes back because it was cancelled; otherwise a fee is refused here.

    :raises Conflict: another refund of it is under way, a line has not that much left, or a second person must approve.
    """
    original = session.get(Settlement, settlement_id)
    if original is None or original.kind != "charge":
        raise NotFound("charging.settlement", "没有这次结算，请核对结算号")
    claim = active_claim(session, settlement_id)
    if claim is None:
        raise Invalid("insurance.not_insured", "该结算没有医保支付，请用普通退费办理")
    if returns and returns.as_cash and not actor.can("charging.refund_as_cash"):
        raise Forbidden("charging.refund_as_cash", "电子支付改退现金需要授权，请原路退回或请有权限的人员办理")
    for hold in followers.HOLD:
        hold(session, actor, quantities)
    lines = refunding.lines_of(session, settlement_id, quantities)
    if not registration and any(lines[key].source == REGISTRATION for key in quantities):
        raise Invalid("billing.registration_line", "挂号费请用“退号”办理")
    amounts = refunding.take_back(session, lines, quantities)
    total = sum(amounts.values(), ZERO)
    approver = refunding.approved(session, actor, settlement_id, total, approval_from)
    for follow in followers.REFUNDED:
        follow(session, actor, quantities.items())
    back = reversing.reversal(session, actor, claim.intent_id)
    at = now(session)
    case = RefundCase(
        settlement_id=settlement_id, open_marker=1, claim_id=claim.id, uninsure_intent_id=back.id, state="reversing",
        opened_at=at, opened_by=actor.user_id, opened_by_name=actor.name, changed_at=at,
        plan=json.dumps({
            "lines": {str(k): str(q) for k, q in quantities.items()}, "amounts": {str(k): str(a) for k, a in amounts.items()},
            "reason": reason, "approver": approver, "to_jiao": to_jiao, "actor": insured.who(actor),
            "returns": {str(k): str(a) for k, a in (returns.amounts if returns else {}).items()},
            "as_cash": sorted(returns.as_cash) if returns else []}, ensure_ascii=False))
    with unless_taken(session, Conflict("insurance.refund_open", "该结算有一笔医保退费正在办理，请先办完再退")):
        session.add(case)
    audit.record(session, actor, "insurance.refund", "settlement", settlement_id,
                 {"total": str(total), "reason": reason})
    return case


def advance(database: Database, actor: Actor, case_id: int, *, collected: bool = False, tendered: Decimal | None = None
            ) -> RefundCase:
    """Bring a case as far as it goes now; harmless to repeat.

    ``collected``: the patient pays in cash what is ``due``, having handed over ``tendered``.
    """
    for _ in range(6):
        case = _read(database, case_id)
        before = case.state
        if before == "reversing":
            _reverse(database, actor, case)
        elif before == "resettling":
            _resettle(database, actor, case)
        elif before == "finishing" or (before == "due" and collected):
            _finish(database, case, collected, tendered)
        after = _read(database, case_id)
        if (after.state, after.new_claim_id) == (before, case.new_claim_id):
            break
    return after


def _read(database: Database, case_id: int) -> RefundCase:
    with database.begin(write=False) as session:
        found = session.get(RefundCase, case_id)
        if found is None:
            raise NotFound("insurance.case", "没有这笔医保退费，请刷新后重试")
        session.expunge(found)
        return found


def _move(session: Session, case: RefundCase, after: str, **values: Any) -> bool:
    return bool(portable.guarded_update(
        session, RefundCase, (RefundCase.id == case.id) & (RefundCase.state == case.state),
        {"state": after, "changed_at": now(session), **values}))


def _reverse(database: Database, actor: Actor, case: RefundCase) -> None:
    intent = intents.read(database, case.uninsure_intent_id)
    if intent.state == "created":
        intent = reversing.send_reversal(database, actor, intent.id)
    if intent.state == REFUSED:
        _undo(database, case, intent.message or "医保拒绝撤销")
    elif intent.state == CONFIRMED:
        with database.begin() as session:
            session.info["actor"] = actor
            if _remaining(session, case.settlement_id) and rules.INSURER in database.ports:
                _move(session, case, "resettling", new_claim_id=_fresh(session, actor, case).id)
            else:
                _move(session, case, "finishing")


def _fresh(session: Session, actor: Actor, case: RefundCase) -> InsuranceClaim:
    """A claim for what remains, under a number of its own."""
    old = session.get_one(InsuranceClaim, case.claim_id)
    settle = intents.write_down(
        session, actor, purpose="insure", channel=rules.INSURER, person_id=old.person_id, amount=ZERO, state="created",
        owner_id=case.opened_by, owner_name=case.opened_by_name)
    told = json.loads(old.plan)
    return insured.claim_of(session, settle, _bill(session, old, settle.number), told["line_ids"], told["diagnoses"],
                            replaces=old)


def _remaining(session: Session, settlement_id: int) -> bool:
    rows = session.execute(refunding.left_of(settlement_id))
    return any(row.quantity > row.refunded for row in rows)


def _bill(session: Session, claim: InsuranceClaim, number: str) -> ports.Bill:
    told = json.loads(claim.plan)
    return bills.build(session, number=number, kind=claim.kind, member_no=claim.member_no or "",
                       insurance=claim.insurance, area=claim.area, use_account=claim.use_account,
                       line_ids=told["line_ids"], diagnoses=[(code, name) for code, name in told["diagnoses"]])


def _resettle(database: Database, actor: Actor, case: RefundCase) -> None:
    """Settle the rest anew, by the member number; refused means that the patient pays the rest."""
    assert case.new_claim_id is not None
    claim, intent = insured.load(database, case.new_claim_id)
    adapter = reversing.port(database)
    if intent.state == "created":
        with database.begin(write=False) as session:
            fresh = session.get_one(InsuranceClaim, claim.id)
            bill = _bill(session, fresh, intent.number)
            credential = Credential("member", fresh.member_no or "")
        answer, problem = insured.previewed(database, actor, intent.id, adapter, bill, credential)
        if problem:
            if answer.state == REFUSED:
                insured.give_up(database, intent.id, problem)
            intent = intents.read(database, intent.id)
        else:
            with database.begin() as session:
                session.info["actor"] = actor
                mine = intents.start(session, intent.id, ("created",))
            if mine:
                intents.attempt(database, actor, intent.id, "settle", lambda: adapter.settle(bill, credential),
                                insured.keep_answer)
            intent = intents.read(database, intent.id)
    if intent.state == REFUSED and _never_arrived(database, intent.id):
        with database.begin() as session:  # its number is closed at the insurer: once more under another
            session.info["actor"] = actor
            _move(session, case, "resettling", new_claim_id=_fresh(session, actor, case).id)
    elif intent.state in (CONFIRMED, REFUSED):
        with database.begin() as session:
            _move(session, case, "finishing",
                  message=None if intent.state == CONFIRMED else f"其余费用未能医保结算（{intent.message}），按自费")


def _never_arrived(database: Database, intent_id: int) -> bool:
    """Whether it was a question, not the call, that was answered "refused": nothing of it is at the insurer."""
    with database.begin(write=False) as session:
        last = session.scalar(select(IntentTry.act).where(IntentTry.intent_id == intent_id)
                              .order_by(IntentTry.at.desc(), IntentTry.id.desc()).limit(1))
    return last in ("query", "decide")


def _undo(database: Database, case: RefundCase, message: str) -> None:
    """The insurer won't reverse: the quantities are charged as before, the consent can be used again."""
    plan = json.loads(case.plan)
    actor = Actor(**plan["actor"])
    quantities = {int(k): Decimal(q) for k, q in plan["lines"].items()}
    with database.begin() as session:
        session.info["actor"] = actor
        if not _move(session, case, "undone", open_marker=None, message=f"医保未撤销：{message}"[:200]):
            return
        for key, quantity in sorted(quantities.items()):
            portable.guarded_update(session, ChargeLineState, (ChargeLineState.line_id == key)
                                    & (ChargeLineState.refunded >= quantity),
                                    {"refunded": ChargeLineState.refunded - quantity})
        for follow in followers.UNREFUNDED:
            follow(session, actor, quantities.items())
        if plan["approver"]:
            portable.guarded_update(
                session, RefundApproval, RefundApproval.id == plan["approver"][0], {"state": "approved"})
        portable.guarded_update(
            session, Intent, Intent.id == case.uninsure_intent_id,
            {"decision": "退费已取消，费用恢复", "decided_at": now(session), "decided_by": actor.user_id,
             "decided_by_name": "系统"})
        audit.record(session, actor, "insurance.refund_undone", "settlement", case.settlement_id, {"why": message})


def _finish(database: Database, case: RefundCase, collected: bool, tendered: Decimal | None) -> None:
    """Book the refund; where the patient has to pay more for the rest, only once that was collected."""
    plan = json.loads(case.plan)
    actor = Actor(**plan["actor"])
    with database.begin() as session:
        session.info["actor"] = actor
        shift_id = enter_shift(session, actor)
        book = _Book(session, actor, case, plan)
        if book.back < 0 and not collected:
            _move(session, case, "due", due=-book.back)
            return
        original = session.get_one(Settlement, case.settlement_id)
        quantities = {int(k): Decimal(q) for k, q in plan["lines"].items()}
        done = refunding.write(
            session, actor, shift_id, original, refunding.lines_of(session, case.settlement_id, quantities), quantities,
            {int(k): Decimal(a) for k, a in plan["amounts"].items()}, reason=plan["reason"],
            approver=plan["approver"][1] if plan["approver"] else None, give_back=lambda key: book.give_back(key, tendered))
        if not _move(session, case, "done", open_marker=None, refund_id=done.id, due=None):
            raise Conflict("insurance.case_done", "该退费已由他人办完，请刷新")


class _Book:
    """The payments of a refund: the insurer's parts anew, the patient's own difference back or in."""

    def __init__(self, session: Session, actor: Actor, case: RefundCase, plan: dict[str, Any]) -> None:
        self.session, self.actor, self.case, self.plan = session, actor, case, plan
        self.old = session.get_one(InsuranceClaim, case.claim_id)
        self.new: InsuranceClaim | None = None
        if case.new_claim_id is not None:
            fresh = session.get_one(InsuranceClaim, case.new_claim_id)
            if session.get_one(Intent, fresh.intent_id).state == CONFIRMED:
                self.new = fresh
        mine = select(Settlement.id).where(
            (Settlement.id == case.settlement_id) | (Settlement.reverses_id == case.settlement_id))
        rows = session.execute(
            select(Payment, PaymentState).join(PaymentState, PaymentState.payment_id == Payment.id)
            .where(Payment.settlement_id.in_(mine)).order_by(Payment.id)).all()  # also 0.04 yuan that round to no cash
        self.insurers = [p for p, s in rows if p.method in rules.INSURED and s.returned < s.covered]
        self.own = [rules.Paid(p.id, p.method, p.amount, s.covered, s.returned, p.intent_id) for p, s in rows
                    if p.method not in rules.INSURED]
        total = sum((Decimal(a) for a in plan["amounts"].values()), ZERO)
        covered = self.new.total - self.new.cash if self.new else ZERO
        self.back = total + covered - sum((p.amount for p in self.insurers), ZERO)
        """What the patient gets back of their own money; negative: what they pay more."""

    def give_back(self, refund_id: int, tendered: Decimal | None) -> tuple[list[int], Decimal]:
        """Write the payments; electronic returns to send, and the cash that goes out (negative: comes in)."""
        session, at = self.session, now(self.session)
        keys = of(session).keys
        common = {"settlement_id": refund_id, "tendered": None, "paid_at": at}
        rows: list[dict[str, Any]] = []
        states: list[dict[str, Any]] = []
        for paid in self.insurers:
            if not portable.guarded_update(session, PaymentState, (PaymentState.payment_id == paid.id)
                                           & (PaymentState.returned == ZERO), {"returned": PaymentState.covered}):
                raise Conflict("charging.return_excess", "医保支付已被他人退回，请刷新后重试")
            rows.append({**common, "id": keys.next(), "method": paid.method, "amount": -paid.amount,
                         "intent_id": self.case.uninsure_intent_id, "returns_payment_id": paid.id})
        for pay in rules.insured_pays(insured.split_of(self.new), self.new.intent_id) if self.new else ():
            rows.append({**common, "id": keys.next(), "method": pay.method, "amount": pay.covers,
                         "intent_id": pay.intent_id, "returns_payment_id": None})
            states.append({"payment_id": rows[-1]["id"], "covered": pay.covers, "returned": ZERO})
        cash = ZERO
        if self.back < 0:
            due = -self.back
            delta = cash_rounding(due) if self.plan["to_jiao"] else ZERO
            cash = -(due + delta)
            if tendered is not None and tendered < -cash:
                raise Invalid("charging.tendered", f"实收 {tendered} 元，不足应补现金 {-cash} 元")
            rows.append({**common, "id": keys.next(), "method": rules.CASH, "amount": -cash, "intent_id": None,
                         "returns_payment_id": None, "tendered": tendered})
            states.append({"payment_id": rows[-1]["id"], "covered": due, "returned": ZERO})
            if delta:
                rows.append({**common, "id": keys.next(), "method": rules.ROUNDING, "amount": -delta,
                             "intent_id": None, "returns_payment_id": None})
        portable.insert_many(session, Payment, rows)
        if states:
            portable.insert_many(session, PaymentState, states)
        self._intents(refund_id)
        if self.back <= 0:
            return [], cash
        wanted = {int(k): Decimal(a) for k, a in self.plan["returns"].items()}
        returns = Returns(wanted if sum(wanted.values(), ZERO) == self.back else {}, frozenset(self.plan["as_cash"]))
        return refunding.give_back(session, self.actor, self.old.person_id, refund_id, self.back, self.own, returns,
                                   self.plan["to_jiao"])

    def _intents(self, refund_id: int) -> None:
        session, at = self.session, now(self.session)
        moves = [(self.old.intent_id, "used", "reversed", self.case.settlement_id),
                 (self.case.uninsure_intent_id, CONFIRMED, "used", refund_id)]
        if self.new is not None:
            moves.append((self.new.intent_id, CONFIRMED, "used", self.case.settlement_id))
            portable.guarded_update(session, InsuranceClaim, InsuranceClaim.id == self.new.id,
                                    {"settlement_id": self.case.settlement_id})
        for key, before, after, settlement_id in moves:
            if not portable.guarded_update(session, Intent, (Intent.id == key) & (Intent.state == before), {
                    "state": after, "settlement_id": settlement_id, "changed_at": at}):
                raise Conflict("insurance.case_done", "该退费已由他人办完，请刷新")


def ask(database: Database, actor: Actor, case_id: int) -> None:
    """Ask the insurer about what of a case isn't decided."""
    case = _read(database, case_id)
    if case.new_claim_id is not None:
        intents.ask(database, actor, insured.load(database, case.new_claim_id)[1].id)
    elif case.state == "reversing":
        intents.ask(database, actor, case.uninsure_intent_id)


def recover(database: Database, eager: int = 0) -> int:
    """Bring every open case forward; what waits for the patient's money waits. ``eager``: an intent decided just now."""
    with database.begin(write=False) as session:
        hurried = select(InsuranceClaim.id).where(InsuranceClaim.intent_id == eager)
        ids = list(session.scalars(
            select(RefundCase.id).where(RefundCase.state.in_(OPEN[:3]), or_(
                RefundCase.changed_at < now(session) - intents.STALE, RefundCase.uninsure_intent_id == eager,
                RefundCase.new_claim_id.in_(hurried)))
            .order_by(RefundCase.changed_at).limit(200)))
    for key in ids:
        try:
            ask(database, SYSTEM, key)
            advance(database, SYSTEM, key)
        except Exception:  # one that can't move holds nobody else up; the worklist shows its intent
            log.exception("refund case %s can't be brought forward", key)
    return len(ids)


intents.AFTER.append(recover)
