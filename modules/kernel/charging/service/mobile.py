"""Settling on the patient's own phone: the insurer's mobile payment as one more channel (H5, M1.14, FN-15).

Implements: H5, M1.14

offer (6201) → the payer settles on the phone → the outcome is heard by the answer to :func:`pay` (6202), by the insurer's
notice (6302) or by our question (6301), whichever is first and however often → the ledger settles by the same steps as at
the window, once. An offer is an intent in ``created``; a notice that comes after the order was closed, or for lines that
somebody else took meanwhile, gives everything back. Both parts go back the way they came. An order of which one part alone
was paid can't be withdrawn at the platform: when it is to be taken back, that part is returned.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import SYSTEM, Actor
from his_server.db import Database, now
from his_server.errors import Conflict, NotFound, Unavailable
from his_server.security import audit
from his_server.security.models import User
from modules.kernel.charging import ports, rules
from modules.kernel.charging.models import ChargeLine, InsuranceClaim, Intent, IntentTry
from modules.kernel.charging.ports import (
    CONFIRMED,
    REFUSED,
    UNKNOWN,
    WAITING,
    Member,
    MobilePort,
    Outcome,
    Payer,
)
from modules.kernel.charging.service import bills, insured, intents, payments
from modules.kernel.charging.service.settling import Settled

log = logging.getLogger("his.mobile")

OPEN_FOR = timedelta(minutes=30)
"""An order that nobody paid for so long is taken back."""
ASK_AFTER = timedelta(seconds=60)
"""An open order is asked about so often, should the notice not come."""
LATE = "订单撤销后才支付，已自动退回"
HALF = "订单只支付了一部分，已退回所付部分"


@dataclass(frozen=True)
class Order:
    """An order as whoever shows it to the payer needs it."""

    claim_id: int
    number: str
    state: str
    total: Decimal
    url: str = ""
    message: str = ""


def port(database: Database) -> MobilePort:
    """The mobile payment's adapter. :raises Unavailable: none is bound."""
    found: MobilePort | None = database.ports.get(rules.MOBILE)
    if found is None:
        raise Unavailable("mobile.none", "医保移动支付未开通，请到窗口缴费或联系医保办")
    return found


def cashier(session: Session, adapter: MobilePort, trace_id: str = "") -> Actor:
    """In whose name the channel settles. :raises Unavailable: the account isn't set up."""
    user = session.scalars(select(User).where(User.login == adapter.cashier)).first()
    if user is None or user.state != "active":
        raise Unavailable("mobile.no_cashier", f"医保移动支付的收费账号“{adapter.cashier}”未建立或已停用，请联系信息科")
    return Actor(user_id=user.id, login=user.login, name=user.name, staff_id=user.staff_id, channel="mobile",
                 trace_id=trace_id)


def offer(database: Database, actor: Actor, *, person_id: int, line_ids: Sequence[int], member: Member, token: str,
          insurance: str | None = None, use_account: bool = True) -> Order:
    """Put a bill on its payer's phone; asked again for the same lines it is the same order.

    :raises Conflict: no insurance in force, lines that are taken or offered already, or the platform refuses (its reason).
    :raises Unavailable: no answer; a repeat goes on with the same order.
    """
    adapter = port(database)
    wanted = sorted(set(line_ids))
    with database.begin() as session:
        session.info["actor"] = actor
        claim = _open_order(session, person_id, wanted)
        if claim is None:
            insured.check_open(session, person_id, wanted)
            began = replace(cashier(session, adapter, actor.trace_id), terminal=actor.terminal)
            claim, bill = insured.open_claim(session, actor, person_id=person_id, line_ids=wanted, member=member,
                                             insurance=insurance, use_account=use_account, channel=rules.MOBILE)
            told = json.loads(claim.plan)
            claim.plan = json.dumps({**told, "payments": [], "to_jiao": False, "actor": insured.who(began)},
                                    ensure_ascii=False)
            claim.total = bill.total
            session.flush()
            audit.record(session, actor, "mobile.offer", "intent", claim.intent_id, {"total": str(bill.total)})
        else:
            told = json.loads(claim.plan)
            number = session.get_one(Intent, claim.intent_id).number
            bill = bills.build(session, number=number, kind=claim.kind, member_no=claim.member_no or "",
                               insurance=claim.insurance, area=claim.area, use_account=claim.use_account,
                               line_ids=told["line_ids"], diagnoses=[(a, b) for a, b in told["diagnoses"]])
        claim_id, intent_id = claim.id, claim.intent_id
    payer = Payer(token, member.name, member.id_type, member.id_no)
    try:
        answer = adapter.offer(bill, payer)
    except Exception as error:
        log.warning("offer without an answer: %s", type(error).__name__)
        raise Unavailable("mobile.no_answer", "医保移动支付平台没有应答，请稍后重试，或到窗口缴费") from error
    with database.begin() as session:
        session.info["actor"] = actor
        intents.note(session, actor, intent_id, "offer", answer)
        if answer.state == CONFIRMED:
            portable.guarded_update(session, Intent, (Intent.id == intent_id) & (Intent.state == "created"),
                                    {"peer_number": answer.peer_number, "changed_at": now(session)})
    if answer.state == REFUSED:
        insured.give_up(database, intent_id, answer.message or "医保移动支付平台不受理")
        raise Conflict("mobile.refused", f"{answer.message or '医保移动支付平台不受理'}，请到窗口缴费")
    return replace(read(database, claim_id), url=answer.url, message=answer.message)


def _open_order(session: Session, person_id: int, wanted: list[int]) -> InsuranceClaim | None:
    """The order that stands for exactly these lines. :raises Conflict: one stands for some of them."""
    rows = session.execute(
        select(InsuranceClaim, Intent).join(Intent, Intent.id == InsuranceClaim.intent_id)
        .where(InsuranceClaim.person_id == person_id, Intent.channel == rules.MOBILE,
               Intent.state.in_((*intents.UNDECIDED, CONFIRMED)))).all()
    for row in rows:
        lines = json.loads(row.InsuranceClaim.plan)["line_ids"]
        if lines == wanted and row.Intent.state == "created":
            found: InsuranceClaim = row.InsuranceClaim
            return found
        if set(lines) & set(wanted):
            raise Conflict("mobile.offered", "所选费用已有待支付的医保移动支付订单，请先完成支付，或撤回后重试")
    return None


def read(database: Database, claim_id: int) -> Order:
    """An order as it is now. :raises NotFound: there is none."""
    claim, intent = insured.load(database, claim_id)
    if intent.channel != rules.MOBILE:
        raise NotFound("mobile.order", "没有这笔移动支付订单，请刷新后重试")
    return Order(claim.id, intent.number, intent.state, claim.total, message=intent.message or "")


def pay(database: Database, actor: Actor, claim_id: int, authorisation: str) -> tuple[Intent, Settled | None]:
    """Settle an offered order by the payer's authorisation. Repeating it does nothing twice.

    The intent is ``used`` when all is paid, ``created`` while the payer still has their own part to pay.
    """
    adapter = port(database)
    _, intent = insured.load(database, claim_id)
    read(database, claim_id)
    if intent.state == "created":
        with database.begin() as session:
            session.info["actor"] = actor
            mine = intents.start(session, intent.id, ("created",))
        if mine:
            intents.attempt(database, actor, intent.id, "pay", lambda: _plain(adapter.pay(intent.number, authorisation)),
                            insured.keep_answer)
    return go_on(database, actor, claim_id)


def _plain(answer: Outcome) -> Outcome:
    """Waiting for the payer decides nothing: the order stands as it was offered."""
    return replace(answer, state="created") if answer.state == WAITING else answer


def heard(database: Database, number: str, answer: ports.Settlement, act: str, problem: str = "") -> Intent:
    """The insurer says what became of an order: by its notice, or because we asked. Any order, any number of times.

    What is paid after the order was closed is given back (FN-15), and so is what was paid where a ``problem`` is told.
    :raises NotFound: no order of ours.
    """
    with database.begin(write=False) as session:
        row = session.execute(select(Intent.id, InsuranceClaim.id.label("claim_id"))
                              .join(InsuranceClaim, InsuranceClaim.intent_id == Intent.id)
                              .where(Intent.number == number, Intent.channel == rules.MOBILE)).first()
    if row is None:
        raise NotFound("mobile.order", "没有这笔移动支付订单")
    if answer.state in (CONFIRMED, REFUSED, UNKNOWN):
        with database.begin() as session:
            session.info["actor"] = SYSTEM
            late = answer.state == CONFIRMED and portable.guarded_update(
                session, Intent, (Intent.id == row.id) & (Intent.state == REFUSED),
                {"state": CONFIRMED, "changed_at": now(session)})
            intents.record(session, SYSTEM, row.id, act, answer)
            if answer.state == CONFIRMED:
                keep(session, row.id, answer, problem)
                _late_own(session, row.id, answer)
            if late:
                portable.guarded_update(session, InsuranceClaim, InsuranceClaim.intent_id == row.id,
                                        {"answered": f"{insured.NOT_THIS}{LATE}"})
    else:
        with database.begin() as session:
            portable.guarded_update(session, Intent, (Intent.id == row.id) & (Intent.state == "created"),
                                    {"changed_at": now(session)})
    return go_on(database, SYSTEM, row.claim_id)[0]


def keep(session: Session, intent_id: int, answer: ports.Settlement, problem: str = "") -> None:
    """Beside the first confirmed answer: its figures, and the own part as a payment that waits for the settlement.

    ``problem``: why nothing will be settled by it.
    """
    split = answer.split
    if split is None:
        return
    intent = session.get_one(Intent, intent_id)
    claim = session.scalars(select(InsuranceClaim).where(InsuranceClaim.intent_id == intent_id)).one()
    session.refresh(claim)
    try:
        rules.check_split(split, claim.total)
    except rules.RuleError as error:
        problem = problem or error.message
    values = {name: getattr(split, name) for name in insured.AMOUNTS if name != "total"}
    answered = f"{insured.NOT_THIS}{problem}"[:200] if problem else insured.figures(split)
    if not portable.guarded_update(session, InsuranceClaim, (InsuranceClaim.intent_id == intent_id)
                                   & InsuranceClaim.answered.is_(None),
                                   {**values, "answered": answered, "peer_visit": answer.peer_visit,
                                    "peer_settled_at": answer.settled_at or now(session)}):
        return
    portable.guarded_update(session, Intent, Intent.id == intent_id, {"amount": split.covered})
    if split.cash <= 0:
        return
    own = _own_part(session, intent, answer, split.cash, held_by_id=intent_id)
    told = json.loads(claim.plan)
    plan = {**told, "payments": [[rules.MOBILE, str(split.cash), own.id, None]]}
    portable.guarded_update(session, InsuranceClaim, InsuranceClaim.intent_id == intent_id,
                            {"plan": json.dumps(plan, ensure_ascii=False)})


def _own_part(session: Session, intent: Intent, answer: ports.Settlement, amount: Decimal, **more: int) -> Intent:
    return intents.write_down(
        session, SYSTEM, purpose="pay", channel=rules.MOBILE, person_id=intent.person_id, amount=amount,
        state=CONFIRMED, number=own_number(intent.number), peer_number=answer.peer_number,
        owner_id=intent.owner_id, owner_name=intent.owner_name, **more)


def _late_own(session: Session, intent_id: int, answer: ports.Settlement) -> None:
    """The own part of an order that was taken back half paid: what arrives after all goes back as well."""
    intent = session.get_one(Intent, intent_id)
    claim = session.scalars(select(InsuranceClaim).where(InsuranceClaim.intent_id == intent_id)).one()
    if (answer.split is not None and answer.split.cash > 0 and claim.answered == f"{insured.NOT_THIS}{HALF}"
            and not session.scalar(select(Intent.id).where(Intent.number == own_number(intent.number)))):
        _own_part(session, intent, answer, answer.split.cash)


def own_number(number: str) -> str:
    """Our number of the payer's own part of an order."""
    return f"{number}C"


def go_on(database: Database, actor: Actor, claim_id: int) -> tuple[Intent, Settled | None]:
    """Bring a decided order to its end; where it comes to nothing, the own part goes back at once too."""
    intent, settled = insured.go_on(database, actor, claim_id)
    if intent.state == "reversed" and settled is None:
        _return_own(database, intent)
    return intent, settled


def _return_own(database: Database, intent: Intent) -> None:
    with database.begin() as session:
        own = session.scalars(select(Intent).where(Intent.number == own_number(intent.number))).first()
        if own is None or own.state != CONFIRMED or own.held_by_id is not None:
            return
        back = payments.return_unused(session, SYSTEM, own.id).id
    payments.send_refund(database, back)


def withdraw(database: Database, actor: Actor, claim_id: int) -> Intent:
    """Take an unpaid order back. Harmless to repeat; one that turns out to be paid is settled, one paid by half returned."""
    adapter = port(database)
    order = read(database, claim_id)
    _, intent = insured.load(database, claim_id)
    if intent.state != "created":
        return go_on(database, actor, claim_id)[0]
    try:
        answer = adapter.withdraw(order.number)
    except Exception as error:
        log.warning("withdraw without an answer: %s", type(error).__name__)
        raise Unavailable("mobile.no_answer", "医保移动支付平台没有应答，订单仍有效，请稍后再撤回") from error
    with database.begin() as session:
        session.info["actor"] = actor
        intents.note(session, actor, intent.id, "withdraw", answer)
    if answer.state != CONFIRMED:
        return ask(database, actor, claim_id, closing=True)
    insured.give_up(database, intent.id, "订单已撤回")
    return intents.read(database, intent.id)


def ask(database: Database, actor: Actor, claim_id: int, *, closing: bool = False) -> Intent:
    """Ask the platform what became of an order, and go on by what it says.

    ``closing``: one part alone counts as paid, to be given back.
    """
    order = read(database, claim_id)
    _, intent = insured.load(database, claim_id)
    if order.state != "created":
        intents.ask(database, actor, intent.id)
        return go_on(database, actor, claim_id)[0]
    try:
        answer = port(database).query(order.number)
    except Exception as error:
        log.warning("query without an answer: %s", type(error).__name__)
        raise Unavailable("mobile.no_answer", "医保移动支付平台没有应答，请稍后再查") from error
    if closing and answer.state == WAITING and answer.split is not None:
        return heard(database, order.number, replace(answer, state=CONFIRMED, message=HALF), "query", HALF)
    return heard(database, order.number, answer, "query")


def recover(database: Database, eager: int = 0) -> int:
    """Bring every order forward: what was paid is settled or given back, what nobody pays is taken back."""
    if rules.MOBILE not in database.ports:
        return 0
    with database.begin(write=False) as session:
        at = now(session)
        rows = session.execute(
            select(Intent.id, Intent.state, Intent.changed_at, InsuranceClaim.id.label("claim_id"),
                   InsuranceClaim.made_at, InsuranceClaim.plan)
            .join(InsuranceClaim, InsuranceClaim.intent_id == Intent.id)
            .where(Intent.channel == rules.MOBILE, Intent.purpose == "insure",
                   Intent.state.in_((*intents.UNDECIDED, CONFIRMED)))
            .order_by(Intent.changed_at, Intent.id).limit(200)).all()
        taken = _no_longer_open(session, [row.plan for row in rows if row.state == "created"])
        lately = set(session.scalars(select(IntentTry.intent_id).where(
            IntentTry.intent_id.in_([row.id for row in rows if row.state == "created"]), IntentTry.act == "withdraw",
            IntentTry.at > at - ASK_AFTER)))
    looked = 0
    for row in rows:
        age = at - row.changed_at
        try:
            if row.id in lately:  # the platform doesn't take it back just now: it isn't asked without a pause
                continue
            if row.state == "created" and (at - row.made_at > OPEN_FOR or set(json.loads(row.plan)["line_ids"]) & taken):
                withdraw(database, SYSTEM, row.claim_id)
            elif row.id == eager or age > (ASK_AFTER if row.state == "created" else intents.STALE) or row.state == UNKNOWN:
                ask(database, SYSTEM, row.claim_id)
            else:
                continue
            looked += 1
        except Exception:  # one that can't move holds nobody else up; the worklist shows it
            log.exception("mobile order %s can't be brought forward", row.id)
    return looked


def _no_longer_open(session: Session, plans: Sequence[str]) -> set[int]:
    """Lines of open orders that somebody settled or voided meanwhile."""
    wanted = [key for plan in plans for key in json.loads(plan)["line_ids"]]
    return set(session.scalars(select(ChargeLine.id).where(ChargeLine.id.in_(wanted), ChargeLine.state != "open")))


insured.KEEP_ELSEWHERE[rules.MOBILE] = keep
intents.AFTER.append(recover)
