"""How far each waiting patient is, as the calling system said last."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from his_server.db import Instant, Keyed


class QueueCall(Keyed):
    """The newest call of a registration. ``flag`` callingFlag: 0 等候, 1 就诊, 2 过号, 3 完成."""

    __tablename__ = "queue_call"
    __table_args__ = (UniqueConstraint("registration_id"),)
    registration_id: Mapped[int] = mapped_column(BigInteger)
    flag: Mapped[str] = mapped_column(String(1))
    room: Mapped[str] = mapped_column(String(20))
    called_at: Mapped[datetime] = mapped_column(Instant)
    """The calling system's time: an older call that comes late changes nothing."""
    changed_at: Mapped[datetime] = mapped_column(Instant)
