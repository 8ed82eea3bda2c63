"""Requests to let a large export out."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from his_server.db import Instant, Keyed


class ExportRequest(Keyed):
    """A request for one report with these filters: ``requested`` → ``approved`` | ``declined``.

    ``filters`` is JSON with sorted names, as the report was asked for; ``row_count`` what it had then. Approved by another
    person, it holds until ``valid_until``.
    """

    __tablename__ = "export_request"
    __table_args__ = (Index("ix_export_request_state", "state", "requested_at", "id"),
                      Index("ix_export_request_mine", "requested_by", "report", "requested_at"))
    report: Mapped[str] = mapped_column(String(60))
    title: Mapped[str] = mapped_column(String(100))
    filters: Mapped[str] = mapped_column(Text)
    row_count: Mapped[int] = mapped_column(BigInteger)
    reason: Mapped[str] = mapped_column(String(200))
    state: Mapped[str] = mapped_column(String(10))
    requested_by: Mapped[int] = mapped_column(BigInteger)
    requested_by_name: Mapped[str] = mapped_column(String(60))
    requested_at: Mapped[datetime] = mapped_column(Instant)
    decided_by: Mapped[int | None] = mapped_column(BigInteger)
    decided_by_name: Mapped[str | None] = mapped_column(String(60))
    decided_at: Mapped[datetime | None] = mapped_column(Instant)
    valid_until: Mapped[datetime | None] = mapped_column(Instant)
