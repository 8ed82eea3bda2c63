"""What the machine was given: one row per settled prescription, whatever happens on the way."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from his_server.db import Instant, Keyed, SealedText


class MachineOrder(Keyed):
    """A prescription at the machine (M7.2): the database refuses a second row of the same prescription.

    ``new`` (written down) → ``sending`` (a call was begun; until its answer is heard nobody sends again) → ``sent`` →
    ``ready`` (put out) → ``handed``; or ``refused``, ``withdrawn`` (taken back before it was handed out), ``unsent`` (handed
    out by hand or refunded before it was sent). ``window`` and ``payload`` are fixed when the row is made: a repeat sends the
    same. ``alarm``: somebody has to look (another window than ours, or drugs put out for a refunded prescription).
    """

    __tablename__ = "machine_order"
    __table_args__ = (UniqueConstraint("prescription_id"), Index("ix_machine_order_number", "number"),
                      Index("ix_machine_order_state", "state", "changed_at"),
                      Index("ix_machine_order_alarm", "alarm", "changed_at"))
    prescription_id: Mapped[int] = mapped_column(BigInteger)
    settlement_id: Mapped[int] = mapped_column(BigInteger)
    store_id: Mapped[int] = mapped_column(BigInteger)
    number: Mapped[str] = mapped_column(String(32))
    """PresNO: our prescription number."""
    window: Mapped[int]
    machine_window: Mapped[str] = mapped_column(String(10), default="")
    state: Mapped[str] = mapped_column(String(10))
    note: Mapped[str] = mapped_column(String(200), default="")
    alarm: Mapped[bool] = mapped_column(default=False)
    payload_sealed: Mapped[bytes] = mapped_column(LargeBinary)
    made_at: Mapped[datetime] = mapped_column(Instant)
    sent_at: Mapped[datetime | None] = mapped_column(Instant)
    changed_at: Mapped[datetime] = mapped_column(Instant)

    payload = SealedText()
