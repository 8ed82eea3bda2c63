"""Settling with the insurer and the patient's other payments together: fully, or not at all (DESIGN section 5).

Implements: M1.12, YB-01, YB-02

preview → (the patient pays the rest by scan) → :func:`settle`: everything is rehearsed and rolled back, the intent goes to
``calling`` with the plan of what follows, the insurer settles, the ledger settles by the plan. Where the ledger can't any
more (somebody else took the lines, the insurer's figures moved), the insurer's part is reversed. Whatever instant a
process dies at, :func:`recover` asks the insurer and goes on to one of these two ends.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import SYSTEM, Actor
from his_server.db import Database, now
from his_server.errors import AppError, Conflict, Invalid, NotFound, Unavailable
from his_server.money import ZERO
from his_server.security import audit
from modules.kernel.charging import ports, rules
from modules.kernel.charging.models import ChargeLine, InsuranceClaim, Intent
from modules.kernel.charging.ports import (
    CONFIRMED,
    REFUSED,
    Credential,
    InsurancePort,
    Member,
    Outcome,
    Split,
)
from modules.kernel.charging.rules import Pay
from modules.kernel.charging.service import bills, followers, intents, reversing
from modules.kernel.charging.service.intents import STALE
from modules.kernel.charging.service.settling import Settled
from modules.kernel.encounters import service as encounters

log = logging.getLogger("his.insurance")

ABANDONED = timedelta(minutes=15)
"""A preview that nobody settled for so long is taken back from the insurer."""
NOT_THIS = "! "
"""Before what stands in ``answered`` when a confirmed settlement may not be booked: the reason follows."""
KEEP_ELSEWHERE: dict[str, Callable[[Session, int, ports.Settlement], None]] = {}
"""What is recorded with a confirmed answer of another channel than the window's, by channel."""
AMOUNTS = ("total", "fund", "account", "shared_account", "cash", "hospital", "own_expense", "over_limit", "self_first",
            "in_scope", "balance")


@dataclass(frozen=True)
class Plan:
    """What the ledger does once the insurer has confirmed."""

    person_id: int
    line_ids: tuple[int, ...]
    payments: tuple[Pay, ...]
    total: Decimal
    to_jiao: bool
    converts: int | None = None
    """The settlement whose self-payment the insurer replaces (N1); None: the lines are open."""


@dataclass(frozen=True)
class Conversions:
    """How a claim for lines that were settled already is taken up and booked; :mod:`converting` puts itself here."""

    take: Callable[[Session, Actor, int], None]
    book: Callable[[Session, Actor, int, Plan], None]


CONVERSIONS: list[Conversions] = []


class _Rehearsed(Exception):
    """Everything would go well; the unit of work is rolled back."""


def identify(database: Database, credential: Credential, name: str = "") -> Member:
    """Whom a credential belongs to; nothing is written.

    :raises Conflict: the insurer doesn't know it. :raises Unavailable: no answer.
    """
    adapter = reversing.port(database)
    try:
        found = adapter.identify(credential, name)
    except Exception as error:
        log.warning("identify without an answer: %s", type(error).__name__)
        raise Unavailable("insurance.no_answer", "医保中心没有应答，请稍后重试，或先按自费收取") from error
    if found.state != CONFIRMED or found.member is None:
        raise Conflict("insurance.unknown_member", f"{found.message or '未查到参保信息'}，请核对凭证或改为自费")
    return found.member


def preview(database: Database, actor: Actor, *, person_id: int, line_ids: Sequence[int], credential: Credential,
            member: Member, insurance: str | None = None, use_account: bool = True, kind: str = "outpatient"
            ) -> InsuranceClaim:
    """Ask the insurer who pays how much of these open lines; the claim that :func:`settle` then takes up.

    :raises Conflict: no insurance in force, the lines changed, or the insurer refuses (its reason).
    """
    adapter = reversing.port(database)
    with database.begin() as session:
        session.info["actor"] = actor
        check_open(session, person_id, line_ids)
        opened = open_claim(session, actor, person_id=person_id, line_ids=line_ids, member=member, insurance=insurance,
                            use_account=use_account, kind=kind)
    return shown(database, actor, adapter, *opened, credential)


def open_claim(session: Session, actor: Actor, *, person_id: int, line_ids: Sequence[int], member: Member,
               insurance: str | None, use_account: bool, kind: str = "outpatient", converts: int | None = None,
               channel: str = rules.INSURER) -> tuple[InsuranceClaim, ports.Bill]:
    """The intent, the claim and the bill of these lines, to be committed before the insurer is asked.

    :raises Conflict: no insurance in force, or the lines may not be settled with the insurer.
    """
    chosen = next((i for i in member.insurances if i.active and insurance in (None, i.kind)), None)
    if chosen is None:
        raise Conflict("insurance.not_active", "该参保人没有有效的参保险种，请按自费收取")
    for check in followers.MAY_INSURE:
        check(session, line_ids)
    diagnoses = followers.diagnoses_of(session, line_ids)
    intent = intents.write_down(session, actor, purpose="insure", channel=channel, person_id=person_id,
                                amount=ZERO, state="created")
    bill = bills.build(session, number=intent.number, kind=kind, member_no=member.member_no, insurance=chosen.kind,
                       area=chosen.area, use_account=use_account, line_ids=line_ids, diagnoses=diagnoses)
    claim = claim_of(session, intent, bill, line_ids, diagnoses, converts=converts)
    audit.record(session, actor, "insurance.preview", "intent", intent.id, {"total": str(bill.total)})
    return claim, bill


def shown(database: Database, actor: Actor, adapter: InsurancePort, claim: InsuranceClaim, bill: ports.Bill,
          credential: Credential) -> InsuranceClaim:
    """Ask the insurer for the split of a committed claim. :raises Conflict: it refuses, or doesn't answer."""
    answer, problem = previewed(database, actor, claim.intent_id, adapter, bill, credential)
    if problem:
        if answer.state == REFUSED:
            give_up(database, claim.intent_id, problem)
        raise Conflict("insurance.preview", problem)
    return load(database, claim.id)[0]


def check_open(session: Session, person_id: int, line_ids: Sequence[int]) -> None:
    """These lines are the person's and open. :raises Conflict: some aren't (any more)."""
    states = session.execute(select(ChargeLine.state, ChargeLine.person_id).where(ChargeLine.id.in_(line_ids))).all()
    if len(states) != len(set(line_ids)) or any(s.state != "open" or s.person_id != person_id for s in states):
        raise Conflict("insurance.lines", "部分费用已收取或作废，请刷新费用清单后重试")


def claim_of(session: Session, intent: Intent, bill: ports.Bill, line_ids: Sequence[int],
             diagnoses: Sequence[tuple[str, str]], replaces: InsuranceClaim | None = None, converts: int | None = None
             ) -> InsuranceClaim:
    """The claim's row beside its intent, before the insurer has said anything."""
    encounter_id = session.scalar(select(ChargeLine.encounter_id).where(ChargeLine.id == line_ids[0]))
    claim = InsuranceClaim(
        intent_id=intent.id, kind=bill.kind, person_id=intent.person_id, encounter_id=encounter_id,
        replaces_id=replaces.id if replaces else None, insurance=bill.insurance, area=bill.area,
        use_account=bill.use_account, made_at=now(session), clearing=rules.CLEARING[bill.treatment], agency=bill.area,
        **dict.fromkeys(AMOUNTS[:-1], ZERO), plan=json.dumps({
            "line_ids": sorted(line_ids), "diagnoses": list(diagnoses), **({"converts": converts} if converts else {})},
            ensure_ascii=False))
    claim.member_no = bill.member_no
    session.add(claim)
    session.flush()
    return claim


def previewed(database: Database, actor: Actor, intent_id: int, adapter: InsurancePort, bill: ports.Bill,
               credential: Credential) -> tuple[Outcome, str]:
    """Preview and keep the split; what is wrong with it, in Chinese."""
    try:
        answer: Outcome = adapter.preview(bill, credential)
    except Exception as error:
        log.warning("preview without an answer: %s", type(error).__name__)
        answer = Outcome(ports.UNKNOWN, message="医保中心没有应答，请重试；多次不成可先按自费收取")
    problem = "" if answer.state == CONFIRMED else answer.message
    split = answer.split if isinstance(answer, ports.Settlement) else None
    if not problem and split is not None:
        try:
            rules.check_split(split, bill.total)
        except rules.RuleError as error:
            answer, problem = Outcome(REFUSED, message=error.message, cause="identity"), error.message
    with database.begin() as session:
        session.info["actor"] = actor
        intents.note(session, actor, intent_id, "preview", answer)
        if not problem and split is not None:
            keep_split(session, intent_id, split, answer)
    return answer, problem


def keep_split(session: Session, intent_id: int, split: Split, answer: Outcome) -> None:
    """Write the insurer's figures into claim and intent."""
    visit = answer.peer_visit if isinstance(answer, ports.Settlement) else None
    portable.guarded_update(session, InsuranceClaim, InsuranceClaim.intent_id == intent_id,
                            {**{name: getattr(split, name) for name in AMOUNTS}, "peer_visit": visit})
    portable.guarded_update(session, Intent, Intent.id == intent_id, {"amount": split.covered})


def give_up(database: Database, intent_id: int, message: str) -> None:
    """A preview comes to nothing: ``created`` → ``refused``."""
    with database.begin() as session:
        portable.guarded_update(session, Intent, (Intent.id == intent_id) & (Intent.state == "created"),
                                {"state": REFUSED, "message": message[:200], "changed_at": now(session)})


def withdraw(database: Database, actor: Actor, claim_id: int) -> Intent:
    """Take a preview back from the insurer: the patient pays otherwise. Harmless to repeat."""
    adapter = reversing.port(database)
    claim, intent = load(database, claim_id)
    if intent.state != "created":
        return intent
    try:
        answer = adapter.withdraw(intent.number)
    except Exception as error:
        log.warning("withdraw without an answer: %s", type(error).__name__)
        return intent
    if answer.state == CONFIRMED:
        give_up(database, claim.intent_id, "预结算已撤回")
    return intents.read(database, claim.intent_id)


def load(database: Database, claim_id: int) -> tuple[InsuranceClaim, Intent]:
    """A claim and its intent, apart from any session. :raises NotFound: there is none."""
    with database.begin(write=False) as session:
        row = session.execute(select(InsuranceClaim, Intent).join(Intent, Intent.id == InsuranceClaim.intent_id)
                              .where(InsuranceClaim.id == claim_id)).first()
        if row is None:
            raise NotFound("insurance.claim", "没有这笔医保结算，请重新预结算")
        session.expunge_all()
        return row.InsuranceClaim, row.Intent


# Settling


def settle(database: Database, actor: Actor, claim_id: int, *, credential: Credential, payments: Sequence[Pay],
           to_jiao: bool) -> tuple[Intent, Settled | None]:
    """Settle a previewed claim with the insurer, and with it the lines and the patient's own payments.

    The answer's intent is ``used`` (settled), ``refused`` or ``reversed`` (nothing was settled, its message says why), or
    ``unknown`` (being asked about). Repeating it does nothing twice.
    :raises AppError: the ledger could not settle it as offered; the insurer was not called.
    """
    adapter = reversing.port(database)
    claim, intent = load(database, claim_id)
    if intent.state != "created":
        return go_on(database, actor, claim_id)
    if claim.total == ZERO:
        raise Conflict("insurance.not_previewed", "预结算没有成功，请重新预结算")
    if any(pay.method in rules.INSURED for pay in payments):
        raise Invalid("insurance.own_part", "医保支付部分由系统按结算结果入账，不能手工录入")
    told = json.loads(claim.plan)
    plan = Plan(claim.person_id, tuple(told["line_ids"]), (*rules.insured_pays(split_of(claim), intent.id), *payments),
                claim.total, to_jiao, told.get("converts"))
    _rehearse(database, actor, intent, plan)
    with database.begin() as session:
        session.info["actor"] = actor
        if not intents.start(session, intent.id, ("created",)):
            raise Conflict("insurance.under_way", "该医保结算正在另一窗口办理，请稍候查询结果")
        for pay in payments:
            if pay.intent_id is not None and not portable.guarded_update(
                    session, Intent, (Intent.id == pay.intent_id) & (Intent.state == CONFIRMED)
                    & Intent.held_by_id.is_(None), {"held_by_id": intent.id}):
                raise Conflict("charging.intent_used", "该笔扫码支付已用于其他结算，请查询支付状态后重试")
        if plan.converts:
            CONVERSIONS[0].take(session, actor, claim_id)
        portable.guarded_update(session, InsuranceClaim, InsuranceClaim.id == claim_id,
                                {"plan": _write_plan(told, plan, actor)})
        bill = _bill(session, claim, intent, told)
        audit.record(session, actor, "insurance.settle", "intent", intent.id, {"total": str(claim.total)})
    intents.attempt(database, actor, intent.id, "settle", lambda: adapter.settle(bill, credential), keep_answer)
    return go_on(database, actor, claim_id)


def _bill(session: Session, claim: InsuranceClaim, intent: Intent, told: dict[str, Any]) -> ports.Bill:
    member_no = session.get_one(InsuranceClaim, claim.id).member_no
    return bills.build(session, number=intent.number, kind=claim.kind, member_no=member_no or "",
                       insurance=claim.insurance, area=claim.area, use_account=claim.use_account,
                       line_ids=told["line_ids"], diagnoses=[(code, name) for code, name in told["diagnoses"]])


def _rehearse(database: Database, actor: Actor, intent: Intent, plan: Plan) -> None:
    """Do everything the ledger will do, and roll it back: what can be refused is refused before the insurer settles."""
    try:
        with database.begin() as session:
            session.info["actor"] = actor
            portable.guarded_update(session, Intent, Intent.id == intent.id, {"state": CONFIRMED})
            _complete(session, actor, intent.id, plan)
            raise _Rehearsed
    except _Rehearsed:
        return


def figures(split: Split) -> str:
    """The figures that must not move between preview and settlement."""
    return " ".join(f"{getattr(split, name):f}" for name in AMOUNTS[:-1])


def keep_answer(session: Session, intent_id: int, answer: Outcome) -> None:
    """Beside a confirmed answer: by what figures the insurer settled; :func:`go_on` compares them with the preview."""
    if isinstance(answer, ports.Settlement) and answer.split is not None:
        channel = session.get_one(Intent, intent_id).channel
        if channel in KEEP_ELSEWHERE:
            return KEEP_ELSEWHERE[channel](session, intent_id, answer)
        told = {name: value for name, value in (("clearing", answer.clearing), ("agency", answer.agency)) if value}
        portable.guarded_update(session, InsuranceClaim, InsuranceClaim.intent_id == intent_id, {
            "answered": figures(answer.split), "peer_settled_at": answer.settled_at or now(session), **told})


def _decided(session: Session, intent_id: int) -> None:
    portable.guarded_update(session, InsuranceClaim, (InsuranceClaim.intent_id == intent_id)
                            & InsuranceClaim.peer_settled_at.is_(None), {"peer_settled_at": now(session)})


def split_of(claim: InsuranceClaim) -> Split:
    """What the insurer said that everybody pays."""
    return Split(**{name: getattr(claim, name) for name in AMOUNTS})


def _write_plan(told: dict[str, Any], plan: Plan, actor: Actor) -> str:
    own = [[p.method, str(p.covers), p.intent_id, None if p.tendered is None else str(p.tendered)]
           for p in plan.payments if p.method not in rules.INSURED]
    return json.dumps({**told, "payments": own, "to_jiao": plan.to_jiao, "actor": who(actor)}, ensure_ascii=False)


def who(actor: Actor) -> dict[str, Any]:
    """What of an actor a plan keeps, to go on in their name."""
    return {name: getattr(actor, name) for name in ("user_id", "login", "name", "staff_id", "department_id", "channel",
                                                    "terminal")}


def read_plan(claim: InsuranceClaim, intent_id: int) -> tuple[Plan, Actor]:
    """The plan of a claim under way, and who began it; the recovery settles in their name."""
    told = json.loads(claim.plan)
    own = tuple(Pay(method, Decimal(covers), intent, None if tendered is None else Decimal(tendered))
                for method, covers, intent, tendered in told["payments"])
    plan = Plan(claim.person_id, tuple(told["line_ids"]), (*rules.insured_pays(split_of(claim), intent_id), *own),
                claim.total, told["to_jiao"], told.get("converts"))
    return plan, Actor(**told["actor"])


def go_on(database: Database, actor: Actor, claim_id: int) -> tuple[Intent, Settled | None]:
    """Bring a claim whose intent is decided to its end; what is not decided stays as it is."""
    claim, intent = load(database, claim_id)
    if intent.state == REFUSED:
        with database.begin() as session:
            reversing.release(session, intent.id)
        return intents.read(database, intent.id), None
    if intent.state != CONFIRMED:
        return intent, None
    problem = _moved(claim, intent)
    settled = None
    if not problem:
        plan, began = read_plan(claim, intent.id)
        try:
            with database.begin() as session:
                session.info["actor"] = began
                settled = _complete(session, replace(began, trace_id=actor.trace_id), intent.id, plan)
        except AppError as error:
            problem = error.message
    if problem:
        reversing.undo(database, actor, intent.id, f"已撤销医保结算：{problem}")
    return intents.read(database, intent.id), settled


def _moved(claim: InsuranceClaim, intent: Intent) -> str:
    """Whether the insurer settled by other figures than it had told. A person's decision is by the told ones."""
    if claim.answered and claim.answered.startswith(NOT_THIS):
        return claim.answered.removeprefix(NOT_THIS)
    if claim.answered == figures(split_of(claim)) or (claim.answered is None and intent.decided_at is not None):
        return ""
    return "医保结算金额与预结算不一致，请重新预结算"


def _complete(session: Session, actor: Actor, intent_id: int, plan: Plan) -> Settled | None:
    reversing.release(session, intent_id)
    settled = None
    if plan.converts:
        CONVERSIONS[0].book(session, actor, intent_id, plan)
    else:
        settled = followers.settle_and_follow(session, actor, person_id=plan.person_id, line_ids=plan.line_ids,
                                              payments=plan.payments, to_jiao=plan.to_jiao, expected_total=plan.total)
    key = settled.id if settled else plan.converts
    in_ledger = settled and any(pay.method in rules.INSURED for pay in plan.payments)
    if not in_ledger and not portable.guarded_update(
            session, Intent, (Intent.id == intent_id) & (Intent.state == CONFIRMED),
            {"state": "used", "settlement_id": key, "changed_at": now(session)}):
        raise Conflict("insurance.taken", "该医保结算已由他人完成，请刷新")
    portable.guarded_update(session, InsuranceClaim, InsuranceClaim.intent_id == intent_id, {"settlement_id": key})
    claim = session.scalars(select(InsuranceClaim).where(InsuranceClaim.intent_id == intent_id)).one()
    encounters.insure(session, claim.encounter_id, claim.insurance)
    return settled


def _ask_settlement(database: Database, intent: Intent) -> Outcome:
    answer = reversing.port(database, intent.channel).query(intent.number)
    # who waits for a payer decides nothing: the order stands as it was offered
    return replace(answer, state="created") if answer.state == ports.WAITING else answer


def recover(database: Database, eager: int = 0) -> int:
    """Bring every claim and every reversal forward; returns how many moved or were asked about.

    ``eager``: an intent that was decided just now and need not wait for its caller to die.
    """
    with database.begin(write=False) as session:
        at = now(session)
        rows = intents.pending(session, ("insure", "uninsure"))
        claims = {row.intent_id: row.id for row in session.execute(
            select(InsuranceClaim.intent_id, InsuranceClaim.id).join(Intent, Intent.id == InsuranceClaim.intent_id)
            .where(InsuranceClaim.intent_id.in_([r.id for r in rows]), InsuranceClaim.replaces_id.is_(None),
                   Intent.channel == rules.INSURER))}
    looked = 0
    for row in rows:
        age = at - row.changed_at
        try:
            if row.purpose == "uninsure":
                looked += reversing.forward(database, row.id, row.state, age)
            elif row.id in claims and (age > STALE or row.state == "unknown" or row.id == eager):
                looked += _claim_forward(database, claims[row.id], row, age)
        except Exception:  # one that can't move holds nobody else up; the worklist shows it
            log.exception("insurance intent %s can't be brought forward", row.id)
    return looked


def _claim_forward(database: Database, claim_id: int, row: Any, age: timedelta) -> int:
    if row.state == "created":
        if age <= ABANDONED:
            return 0
        withdraw(database, SYSTEM, claim_id)
        return 1
    if row.state in ("calling", "unknown"):
        intents.ask(database, SYSTEM, row.id)
    go_on(database, SYSTEM, claim_id)
    return 1


intents.QUESTIONS["insure"] = _ask_settlement
intents.KEEP["insure"] = keep_answer
intents.DECIDED["insure"] = _decided
intents.AFTER.append(recover)
