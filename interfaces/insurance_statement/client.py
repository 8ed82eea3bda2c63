"""Calls to the centre's statement service: implements :class:`modules.kernel.charging.ports.StatementPort` (N4)."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from marshmallow import Schema, ValidationError

from his_server.messaging.outbox import LostAnswer
from interfaces.insurance_statement import contract, mapping
from interfaces.insurance_statement.settings import Settings
from modules.kernel.charging.ports import CONFIRMED, REFUSED, Outcome, Scope, Totals

STATE = {"UPLOADED": "uploaded", "CONFIRMED": "confirmed", "DELETED": "deleted"}


class Centre:
    """The centre behind a line. What is not an answer raises, and is an unknown outcome; a repeat does nothing twice."""

    def __init__(self, line: Any, settings: Settings, app_id: str, secret: str, now: Callable[[], datetime]) -> None:
        self._line, self._settings, self._app_id, self._secret, self._now = line, settings, app_id, secret, now

    def upload(self, number: str, monthly: bool, scope: Scope, totals: Totals) -> Outcome:
        """Hand a statement in; the same number with the same content is the same statement."""
        told = mapping.statement(number, monthly, scope, totals, fixmedins_code=self._settings.fixmedins_code,
                                 agencies=self._settings.agencies)
        body = json.dumps(contract.StatementIn().dump(told), ensure_ascii=False).encode()
        return self._call("PUT", number, body)

    def delete(self, number: str) -> Outcome:
        """Take an unconfirmed statement back."""
        return self._call("DELETE", number)

    def confirm(self, number: str) -> Outcome:
        """Confirm a statement."""
        return self._call("POST", f"{number}/confirm")

    def query(self, number: str) -> Outcome:
        """What became of a statement."""
        return self._call("GET", number)

    def _call(self, method: str, tail: str, body: bytes = b"") -> Outcome:
        path = f"{self._settings.path}/{quote(tail)}"
        timestamp, nonce = str(int(self._now().timestamp())), uuid4().hex
        answer = self._line.exchange(method, path, body, {
            "Content-Type": "application/json; charset=utf-8", "Accept": "application/json",
            contract.H_APP: self._app_id, contract.H_TIME: timestamp, contract.H_NONCE: nonce,
            contract.H_SIGNATURE: contract.signature(self._secret, method, path, timestamp, nonce, body)})
        if answer.status == 200:
            told = _load(contract.StatementOut, answer.json())
            return Outcome(CONFIRMED, told["handover_no"], STATE[told["state"]])
        if 400 <= answer.status < 500 and answer.status not in (408, 429):
            told = _load(contract.Refusal, answer.json())
            return Outcome(REFUSED, message=f"{told['message']}（{told['code']}）", cause=f"statement.{told['code']}"[:30])
        raise LostAnswer(f"医保对账单服务应答 HTTP {answer.status}")


def _load(schema: type[Schema], given: Any) -> dict[str, Any]:
    try:
        found: dict[str, Any] = schema().load(given)
    except ValidationError as error:
        raise LostAnswer(f"医保对账单服务的应答不完整：{error.messages}") from error
    return found
