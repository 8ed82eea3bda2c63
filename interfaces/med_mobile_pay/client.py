"""Calls to the insurer's mobile payment: the order (:class:`Orders`) and the payer's own part of it (:class:`OwnPart`)."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from marshmallow import Schema, ValidationError
from sqlalchemy import select

from dialects import portable
from his_server.db import Database, now
from his_server.messaging.outbox import LostAnswer
from interfaces.med_mobile_pay import contract, envelope, mapping
from interfaces.med_mobile_pay.envelope import EnvelopeError, Keys
from interfaces.med_mobile_pay.models import MobileOrder
from interfaces.med_mobile_pay.settings import Settings
from modules.kernel.charging.ports import (
    CONFIRMED,
    REFUSED,
    UNKNOWN,
    Bill,
    Offer,
    Outcome,
    Payer,
    Settlement,
)

HEADERS = {"Content-Type": "application/json; charset=UTF-8", "Accept": "application/json"}


class Said(Exception):
    """The platform answered with an error: its code and text."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{text}（{code}）")


class Caller:
    """One transaction at a time over a line. Answers that can't be believed raise, and are unknown outcomes."""

    def __init__(self, line: Any, database: Database, settings: Settings, keys: Keys) -> None:
        self.line, self.database, self.settings, self.keys = line, database, settings, keys

    def call(self, transaction: str, path: str, data: dict[str, Any], reply: type[Schema]) -> dict[str, Any]:
        """:raises Said: an error. :raises LostAnswer: nothing that may be believed."""
        crypto = self.database.sealer.provider
        message = envelope.pack(crypto, self.keys, data, self.database.clock.now())
        answer = self.line.exchange("POST", path, json.dumps(message).encode(), HEADERS)
        if answer.status != 200:
            raise LostAnswer(f"HTTP {answer.status}")
        told = answer.json()
        try:
            found = envelope.unpack(crypto, self.keys, told)
            if str(told.get("code")) != "0" or told.get("success") is False:
                raise Said(str(told.get("code")), str(told.get("message") or "平台拒绝"))
            loaded: dict[str, Any] = reply().load(found)
        except EnvelopeError as error:
            raise LostAnswer(f"应答不可信：{error}") from error
        except ValidationError as error:
            raise LostAnswer(f"{transaction} 的应答不完整：{error.messages}") from error
        return loaded

    # What we keep of orders: units of work of its own, never around a call

    def order(self, number: str) -> tuple[MobileOrder, dict[str, str]] | None:
        """An order and what is secret of it."""
        with self.database.begin(write=False) as session:
            found = session.scalars(select(MobileOrder).where(MobileOrder.number == number)).first()
            if found is None:
                return None
            secret: dict[str, str] = json.loads(found.secret or "{}")
            session.expunge(found)
        return found, secret

    def remember(self, number: str, secret: dict[str, str], **values: Any) -> None:
        """Keep more of an order."""
        with self.database.begin() as session:
            found = session.scalars(select(MobileOrder).where(MobileOrder.number == number)).one()
            found.secret = json.dumps({**json.loads(found.secret or "{}"), **secret}, ensure_ascii=False)
            for name, value in values.items():
                setattr(found, name, value)

    def amounts(self, number: str, answer: Settlement) -> None:
        """Keep what was paid: refunds name it."""
        if answer.split is not None:
            with self.database.begin() as session:
                portable.guarded_update(session, MobileOrder, MobileOrder.number == number, {
                    "fund": answer.split.fund, "account": answer.split.account, "own": answer.split.cash})

    def send_refund(self, order: str, number: str, kind: str, **parts: Decimal) -> Outcome:
        """6203; the platform de-duplicates by our number."""
        found = self.order(order)
        if found is None or found[0].pay_ord_id is None:
            return Outcome(REFUSED, message="本院没有这笔移动支付订单")
        row, secret = found
        data = mapping.refund(row.pay_ord_id or "", number, self.database.clock.now(), secret.get("ecToken", ""), kind, **parts)
        if secret.get("revsToken"):
            data["extData"] = {"revsToken": secret["revsToken"]}
        try:
            told = self.call("6203", self.settings.path("6203"), data, contract.Refunded)
        except Said as said:
            return Outcome(REFUSED, message=str(said))
        if told["refStatus"] == mapping.SUCCESS:
            return Outcome(CONFIRMED, told["refdSn"] or None, "退费成功")
        if told["refStatus"] == mapping.FAIL:
            return Outcome(REFUSED, told["refdSn"] or None, "医保平台退费失败")
        return Outcome(UNKNOWN, told["refdSn"] or None, "医保平台退费处理中")

    def asked(self, number: str) -> dict[str, Any] | None:
        """6301; None for an order that never got a number there. :raises Said: an error."""
        found = self.order(number)
        if found is None or found[0].pay_ord_id is None:
            return None
        row, secret = found
        return self.call("6301", self.settings.path("6301"), self.key_of(row, secret), contract.Ordered)

    def key_of(self, row: MobileOrder, secret: dict[str, str]) -> dict[str, Any]:
        """What 6301 and 6401 name an order by."""
        return {"payOrdId": row.pay_ord_id, "orgCodg": self.settings.org_code, "payToken": secret["payToken"],
                "idNo": secret["idNo"], "userName": secret["userName"], "idType": secret["idType"]}


class Orders:
    """The order; implements :class:`modules.kernel.charging.ports.MobilePort`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self.cashier, self.in_statements = caller.settings.cashier, caller.settings.in_statements

    def offer(self, bill: Bill, payer: Payer) -> Offer:
        """6201; a repeat under the same number answers with the same order."""
        caller = self._caller
        if uncoded := [name for code, name in bill.diagnoses if not code]:
            return Offer(REFUSED, message=f"诊断“{uncoded[0]}”没有标准编码，请医师改选标准诊断后再发起")
        known = caller.order(bill.number)
        if known is not None and known[0].pay_ord_id:
            return Offer(CONFIRMED, known[0].pay_ord_id, "待支付", url=known[0].cashier_url or "")
        secret = {"ecToken": payer.token, "idNo": payer.id_no, "userName": payer.name, "idType": payer.id_type,
                  "mdtrtId": bill.visit_no}
        if known is None:
            with caller.database.begin() as session:
                made = MobileOrder(number=bill.number, batch=bill.number[:30], total=bill.total, made_at=now(session))
                session.add(made)
                made.secret = json.dumps(secret, ensure_ascii=False)
        try:
            told = caller.call("6201", caller.settings.path("6201"), mapping.upload(bill, payer, caller.settings),
                               contract.Uploaded)
        except Said as said:
            return Offer(REFUSED, message=str(said))
        more = told["extData"] if isinstance(told["extData"], dict) else {}
        visit = str(more.get("mdtrtId") or bill.visit_no)
        caller.remember(bill.number, {**secret, "payToken": told["payToken"], "mdtrtId": visit},
                        pay_ord_id=told["payOrdId"], cashier_url=(told["cashierUrl"] or "")[:500] or None)
        return Offer(CONFIRMED, told["payOrdId"], "待支付", url=told["cashierUrl"] or "")

    def pay(self, number: str, authorisation: str) -> Settlement:
        """6202."""
        caller = self._caller
        found = caller.order(number)
        if found is None or found[0].pay_ord_id is None:
            return Settlement(REFUSED, message="订单尚未上传，请重新发起")
        row, secret = found
        try:
            told = caller.call("6202", caller.settings.path("6202"), {
                "payAuthNo": authorisation, "payOrdId": row.pay_ord_id, "payToken": secret["payToken"],
                "orgCodg": caller.settings.org_code[:12], "orgBizSer": number, "mdtrtId": secret["mdtrtId"],
                "chrgBchno": row.batch}, contract.Ordered)
        except Said as said:
            return Settlement(REFUSED, message=str(said))
        return self._kept(number, told)

    def _kept(self, number: str, told: dict[str, Any]) -> Settlement:
        if told.get("revsToken"):
            self._caller.remember(number, {"revsToken": told["revsToken"]})
        answer = mapping.outcome(told)
        self._caller.amounts(number, answer)
        return answer

    def query(self, number: str) -> Settlement:
        """6301."""
        try:
            told = self._caller.asked(number)
        except Said as said:
            raise LostAnswer(f"查询未成：{said}") from said
        return Settlement(REFUSED, message="订单没有上传成功") if told is None else self._kept(number, told)

    def withdraw(self, number: str) -> Outcome:
        """6401; an order that never got there is gone by itself."""
        caller = self._caller
        found = caller.order(number)
        if found is None or found[0].pay_ord_id is None:
            return Outcome(CONFIRMED, message="订单没有上传，已关闭")
        try:
            told = caller.call("6401", caller.settings.path("6401"), caller.key_of(*found), contract.Done)
        except Said as said:
            return Outcome(REFUSED, found[0].pay_ord_id, str(said))
        done = str(told["success"]).lower() == "true"
        return Outcome(CONFIRMED if done else REFUSED, found[0].pay_ord_id, "订单已撤回" if done else "平台不能撤回该订单")

    def reverse(self, number: str, original: str) -> Outcome:
        """6203 of the insurer's part, as it was settled."""
        found = self._caller.order(original)
        if found is not None and found[0].fund is None and self.query(original).state != CONFIRMED:
            return Outcome(REFUSED, message="订单没有已支付的医保部分")
        row = self._caller.order(original)
        if row is None or row[0].fund is None:
            return Outcome(REFUSED, message="本院没有这笔移动支付订单")
        fund, account = row[0].fund, row[0].account or Decimal(0)
        if not fund and not account:
            return Outcome(CONFIRMED, message="医保部分没有支付，无需退回")
        return self._caller.send_refund(original, number, "HI", fund=fund, account=account)

    def query_reversal(self, number: str, original: str) -> Outcome:
        """6301: whether the insurer's part is back. "Not" means that 6203 is sent again, under the same number."""
        try:
            told = self._caller.asked(original)
        except Said as said:
            raise LostAnswer(f"查询未成：{said}") from said
        back = told is not None and told["ordStas"] in mapping.TAKEN_BACK
        return Outcome(CONFIRMED, message="医保部分已退") if back else Outcome(REFUSED, message="结算仍有效")


class OwnPart:
    """The payer's own part; implements :class:`modules.kernel.charging.ports.PaymentPort` for what goes back."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def pay(self, number: str, amount: Decimal, auth_code: str) -> Outcome:
        """The own part is paid with the order, never by itself."""
        return Outcome(REFUSED, message="医保移动支付的个人部分随订单支付，不能单独收取")

    def query(self, number: str) -> Outcome:
        """Of an order's own part."""
        try:
            told = self._caller.asked(_order_of(number))
        except Said as said:
            raise LostAnswer(f"查询未成：{said}") from said
        return Outcome(REFUSED, message="没有这笔支付") if told is None else mapping.outcome(told)

    def refund(self, number: str, original: str, amount: Decimal) -> Outcome:
        """6203 of the own part, or some of it."""
        return self._caller.send_refund(_order_of(original), number, "CASH", cash=amount)

    def query_refund(self, number: str) -> Outcome:
        """No transaction tells of a single return: 6203 is sent again under the same number, which returns nothing twice."""
        return Outcome(REFUSED, message="须以原退费流水号重发确认")


def _order_of(number: str) -> str:
    return number.removesuffix("C")
