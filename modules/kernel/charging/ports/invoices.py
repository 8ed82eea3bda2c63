"""The electronic invoice platform seen from inside (H8). What the platform calls a thing stands beside (facts: ebill)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Protocol

from his_server.money import ZERO
from modules.kernel.charging.ports.payments import Outcome


@dataclass(frozen=True)
class InvoiceLine:
    """A line of an invoice's list (listDetail)."""

    code: str
    name: str
    unit: str
    price: Decimal
    quantity: Decimal
    amount: Decimal
    fiscal_category: str


@dataclass(frozen=True)
class Stay:
    """What an inpatient's invoice says beside: times (inHospitalDate, outHospitalDate), caseNumber, bedNo."""

    admitted_at: datetime
    discharged_at: datetime
    case_number: str
    bed: str = ""


@dataclass(frozen=True)
class InvoiceRequest:
    """What to issue (facts: ebill, section 3). ``number`` is busNo: the platform knows an invoice by it, once.

    ``kind``: registration, outpatient or inpatient (then with ``stay``). ``issued_at`` is busDateTime, the same at every
    repeat. ``fund + account + cash = total``; of account and cash, ``own_expense`` is what no insurance covers at all
    (全自费). ``insurance`` insutype, ``insurer_number`` setl_id (balancedNumber); both empty for who pays alone.
    """

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
    visit_no: str = ""
    seen_at: datetime | None = None
    own_expense: Decimal = ZERO
    insurance: str = ""
    insurer_number: str = ""
    stay: Stay | None = None


@dataclass(frozen=True)
class Invoice(Outcome):
    """An issued invoice: code, number and check code as the platform gave them (FN-08)."""

    code: str = ""
    invoice_number: str = ""
    check_code: str = ""
    issued_at: datetime | None = None
    picture_url: str = ""
    """pictureUrl: where the payer sees it."""


@dataclass(frozen=True)
class Paper(Outcome):
    """A paper invoice's code and number (pBillBatchCode, pBillNo)."""

    code: str = ""
    paper_number: str = ""


@dataclass(frozen=True)
class PaperStock:
    """What is left of the paper of one code (getValidBillBatchCode)."""

    code: str
    name: str
    first: str
    last: str
    left: int


@dataclass(frozen=True)
class DayTotals:
    """How many invoices of a day the platform has and what they come to (checkTotalData, checkWriteOffData)."""

    issued: int
    issued_amount: Decimal
    red: int
    red_amount: Decimal


@dataclass(frozen=True)
class PlatformInvoice:
    """An invoice of a day as the platform has it. ``number`` is busNo where the platform tells it; amount of a red one < 0."""

    number: str
    colour: str
    code: str
    invoice_number: str
    check_code: str
    amount: Decimal
    issued_at: datetime


class InvoicePort(Protocol):
    """The electronic invoice platform."""

    def issue(self, request: InvoiceRequest) -> Invoice:
        """Issue an invoice; the same ``number`` never twice."""

    def query(self, number: str, issued_at: datetime) -> Invoice:
        """What became of a blue invoice, by our number and its business time: refused if the platform doesn't know it."""

    def red(self, number: str, code: str, invoice_number: str, reason: str, operator: str, at: datetime) -> Invoice:
        """Red-reverse an issued invoice, whole; an invoice has one red one at most."""

    def query_red(self, number: str, code: str, invoice_number: str) -> Invoice:
        """The red one of an invoice: refused if it has none. ``number``: ours of the red one, for the log."""

    def image(self, code: str, invoice_number: str, check_code: str) -> bytes:
        """The invoice as PNG."""

    # Paper (换开纸质票据)

    def next_paper(self) -> Paper:
        """The paper that is printed on next (getPaperBillNo)."""

    def exchange(self, number: str, code: str, invoice_number: str, paper: tuple[str, str], operator: str, at: datetime,
                 *, again: bool = False) -> Outcome:
        """Exchange an invoice for this paper (turnPaper), or for another than before (``again``: reTurnPaper)."""

    def void_paper(self, number: str, paper: tuple[str, str], operator: str, reason: str, at: datetime) -> Outcome:
        """Void an exchanged paper; the electronic invoice stands (invalidPaper)."""

    def void_blank(self, number: str, paper: tuple[str, str], operator: str, reason: str, at: datetime) -> Outcome:
        """Void a spoilt blank paper (invalidBlankBillNo)."""

    def query_paper(self, number: str, code: str, invoice_number: str) -> Paper:
        """The paper in force of an invoice: refused if there is none."""

    def paper_stock(self) -> Sequence[PaperStock]:
        """What paper is left."""

    # Reconciliation

    def day_totals(self, day: date) -> DayTotals:
        """Sums of a business day."""

    def day_rows(self, day: date) -> Sequence[PlatformInvoice]:
        """Every invoice of a business day."""
