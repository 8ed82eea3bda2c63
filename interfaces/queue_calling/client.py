"""The calling system's REST service: rows in, ``{"code": "0"}`` out. It keeps one row per key, so repeats do no harm."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from interfaces.queue_calling.contract import DONE
from interfaces.queue_calling.settings import Settings
from modules.kernel.charging.ports import Outcome

HEADERS = {"Content-Type": "application/json; charset=utf-8"}


class Calling:
    """The adapter. :raises NotSent, LostAnswer: as the line says."""

    def __init__(self, line: Any, settings: Settings) -> None:
        self.line, self.settings = line, settings

    def departments(self, rows: Sequence[Mapping[str, Any]]) -> Outcome:
        """Departments that have clinics."""
        return self._send("syncDept", {"depts": list(rows)})

    def doctors(self, rows: Sequence[Mapping[str, Any]]) -> Outcome:
        """Doctors who hold them."""
        return self._send("syncDoctor", {"doctors": list(rows)})

    def slots(self, rows: Sequence[Mapping[str, Any]]) -> Outcome:
        """Sessions of the coming days."""
        return self._send("syncDoctorDeptVisit", {"visits": list(rows)})

    def registered(self, number: str, row: Mapping[str, Any]) -> Outcome:
        """A registration with its patient, new or changed."""
        return self._send("syncRegistered", row)

    def resign(self, number: str, row: Mapping[str, Any]) -> Outcome:
        """A cancelled registration."""
        return self._send("resign", row)

    def _send(self, name: str, body: Mapping[str, Any]) -> Outcome:
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        answer = self.line.exchange("POST", f"/{name}", text, HEADERS)
        return answer.coded(name, DONE)
