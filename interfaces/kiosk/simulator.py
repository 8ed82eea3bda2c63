"""A stand-in for a kiosk: walks a patient through a conversion by the contract, and asks again when an answer gets lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

Send = Callable[..., Any]
"""method, path, body, Idempotency-Key → status and answer; raises ConnectionError when the answer got lost."""


class Kiosk:
    """A kiosk. ``consent``: whether the patient agrees to what is shown."""

    def __init__(self, send: Send, *, tries: int = 3) -> None:
        self._send, self._tries = send, tries

    def _sure(self, method: str, path: str, body: dict[str, Any] | None, key: str) -> tuple[int, dict[str, Any]]:
        """Send with the same key until an answer comes."""
        for left in range(self._tries - 1, -1, -1):
            try:
                status, answer = self._send(method, path, body, key)
                return status, answer
            except ConnectionError:
                if not left:
                    raise
        raise AssertionError("unreachable")

    def convert(self, settlement_no: str, credential: dict[str, str], consent: Callable[[dict[str, Any]], bool]
                ) -> tuple[int, dict[str, Any]]:
        """Quote, show, convert, and follow it while it is under way; the last status and answer."""
        status, shown = self._sure("POST", "/conversions/quote", {"settlement_no": settlement_no, "credential": credential},
                                   uuid4().hex)
        if status != 200 or not consent(shown):
            return status, shown
        status, answer = self._sure("POST", "/conversions", {
            "conversion_id": shown["conversion_id"], "return_amount": shown["return_amount"], "credential": credential},
            uuid4().hex)
        for _ in range(self._tries):
            if status != 200 or answer["state"] != "settling":
                break
            status, answer = self._sure("GET", f"/conversions/{shown['conversion_id']}", None, "")
        return status, answer
