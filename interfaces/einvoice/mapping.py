"""Ours ↔ the platform's, pure (facts: ebill, sections 3 and 4)."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from his_server.clock import HOSPITAL_ZONE, local
from his_server.money import ZERO, round_money
from interfaces.einvoice.settings import Settings
from modules.kernel.charging.ports import (
    CONFIRMED,
    Invoice,
    InvoiceRequest,
    Paper,
    PaperStock,
    PlatformInvoice,
)
from modules.outpatient_billing.vouchers import CATEGORY_NAMES

METHODS = {"registration": "invEBillRegistration", "outpatient": "invoiceEBillOutpatient",
           "inpatient": "invEBillHospitalized"}
SEX = {"1": "男", "2": "女"}


def stamp(at: datetime) -> str:
    """yyyyMMddHHmmssSSS in the hospital's time."""
    here = local(at)
    return f"{here:%Y%m%d%H%M%S}{here.microsecond // 1000:03d}"


def moment(text: str) -> datetime | None:
    """The inverse; None for anything else."""
    if len(text) != 17 or not text.isdigit():
        return None
    try:
        found = datetime.strptime(text[:14], "%Y%m%d%H%M%S")
    except ValueError:
        return None
    return found.replace(microsecond=int(text[14:]) * 1000, tzinfo=HOSPITAL_ZONE)


def day_bounds(day: date) -> tuple[str, str]:
    """The first and last instant of a day."""
    return f"{day:%Y%m%d}000000000", f"{day:%Y%m%d}235959999"


def around(at: datetime) -> tuple[str, str]:
    """An instant as the platform keeps it, to the millisecond."""
    return stamp(at - timedelta(milliseconds=1)), stamp(at + timedelta(milliseconds=1))


def issue(request: InvoiceRequest, settings: Settings) -> dict[str, Any]:
    """An issuing request's body."""
    code, name = (settings.care_types.get(request.insurance) or settings.other_care).split(" ", 1)
    self_part = request.account + request.cash
    own = min(request.own_expense, self_part) if request.insurance else self_part
    body: dict[str, Any] = {
        "busNo": request.number, "busType": settings.bus_types[request.kind], "payer": request.payer,
        "busDateTime": stamp(request.issued_at), "placeCode": settings.place_code, "payee": request.payee,
        "author": request.payee, "totalAmt": request.total, "payerType": "1", "cardType": settings.card_type,
        "cardNo": request.outpatient_no, "medicalInstitution": settings.institution_type, "medCareTypeCode": code,
        "medicalCareType": name, "category": request.department, "visitNo": request.visit_no,
        "patientNo": request.outpatient_no, "sex": SEX.get(request.sex, "未知"), "age": request.age or "不详",
        "accountPay": request.account, "fundPay": request.fund, "otherfundPay": ZERO, "ownPay": own,
        "selfPayAmt": self_part - own, "selfCashPay": request.cash, "isArrears": "0",
        "payChannelDetail": _channels(request, settings), "chargeDetail": _categories(request, settings),
        "listDetail": _lines(request, settings),
    }
    if request.payer_id:
        body["idCardNo"] = request.payer_id
    if request.insurer_number:
        body["balancedNumber"] = request.insurer_number
    if request.stay is None:
        body["consultationDate"] = f"{local(request.seen_at or request.issued_at):%Y%m%d}"
        return body
    stay = request.stay
    came, went = local(stay.admitted_at).date(), local(stay.discharged_at).date()
    return {**body, "checker": request.payee, "caseNumber": stay.case_number, "hospitalNo": stay.case_number,
            "inHospitalDate": came.isoformat(), "outHospitalDate": went.isoformat(),
            "hospitalDays": max((went - came).days, 1), "bedNo": stay.bed}


def _channels(request: InvoiceRequest, settings: Settings) -> list[dict[str, Any]]:
    """By channel code; what cash was rounded by belongs to cash, so that they sum to what was paid."""
    sums: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for method, amount in request.channels:
        sums[settings.channels.get(method, settings.other_channel)] += amount
    rounding = request.cash - sum(sums.values(), ZERO)
    if rounding:
        sums[settings.channels.get("cash", settings.other_channel)] += rounding
    return [{"payChannelCode": code, "payChannelValue": amount} for code, amount in sorted(sums.items()) if amount]


def _charge(category: str, settings: Settings) -> tuple[str, str]:
    told = settings.charge_codes.get(category)
    if told:
        code, _, name = told.partition(" ")
        return code, name or CATEGORY_NAMES.get(category, category)
    return category, CATEGORY_NAMES.get(category, category)


def _categories(request: InvoiceRequest, settings: Settings) -> list[dict[str, Any]]:
    sums: dict[tuple[str, str], Decimal] = defaultdict(lambda: ZERO)
    for line in request.lines:
        sums[_charge(line.fiscal_category, settings)] += line.amount
    return [{"sortNo": n, "chargeCode": code, "chargeName": name, "unit": "项", "std": amount, "number": Decimal(1),
             "amt": amount} for n, ((code, name), amount) in enumerate(sorted(sums.items()), 1)]


def _lines(request: InvoiceRequest, settings: Settings) -> list[dict[str, Any]]:
    rows = []
    for n, line in enumerate(request.lines, 1):
        code, name = _charge(line.fiscal_category, settings)
        rows.append({"listDetailNo": str(n), "chargeCode": code, "chargeName": name, "code": line.code,
                     "name": line.name[:100], "unit": line.unit, "std": line.price, "number": line.quantity.normalize(),
                     "amt": round_money(line.amount), "sortNo": n})
    return rows


# Answers


def issued(told: dict[str, Any]) -> Invoice:
    """An issued invoice."""
    return Invoice(CONFIRMED, told["billNo"], "开具成功", code=told["billBatchCode"], invoice_number=told["billNo"],
                   check_code=told["random"], issued_at=moment(told["createTime"]), picture_url=told["pictureUrl"] or "")


def written_off(told: dict[str, Any]) -> Invoice:
    """A red invoice, from the answer to its making."""
    return Invoice(CONFIRMED, told["eScarletBillNo"], "冲红成功", code=told["eScarletBillBatchCode"],
                   invoice_number=told["eScarletBillNo"], check_code=told["eScarletRandom"],
                   issued_at=moment(told["createTime"]), picture_url=told["pictureUrl"] or "")


def scarlet(told: dict[str, Any]) -> Invoice:
    """A red invoice, from the state of its original."""
    return Invoice(CONFIRMED, told["scarletBillNo"], "已冲红", code=told["scarletBillBatchCode"] or "",
                   invoice_number=told["scarletBillNo"] or "", check_code=told["scarletRandom"] or "")


def found(row: dict[str, Any]) -> Invoice:
    """An invoice out of a day's list."""
    return Invoice(CONFIRMED, row["billNo"], "开具成功", code=row["billBatchCode"], invoice_number=row["billNo"],
                   check_code=row["random"] or "", issued_at=moment(row["ivcDateTime"]))


def paper(told: dict[str, Any]) -> Paper:
    """A paper's number."""
    return Paper(CONFIRMED, told["pBillNo"], code=told["pBillBatchCode"], paper_number=told["pBillNo"])


def batch(row: dict[str, Any]) -> PaperStock:
    """What is left of a paper code."""
    return PaperStock(row["billBatchCode"], row["billName"], row["bgnNo"], row["endNo"], row["copyNum"])


def day_row(row: dict[str, Any], colour: str) -> PlatformInvoice:
    """A row of a day; a red one's amount is negative whatever sign the platform shows."""
    amount = round_money(row["totalAmt"])
    return PlatformInvoice(
        row["busNo"] or "", colour, row["billBatchCode"], row["billNo"], row["random"] or "",
        -abs(amount) if colour == "red" else amount, moment(row["ivcDateTime"]) or datetime.min.replace(tzinfo=HOSPITAL_ZONE))
