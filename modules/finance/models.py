"""What payment channels say happened, and where it differs from our books."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import BigInteger, Date, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from his_server.db import Instant, Keyed, Money


class ChannelStatement(Keyed):
    """A channel's statement of one of its days, as last downloaded; amounts in yuan."""

    __tablename__ = "channel_statement"
    __table_args__ = (UniqueConstraint("channel", "day"), Index("ix_channel_statement_day", "day", "id"))
    channel: Mapped[str] = mapped_column(String(20))
    day: Mapped[date] = mapped_column(Date)
    row_count: Mapped[int]
    paid: Mapped[Decimal] = mapped_column(Money)
    returned: Mapped[Decimal] = mapped_column(Money)
    fees: Mapped[Decimal] = mapped_column(Money)
    matched: Mapped[int] = mapped_column(default=0)
    fetched_at: Mapped[datetime] = mapped_column(Instant)
    fetched_by_name: Mapped[str] = mapped_column(String(60))


class ChannelStatementRow(Keyed):
    """A row of a statement. ``kind`` pay or refund; ``number`` is ours, ``original`` what a refund returns."""

    __tablename__ = "channel_statement_row"
    __table_args__ = (UniqueConstraint("statement_id", "position"), Index("ix_channel_statement_row_number", "number"))
    statement_id: Mapped[int] = mapped_column(ForeignKey("channel_statement.id"))
    position: Mapped[int]
    kind: Mapped[str] = mapped_column(String(6))
    number: Mapped[str] = mapped_column(String(64))
    peer_number: Mapped[str] = mapped_column(String(64))
    amount: Mapped[Decimal] = mapped_column(Money)
    happened_at: Mapped[datetime] = mapped_column(Instant)
    original: Mapped[str] = mapped_column(String(64))
    fee: Mapped[Decimal] = mapped_column(Money)


class StatementDifference(Keyed):
    """One number that channel and books don't agree on, of one kind (:data:`modules.finance.rules.KINDS`).

    ``pending`` (the channel's day may still come) → ``open`` → ``settled`` by a person with a reason; ``cleared`` when a later
    statement or a later answer made it vanish, from either.
    """

    __tablename__ = "statement_difference"
    __table_args__ = (UniqueConstraint("channel", "number", "kind"), Index("ix_statement_difference_state", "state", "day", "id"),
                      Index("ix_statement_difference_day", "day", "id"))
    channel: Mapped[str] = mapped_column(String(20))
    number: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(12))
    act: Mapped[str] = mapped_column(String(6))
    day: Mapped[date] = mapped_column(Date)
    ours: Mapped[Decimal | None] = mapped_column(Money)
    theirs: Mapped[Decimal | None] = mapped_column(Money)
    our_state: Mapped[str] = mapped_column(String(12))
    intent_id: Mapped[int | None] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(10))
    found_at: Mapped[datetime] = mapped_column(Instant)
    changed_at: Mapped[datetime] = mapped_column(Instant)
    decision: Mapped[str] = mapped_column(String(10), default="")
    reason: Mapped[str] = mapped_column(String(200), default="")
    settled_by_name: Mapped[str] = mapped_column(String(60), default="")
    settled_at: Mapped[datetime | None] = mapped_column(Instant)
