"""What became of a call whose answer was lost: asked first, reversed by 2601 only where the insurer has nothing (YB-02).

Implements: H2, YB-02

The rules (facts: nhsa, section C): a 2207 without an answer is looked for by 5203 under its visit, told by
medins_setl_id = our msgid; found it is taken as settled; not found it is reversed by 2601, which also stops what might
still be on its way; then, and only then, it is certain that nothing was settled. 2208 can't be reversed: it is looked for
and, where the settlement stands, sent again under a new msgid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.db import Database, now
from his_server.errors import Conflict
from his_server.messaging.outbox import LostAnswer, NotSent
from interfaces.nhsa.client.messages import Insurer
from interfaces.nhsa.client.wire import stamp
from interfaces.nhsa.mapping import answers
from interfaces.nhsa.models import NhsaCase, NhsaMessage
from modules.kernel.charging.ports import CONFIRMED, REFUSED, UNKNOWN, Outcome, Settlement

UNDECIDED = ("sent", "lost")
ENTRY = {"outpatient": "2201", "inpatient": "2401"}
SETTLE = {"outpatient": "2207", "inpatient": "2304"}
REVERSE = {"outpatient": "2208", "inpatient": "2305"}
"""Transactions by the kind of case."""
UNSETTLED = {"outpatient": "closed", "inpatient": "registered"}
"""What a case is once it is certain that nothing was settled: a stay can be settled anew under its number."""
ALL = "0000"
"""chrg_bchno or feedetl_sn of everything that isn't settled."""


def was_sent(database: Database, case_id: int, infno: str) -> bool:
    """Whether a transaction of a case may have reached the insurer."""
    with database.begin(write=False) as session:
        return session.scalar(select(NhsaMessage.id).where(
            NhsaMessage.case_id == case_id, NhsaMessage.infno == infno, NhsaMessage.state.in_((*UNDECIDED, "done")))
            .limit(1)) is not None


def _case(database: Database, number: str) -> tuple[NhsaCase, str] | None:
    """A case apart from any session, and its psn_no."""
    with database.begin(write=False) as session:
        found = session.scalars(select(NhsaCase).where(NhsaCase.number == number)).first()
        if found is None:
            return None
        psn = found.psn_no or ""
        session.expunge(found)
        return found, psn


def _messages(database: Database, case_id: int, infno: str, states: Sequence[str]) -> list[Any]:
    with database.begin(write=False) as session:
        return list(session.execute(
            select(NhsaMessage.msgid, NhsaMessage.sent_at, NhsaMessage.state).where(
                NhsaMessage.case_id == case_id, NhsaMessage.infno == infno, NhsaMessage.state.in_(states))
            .order_by(NhsaMessage.id)))


def _move(session: Session, case_id: int, states: tuple[str, ...], after: str, **more: Any) -> int:
    return portable.guarded_update(session, NhsaCase, (NhsaCase.id == case_id) & NhsaCase.state.in_(states),
                                   {"state": after, "changed_at": now(session), **more})


# Visits


def adopt_visit(session: Session, case_id: int, mdtrt_id: str) -> None:
    """The case's visit at the insurer is known."""
    _move(session, case_id, ("new",), "registered", mdtrt_id=mdtrt_id)


def lost_visit(insurer: Insurer, case_id: int) -> str | None:
    """The visit of a 2201 whose answer was lost (5201 by ipt_otp_no, which is the case's own); None: there is none.

    :raises LostAnswer: it can't be found out now.
    """
    if not any(_messages(insurer.database, case_id, infno, UNDECIDED) for infno in ENTRY.values()):
        return None
    with insurer.database.begin(write=False) as session:
        case = session.get_one(NhsaCase, case_id)
        number, otp, psn = case.number, case.ipt_otp_no, case.psn_no or ""
        given = {"psn_no": psn, "begntime": stamp(case.created_at - timedelta(days=1)),
                 "endtime": stamp(now(session) + timedelta(days=1)), "med_type": case.med_type}
    reply = insurer.call("5201", {"data": given}, number=number, case_id=case_id)
    if not reply.ok:
        raise LostAnswer(f"挂号登记结果查询未成功：{reply.message}")
    found = next((row["mdtrt_id"] for row in reply.output["mdtrtinfo"] if row.get("ipt_otp_no") == otp), None)
    if found is not None:
        with insurer.database.begin() as session:
            adopt_visit(session, case_id, found)
    return found


# Settlements


def begin_settling(session: Session, case_id: int) -> None:
    """Before a settlement is sent: whoever comes second asks instead. :raises Conflict: it is under way."""
    if not _move(session, case_id, ("previewed",), "settling"):
        raise Conflict("nhsa.settling", "该医保结算正在办理，请查询结果")


def not_settled(insurer: Insurer, case_id: int) -> None:
    """Nothing left the house: it can be settled again."""
    with insurer.database.begin() as session:
        _move(session, case_id, ("settling",), "previewed")


def adopt_settlement(session: Session, case_id: int, info: Mapping[str, Any], details: Sequence[Mapping[str, Any]],
                     states: tuple[str, ...] = ("settling",)) -> None:
    """The insurer settled: the case keeps by what figures. Not once somebody has begun to undo it."""
    _move(session, case_id, states, "settled", setl_id=str(info.get("setl_id", "")),
          answer=answers.kept(info, details), clr_type=str(info.get("clr_type", ""))[:6],
          clr_optins=str(info.get("clr_optins", ""))[:6], settled_at=answers.instant(str(info.get("setl_time", ""))))


def _told(case: NhsaCase) -> Settlement:
    return Settlement(CONFIRMED, case.setl_id, "医保结算成功", answers.split_of(case.answer, strict=False), case.mdtrt_id,
                      clearing=case.clr_type or None, agency=case.clr_optins or None, settled_at=case.settled_at)


def settlement(insurer: Insurer, number: str) -> Settlement:
    """What became of a bill's settlement; afterwards it is settled, or can't be any more. :raises LostAnswer: not yet."""
    found = _case(insurer.database, number)
    if found is None:
        return Settlement(REFUSED, message="医保中心没有这笔结算")
    case, psn = found
    if case.state in ("settled", "reversing"):
        return _told(case)
    if case.state == "reversed":
        return Settlement(REFUSED, message="这笔结算已撤销", cause="nhsa.order")
    if case.state in ("settling", "undoing"):
        return _look(insurer, case, psn)
    with insurer.database.begin() as session:  # never sent: from now on it can't be
        if case.state not in ("new", UNSETTLED[case.kind]) and not _move(
                session, case.id, ("registered", "uploaded", "previewed"), UNSETTLED[case.kind]):
            return Settlement(UNKNOWN, message="该医保结算正在办理，请稍后再查")
    return Settlement(REFUSED, message="医保中心没有这笔结算")


def _look(insurer: Insurer, case: NhsaCase, psn: str) -> Settlement:
    sent = _messages(insurer.database, case.id, SETTLE[case.kind], UNDECIDED)
    reply = insurer.call("5203", {"data": {"psn_no": psn, "setl_id": "", "mdtrt_id": case.mdtrt_id}}, number=case.number,
                         case_id=case.id, area=case.area)
    if not reply.ok:
        return Settlement(UNKNOWN, message=reply.message, cause=reply.cause)
    ids = {row.msgid for row in sent}
    info = next((row for row in reply.output["setlinfo"]
                 if row.get("medins_setl_id") in ids and row.get("refd_setl_flag", "0") != "1"), None)
    if info is not None and case.state == "settling":
        return _adopt(insurer, case, info, reply.output["setldetail"], ("settling",))
    with insurer.database.begin() as session:
        # from here on its own answer is not taken any more, should it still come
        if case.state == "settling" and not _move(session, case.id, ("settling",), "undoing"):
            return Settlement(UNKNOWN, message="该医保结算正在办理，请稍后再查")
    for row in sent:
        if problem := _undo_message(insurer, row, psn, case, stands=info is not None):
            if info is not None:  # it stands, and can't be taken back this way: it is settled
                return _adopt(insurer, case, info, reply.output["setldetail"], ("undoing",))
            return Settlement(UNKNOWN, message=problem)
    with insurer.database.begin() as session:
        _move(session, case.id, ("undoing",), UNSETTLED[case.kind])
    return Settlement(REFUSED, message="医保中心没有这笔结算，已冲正")


def _adopt(insurer: Insurer, case: NhsaCase, info: Mapping[str, Any], details: Sequence[Mapping[str, Any]],
           states: tuple[str, ...]) -> Settlement:
    with insurer.database.begin() as session:
        adopt_settlement(session, case.id, answers.from_query(info), details, states)
        _decide(session, info["medins_setl_id"], "done")
    again = _case(insurer.database, case.number)
    assert again is not None
    if again[0].state not in ("settled", "reversing"):
        return Settlement(UNKNOWN, message="该医保结算正在办理，请稍后再查")
    return _told(again[0])


def _undo_message(insurer: Insurer, row: Any, psn: str, case: NhsaCase, *, stands: bool) -> str:
    """2601 of a lost settlement; why nothing is certain yet, or empty.

    Where it is refused and 5203 doesn't show it (not ``stands``), it is certain once it can't arrive any more.
    """
    reply = insurer.call("2601", {"data": {"psn_no": psn, "omsgid": row.msgid, "oinfno": SETTLE[case.kind]}},
                         number=case.number, case_id=case.id)
    age = insurer.database.clock.now() - row.sent_at
    if not reply.ok and (stands or age < timedelta(seconds=insurer.settings.late_seconds)):
        return f"冲正未成功，稍后再查：{reply.message}"[:200]
    with insurer.database.begin() as session:
        _decide(session, row.msgid, "undone")
    return ""


def _decide(session: Session, msgid: str, state: str) -> None:
    portable.guarded_update(session, NhsaMessage, (NhsaMessage.msgid == msgid) & NhsaMessage.state.in_(UNDECIDED),
                            {"state": state, "answered_at": now(session)})


# Reversals


def reverse(insurer: Insurer, number: str, original: str) -> Outcome:
    """2208 of the whole settlement of ``original``, under the number of the reversal; nothing is reversed twice."""
    found = _case(insurer.database, original)
    if found is None or found[0].state not in ("settled", "reversing", "reversed"):
        return Outcome(REFUSED, message="没有可撤销的结算", cause="nhsa.order")
    case, psn = found
    if case.state != "settled":
        known = reversal(insurer, number, original)
        if known.state != REFUSED:
            return known
    given = {"data": {"setl_id": case.setl_id, "mdtrt_id": case.mdtrt_id, "psn_no": psn, "exp_content": ""}}

    def before(session: Session, _msgid: str) -> None:
        _move(session, case.id, ("settled", "reversing"), "reversing")

    def after(session: Session, reply: Any) -> None:
        if reply.ok:
            _reversed(session, case.id, reply.output["setlinfo"])

    try:
        reply = insurer.call(REVERSE[case.kind], given, number=number, case_id=case.id, area=case.area, before=before,
                             after=after)
    except NotSent:
        with insurer.database.begin() as session:
            _move(session, case.id, ("reversing",), "settled")
        raise
    if reply.ok:
        return _undone(insurer, original)
    known = reversal(insurer, number, original)  # an earlier 2208 may have come through after all
    return known if known.state != REFUSED else Outcome(REFUSED, message=reply.message, cause=reply.cause)


def _reversed(session: Session, case_id: int, info: Mapping[str, Any]) -> None:
    _move(session, case_id, ("settled", "reversing"), "reversed", reversal_id=str(info.get("setl_id", "")),
          reversed_at=answers.instant(str(info.get("setl_time", ""))) or now(session))


def _undone(insurer: Insurer, original: str) -> Settlement:
    found = _case(insurer.database, original)
    assert found is not None
    case = found[0]
    return Settlement(CONFIRMED, case.reversal_id, "医保撤销成功", peer_visit=case.mdtrt_id, clearing=case.clr_type or None,
                      agency=case.clr_optins or None, settled_at=case.reversed_at)


def reversal(insurer: Insurer, number: str, original: str) -> Outcome:
    """What became of a reversal: refused where the settlement stands. :raises LostAnswer: it can't be found out now."""
    found = _case(insurer.database, original)
    if found is None:
        return Outcome(REFUSED, message="没有可撤销的结算", cause="nhsa.order")
    case, psn = found
    if case.state == "reversed":
        return _undone(insurer, original)
    if case.state != "reversing":
        return Outcome(REFUSED, message="结算仍有效")
    reply = insurer.call("5203", {"data": {"psn_no": psn, "setl_id": "", "mdtrt_id": case.mdtrt_id}}, number=number,
                         case_id=case.id, area=case.area)
    if not reply.ok:
        return Outcome(UNKNOWN, message=reply.message, cause=reply.cause)
    ours = {row.msgid for row in _messages(insurer.database, case.id, REVERSE[case.kind], UNDECIDED)}
    info = next((row for row in reply.output["setlinfo"] if row.get("refd_setl_flag") == "1" and (
        case.kind == "outpatient" or row.get("medins_setl_id") in ours)), None)
    with insurer.database.begin() as session:
        if info is None:
            _move(session, case.id, ("reversing",), "settled")
            return Outcome(REFUSED, message="结算仍有效")
        _reversed(session, case.id, info)
        portable.guarded_update(
            session, NhsaMessage, (NhsaMessage.case_id == case.id) & (NhsaMessage.infno == REVERSE[case.kind])
            & NhsaMessage.state.in_(UNDECIDED), {"state": "done", "answered_at": now(session)})
    return _undone(insurer, original)


# Tidying up


def tidy(insurer: Insurer, case_id: int) -> Outcome:
    """2205 and 2202: take fees and visit of a bill back that isn't settled (any more). Harmless to repeat.

    :raises LostAnswer, NotSent: to be tried again.
    """
    with insurer.database.begin(write=False) as session:
        case = session.get_one(NhsaCase, case_id)
        psn, otp, mdtrt, number, area = case.psn_no or "", case.ipt_otp_no, case.mdtrt_id, case.number, case.area
        state, tidied = case.state, case.tidied
    if tidied or state not in ("closed", "reversed"):
        return Outcome(CONFIRMED if tidied else REFUSED, message="已撤回" if tidied else "已结算，不能撤回")
    mdtrt = mdtrt or lost_visit(insurer, case_id) or ""
    if mdtrt:
        if was_sent(insurer.database, case_id, "2204"):
            reply = insurer.call("2205", {"data": {"mdtrt_id": mdtrt, "chrg_bchno": ALL, "psn_no": psn, "exp_content": ""}},
                                 number=number, case_id=case_id, area=area)
            if not reply.ok and reply.cause != "nhsa.order":
                return Outcome(UNKNOWN, message=reply.message, cause=reply.cause)
        reply = insurer.call("2202", {"data": {"psn_no": psn, "mdtrt_id": mdtrt, "ipt_otp_no": otp, "exp_content": ""}},
                             number=number, case_id=case_id, area=area)
        if not reply.ok and reply.cause != "nhsa.order":
            return Outcome(UNKNOWN, message=reply.message, cause=reply.cause)
    with insurer.database.begin() as session:
        portable.guarded_update(session, NhsaCase, NhsaCase.id == case_id, {"tidied": True, "changed_at": now(session)})
    return Outcome(CONFIRMED, message="已撤回")


def tidy_due(insurer: Insurer, limit: int = 100) -> int:
    """Tidy what was closed or reversed a while ago; returns how many were. What can't be now is tried again."""
    with insurer.database.begin(write=False) as session:
        ids = list(session.scalars(
            select(NhsaCase.id).where(NhsaCase.state.in_(("closed", "reversed")), NhsaCase.tidied.is_(False),
                                      NhsaCase.kind == "outpatient",
                                      NhsaCase.changed_at < now(session) - timedelta(minutes=5))
            .order_by(NhsaCase.changed_at).limit(limit)))
    done = 0
    for case_id in ids:
        try:
            done += tidy(insurer, case_id).state == CONFIRMED
        except (LostAnswer, NotSent):
            return done  # the line is bad: the next run goes on
    return done
