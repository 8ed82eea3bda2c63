"""Which revisions this database has, and of which kind: what an older or newer program needs to know to work with it.

A revision is ``expand`` (adds what the new release needs; the previous release goes on working) or ``contract`` (takes away what
only the previous release needed; declared by ``phase = "contract"`` in its file). A program that meets revisions it doesn't know
may go on when all of them are expansions: that is what makes the downgrade before contract, and the rolling update, safe.

Implements: A2.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from his_server.db.base import Base
from his_server.db.types import Instant

EXPAND, CONTRACT = "expand", "contract"


class SchemaRevision(Base):
    """A revision that was applied, by which release."""

    __tablename__ = "schema_revision"

    revision: Mapped[str] = mapped_column(String(32), primary_key=True)
    phase: Mapped[str] = mapped_column(String(10))
    release: Mapped[str] = mapped_column(String(32))
    applied_at: Mapped[datetime] = mapped_column(Instant)
