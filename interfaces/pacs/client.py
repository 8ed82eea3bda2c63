"""The PACS's service."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from interfaces.pacs.contract import DONE
from interfaces.pacs.settings import Settings
from modules.kernel.charging.ports import Outcome

HEADERS = {"Content-Type": "application/json; charset=utf-8"}


class Pacs:
    """The adapter. The PACS de-duplicates by messageId. :raises NotSent, LostAnswer: as the line says."""

    def __init__(self, line: Any, settings: Settings) -> None:
        self.line, self.settings = line, settings

    def confirm(self, number: str, request: Mapping[str, Any]) -> Outcome:
        """Exams of a request were paid."""
        return self._send("confirm", request)

    def cancel(self, number: str, request: Mapping[str, Any]) -> Outcome:
        """Exams of a request were refunded before they were performed."""
        return self._send("cancel", request)

    def _send(self, name: str, request: Mapping[str, Any]) -> Outcome:
        answer = self.line.exchange("POST", f"/v1/exams/{name}", json.dumps(request, ensure_ascii=False).encode(), HEADERS)
        return answer.coded(name, DONE)
