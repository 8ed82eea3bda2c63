"""The platform's messages, named as its published clients name them (facts: ebill, sections 1 to 3).

The simulator loads requests by these schemas and refuses what they don't know; our client dumps nothing that they
refuse (tests/interfaces/einvoice). Answers are read tolerantly: new fields do no harm.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate, validates_schema

STAMP = re.compile(r"\d{17}\Z")


# Requests


class Plain(Schema):
    """A message whose unknown fields are refused (marshmallow's habit); a null is as good as not sent."""


def _text(most: int, *, needed: bool = False) -> fields.String:
    return fields.String(required=needed, allow_none=not needed,
                         validate=validate.Length(1 if needed else 0, most))


def _money(*, needed: bool = False) -> fields.Decimal:
    return fields.Decimal(required=needed, allow_none=not needed, validate=_two_places)


def _two_places(value: Decimal) -> None:
    if value != round(value, 2) or not Decimal("-999999999999.99") <= value <= Decimal("999999999999.99"):
        raise ValidationError("应为 14 位以内、两位小数的金额")


def _stamp(*, needed: bool = True) -> fields.String:
    return fields.String(required=needed, allow_none=not needed,
                         validate=validate.Regexp(STAMP, error="应为 yyyyMMddHHmmssSSS"))


class PayChannel(Plain):
    """payChannelDetail"""

    payChannelCode = _text(20, needed=True)
    payChannelValue = _money(needed=True)


class ChargeDetail(Plain):
    """chargeDetail: by fiscal category"""

    sortNo = fields.Integer(strict=True)
    chargeCode = _text(20, needed=True)
    chargeName = _text(100, needed=True)
    unit = _text(20)
    std = fields.Decimal(allow_none=True)
    number = fields.Decimal(allow_none=True)
    amt = _money(needed=True)
    selfAmt = _money()
    remark = _text(200)


_OfLine: Any = Plain.from_dict({
    **{name: _text(50) for name in ("listDetailNo", "listTypeCode", "listTypeName", "form", "specification",
                                    "medicalCareType", "medCareItemType", "chrgtype")},
    **{name: _money() for name in ("amt", "selfAmt", "receivableAmt")}}, name="OfLine")


class ListDetail(_OfLine):  # type: ignore[misc]
    """listDetail: every line"""

    chargeCode = _text(20, needed=True)
    chargeName = _text(100, needed=True)
    prescribeCode = _text(60)
    code = _text(50, needed=True)
    name = _text(100, needed=True)
    unit = _text(20)
    std = fields.Decimal(allow_none=True)
    number = fields.Decimal(allow_none=True)
    medReimburseRate = fields.Decimal(allow_none=True)
    remark = _text(200)
    sortNo = fields.Integer(strict=True)


class Other(Plain):
    """otherInfo, otherMedicalList"""

    infoNo = fields.Raw()
    infoName = _text(100)
    infoValue = _text(200)
    infoOther = _text(200)


_OPTIONAL = {
    20: (
        "bedNo"),
    30: (
        "tel medCareTypeCode"),
    50: (
        "checker email idCardNo medicalInsuranceID categoryCode leaveCategoryCode patientCategoryCode "
        "hospitalNo visitNo patientNo patientId caseNumber balancedNumber eBillRelateNo"),
    60: (
        "medCareInstitution category leaveCategory patientCategory"),
    100: (
        "alipayCode weChatOrderNo openID"),
    200: (
        "remark arrearsReason"),
}
"""Longest text → fields that may be missing."""
_AMOUNTS = (
        "selfConceitedAmt selfPayAmt selfCashPay cashPay chequePay transferAccountPay cashRecharge "
        "chequeRecharge transferRecharge cashRefund chequeRefund transferRefund ownAcBalance reimbursementAmt")
_May: Any = Plain.from_dict({
    **{name: _text(most) for most, names in _OPTIONAL.items() for name in names.split()},
    **{name: _money() for name in _AMOUNTS.split()}}, name="May")


class Issue(_May):  # type: ignore[misc]
    """What all issuing methods have."""

    busNo = _text(50, needed=True)
    busType = _text(20, needed=True)
    payer = _text(100, needed=True)
    busDateTime = _stamp()
    placeCode = _text(50, needed=True)
    payee = _text(50, needed=True)
    author = _text(50, needed=True)
    totalAmt = _money(needed=True)
    payerType = fields.String(required=True, validate=validate.OneOf(("1", "2")))
    cardType = _text(20, needed=True)
    cardNo = _text(50, needed=True)
    medicalInstitution = _text(30, needed=True)
    medicalCareType = _text(60, needed=True)
    sex = _text(10, needed=True)
    age = _text(10, needed=True)
    accountPay = _money(needed=True)
    fundPay = _money(needed=True)
    otherfundPay = _money(needed=True)
    ownPay = _money(needed=True)
    isArrears = fields.String(required=True, validate=validate.OneOf(("0", "1")))
    otherInfo = fields.List(fields.Nested(Other))
    otherMedicalList = fields.List(fields.Nested(Other))
    payChannelDetail = fields.List(fields.Nested(PayChannel), required=True)
    chargeDetail = fields.List(fields.Nested(ChargeDetail), required=True, validate=validate.Length(1))
    listDetail = fields.List(fields.Nested(ListDetail), required=True, validate=validate.Length(1))

    @validates_schema
    def sums(self, data: dict[str, Any], **_: Any) -> None:
        """Facts: ebill, section 4: lines, categories and payers sum to the total."""
        total = data["totalAmt"]
        if total <= 0:
            raise ValidationError("totalAmt 必须大于 0")
        if sum(row["amt"] for row in data["chargeDetail"]) != total:
            raise ValidationError("chargeDetail 合计与 totalAmt 不符")
        if sum(row["amt"] or 0 for row in data["listDetail"]) != total:
            raise ValidationError("listDetail 合计与 totalAmt 不符")
        self_part = data["accountPay"] + (data.get("selfCashPay") or 0)
        if data["fundPay"] + data["otherfundPay"] + self_part != total:
            raise ValidationError("fundPay＋otherfundPay＋accountPay＋selfCashPay 与 totalAmt 不符")
        if data["ownPay"] + (data.get("selfPayAmt") or 0) != self_part:
            raise ValidationError("ownPay＋selfPayAmt 与 accountPay＋selfCashPay 不符")
        if sum(row["payChannelValue"] for row in data["payChannelDetail"]) != (data.get("selfCashPay") or 0):
            raise ValidationError("payChannelDetail 合计与 selfCashPay 不符")


class IssueVisit(Issue):
    """invEBillRegistration, invoiceEBillOutpatient"""

    consultationDate = fields.String(required=True, validate=validate.Regexp(r"\d{8}\Z|\d{4}-\d\d-\d\d\Z"))


class IssueInpatient(Issue):
    """invEBillHospitalized"""

    checker = _text(50, needed=True)
    caseNumber = _text(50, needed=True)
    inHospitalDate = fields.String(required=True, validate=validate.Regexp(r"\d{4}-\d\d-\d\d\Z"))
    outHospitalDate = fields.String(required=True, validate=validate.Regexp(r"\d{4}-\d\d-\d\d\Z"))
    hospitalDays = fields.Integer(allow_none=True)


class WriteOff(Plain):
    """writeOffEBill"""

    billBatchCode = _text(50, needed=True)
    billNo = _text(20, needed=True)
    reason = _text(200, needed=True)
    operator = _text(60, needed=True)
    busDateTime = _stamp()
    placeCode = _text(50, needed=True)


class BillKey(Plain):
    """getEBillStatesByBillInfo; the picture, where there is a method for it, with ``random``"""

    billBatchCode = _text(50, needed=True)
    billNo = _text(20, needed=True)
    random = _text(20)


class PaperCodes(Plain):
    """getValidBillBatchCode"""

    placeCode = _text(50, needed=True)


class NextPaper(PaperCodes):
    """getPaperBillNo"""

    pBillBatchCode = _text(50, needed=True)


class TurnPaper(Plain):
    """turnPaper, reTurnPaper"""

    billBatchCode = _text(50, needed=True)
    billNo = _text(20, needed=True)
    pBillBatchCode = _text(50, needed=True)
    pBillNo = _text(20, needed=True)
    busDateTime = _stamp()
    placeCode = _text(50, needed=True)
    operator = _text(60, needed=True)


class Voiding(Plain):
    """Both voiding methods"""

    pBillBatchCode = _text(50, needed=True)
    placeCode = _text(50, needed=True)
    author = _text(60, needed=True)
    reason = _text(200, needed=True)
    busDateTime = _stamp()


class InvalidPaper(Voiding):
    """invalidPaper"""

    pBillNo = _text(20, needed=True)


class InvalidBlank(Voiding):
    """invalidBlankBillNo"""

    pBillNoStart = _text(20, needed=True)
    pBillNoEnd = _text(20, needed=True)


class Paged(Plain):
    """A list in pages"""

    placeCode = _text(50)
    pageNo = fields.Integer(required=True, strict=True, validate=validate.Range(1))
    pageSize = fields.Integer(required=True, strict=True, validate=validate.Range(1, 1000))


class CheckTotal(Paged):
    """checkTotalData, checkWriteOffData: one day"""

    busDate = fields.String(required=True, validate=validate.Regexp(r"\d{8}\Z"))
    busType = _text(20)
    isReturnList = fields.String(validate=validate.OneOf(("0", "1")))


class ByDate(Paged):
    """getBillByBusDate. dataType: 1 electronic, 2 red electronic, 3 paper, 4 voided paper, 5 blank paper"""

    busBgnDate = _stamp()
    busEndDate = _stamp()
    dataType = fields.String(required=True, validate=validate.OneOf(("1", "2", "3", "4", "5")))


METHODS: dict[str, type[Plain]] = {
    "invEBillRegistration": IssueVisit, "invoiceEBillOutpatient": IssueVisit, "invEBillHospitalized": IssueInpatient,
    "writeOffEBill": WriteOff, "getEBillStatesByBillInfo": BillKey, "getBillByBusDate": ByDate,
    "getPaperBillNo": NextPaper, "getValidBillBatchCode": PaperCodes, "turnPaper": TurnPaper, "reTurnPaper": TurnPaper,
    "invalidPaper": InvalidPaper, "invalidBlankBillNo": InvalidBlank, "checkTotalData": CheckTotal,
    "checkWriteOffData": CheckTotal, "getEBillPicture": BillKey,
}
"""Method → what it is asked with."""


# Answers


class Reply(Schema):
    """An answer's body: what we don't know of it is left out."""

    class Meta:
        unknown = EXCLUDE


class Answer(Reply):
    """Beside every answer."""

    result = fields.String(required=True)
    message = fields.String(load_default="")


class Made(Reply):
    """Beside what was made"""

    createTime = fields.String(load_default="")
    pictureUrl = fields.String(load_default="", allow_none=True)


class Issued(Made):
    """An issued invoice"""

    billBatchCode = fields.String(required=True)
    billNo = fields.String(required=True)
    random = fields.String(required=True)


class WrittenOff(Made):
    """A red invoice"""

    eScarletBillBatchCode = fields.String(required=True)
    eScarletBillNo = fields.String(required=True)
    eScarletRandom = fields.String(required=True)


class States(Reply):
    """getEBillStatesByBillInfo: state 1 in force, 2 void; isPrtPaper, isScarlet 0 or 1"""

    state = fields.String(required=True)
    isPrtPaper = fields.String(required=True)
    pBillBatchCode = fields.String(load_default="", allow_none=True)
    pBillNo = fields.String(load_default="", allow_none=True)
    isScarlet = fields.String(required=True)
    scarletBillBatchCode = fields.String(load_default="", allow_none=True)
    scarletBillNo = fields.String(load_default="", allow_none=True)
    scarletRandom = fields.String(load_default="", allow_none=True)


class DayRow(Reply):
    """A row of getBillByBusDate"""

    busNo = fields.String(load_default="", allow_none=True)
    billBatchCode = fields.String(required=True)
    billNo = fields.String(required=True)
    random = fields.String(load_default="", allow_none=True)
    totalAmt = fields.Decimal(required=True)
    ivcDateTime = fields.String(required=True)


class DayPage(Reply):
    """A page of getBillByBusDate: ``total`` is of all pages"""

    total = fields.Integer(required=True)
    billList = fields.List(fields.Nested(DayRow), required=True)


class Totals(Reply):
    """checkTotalData, checkWriteOffData"""

    allTotalNum = fields.Integer(required=True)
    allTotalAmt = fields.Decimal(required=True)


class PaperNo(Reply):
    """getPaperBillNo"""

    pBillBatchCode = fields.String(required=True)
    pBillNo = fields.String(required=True)


class PaperBatch(Reply):
    """A row of getValidBillBatchCode"""

    billBatchCode = fields.String(required=True)
    billName = fields.String(load_default="")
    bgnNo = fields.String(required=True)
    endNo = fields.String(required=True)
    copyNum = fields.Integer(required=True)


class PaperBatches(Reply):
    """getValidBillBatchCode"""

    billBatchCodeList = fields.List(fields.Nested(PaperBatch), required=True)


class Picture(Reply):
    """The picture of an invoice, where the platform gives one: Base64 of a PNG"""

    fileData = fields.String(required=True)
