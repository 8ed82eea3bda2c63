"""One row per person and name."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from his_server.db import Instant, Keyed

LONGEST = 500
MOST = 200
"""Names that one person may have: a page that invents names is stopped."""


class Preference(Keyed):
    """A person's choice under a name."""

    __tablename__ = "user_preference"
    __table_args__ = (UniqueConstraint("user_id", "name"),)
    user_id: Mapped[int] = mapped_column(BigInteger)
    name: Mapped[str] = mapped_column(String(60))
    chosen: Mapped[str] = mapped_column(String(LONGEST))
    changed_at: Mapped[datetime] = mapped_column(Instant)
