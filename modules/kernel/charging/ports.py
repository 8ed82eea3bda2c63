"""What outside money looks like from inside (DESIGN section 5). Interfaces provide the adapters.

Every call ends in one of three outcomes; ``unknown`` is never guessed to be one of the others. Adapters raise when they
hear nothing; whatever they raise is recorded as ``unknown``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Protocol

from his_server.money import ZERO

CONFIRMED = "confirmed"
REFUSED = "refused"
UNKNOWN = "unknown"

CHANNELS: dict[str, str] = {"scan": "扫码支付", "ecny": "数字人民币"}
"""Payment channels there can be, by the code of their port ``payment:<code>``; open is what has an adapter bound."""


@dataclass(frozen=True)
class Outcome:
    """``state`` is confirmed, refused or unknown; ``message`` is Chinese; ``peer_number`` what the peer calls it."""

    state: str
    peer_number: str | None = None
    message: str = ""


class PaymentPort(Protocol):
    """Scan payment, e-CNY, kiosk bank card … Amounts in yuan; numbers are ours and unique."""

    def pay(self, number: str, amount: Decimal, auth_code: str) -> Outcome:
        """Take a payment by the payer's code."""

    def query(self, number: str) -> Outcome:
        """What became of a payment: unknown while the channel itself can't tell; refused if it never happened."""

    def refund(self, number: str, original: str, amount: Decimal) -> Outcome:
        """Return a part of a payment; repeating the same ``number`` returns nothing twice."""

    def query_refund(self, number: str) -> Outcome:
        """What became of a return."""


# Insurance. The words are ours; what the national insurer calls them stands beside (facts: nhsa, sections C and T).


@dataclass(frozen=True)
class Credential:
    """What the patient shows: ``kind`` ecode (mdtrt_cert_type 01), id_no (02), card (03, with its ``serial``), or
    ``member`` where we go on for somebody who was identified before (the member number itself). Never stored."""

    kind: str
    number: str = field(repr=False)
    serial: str = field(default="", repr=False)


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
    """An answer with a split; ``peer_number`` is setl_id, ``peer_visit`` mdtrt_id."""

    split: Split | None = None
    peer_visit: str | None = None


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


# Electronic invoices


@dataclass(frozen=True)
class InvoiceLine:
    """A line of an invoice's list."""

    code: str
    name: str
    unit: str
    price: Decimal
    quantity: Decimal
    amount: Decimal
    fiscal_category: str


@dataclass(frozen=True)
class InvoiceRequest:
    """What to issue (facts: ebill, section 3). ``number`` is busNo: the platform knows an invoice by it, once."""

    number: str
    kind: str
    issued_at: datetime
    payer: str = field(repr=False)
    payer_id: str | None = field(repr=False)
    outpatient_no: str
    sex: str
    age: str
    department: str
    payee: str
    total: Decimal
    fund: Decimal
    account: Decimal
    cash: Decimal
    channels: tuple[tuple[str, Decimal], ...]
    lines: tuple[InvoiceLine, ...]


@dataclass(frozen=True)
class Invoice(Outcome):
    """An issued invoice: code, number and check code as the platform gave them (FN-08)."""

    code: str = ""
    invoice_number: str = ""
    check_code: str = ""
    issued_at: datetime | None = None


class InvoicePort(Protocol):
    """The electronic invoice platform."""

    def issue(self, request: InvoiceRequest) -> Invoice:
        """Issue an invoice; the same ``number`` never twice."""

    def red(self, number: str, code: str, invoice_number: str, reason: str, operator: str) -> Invoice:
        """Red-reverse an issued invoice, whole, under a number of its own."""

    def query(self, number: str) -> Invoice:
        """What became of an invoice, blue or red, by our number: refused if the platform doesn't know it."""

    def image(self, code: str, invoice_number: str, check_code: str) -> bytes:
        """The invoice as PNG."""
