"""Encounters: a person's visit to a department, outpatient, emergency or inpatient."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import BigInteger, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from his_server.db import Instant, Keyed
from his_server.security import integrity


class Encounter(integrity.Guarded, Keyed):
    """A visit. ``kind`` outpatient | emergency | inpatient; ``state`` waiting → seen → finished, or cancelled.

    ``insurance`` is how the visit is paid: 自费 or an insutype code. No foreign keys: the ledgers are hot.
    """

    __tablename__ = "encounter"
    __guarded__ = ("id", "visit_no", "person_id", "kind", "started_at", "business_date")
    __table_args__ = (Index("ix_encounter_person", "person_id", "business_date"),
                      Index("ix_encounter_day", "business_date", "department_id", "state"))
    visit_no: Mapped[str] = mapped_column(String(20), unique=True)
    person_id: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str] = mapped_column(String(10))
    department_id: Mapped[int] = mapped_column(BigInteger)
    doctor_id: Mapped[int | None] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(10), default="waiting")
    insurance: Mapped[str] = mapped_column(String(20), default="自费")
    started_at: Mapped[datetime] = mapped_column(Instant)
    business_date: Mapped[date]
    changed_at: Mapped[datetime] = mapped_column(Instant)
    changed_by: Mapped[int] = mapped_column(BigInteger)
    changed_by_name: Mapped[str] = mapped_column(String(60))
    cancel_reason: Mapped[str | None] = mapped_column(String(200))
