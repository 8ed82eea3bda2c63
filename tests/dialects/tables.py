"""The tables of the dialect tests."""

from __future__ import annotations

from sqlalchemy import (
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    UniqueConstraint,
)
from sqlalchemy.orm import registry

metadata = MetaData()

drug = Table(
    "dt_drug",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("code", String(40), nullable=False),
    Column("name", String(200), nullable=False, default="未命名"),
    Column("price", Numeric(12, 4), nullable=False, default=0),
    UniqueConstraint("code", name="uq_dt_drug_code"),
    CheckConstraint("price >= 0", name="ck_dt_drug_price"),
)
Index("ix_dt_drug_name", drug.c.name, postgresql_ops={"name": "text_pattern_ops"})

task = Table(
    "dt_task",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("drug_id", Integer, ForeignKey("dt_drug.id"), nullable=True),
    Column("state", String(10), nullable=False),
    Column("due", DateTime(timezone=True), nullable=False),
    Column("due_naive", DateTime, nullable=True),
    Column("worker", String(20), nullable=True),
)

mapper_registry = registry(metadata=metadata)


class Drug:
    """A mapped class, for what the helpers do to a Session."""

    id: int
    code: str
    name: str


mapper_registry.map_imperatively(Drug, drug)
