"""The insurer's mobile transactions, named as its specification names them (facts: nhsa, section T, 6201 to 6401).

The simulator loads requests by these schemas and refuses what they don't know. Answers are read tolerantly.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate, validates_schema

from his_server.wire import Choice, MoneyField, QuantityField, Text

REFUND_TYPES = ("ALL", "CASH", "HI")


class Plain(Schema):
    """A request: unknown fields are refused."""


def _text(most: int, *, needed: bool = False) -> fields.String:
    return fields.String(required=needed, allow_none=not needed, validate=validate.Length(1 if needed else 0, most))


def _amount(*, needed: bool = False, places: int = 2) -> fields.Decimal:
    def check(value: Decimal) -> None:
        if value != round(value, places) or not 0 <= value < Decimal(10) ** 14:
            raise ValidationError("金额、数量有误")

    return fields.Decimal(required=needed, allow_none=not needed, validate=check)


class Diagnosis(Plain):
    """diseinfoList"""

    diagType = _text(3, needed=True)
    diagSrtNo = _text(2, needed=True)
    diagCode = _text(20, needed=True)
    diagName = _text(100, needed=True)
    diagDept = _text(50, needed=True)
    diseDorNo = _text(30, needed=True)
    diseDorName = _text(50, needed=True)
    diagTime = _text(19, needed=True)
    valiFlag = _text(3, needed=True)


_OfFee: Any = Plain.from_dict({name: _text(most) for most, names in (
    (30, ("mdtrtId", "diseCodg", "rxno", "acordDeptCodg", "ordersDrCode", "etipHospCode", "initFeedetlSn", "drordNo")),
    (200, ("sinDosDscr", "usedFrquDscr", "medcWayDscr")), (100, ("acordDeptName",)), (50, ("ordersDrName",)),
    (500, ("memo",)), (6, ("tcmdrugUsedWay", "matnFeeFlag")), (3, ("etipFlag", "dscgTkdrugFlag")),
) for name in names}, name="OfFee")


class FeeDetail(_OfFee):  # type: ignore[misc]
    """feedetailList"""

    feedetlSn = _text(30, needed=True)
    psnNo = _text(30, needed=True)
    chrgBchno = _text(30, needed=True)
    rxCircFlag = _text(3, needed=True)
    feeOcurTime = _text(19, needed=True)
    medListCodg = _text(50, needed=True)
    medinsListCodg = _text(150, needed=True)
    detItemFeeSumamt = _amount(needed=True)
    cnt = _amount(needed=True, places=4)
    pric = _amount(needed=True, places=6)
    prdDays = _amount()
    bilgDeptCodg = _text(30, needed=True)
    bilgDeptName = _text(100, needed=True)
    bilgDrCodg = _text(30, needed=True)
    bilgDrName = _text(50, needed=True)
    hospApprFlag = _text(3, needed=True)
    medType = _text(6, needed=True)
    extData = fields.Raw()


_OfUpload: Any = Plain.from_dict({name: _text(most) for most, names in (
    (40, ("orgId", "initRxOrd")), (1, ("rxCircFlag",)), (6, ("insuCode", "birctrlType", "matnType")),
    (30, ("atddrNo", "mdtrtId", "oprnOprtCode", "dscgDeptCodg")), (50, ("drName", "fpscNo", "dscgDed")),
    (1000, ("mainCondDscr",)), (500, ("diseName", "oprnOprtName")), (20, ("invono",)), (19, ("endtime",)),
    (3, ("latechbFlag", "fetts", "pretFlag", "copFlag", "midSetlFlag", "gesoVal", "fetusCnt")),
    (10, ("birctrlMatnDate", "dieDate")), (100, ("dscgDeptName",)), (8, ("dscgWay",)),
) for name in names}, name="OfUpload")


class Upload(_OfUpload):  # type: ignore[misc]
    """6201"""

    orgCodg = _text(40, needed=True)
    psnNo = _text(30, needed=True)
    insutype = _text(6, needed=True)
    medOrgOrd = _text(40, needed=True)
    begntime = _text(19, needed=True)
    idNo = _text(40, needed=True)
    userName = _text(40, needed=True)
    idType = _text(3, needed=True)
    ecToken = _text(64, needed=True)
    iptOtpNo = _text(30, needed=True)
    deptCode = _text(30)
    deptName = _text(100, needed=True)
    caty = _text(6, needed=True)
    medType = _text(6, needed=True)
    feeType = _text(3, needed=True)
    medfeeSumamt = _amount(needed=True)
    acctUsedFlag = fields.String(required=True, validate=validate.OneOf(("0", "1")))
    diseCodg = _text(30, needed=True)
    psnSetlway = _text(6, needed=True)
    chrgBchno = _text(30, needed=True)
    fulamtOwnpayAmt = _amount()
    overlmtSelfpay = _amount()
    preselfpayAmt = _amount()
    inscpScpAmt = _amount()
    extData = fields.Raw()
    diseinfoList = fields.List(fields.Nested(Diagnosis), required=True, validate=validate.Length(1))
    feedetailList = fields.List(fields.Nested(FeeDetail), required=True, validate=validate.Length(1))

    @validates_schema
    def sums(self, data: dict[str, Any], **_: Any) -> None:
        """Lines sum to the total."""
        if sum(row["detItemFeeSumamt"] for row in data["feedetailList"]) != data["medfeeSumamt"]:
            raise ValidationError("feedetailList 合计与 medfeeSumamt 不符")


class PayOrder(Plain):
    """6202"""

    payAuthNo = _text(40)
    payOrdId = _text(40, needed=True)
    payToken = _text(40, needed=True)
    orgCodg = _text(12, needed=True)
    orgBizSer = _text(40, needed=True)
    ecAuthCode = _text(40)
    ecChnlAppId = _text(40)
    ecChnlUserId = _text(40)
    mdtrtId = _text(40, needed=True)
    chrgBchno = _text(40)
    extData = fields.Raw()


class Refund(Plain):
    """6203"""

    payOrdId = _text(40, needed=True)
    appRefdSn = _text(40, needed=True)
    appRefdTime = _text(40, needed=True)
    totlRefdAmt = _amount(needed=True)
    psnAcctRefdAmt = _amount()
    fundRefdAmt = _amount()
    cashRefdAmt = _amount(needed=True)
    ecToken = _text(64, needed=True)
    refdType = fields.String(required=True, validate=validate.OneOf(REFUND_TYPES))
    extData = fields.Raw()


class OrderKey(Plain):
    """6301, 6401"""

    payOrdId = _text(40, needed=True)
    orgCodg = _text(40, needed=True)
    payToken = _text(40, needed=True)
    idNo = _text(40, needed=True)
    userName = _text(40, needed=True)
    idType = _text(3, needed=True)
    extData = fields.Raw()


class Push(Plain):
    """A bill announced to its payer. Our own contract; names as the published Guangzhou edition's PushInfoReq has them."""

    pushId = _text(40, needed=True)
    pushType = fields.String(required=True, validate=validate.OneOf(("1",)))
    hosId = _text(40, needed=True)
    dataTime = _text(19, needed=True)
    hospPatientId = _text(40, needed=True)
    patientIdcardType = _text(3, needed=True)
    patientIdcardNo = _text(40, needed=True)
    patientName = _text(40, needed=True)
    hospOrderId = _text(40, needed=True)
    deptName = _text(100)
    doctorName = _text(50)
    regDt = _text(19)
    pushContent = _text(500, needed=True)
    payFee = _amount(needed=True)


REQUESTS: dict[str, type[Plain]] = {"6201": Upload, "6202": PayOrder, "6203": Refund, "6301": OrderKey, "6401": OrderKey,
                                    "push": Push}
"""Transaction → what it is asked with."""


# Answers


class Reply(Schema):
    """An answer: what we don't know of it is left out."""

    class Meta:
        unknown = EXCLUDE


class Uploaded(Reply):
    """6201"""

    payOrdId = fields.String(required=True)
    payToken = fields.String(required=True)
    cashierUrl = fields.String(load_default="", allow_none=True)
    extData = fields.Raw(load_default=None, allow_none=True)


class Ordered(Reply):
    """6202, 6301; amounts are there once something was worked out"""

    payOrdId = fields.String(required=True)
    ordStas = fields.String(required=True)
    feeSumamt = fields.Decimal(load_default=None, allow_none=True)
    ownPayAmt = fields.Decimal(load_default=None, allow_none=True)
    psnAcctPay = fields.Decimal(load_default=None, allow_none=True)
    fundPay = fields.Decimal(load_default=None, allow_none=True)
    revsToken = fields.String(load_default="", allow_none=True)


class Refunded(Reply):
    """6203"""

    refdSn = fields.String(load_default="", allow_none=True)
    refStatus = fields.String(required=True)


class Done(Reply):
    """6401, a push"""

    success = fields.Raw(required=True)


class Notice(Reply):
    """6302, what the platform sends us. Its own part is ownpayAmt here, ownPayAmt elsewhere: so in the specification."""

    payOrdId = fields.String(required=True)
    callType = fields.String(required=True)
    medOrgOrd = fields.String(required=True)
    traceTime = fields.String(load_default="")
    feeSumamt = fields.Decimal(required=True)
    ownpayAmt = fields.Decimal(required=True)
    psnAcctPay = fields.Decimal(required=True)
    fundPay = fields.Decimal(required=True)
    hiDocSn = fields.String(load_default="", allow_none=True)
    setlType = fields.String(load_default="ALL", allow_none=True)
    revsToken = fields.String(load_default="", allow_none=True)


# What a patient's app sends us: our own contract, version 1. Amounts by the insurer's names


class CredentialIn(Schema):
    """The patient's electronic credential. Never stored."""

    cert_type = Choice("ecode", required=True)
    cert_no = Text(required=True, min=6, max=64)
    name = Text(load_default="", max=50)


class WhoIn(Schema):
    """Whose bills."""

    credential = fields.Nested(CredentialIn, required=True)


class OrderIn(WhoIn):
    """A visit's bill, and what its payer was shown that it comes to."""

    visit_no = Text(required=True, max=20)
    medfee_sumamt = MoneyField(required=True, low="0.01")
    acct_used_flag = fields.Boolean(load_default=True)


class BillLineOut(Schema):
    """A line of a bill."""

    name = fields.String()
    spec = fields.String(allow_none=True)
    unit = fields.String()
    cnt = QuantityField()
    pric = fields.String()
    det_item_fee_sumamt = MoneyField()


class BillOut(Schema):
    """What a visit has to pay now."""

    visit_no = fields.String()
    dept_name = fields.String(allow_none=True)
    dr_name = fields.String(allow_none=True)
    medfee_sumamt = MoneyField()
    lines = fields.List(fields.Nested(BillLineOut))


class BillsOut(Schema):
    """All of somebody's unpaid bills."""

    items = fields.List(fields.Nested(BillOut))


class OrderOut(Schema):
    """An order: ``state`` waiting (for its payer), settling, paid, closed (nothing was paid), returned."""

    order_no = fields.String()
    state = fields.String()
    message = fields.String(allow_none=True)
    cashier_url = fields.String(allow_none=True)
    medfee_sumamt = MoneyField()
    fund_pay_sumamt = MoneyField()
    acct_pay = MoneyField()
    psn_cash_pay = MoneyField()
    settlement_no = fields.String(allow_none=True)
    receipt_numbers = fields.List(fields.String())
