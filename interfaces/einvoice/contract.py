"""The platform's messages, named as its published clients name them (facts: ebill, sections 1 to 3).

The simulator loads requests by these schemas and refuses what they don't know; our client dumps nothing that they
refuse (tests/interfaces/einvoice). Answers are read tolerantly: new fields do no harm.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate, validates_schema

SUCCESS = "S0000"
VERSION = "1.0"
STAMP = re.compile(r"\d{17}\Z")


class ContractError(ValueError):
    """A message isn't what the specification says."""


# The envelope


def sign(appid: str, data: str, noise: str, key: str, version: str = VERSION, algorithm: str = "MD5") -> str:
    """UPPER(MD5("appid=…&data=…&noise=…&key=…&version=…")); SM3 where a platform wants that."""
    text = f"appid={appid}&data={data}&noise={noise}&key={key}&version={version}"
    name = "sm3" if algorithm == "SM3" else "md5"
    return hashlib.new(name, text.encode(), **({"usedforsecurity": False} if name == "md5" else {})).hexdigest().upper()


def dumps(value: Any) -> str:
    """JSON with amounts as plain numbers of their own places: no float comes near them."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_number)
    return re.sub(r'"\\u0000(-?[0-9.]+)\\u0000"', r"\1", text)


def _number(value: Any) -> str:
    if isinstance(value, Decimal):
        return f"\0{value:f}\0"
    raise TypeError(f"not JSON: {type(value).__name__}")


def loads(text: str | bytes) -> Any:
    """JSON with exact numbers. :raises ContractError: it is none."""
    try:
        return json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise ContractError("报文不是有效的 JSON") from error


def encode(text: str) -> str:
    """Base64 of UTF-8."""
    return base64.b64encode(text.encode()).decode()


def decode(text: Any) -> str:
    """The inverse. :raises ContractError: it isn't Base64 of UTF-8."""
    try:
        return base64.b64decode(str(text), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ContractError("data 不是 UTF-8 文本的 Base64") from error


def pack(appid: str, key: str, noise: str, body: str, algorithm: str = "MD5") -> dict[str, str]:
    """A signed request."""
    data = encode(body)
    return {"appid": appid, "data": data, "noise": noise, "version": VERSION,
            "sign": sign(appid, data, noise, key, VERSION, algorithm)}


def unpack(message: Any, appid: str, key: str, algorithm: str = "MD5") -> str:
    """The body of a signed message. :raises ContractError: the signature doesn't hold; nothing of it may be believed."""
    if not isinstance(message, Mapping) or not all(isinstance(message.get(n), str) for n in ("data", "noise", "sign")):
        raise ContractError("报文缺少 data、noise 或 sign")
    wanted = sign(appid, message["data"], message["noise"], key, VERSION, algorithm)
    if not hmac.compare_digest(wanted.encode(), message["sign"].encode()):
        raise ContractError("报文签名不符")
    return decode(message["data"])


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
    **{name: _text(50) for name in "listDetailNo listTypeCode listTypeName form specification medicalCareType "
                                   "medCareItemType chrgtype".split()},
    **{name: _money() for name in "amt selfAmt receivableAmt".split()}}, name="OfLine")


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
