"""Consents to look at who prescribes what."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import BigInteger, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from his_server.db import Instant, Keyed


class StatisticsGrant(Keyed):
    """A request to see doctor × drug × quantity of some days: ``requested`` → ``approved`` | ``declined``.

    ``department_id``, ``doctor_id`` and ``drug_id`` narrow it; what is asked for is what is shown, no more. Approved by
    another person, it is good until ``valid_until`` and counts its ``runs``.
    """

    __tablename__ = "statistics_grant"
    __table_args__ = (Index("ix_statistics_grant_state", "state", "requested_at"),)
    first_day: Mapped[date]
    last_day: Mapped[date]
    department_id: Mapped[int | None] = mapped_column(BigInteger)
    doctor_id: Mapped[int | None] = mapped_column(BigInteger)
    drug_id: Mapped[int | None] = mapped_column(BigInteger)
    reason: Mapped[str] = mapped_column(String(200))
    state: Mapped[str] = mapped_column(String(10))
    requested_by: Mapped[int] = mapped_column(BigInteger)
    requested_by_name: Mapped[str] = mapped_column(String(60))
    requested_at: Mapped[datetime] = mapped_column(Instant)
    decided_by: Mapped[int | None] = mapped_column(BigInteger)
    decided_by_name: Mapped[str | None] = mapped_column(String(60))
    decided_at: Mapped[datetime | None] = mapped_column(Instant)
    valid_until: Mapped[datetime | None] = mapped_column(Instant)
