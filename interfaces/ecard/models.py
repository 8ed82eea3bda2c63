"""Readings of electronic social-security cards: a code can be read once, a bill needs it three times."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from his_server.db import Instant, Keyed, SealedText


class CardReading(Keyed):
    """What a code said, sealed, for minutes; the code itself is kept nowhere, only its keyed index."""

    __tablename__ = "ecard_reading"
    __table_args__ = (UniqueConstraint("raw_index"), Index("ix_ecard_reading_end", "expires_at"))
    raw_index: Mapped[str] = mapped_column(String(64))
    card_no_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    serial_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    expires_at: Mapped[datetime] = mapped_column(Instant)

    card_no = SealedText()
    serial = SealedText()
