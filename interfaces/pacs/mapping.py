"""Our request as the PACS's. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any


@dataclass(frozen=True)
class Exam:
    """A line: its position in the request, the item, and how much was paid or refunded now."""

    position: int
    code: str
    name: str
    quantity: Decimal


@dataclass(frozen=True)
class Paid:
    """A request of which something was paid or refunded."""

    number: str
    settlement: str
    patient: tuple[str, str, str]
    diagnosis: str
    department: str
    doctor: str
    performing: str
    exams: Sequence[Exam]


def message(event_id: int, request: Paid) -> dict[str, Any]:
    """One message per request and event; its id repeats with every attempt."""
    number, name, sex = request.patient
    return {"messageId": f"HIS{event_id}-{request.number}", "requestNo": request.number, "settlementNo": request.settlement,
            "patientId": number, "patientName": name, "patientSex": sex, "diagnosis": request.diagnosis,
            "requestDept": request.department, "requestDoctor": request.doctor, "performDept": request.performing,
            "lines": [{"lineNo": exam.position, "itemCode": exam.code, "itemName": exam.name,
                       "quantity": f"{exam.quantity.normalize():f}"} for exam in request.exams]}
