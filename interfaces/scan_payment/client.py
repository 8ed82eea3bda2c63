"""The acquirer over HTTP: signed requests, and answers that count only with the acquirer's signature on them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from marshmallow import ValidationError

from crypto import KeyLike, Provider
from crypto import requests as signing
from crypto.requests import PeerKey, RequestRefused
from his_server.messaging.outbox import LostAnswer, Refused
from interfaces.scan_payment import contract, mapping
from modules.kernel.charging.ports import CONFIRMED, REFUSED, Outcome, Statement

SUBJECT = "门诊费用"
REASON = "医院退费"
BILL_SECONDS = 60


@dataclass(frozen=True)
class Keys:
    """Who we are at the acquirer, and whose signature we accept. ``private()`` gives our key's name and the key."""

    private: Callable[[], tuple[str, KeyLike]]
    peer: PeerKey
    merchant: str


class Acquirer:
    """One channel of the acquirer; implements :class:`modules.kernel.charging.ports.PaymentPort`. Amounts in yuan.

    :raises NotSent, LostAnswer: as the line says. An answer without a valid signature is a lost one.
    """

    def __init__(self, line: Any, channel: str, keys: Keys, provider: Provider, now: Callable[[], datetime]) -> None:
        self.line, self.channel, self.keys, self.provider, self.now = line, channel, keys, provider, now

    def pay(self, number: str, amount: Decimal, auth_code: str) -> Outcome:
        """Take a payment by the payer's code."""
        answer = self._ask("POST", "/v1/payments", {
            "merchant": self.keys.merchant, "out_trade_no": number, "channel": self.channel, "scene": "barcode",
            "amount_fen": mapping.to_fen(amount), "auth_code": auth_code, "subject": SUBJECT})
        return self._outcome(answer, number, amount, "渠道没有受理")

    def query(self, number: str) -> Outcome:
        """What became of a payment."""
        return self._outcome(self._ask("GET", f"/v1/payments/{number}"), number, None, "渠道没有这笔支付")

    def close(self, number: str) -> Outcome:
        """Close an order that nobody paid: confirmed when it is closed and can't be paid any more, refused when it was paid."""
        answer = self._ask("POST", f"/v1/payments/{number}/close", {"merchant": self.keys.merchant})
        if answer["code"] == contract.SUCCESS and answer["number"] == number and answer["state"] == contract.CLOSED:
            return Outcome(CONFIRMED, message="订单已关闭")
        return Outcome(REFUSED, message=(answer["message"] or "不能关闭")[:200])

    def refund(self, number: str, original: str, amount: Decimal) -> Outcome:
        """Return a part of a payment."""
        answer = self._ask("POST", "/v1/refunds", {
            "merchant": self.keys.merchant, "out_refund_no": number, "out_trade_no": original,
            "amount_fen": mapping.to_fen(amount), "reason": REASON})
        return self._outcome(answer, number, amount, "渠道没有原支付")

    def query_refund(self, number: str) -> Outcome:
        """What became of a return."""
        return self._outcome(self._ask("GET", f"/v1/refunds/{number}"), number, None, "渠道没有这笔退款")

    def download_bill(self, day: date) -> Statement:
        """The statement of a day of the channel's; refused while it isn't ready."""
        status, body = self._exchange("GET", f"/v1/bills/{day.isoformat()}", f"channel={self.channel}", b"", BILL_SECONDS)
        if status != 200:
            return Statement(REFUSED, message=self._read(body)["message"][:200] or "对账单尚未生成")
        try:
            rows = mapping.statement(body.decode("utf-8"), self.keys.merchant)
        except (UnicodeDecodeError, mapping.Garbled) as error:
            raise LostAnswer(f"对账单不可用：{error}") from error
        return Statement(CONFIRMED, message=f"{len(rows)} 笔", rows=rows)

    def _outcome(self, answer: Mapping[str, Any], number: str, amount: Decimal | None, missing: str) -> Outcome:
        try:
            return mapping.outcome(answer, self.keys.merchant, number, amount, missing)
        except mapping.Garbled as error:
            raise LostAnswer(str(error)) from error

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        text = b"" if body is None else json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        return self._read(self._exchange(method, path, "", text, None)[1])

    @staticmethod
    def _read(body: bytes) -> dict[str, Any]:
        try:
            found: dict[str, Any] = contract.AnswerOut().loads(body)
        except (ValidationError, ValueError) as error:
            raise LostAnswer(f"应答不符合约定：{type(error).__name__}") from error
        return found

    def _exchange(self, method: str, path: str, query: str, body: bytes, timeout: int | None) -> tuple[int, bytes]:
        key_id, private = self.keys.private()
        headers = signing.sign_request(self.provider, private, key_id, method, path, query, body, self.now())
        if body:
            headers["Content-Type"] = "application/json; charset=utf-8"
        answer = self.line.exchange(method, f"{path}?{query}" if query else path, body, headers, timeout)
        if answer.status == 401:
            raise Refused("渠道不认本院签名，请核对密钥编号、公钥和时钟")
        try:
            signing.verify_answer(self.provider, lambda key: self.keys.peer if key == self.keys.peer.key_id else None,
                                  answer.status, dict(answer.headers.items()), answer.body, self.now(),
                                  headers[signing.H_NONCE])
        except RequestRefused as refused:
            raise LostAnswer(f"应答没有有效签名（HTTP {answer.status}）：{refused.reason}") from refused
        return answer.status, answer.body
