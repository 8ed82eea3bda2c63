"""What is signed of a prescription (MP-15): everything that a pharmacist acts on, for whom and by whom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from his_server.security import signatures
from modules.kernel.orders.models import Prescription

KIND = "prescription"
_HEAD = ("number", "kind", "person_id", "encounter_id", "department_id", "doctor_id", "doctor_name", "diagnosis",
         "issued_at", "diagnosis_code", "chronic_reason", "long_term", "assessment", "signed_by", "override_reason",
         "consultant_name", "check_reason")
_LINE = ("position", "drug_id", "name", "spec", "dose", "dose_unit", "usage", "frequency", "days", "quantity",
         "base_unit", "note", "group_no")


def document(prescription: Prescription) -> dict[str, Any]:
    """The signed content of a prescription with its lines."""
    return {**{name: getattr(prescription, name) for name in _HEAD},
            "lines": [{name: getattr(line, name) for name in _LINE}
                      for line in sorted(prescription.lines, key=lambda line: line.position)]}


def _load(session: Session, ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    found = session.scalars(select(Prescription).options(selectinload(Prescription.lines))
                            .where(Prescription.id.in_(ids)))
    return {prescription.id: document(prescription) for prescription in found}


signatures.declare(KIND, "处方", _load)
