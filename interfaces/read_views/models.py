"""What partners were last shown: each row with the version at which it last changed."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Boolean, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from his_server.db import Base, Instant


class ReadFeed(Base):
    """A resource and its newest version. Whoever brings it up to date holds its row: versions are seen in their order."""

    __tablename__ = "read_feed"
    resource: Mapped[str] = mapped_column(String(40), primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger)
    fresh_at: Mapped[datetime | None] = mapped_column(Instant)


class ReadFeedRow(Base):
    """A row as it was last shown; ``content`` is JSON, ``gone`` when it isn't there any more."""

    __tablename__ = "read_feed_row"
    __table_args__ = (Index("ix_read_feed_row_version", "resource", "version"),)
    resource: Mapped[str] = mapped_column(String(40), primary_key=True)
    row_key: Mapped[str] = mapped_column(String(40), primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger)
    gone: Mapped[bool] = mapped_column(Boolean, default=False)
    content: Mapped[str] = mapped_column(Text)
