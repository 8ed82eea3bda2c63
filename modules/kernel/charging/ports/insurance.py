"""The insurer seen from inside. The words are ours; what the national insurer calls them stands beside (facts: nhsa,
sections C and T)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Protocol

from his_server.money import ZERO
from modules.kernel.charging.ports.payments import Outcome


@dataclass(frozen=True)
class Credential:
    """What the patient shows: ``kind`` ecode (mdtrt_cert_type 01), id_no (02), card (03, with its ``serial``), ecard (an
    electronic social-security card's QR code, read by :class:`CardReaderPort` first), or ``member`` where we go on for
    somebody who was identified before (the member number itself). Never stored."""

    kind: str
    number: str = field(repr=False)
    serial: str = field(default="", repr=False)


CARD = "card:ecard"
"""Port: :class:`CardReaderPort` for electronic social-security cards."""


@dataclass(frozen=True)
class CardRead(Outcome):
    """What a card reader read: the card's number and its ``serial`` (card_sn)."""

    card_no: str = field(default="", repr=False)
    serial: str = field(default="", repr=False)


class CardReaderPort(Protocol):
    """A reader of cards that somebody else's platform decodes (N3)."""

    def read(self, kind: str, raw: str) -> CardRead:
        """The card behind ``raw``; ``kind``: ecard_qr. The raw code is stored and logged nowhere."""


@dataclass(frozen=True)
class Insurance:
    """One insurance of a member: ``kind`` insutype, ``member_kind`` psn_type, ``area`` insuplc_admdvs."""

    kind: str
    name: str
    member_kind: str
    active: bool
    balance: Decimal
    area: str


@dataclass(frozen=True)
class Member:
    """Whom a credential belongs to (1101): ``member_no`` psn_no; the identity as the insurer knows it."""

    member_no: str = field(repr=False)
    name: str = field(repr=False)
    id_type: str
    id_no: str = field(repr=False)
    sex: str
    birth_date: date | None
    insurances: tuple[Insurance, ...]


@dataclass(frozen=True)
class Identified(Outcome):
    """The answer to :meth:`InsurancePort.identify`; ``member`` is there when it is confirmed."""

    member: Member | None = None


@dataclass(frozen=True)
class BillLine:
    """A fee line (2204 feedetail). ``rx`` the prescription's or request's number of ours."""

    line_id: int
    code: str
    name: str
    kind: str
    price: Decimal
    quantity: Decimal
    amount: Decimal
    fiscal_category: str
    level: str
    rx: str
    charged_at: datetime
    ordering_department: tuple[str, str]
    ordering_staff: tuple[str, str]
    performing_department: tuple[str, str]
    national: tuple[str, str] | None = None
    """list_type and med_list_codg as the catalogue mapping says on the day; None: nobody mapped it yet"""


@dataclass(frozen=True)
class Bill:
    """What is to be settled with the insurer: one visit's lines under one number of ours.

    ``number`` is the batch (chrg_bchno) and what the adapter keeps its message ids (msgid) by; ``visit_no`` ipt_otp_no.
    ``treatment``: registration (med_type 12), outpatient (11) or emergency (13). ``diagnoses``: code and name.
    """

    number: str
    kind: str
    member_no: str = field(repr=False)
    insurance: str
    area: str
    visit_no: str
    treatment: str
    started_at: datetime
    department: tuple[str, str]
    doctor: tuple[str, str]
    diagnoses: tuple[tuple[str, str], ...]
    lines: tuple[BillLine, ...]
    total: Decimal
    use_account: bool


@dataclass(frozen=True)
class Split:
    """Who pays how much of a bill. Each field says what the insurer calls it; the identities are checked on every answer
    (COMPLIANCE YB-01, :func:`modules.kernel.charging.rules.check_split`)."""

    total: Decimal
    """medfee_sumamt"""
    fund: Decimal
    """fund_pay_sumamt"""
    account: Decimal
    """acct_pay, the shared part included"""
    cash: Decimal
    """psn_cash_pay"""
    hospital: Decimal = ZERO
    """hosp_part_amt"""
    shared_account: Decimal = ZERO
    """acct_mulaid_pay, of ``account``"""
    own_expense: Decimal = ZERO
    """fulamt_ownpay_amt"""
    over_limit: Decimal = ZERO
    """overlmt_selfpay"""
    self_first: Decimal = ZERO
    """preselfpay_amt"""
    in_scope: Decimal = ZERO
    """inscp_scp_amt"""
    balance: Decimal | None = None
    """balc, what the account holds afterwards"""
    funds: tuple[tuple[str, Decimal], ...] = ()
    """setldetail: fund_pay_type and fund_payamt; empty where the insurer doesn't say"""

    @property
    def member_part(self) -> Decimal:
        """psn_part_amt: what the member bears, from the account or in cash."""
        return self.account + self.cash

    @property
    def covered(self) -> Decimal:
        """What doesn't come from the patient's pocket."""
        return self.fund + self.account + self.hospital


@dataclass(frozen=True)
class Settlement(Outcome):
    """An answer with a split; ``peer_number`` is setl_id, ``peer_visit`` mdtrt_id.

    By what the insurer will reconcile it, where it says so: ``clearing`` clr_type, ``agency`` clr_optins (the
    setl_optins of 3201), ``settled_at`` setl_time.
    """

    split: Split | None = None
    peer_visit: str | None = None
    clearing: str | None = None
    agency: str | None = None
    settled_at: datetime | None = None


class InsurancePort(Protocol):
    """The insurer, seen from the cashier. The national insurer's adapter keeps its own chain of transactions behind it.

    Repeating a call with the same number does nothing twice.
    """

    def identify(self, credential: Credential, name: str) -> Identified:
        """Whose credential it is (1101)."""

    def preview(self, bill: Bill, credential: Credential) -> Settlement:
        """Register the visit, upload diagnoses and fees, have the split worked out (2201, 2203, 2204, 2206).

        A repeat with the same number uploads the lines anew (2205 first).
        """

    def withdraw(self, number: str) -> Outcome:
        """Take back what :meth:`preview` left there, when nothing was settled (2205, 2202)."""

    def settle(self, bill: Bill, credential: Credential) -> Settlement:
        """Settle a previewed bill (2207)."""

    def query(self, number: str) -> Settlement:
        """What became of a settlement (5203): refused if there is none and there can be none any more (after 2601)."""

    def reverse(self, number: str, original: str) -> Outcome:
        """Undo the whole settlement that ``original`` (our number) made (2208); under a number of its own."""

    def query_reversal(self, number: str, original: str) -> Outcome:
        """What became of a reversal: refused if the settlement stands."""


# Reconciliation with the insurer (N4, COMPLIANCE YB-03)


@dataclass(frozen=True)
class Scope:
    """What is reconciled together: ``insurance`` insutype, ``clearing`` clr_type, ``agency`` setl_optins, and the days
    ``begin`` to ``end`` by the insurer's settlement time (stmt_begndate, stmt_enddate), both included."""

    insurance: str
    clearing: str
    agency: str
    begin: date
    end: date


@dataclass(frozen=True)
class Totals:
    """Net sums of a scope, in yuan; ``count`` fixmedins_setl_cnt counts settlements and refunds, each one row."""

    total: Decimal
    """medfee_sumamt"""
    fund: Decimal
    """fund_pay_sumamt"""
    account: Decimal
    """acct_pay"""
    cash: Decimal
    """psn_cash_pay (3202: cash_payamt)"""
    hospital: Decimal
    """hosp_part_amt"""
    count: int
    refunds: int
    """of ``count``"""


@dataclass(frozen=True)
class SettledRow:
    """One settlement of ours, or its refund with negative amounts (a row of the 3202 file)."""

    peer_number: str
    """setl_id"""
    peer_visit: str
    """mdtrt_id"""
    member_no: str = field(repr=False)
    """psn_no"""
    refund: bool
    """refd_setl_flag"""
    total: Decimal
    fund: Decimal
    account: Decimal


@dataclass(frozen=True)
class CentreRow:
    """A row of the 3202 result file: what the insurer holds, or misses. ``peer_number`` and ``peer_visit`` are empty where
    only the insurer has it; ``message_id`` (msgid) then names the call that made it. Amounts None: not told."""

    result: str
    """stmt_rslt"""
    message_id: str
    member_no: str = field(repr=False)
    peer_number: str = ""
    peer_visit: str = ""
    refund: bool = False
    total: Decimal | None = None
    fund: Decimal | None = None
    account: Decimal | None = None
    memo: str = ""


@dataclass(frozen=True)
class Reconciled(Outcome):
    """The answer to totals: ``even`` stmt_rslt is 0."""

    even: bool | None = None


@dataclass(frozen=True)
class Detailed(Outcome):
    """The answer to details: the rows that are not even."""

    rows: tuple[CentreRow, ...] = ()


class ReconciliationPort(Protocol):
    """Comparing settlements with the insurer's books; reads, except for the last. Bound as ``insurance:reconciliation``."""

    def totals(self, scope: Scope, totals: Totals) -> Reconciled:
        """Compare sums (3201)."""

    def details(self, scope: Scope, totals: Totals, rows: Sequence[SettledRow]) -> Detailed:
        """Compare row by row (9101, 3202, 9102); to be asked when the sums differ."""

    def undo_stray(self, number: str, member_no: str, message_id: str, *, refund: bool) -> Outcome:
        """Query what ``message_id`` made at the insurer, then reverse it (5203, 2601); under a number of ours, a repeat
        undoes nothing twice. Refused: it can't be reversed (a ``refund``, or it is gone)."""


class StatementPort(Protocol):
    """Handing daily and monthly statements in (日结/月结 信息上传、删除、确认、查询): our own contract C2, nothing is public.

    Idempotent by the statement's number; bound as ``insurance:statement``. The message of a confirmed answer is the state
    it has there: uploaded, confirmed or deleted.
    """

    def upload(self, number: str, monthly: bool, scope: Scope, totals: Totals) -> Outcome:
        """Hand a statement in; ``peer_number`` is the handover number (交接号)."""

    def delete(self, number: str) -> Outcome:
        """Take an unconfirmed statement back."""

    def confirm(self, number: str) -> Outcome:
        """Confirm a statement; it can't be taken back any more."""

    def query(self, number: str) -> Outcome:
        """What became of a statement; refused if it never arrived."""
