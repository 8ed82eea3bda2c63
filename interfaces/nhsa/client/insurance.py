"""The insurance port, as the national insurer's chain of transactions (facts: nhsa, flows; N3, H2).

Implements: H2, N3, M1.12, M1.14, YB-01, YB-02

Each bill of ours is a case with a visit of its own at the insurer. Every step's message is committed before it is sent,
and a step whose answer was lost is asked about before the next: a process may die between any two of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dialects import portable
from his_server import about
from his_server.db import now
from his_server.errors import Conflict
from his_server.messaging.outbox import NotSent
from interfaces.nhsa.client import asking
from interfaces.nhsa.client.messages import Insurer, Reply
from interfaces.nhsa.client.wire import stamp
from interfaces.nhsa.contract import ContractError
from interfaces.nhsa.mapping import answers, outpatient
from interfaces.nhsa.mapping.outpatient import Known, Shown
from interfaces.nhsa.models import NhsaCase, NhsaMember
from modules.kernel.charging.ports import (
    CONFIRMED,
    REFUSED,
    Bill,
    BillLine,
    Credential,
    Identified,
    Outcome,
    Settlement,
)

Unmapped = Callable[[BillLine], "tuple[str, str] | None"]
OPEN = ("new", "registered", "uploaded", "previewed")
"""States in which nothing is settled and a preview may begin again."""


class Insurance:
    """Implements :class:`modules.kernel.charging.ports.InsurancePort`. ``card`` reads electronic social-security cards."""

    def __init__(self, insurer: Insurer, unmapped: Unmapped, card: Callable[[], Any]) -> None:
        self.insurer, self.database, self.settings = insurer, insurer.database, insurer.settings
        self._unmapped, self._card = unmapped, card

    # Who

    def identify(self, credential: Credential, name: str) -> Identified:
        """1101; the member is kept, sealed, for the transactions that follow."""
        if credential.kind == "member":
            return Identified(REFUSED, message="请出示医保凭证")
        try:
            what = self._shown(credential, None)
        except outpatient.Unmapped as error:
            return Identified(REFUSED, message=str(error), cause="nhsa.credential")
        at = stamp(self.database.clock.now())
        try:
            reply = self.insurer.call("1101", outpatient.identify(what, name, at))
        except ContractError as error:
            return Identified(REFUSED, message=f"凭证不符合医保要求：{error.message}", cause="nhsa.credential")
        if not reply.ok:
            return Identified(REFUSED, message=reply.message, cause=reply.cause)
        try:
            member, kind = answers.member(reply.output)
        except answers.BrokenAnswer as error:
            return Identified(REFUSED, message=str(error), cause="nhsa.person")
        with self.database.begin() as session:
            _keep(session, Known(member.member_no, member.name, member.id_type, member.id_no, kind))
        return Identified(CONFIRMED, message="", member=member)

    def _shown(self, credential: Credential, known: Known | None) -> Shown:
        if credential.kind == "ecard":
            card = self._card()
            if card is None:
                raise outpatient.Unmapped("没有开通电子社保卡，请使用医保电子凭证或社保卡")
            read = card.read("ecard_qr", credential.number)
            if read.state != CONFIRMED:
                raise outpatient.Unmapped(read.message or "电子社保卡没有读出，请病人刷新二维码后重试")
            credential = Credential("ecard", read.card_no, read.serial)
        return outpatient.shown(credential, known, self.settings.ecard_cert)

    # Preview

    def preview(self, bill: Bill, credential: Credential) -> Settlement:
        """2201, 2203, 2204 (2205 first on a repeat), 2206."""
        try:
            codes = outpatient.national_codes(bill, self._unmapped)
        except outpatient.Unmapped as error:
            return Settlement(REFUSED, message=str(error), cause="nhsa.unmapped")
        with self.database.begin() as session:
            known = known_member(session, bill.member_no)
            case = _case(session, bill)
            if case.state not in OPEN:
                return Settlement(REFUSED, message="这笔费用已向医保结算过，请刷新后重新预结算", cause="nhsa.order")
            case_id, before, mdtrt = case.id, case.state, case.mdtrt_id
        if known is None:
            return Settlement(REFUSED, message="请重新读取医保凭证", cause="nhsa.credential")
        try:
            what = self._shown(credential, known)
            chain = _Chain(self, bill, what, known, case_id, mdtrt)
            return chain.run(codes, again=before in ("uploaded", "previewed") or asking.was_sent(
                self.database, case_id, "2204"))
        except ContractError as error:
            return Settlement(REFUSED, message=f"费用不符合医保规范：{error.message}", cause="nhsa.contract")
        except outpatient.Uncoded as error:
            return Settlement(REFUSED, message=str(error), cause="nhsa.diagnosis")
        except (outpatient.Unmapped, answers.BrokenAnswer) as error:
            return Settlement(REFUSED, message=str(error), cause="nhsa.amount")

    # Withdraw

    def withdraw(self, number: str) -> Outcome:
        """2205, 2202: nothing of a bill that wasn't settled is left there."""
        with self.database.begin() as session:
            case = _by_number(session, number)
            if case is None:
                return Outcome(CONFIRMED, message="没有上传过")
            if case.state not in (*OPEN, "closed"):
                return Outcome(REFUSED, message="已结算，不能撤回", cause="nhsa.order")
            portable.guarded_update(session, NhsaCase, (NhsaCase.id == case.id) & NhsaCase.state.in_(OPEN),
                                    {"state": "closed", "changed_at": now(session)})
            case_id = case.id
        return asking.tidy(self.insurer, case_id)

    # Settle

    def settle(self, bill: Bill, credential: Credential) -> Settlement:
        """2207, once: who finds it sent already asks."""
        with self.database.begin(write=False) as session:
            case, known = _by_number(session, bill.number), known_member(session, bill.member_no)
            state = case.state if case else ""
            if case is None or known is None or state in OPEN[:3] or case.total != bill.total:
                return Settlement(REFUSED, message="没有可结算的预结算，请重新预结算", cause="nhsa.order")
            case_id, mdtrt, told = case.id, case.mdtrt_id, case.answer
        if state != "previewed":
            return asking.settlement(self.insurer, bill.number)
        split = answers.split_of(told)
        given = outpatient.settle(bill, self._shown(credential, known), known, mdtrt, self.settings.psn_setlway, split)

        try:
            reply = self.insurer.call("2207", given, number=bill.number, case_id=case_id, area=bill.area,
                                      before=lambda session, _msgid: asking.begin_settling(session, case_id),
                                      after=lambda session, reply: keep_settlement(session, case_id, reply))
        except Conflict:
            return asking.settlement(self.insurer, bill.number)
        except NotSent:
            asking.not_settled(self.insurer, case_id)
            raise
        if not reply.ok:
            return Settlement(REFUSED, message=reply.message, cause=reply.cause)
        return asking.settlement(self.insurer, bill.number)

    def query(self, number: str) -> Settlement:
        """5203, then 2601 where the insurer has nothing: see :func:`asking.settlement`."""
        return asking.settlement(self.insurer, number)

    # Reverse

    def reverse(self, number: str, original: str) -> Outcome:
        """2208 of what ``original`` settled."""
        return asking.reverse(self.insurer, number, original)

    def query_reversal(self, number: str, original: str) -> Outcome:
        """Whether ``original`` was reversed, asked of the insurer where we don't know."""
        return asking.reversal(self.insurer, number, original)


class _Chain:
    """The transactions of a preview, each committed before it is sent and its outcome before the next."""

    def __init__(self, port: Insurance, bill: Bill, what: Shown, known: Known, case_id: int, mdtrt: str) -> None:
        self.insurer, self.bill, self.what, self.known = port.insurer, bill, what, known
        self.case_id, self.mdtrt = case_id, mdtrt
        self.at = stamp(port.database.clock.now())
        actor = about.current().actor
        self.operator = (actor.login, actor.name)

    def run(self, codes: dict[int, tuple[str, str]], *, again: bool) -> Settlement:
        """Everything up to 2206. :raises LostAnswer: the same number may be previewed again."""
        bill = self.bill
        told = outpatient.visit(bill, self.known.psn_no, self.mdtrt, self.at, self.operator)
        if not self.mdtrt:
            self.mdtrt = asking.lost_visit(self.insurer, self.case_id) or ""
        if not self.mdtrt:
            reply = self._call("2201", outpatient.register(bill, self.what, self.known, self.at), self._registered)
            if not reply.ok:
                return Settlement(REFUSED, message=reply.message, cause=reply.cause)
        told["mdtrtinfo"]["mdtrt_id"] = self.mdtrt
        reply = self._call("2203", told)
        if reply.ok and again:
            reply = self._call("2205", {"data": {"mdtrt_id": self.mdtrt, "chrg_bchno": "0000",
                                                 "psn_no": self.known.psn_no, "exp_content": ""}})
            if not reply.ok and reply.cause == "nhsa.order":  # nothing was there to withdraw
                reply = Reply(True, reply.msgid, {})
        if reply.ok:
            reply = self._call("2204", outpatient.fees(bill, self.known.psn_no, self.mdtrt, codes, self.operator),
                               lambda session, reply: _move(session, self.case_id, OPEN, "uploaded", reply))
        if reply.ok:
            given = outpatient.settle(bill, self.what, self.known, self.mdtrt, self.insurer.settings.psn_setlway)
            reply = self._call("2206", given, lambda session, reply: _previewed(session, self.case_id, reply))
        if not reply.ok:
            return Settlement(REFUSED, message=reply.message, cause=reply.cause)
        info = reply.output["setlinfo"]
        split = answers.split_of(answers.kept(info, reply.output["setldetail"]))
        return Settlement(CONFIRMED, message="预结算成功", split=split, peer_visit=self.mdtrt,
                          clearing=info.get("clr_type") or None, agency=info.get("clr_optins") or None)

    def _call(self, infno: str, given: dict[str, Any], after: Callable[[Session, Reply], None] | None = None) -> Reply:
        return self.insurer.call(infno, given, number=self.bill.number, case_id=self.case_id, area=self.bill.area,
                                 after=after)

    def _registered(self, session: Session, reply: Reply) -> None:
        if reply.ok:
            self.mdtrt = reply.output["data"].get("mdtrt_id", "")
            asking.adopt_visit(session, self.case_id, self.mdtrt)


def _move(session: Session, case_id: int, states: tuple[str, ...], after: str, reply: Reply, **more: Any) -> None:
    if reply.ok:
        portable.guarded_update(session, NhsaCase, (NhsaCase.id == case_id) & NhsaCase.state.in_(states),
                                {"state": after, "changed_at": now(session), **more})


def _previewed(session: Session, case_id: int, reply: Reply) -> None:
    if reply.ok:
        kept = answers.kept(reply.output["setlinfo"], reply.output["setldetail"])
        _move(session, case_id, ("uploaded", "previewed"), "previewed", reply, answer=kept)


def keep_settlement(session: Session, case_id: int, reply: Reply, refused: str = "closed") -> None:
    """The outcome of a 2207 or 2304: settled, or in the state ``refused``."""
    if reply.ok:
        asking.adopt_settlement(session, case_id, reply.output["setlinfo"], reply.output["setldetail"])
    else:
        portable.guarded_update(session, NhsaCase, (NhsaCase.id == case_id) & (NhsaCase.state == "settling"),
                                {"state": refused, "changed_at": now(session)})


def _case(session: Session, bill: Bill) -> NhsaCase:
    found = _by_number(session, bill.number)
    if found is not None:
        found.total, found.insutype, found.area = bill.total, bill.insurance, bill.area
        return found
    at = now(session)
    found = NhsaCase(number=bill.number, kind="outpatient", state="new", tidied=False, insutype=bill.insurance,
                     area=bill.area, ipt_otp_no=outpatient.otp_number(bill), med_type=outpatient.MED_TYPES[bill.treatment],
                     mdtrt_id="", setl_id="", reversal_id="", answer="", clr_type="", clr_optins="", total=bill.total,
                     created_at=at, changed_at=at)
    found.psn_no = bill.member_no
    session.add(found)
    session.flush()
    return found


def _by_number(session: Session, number: str) -> NhsaCase | None:
    return session.scalars(select(NhsaCase).where(NhsaCase.number == number)).first()


def _find_member(session: Session, psn_no: str) -> NhsaMember | None:
    return session.scalars(select(NhsaMember).where(NhsaMember.psn_no_index.in_(NhsaMember.psn_no.blinds(psn_no)))
                           .order_by(NhsaMember.told_at.desc(), NhsaMember.id.desc()).limit(1)).first()


def known_member(session: Session, psn_no: str) -> Known | None:
    """A member as 1101 told of them last; None: nobody identified them here yet."""
    found = _find_member(session, psn_no)
    if found is None:
        return None
    return Known(psn_no, found.psn_name or "", found.psn_cert_type, found.certno or "", found.psn_type)


def _keep(session: Session, known: Known) -> None:
    found = _find_member(session, known.psn_no)
    if found is None:
        found = NhsaMember(psn_cert_type="", psn_type="", told_at=now(session))
        found.psn_no = known.psn_no
        session.add(found)
    found.psn_name, found.certno = known.psn_name, known.certno
    found.psn_cert_type, found.psn_type, found.told_at = known.psn_cert_type, known.psn_type, now(session)
    session.flush()
