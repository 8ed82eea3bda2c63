"""A stay with the insurer: 2401–2405 and 2303–2305, for the inpatient modules to plug in (facts: nhsa, flows).

Implements: H2

The same rules as for outpatients: numbered before sent, a lost admission is looked for (5201), a lost settlement asked
about (5203) and reversed by 2601 only where the insurer has none.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.db import now
from his_server.messaging.outbox import NotSent
from interfaces.nhsa.client import asking, uploads
from interfaces.nhsa.client.insurance import keep_settlement, known_member
from interfaces.nhsa.client.messages import Insurer, Reply
from interfaces.nhsa.mapping import answers, inpatient
from interfaces.nhsa.mapping.inpatient import Stay
from interfaces.nhsa.mapping.outpatient import Known, Shown
from interfaces.nhsa.models import NhsaCase
from modules.kernel.charging.ports import CONFIRMED, REFUSED, Outcome, Settlement


class Stays:
    """The inpatient transactions under our stay's number. Every method may be repeated; nothing is done twice.

    :raises LostAnswer, NotSent: to be repeated later. :raises ContractError: the stay lacks what the insurer demands.
    """

    def __init__(self, insurer: Insurer) -> None:
        self.insurer, self.database = insurer, insurer.database

    # The stay

    def admit(self, stay: Stay) -> Outcome:
        """2401; ``peer_number`` is mdtrt_id."""
        with self.database.begin() as session:
            case, known = _case(session, stay), known_member(session, stay.member_no)
            case_id, mdtrt = case.id, case.mdtrt_id
        if known is None:
            return Outcome(REFUSED, message="请先读取医保凭证", cause="nhsa.credential")
        mdtrt = mdtrt or asking.lost_visit(self.insurer, case_id) or ""
        if not mdtrt:
            given = inpatient.admit(stay, _shown(known), known, self.insurer.settings.area)
            reply = self._call("2401", given, stay, case_id, lambda session, reply: asking.adopt_visit(
                session, case_id, reply.output["result"].get("mdtrt_id", "")) if reply.ok else None)
            if not reply.ok:
                return Outcome(REFUSED, message=reply.message, cause=reply.cause)
            mdtrt = reply.output["result"]["mdtrt_id"]
        return Outcome(CONFIRMED, mdtrt, "医保入院已办理")

    def change(self, stay: Stay) -> Outcome:
        """2403: department, bed, diagnoses as they are now."""
        return self._told("2403", stay, lambda known, mdtrt: inpatient.change(stay, _shown(known), known.psn_no, mdtrt))

    def discharge(self, stay: Stay) -> Outcome:
        """2402."""
        return self._told("2402", stay, lambda known, mdtrt: inpatient.discharge(stay, known.psn_no, mdtrt))

    def cancel_discharge(self, stay: Stay) -> Outcome:
        """2405."""
        return self._told("2405", stay, self._plain)

    def cancel_admission(self, stay: Stay) -> Outcome:
        """2404: the stay has no fee lines there any more."""
        answer = self._told("2404", stay, self._plain)
        if answer.state == CONFIRMED:
            with self.database.begin() as session:
                portable.guarded_update(session, NhsaCase, NhsaCase.number == stay.number, {
                    "state": "closed", "tidied": True, "changed_at": now(session)})
        return answer

    def withdraw_fees(self, stay: Stay) -> Outcome:
        """2302 of everything that isn't settled; the lines can be uploaded again."""
        def given(known: Known, mdtrt: str) -> dict[str, Any]:
            return {"data": [{"feedetl_sn": asking.ALL, "mdtrt_id": mdtrt, "psn_no": known.psn_no, "exp_content": ""}]}

        answer = self._told("2302", stay, given)
        if answer.state == CONFIRMED or answer.cause == "nhsa.order":
            uploads.forget(self.insurer, self._visit(stay)[1])
            return Outcome(CONFIRMED, message="费用明细已撤回")
        return answer

    # Money

    def preview(self, stay: Stay, *, use_account: bool = True, interim: bool = False) -> Settlement:
        """2303 of everything that was uploaded."""
        known, mdtrt, case_id = self._found(stay)
        total = uploads.uploaded_total(self.insurer, mdtrt)
        given = inpatient.settle(stay, _shown(known), known, mdtrt, total=total, area=self.insurer.settings.area,
                                 psn_setlway=self.insurer.settings.psn_setlway, use_account=use_account, interim=interim)

        def after(session: Session, reply: Reply) -> None:
            if reply.ok:
                portable.guarded_update(session, NhsaCase, (NhsaCase.id == case_id) & NhsaCase.state.in_(
                    ("registered", "previewed", "reversed")), {"state": "previewed", "total": total, "changed_at": now(session),
                                                   "answer": answers.kept(reply.output["setlinfo"], reply.output["setldetail"])})

        reply = self._call("2303", given, stay, case_id, after)
        if not reply.ok:
            return Settlement(REFUSED, message=reply.message, cause=reply.cause)
        try:
            split = answers.split_of(answers.kept(reply.output["setlinfo"], reply.output["setldetail"]))
        except answers.BrokenAnswer as error:
            return Settlement(REFUSED, message=str(error), cause="nhsa.amount")
        return Settlement(CONFIRMED, message="预结算成功", split=split, peer_visit=mdtrt)

    def settle(self, stay: Stay, total: Decimal, *, use_account: bool = True, interim: bool = False) -> Settlement:
        """2304 of what 2303 worked out; ``total`` is what the ledger says."""
        known, mdtrt, case_id = self._found(stay)
        with self.database.begin(write=False) as session:
            case = session.get_one(NhsaCase, case_id)
            state, told, ready = case.state, case.answer, case.total
        if state in ("settling", "undoing", "settled", "reversing"):
            return asking.settlement(self.insurer, stay.number)
        if state != "previewed" or ready != total:
            return Settlement(REFUSED, message="没有可结算的预结算，或费用已有变动，请重新预结算", cause="nhsa.order")
        given = inpatient.settle(stay, _shown(known), known, mdtrt, total=total, area=self.insurer.settings.area,
                                 psn_setlway=self.insurer.settings.psn_setlway, use_account=use_account, interim=interim,
                                 split=answers.split_of(told))
        try:
            reply = self.insurer.call(
                "2304", given, number=stay.number, case_id=case_id, area=stay.area,
                before=lambda session, _msgid: asking.begin_settling(session, case_id),
                after=lambda session, reply: keep_settlement(session, case_id, reply, refused="registered"))
        except NotSent:
            asking.not_settled(self.insurer, case_id)
            raise
        if not reply.ok:
            return Settlement(REFUSED, message=reply.message, cause=reply.cause)
        return asking.settlement(self.insurer, stay.number)

    def query(self, stay: Stay) -> Settlement:
        """What became of a settlement whose answer was lost."""
        return asking.settlement(self.insurer, stay.number)

    def reverse(self, number: str, stay: Stay) -> Outcome:
        """2305; fees stay uploaded and can be settled anew."""
        return asking.reverse(self.insurer, number, stay.number)

    # Parts

    def _plain(self, known: Known, mdtrt: str) -> dict[str, Any]:
        return {"data": {"mdtrt_id": mdtrt, "psn_no": known.psn_no, "exp_content": ""}}

    def _visit(self, stay: Stay) -> tuple[int, str]:
        with self.database.begin(write=False) as session:
            row = session.execute(select(NhsaCase.id, NhsaCase.mdtrt_id).where(NhsaCase.number == stay.number)).one()
            return row.id, row.mdtrt_id

    def _found(self, stay: Stay) -> tuple[Known, str, int]:
        case_id, mdtrt = self._visit(stay)
        with self.database.begin(write=False) as session:
            known = known_member(session, stay.member_no)
        if known is None or not mdtrt:
            raise NotSent("医保入院没有办理，不能继续")
        return known, mdtrt, case_id

    def _told(self, infno: str, stay: Stay, given: Any) -> Outcome:
        known, mdtrt, case_id = self._found(stay)
        reply = self._call(infno, given(known, mdtrt), stay, case_id, None)
        return Outcome(CONFIRMED if reply.ok else REFUSED, mdtrt, reply.message or "已办理", cause=reply.cause)

    def _call(self, infno: str, given: dict[str, Any], stay: Stay, case_id: int, after: Any) -> Reply:
        return self.insurer.call(infno, given, number=stay.number, case_id=case_id, area=stay.area, after=after)


def _shown(known: Known) -> Shown:
    """A stay goes on by the member's certificate: they were identified at admission."""
    return Shown("02", known.certno)


def _case(session: Session, stay: Stay) -> NhsaCase:
    found = session.scalars(select(NhsaCase).where(NhsaCase.number == stay.number)).first()
    if found is not None:
        return found
    at = now(session)
    found = NhsaCase(number=stay.number, kind="inpatient", state="new", tidied=False, insutype=stay.insurance, area=stay.area,
                     ipt_otp_no=stay.stay_no[:30], med_type=stay.med_type, mdtrt_id="", setl_id="", reversal_id="", answer="",
                     clr_type="", clr_optins="", total=Decimal(0), created_at=at, changed_at=at)
    found.psn_no = stay.member_no
    session.add(found)
    session.flush()
    return found
