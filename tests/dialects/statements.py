"""Sixty-odd statements of the forms that the product uses, for the golden file and the comparison with
dmSQLAlchemy."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Enum,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    Sequence,
    SmallInteger,
    String,
    Table,
    Text,
    Time,
    UniqueConstraint,
    Uuid,
    and_,
    bindparam,
    case,
    cast,
    delete,
    exists,
    func,
    insert,
    literal,
    not_,
    null,
    or_,
    select,
    true,
    union,
    union_all,
    update,
)  # fmt: skip
from sqlalchemy.orm import aliased, registry
from sqlalchemy.schema import (
    AddConstraint,
    CreateIndex,
    CreateSequence,
    CreateTable,
    DropConstraint,
    DropIndex,
    DropTable,
    SetColumnComment,
    SetTableComment,
)  # fmt: skip

metadata = MetaData()
patient = Table(
    "patient", metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("name", String(60), nullable=False, comment="姓名"),
    Column("born", Date), Column("active", Boolean, nullable=False, server_default="1"),
    Column("created", DateTime(timezone=True), nullable=False), Column("note", Text),
    comment="病人",
)  # fmt: skip
charge = Table(
    "charge", metadata,
    Column("id", Integer, primary_key=True),
    Column("patient_id", ForeignKey("patient.id", name="fk_charge_patient", ondelete="CASCADE"), nullable=False),
    Column("amount", Numeric(14, 2), nullable=False), Column("state", Enum("open", "paid", name="state")),
    Column("level", SmallInteger), Column("share", Float), Column("at", Time), Column("body", JSON),
    Column("scan", LargeBinary), Column("trace", Uuid), Column("order", String(8), unique=False),
    UniqueConstraint("patient_id", "order", name="uq_charge_order"), CheckConstraint("amount >= 0", name="ck_charge_amount"),
)  # fmt: skip
numbered = Table(
    "numbered", metadata, Column("id", Integer, Identity(start=100, increment=5), primary_key=True)
)
index = Index("ix_charge_state", charge.c.state, charge.c.id)
sequence = Sequence("seq_receipt", start=1, increment=1)
P, C = patient.c, charge.c
other = aliased(charge, name="other")
recent = select(C.patient_id, func.sum(C.amount).label("total")).group_by(C.patient_id).cte("recent")
tree = select(P.id, literal(0).label("depth")).where(P.id == 1).cte("tree", recursive=True)
tree = tree.union_all(select(P.id, tree.c.depth + 1).where(P.id == tree.c.id + 1))
unique = next(each for each in charge.constraints if each.name == "uq_charge_order")
day, moment = date(2026, 11, 1), datetime(2026, 11, 1, 8, tzinfo=UTC)


class Mapped:
    """For an ORM form of UPDATE."""


registry(metadata=metadata).map_imperatively(Mapped, patient)

STATEMENTS: dict[str, Any] = {
    "create table: key without identity, comments": CreateTable(patient),
    "create table: identity, types, constraints": CreateTable(charge),
    "create table: identity with options": CreateTable(numbered),
    "create index": CreateIndex(index),
    "drop index": DropIndex(index),
    "drop table": DropTable(charge),
    "comment on table": SetTableComment(patient),
    "comment on column": SetColumnComment(P.name),
    "add constraint": AddConstraint(unique),  # type: ignore[arg-type]
    "drop constraint": DropConstraint(unique),  # type: ignore[arg-type]
    "create sequence": CreateSequence(sequence),
    "insert": insert(patient),
    "insert returning": insert(charge).values(patient_id=1, amount=Decimal("1.50")).returning(C.id, C.amount),
    "insert with identity": insert(charge).values(patient_id=1, amount=1),
    "insert several rows": insert(patient).values([{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]),
    "insert from select": insert(numbered).from_select(["id"], select(P.id)),
    "insert from select with cte": insert(numbered).from_select(["id"], select(recent.c.patient_id)),
    "insert with expression": insert(patient).values(
        id=select(func.max(P.id) + 1).scalar_subquery(), name="x"
    ),
    "insert of nothing": insert(numbered),
    "update": update(patient).where(P.id == 1).values(name="x"),
    "update guarded": update(charge).where(C.id == 1, C.state == "open").values(state="paid"),
    "update returning": update(charge).where(C.id == 1).values(level=C.level + 1).returning(C.level),
    "update from subquery": update(charge).values(
        level=select(func.count()).select_from(patient).scalar_subquery()
    ),
    "update of a mapped class": update(Mapped).where(P.name == "x").values(name="y"),
    "update with case": update(charge).values(level=case((C.level > 3, 1), else_=2)),
    "delete": delete(charge).where(C.id == 1),
    "delete returning": delete(charge).where(C.id == 1).returning(C.id),
    "delete where exists": delete(charge).where(exists().where(P.id == C.patient_id)),
    "select": select(patient),
    "select literal": select(literal(1)),
    "select null": select(null()),
    "select distinct": select(C.state).distinct(),
    "join": select(P.name, C.amount).join(charge),
    "outer join": select(P.name, C.amount).outerjoin(charge),
    "self join": select(C.id, other.c.id).join(other, other.c.patient_id == C.patient_id),
    "group and having": select(C.state, func.sum(C.amount)).group_by(C.state).having(func.sum(C.amount) > 10),
    "count distinct": select(func.count(C.patient_id.distinct())),
    "order with nulls": select(P.id).order_by(P.born.desc().nulls_last(), P.id),
    "limit": select(P.id).order_by(P.id).limit(10),
    "limit and offset": select(P.id).order_by(P.id).limit(10).offset(20),
    "offset": select(P.id).order_by(P.id).offset(20),
    "fetch with ties": select(P.id).order_by(P.id).fetch(10, with_ties=True),
    "in": select(P.id).where(P.id.in_([1, 2, 3])),
    "in nothing": select(P.id).where(P.id.in_([])),
    "not in": select(P.id).where(P.id.not_in([1, 2])),
    "between": select(P.id).where(P.born.between(day, day)),
    "like": select(P.id).where(P.name.like("a%")),
    "contains, escaped": select(P.id).where(P.name.contains("50%", autoescape=True)),
    "ilike": select(P.id).where(P.name.ilike("a%")),
    "boolean column": select(P.id).where(P.active),
    "boolean column negated": select(P.id).where(~P.active),
    "boolean is true": select(P.id).where(P.active.is_(True)),
    "boolean is not false": select(P.id).where(P.active.is_not(False)),
    "boolean constant": select(P.id).where(true()),
    "condition as value": select((P.id == 1).label("one"), and_(P.active, P.id > 2).label("two")),
    "exists as value": select(exists().where(P.id == 1)),
    "not exists": select(P.id).where(~exists().where(C.patient_id == P.id)),
    "and, or, not": select(P.id).where(or_(P.id == 1, and_(P.name == "x", not_(P.born == day)))),
    "is distinct from": select(P.id).where(P.born.is_distinct_from(day)),
    "is not distinct from": select(P.id).where(P.born.is_not_distinct_from(day)),
    "scalar subquery": select(
        P.id, select(func.max(C.amount)).where(C.patient_id == P.id).scalar_subquery().label("m")
    ),
    "derived table": select(select(P.id).limit(5).subquery("few").c.id),
    "cte": select(P.name, recent.c.total).join(recent, recent.c.patient_id == P.id),
    "recursive cte": select(tree.c.id),
    "union": union(select(P.id), select(C.patient_id)),
    "union all, sorted": union_all(select(P.id.label("i")), select(C.patient_id)).order_by("i"),
    "window": select(C.id, func.row_number().over(partition_by=C.patient_id, order_by=C.id)),
    "running total": select(func.sum(C.amount).over(order_by=C.id, rows=(None, 0))),
    "for update": select(charge).where(C.id == 1).with_for_update(),
    "for update nowait": select(charge).where(C.id == 1).with_for_update(nowait=True),
    "for update skip locked": select(charge).where(C.state == "open").with_for_update(skip_locked=True),
    "for update of": select(charge).join(patient).with_for_update(of=C.id),
    "case": select(case((C.level == 1, "low"), (C.level == 2, "mid"), else_="high")),
    "cast": select(cast(C.amount, Integer), cast(C.id, String(10)), cast(C.id, Text)),
    "arithmetic": select(C.level % 3, C.level / 2, C.level // 2, C.amount * 2),
    "concat": select(P.name + "-" + P.note),
    "functions": select(func.coalesce(P.note, ""), func.lower(P.name), func.now(), func.char_length(P.name)),
    "sequence": select(sequence.next_value()),
    "bound datetime": select(P.id).where(P.created >= bindparam("since", moment)),
    "string aggregate": select(func.aggregate_strings(P.name, ",")),
    "regexp": select(P.id).where(P.name.regexp_match("^a")),
}
