"""Keyed integrity of rows and of sets of rows (COMPLIANCE MP-07, MP-08, MP-14).

Three strengths, all HMAC-SM3 with the ring's ``integrity`` key:

* a *row MAC* over declared columns finds edits and swaps (:func:`row_mac`, :class:`Guarded`);
* a *set* (all grants of a user, all lines of a document) carries one MAC and a version, so that an inserted or
  deleted member shows (:func:`begin_change`);
* the *head* of a scope covers the MACs of all its sets and counts every change; its newest version is also written
  outside of the database, so that putting back old rows, sets and head together shows (:func:`read_head`).

Append-only tables that many write to are chained by :mod:`his_server.security.seals` instead of a head.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from operator import attrgetter
from types import SimpleNamespace
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Engine,
    Insert,
    Integer,
    String,
    Table,
    event,
    insert,
    inspect,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from crypto import CryptoError, DeviceLost
from dialects import portable
from his_server.db import context
from his_server.db import database as db
from his_server.db.base import Base, SealedText
from his_server.db.types import _Exact
from his_server.money import decimal

PURPOSE = "integrity"
PACKAGES = ("his_server", "modules", "interfaces")
"""Where the product's tables are declared."""


def encode(values: Iterable[Any]) -> bytes:
    """Values as bytes, unambiguously: each with type letter and length.

    Knows None, bool, int, str, bytes, Decimal (1 and 1.00 are equal), aware datetime, date and sequences of these.
    :raises TypeError: another type.
    """
    return b"".join(_encode(value) for value in values)


def _encode(value: Any) -> bytes:
    plain = type(value)  # what most columns hold, without the cost of matching
    if plain is int:
        body = b"%d" % value
        return b"i%b%b" % (len(body).to_bytes(4, "big"), body)
    if plain is str:
        body = value.encode()
        return b"s%b%b" % (len(body).to_bytes(4, "big"), body)
    if value is None:
        return b"n\0\0\0\0"
    match value:
        case None:
            kind, body = b"n", b""
        case bool():
            kind, body = b"b", b"1" if value else b"0"
        case int():
            kind, body = b"i", str(value).encode()
        case str():
            kind, body = b"s", value.encode()
        case bytes():
            kind, body = b"x", value
        case Decimal():
            kind, body = b"d", format(value.normalize() + 0, "f").encode()
        case datetime():
            kind, body = b"t", value.astimezone(UTC).isoformat(timespec="microseconds").encode()
        case date():
            kind, body = b"D", value.isoformat().encode()
        case list() | tuple():
            kind, body = b"l", encode(value)
        case _:
            raise TypeError(f"no integrity encoding for {type(value).__name__}")
    return kind + len(body).to_bytes(4, "big") + body


def row_mac(sealer: Any, table: str, values: Sequence[Any]) -> str:
    """64 hex digits over the table's name and the values in their declared order; name the key column first."""
    mac: bytes = sealer.mac(PURPOSE, encode((table, *values)))
    return mac.hex()


def row_holds(sealer: Any, table: str, values: Sequence[Any], mac: str | None) -> bool:
    """Whether ``mac`` belongs to these values, under any living key."""
    try:
        given = bytes.fromhex(mac or "")
    except ValueError:
        return False
    return bool(sealer.check_mac(PURPOSE, encode((table, *values)), given))


class Guarded:
    """Mixin: rows carry a MAC over ``__guarded__`` columns (the key first), columns that hardly ever change.

    Every INSERT of a unit of work writes it, be it the ORM's or one with parameter rows; an UPDATE by statement of a
    guarded column must set ``row_mac`` to :func:`mac_of` itself. Without a unit of work there is no MAC.
    A sealed attribute is named as itself: its text is covered, so that the MAC holds when the blob is sealed anew.
    """

    __guarded__: tuple[str, ...] = ()
    row_mac: Mapped[str | None] = mapped_column(String(64))


@dataclass(frozen=True)
class _Plan:
    """How a model's MAC is made: the columns; which are exact numbers; defaults; which are sealed, which foreign keys."""

    columns: tuple[str, ...]
    exact: tuple[bool, ...]
    defaults: tuple[Any, ...]
    sealed: tuple[tuple[int, SealedText], ...]
    parents: tuple[str, ...]
    get: Callable[[Any], Sequence[Any]]

    def opened(self, sealer: Any, row_id: int, values: list[Any]) -> list[Any]:
        """The values with the texts of sealed columns. :raises CryptoError: a blob isn't this row's."""
        for place, attribute in self.sealed:
            if values[place] is not None:
                values[place] = sealer.open("column", bytes(values[place]), attribute._place(row_id)).decode()
        return values


_plans: dict[type[Any], _Plan] = {}


def _plan(model: type[Any]) -> _Plan:
    found = _plans.get(model)
    if found is None:
        attributes = {name: value for cls in reversed(model.__mro__) for name, value in vars(cls).items()
                      if isinstance(value, SealedText)}
        names = tuple(f"{name}_sealed" if name in attributes else name for name in model.__guarded__)
        columns = [model.__table__.c[name] for name in names]
        found = _plans[model] = _Plan(
            names, tuple(isinstance(column.type, _Exact) for column in columns),
            tuple(column.default.arg if column.default is not None and column.default.is_scalar else None
                  for column in columns),
            tuple((place, attributes[name]) for place, name in enumerate(model.__guarded__) if name in attributes),
            tuple(column.name for column in columns if column.foreign_keys), attrgetter(*names))
    return found


def guarded_columns(model: type[Any]) -> tuple[str, ...]:
    """The columns that a :class:`Guarded` model's MAC is made of: what a SELECT needs for :func:`holds`."""
    return _plan(model).columns


def mac_of(sealer: Any, model: type[Any], values: Mapping[str, Any]) -> str:
    """The row MAC of a :class:`Guarded` row given as columns; constant defaults fill what it leaves out."""
    plan = _plan(model)
    return row_mac(sealer, model.__tablename__, plan.opened(sealer, values["id"], [
        default if (value := values.get(name)) is None else decimal(value) if exact else value
        for name, exact, default in zip(plan.columns, plan.exact, plan.defaults, strict=True)]))


def holds(sealer: Any, row: Any, model: type[Any] | None = None) -> bool:
    """Whether a loaded :class:`Guarded` row is as we wrote it; ``model`` for a row of :func:`guarded_columns`."""
    model = model or type(row)
    plan = _plan(model)
    values = list(plan.get(row))
    if plan.sealed:
        try:
            plan.opened(sealer, row.id, values)
        except DeviceLost:
            raise
        except (CryptoError, UnicodeDecodeError):
            return False
    return row_holds(sealer, model.__tablename__, values, row.row_mac)


_models: dict[Table, type[Any] | None] = {}


def _model_of(table: Any) -> type[Any] | None:
    if table not in _models:
        _models[table] = next((m.class_ for m in Base.registry.mappers
                               if m.local_table is table and getattr(m.class_, "__guarded__", ())), None)
    return _models[table]


@event.listens_for(Engine, "before_execute", retval=True)
def _guard_inserts(_connection: Connection, statement: Any, many: Any, one: Any, _options: Any) -> tuple[Any, Any, Any]:
    """Write the MAC of guarded rows that are inserted by statement; bulk inserts can't forget it."""
    if (isinstance(statement, Insert) and (model := _model_of(statement.table)) is not None
            and (database := context.current.get()) is not None):
        if not many and not one:
            if "row_mac" in statement.compile().params:
                return statement, many, one
            raise TypeError(f"{statement.table.name} is guarded: give its rows as parameters, not as values")
        sealer = database.sealer  # the ORM's own rows have theirs already
        many = [row if row.get("row_mac") else {**row, "row_mac": mac_of(sealer, model, row)} for row in many]
        one = {**one, "row_mac": mac_of(sealer, model, one)} if one and not one.get("row_mac") else one
    return statement, many, one


@event.listens_for(db.UnitOfWork, "before_flush")
def _guard(session: Session, *_: Any) -> None:
    for row in [*session.new, *session.dirty]:
        model = type(row)
        if not getattr(model, "__guarded__", ()):
            continue
        sealer, names = db.of(session).sealer, guarded_columns(model)
        if row not in session.new:
            history = {name: inspect(row).attrs[name].load_history() for name in names}
            if not any(each.has_changes() for each in history.values()):
                continue
            before = {name: each.deleted[0] if each.deleted else getattr(row, name) for name, each in history.items()}
            # what was altered behind our back isn't made right by a change of ours
            if not holds(sealer, SimpleNamespace(**before, row_mac=row.row_mac), model):
                continue
        values = {name: getattr(row, name) for name in names}
        if row in session.new and any(values[name] is None for name in _plan(model).parents):
            continue  # a relationship is yet to say whose row it is: the INSERT's own rows get the MAC
        row.row_mac = mac_of(sealer, model, values)


def guarded_models() -> list[type[Any]]:
    """Every :class:`Guarded` model of the product's loaded packages, by table name."""
    found = (mapper.class_ for mapper in Base.registry.mappers)
    return sorted((model for model in found if getattr(model, "__guarded__", ()) and model.__module__.split(".")[0] in PACKAGES),
                  key=lambda model: str(model.__tablename__))


def broken_rows(session: Session, model: type[Any]) -> Iterator[Any]:
    """Rows of a :class:`Guarded` model whose MAC doesn't hold, in key order."""
    sealer, names = db.of(session).sealer, dict.fromkeys((*guarded_columns(model), "id", "row_mac"))
    query = select(*(getattr(model, name) for name in names)).order_by(model.id).execution_options(yield_per=500)
    for row in session.execute(query):
        if not holds(sealer, row, model):
            yield row


class IntegritySet(Base):
    """The MAC and version of one set of rows."""

    __tablename__ = "integrity_set"
    scope: Mapped[str] = mapped_column(String(40), primary_key=True)
    owner: Mapped[str] = mapped_column(String(60), primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger)
    mac: Mapped[str] = mapped_column(String(64))


class IntegrityHead(Base):
    """The newest version of a scope and the MAC over all its sets."""

    __tablename__ = "integrity_head"
    scope: Mapped[str] = mapped_column(String(40), primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger)
    sets: Mapped[int] = mapped_column(Integer)
    digest: Mapped[str] = mapped_column(String(64))


def set_mac(sealer: Any, scope: str, owner: str, version: int, content: bytes) -> str:
    """The MAC of a set."""
    return row_mac(sealer, "integrity_set", (scope, owner, version, content))


@dataclass
class Change:
    """A change of sets in one scope; its writers queue up behind the head's row."""

    session: Session
    scope: str
    version: int

    def put(self, owner: str, content: bytes) -> None:
        """Write the set's new MAC."""
        mac = set_mac(db.of(self.session).sealer, self.scope, owner, self.version, content)
        portable.upsert(self.session, IntegritySet,
                        [{"scope": self.scope, "owner": owner, "version": self.version, "mac": mac}],
                        ["scope", "owner"])

    def close(self) -> None:
        """Write the head; after the commit its version goes to the outside anchor."""
        count, digest = _digest(self.session, self.scope, self.version)
        self.session.execute(
            update(IntegrityHead).where(IntegrityHead.scope == self.scope).values(sets=count, digest=digest)
            .execution_options(synchronize_session=False))
        database, scope, version = db.of(self.session), self.scope, self.version
        db.after_commit(self.session, lambda: _anchor().note(database, f"head:{scope}", version, digest))


def _anchor() -> Any:
    from his_server.security import anchor  # it needs this module

    return anchor


def begin_change(session: Session, scope: str, *, above: tuple[int, str] | None = None) -> Change:
    """Start changing sets of a scope; nobody else can until this unit of work ends.

    ``above``: an anchored (version, digest) that the new version must exceed, after a restore.
    """
    done = session.execute(
        update(IntegrityHead).where(IntegrityHead.scope == scope).values(version=IntegrityHead.version + 1)
        .execution_options(synchronize_session=False))
    if above is not None:
        session.execute(update(IntegrityHead).where(IntegrityHead.scope == scope, IntegrityHead.version <= above[0])
                        .values(version=above[0] + 1).execution_options(synchronize_session=False))
    if done.rowcount == 0:  # type: ignore[attr-defined]
        try:
            with session.begin_nested():
                session.execute(insert(IntegrityHead).values(scope=scope, version=1, sets=0, digest=""))
        except IntegrityError:  # another process made it first
            return begin_change(session, scope, above=above)
    version = session.execute(select(IntegrityHead.version).where(IntegrityHead.scope == scope)).scalar_one()
    return Change(session, scope, version)


def _digest(session: Session, scope: str, version: int) -> tuple[int, str]:
    rows = session.execute(select(IntegritySet.owner, IntegritySet.version, IntegritySet.mac)
                           .where(IntegritySet.scope == scope)).all()
    return len(rows), _digest_of(db.of(session).sealer, scope, version, [tuple(row) for row in rows])


def _digest_of(sealer: Any, scope: str, version: int, rows: Sequence[tuple[Any, ...]]) -> str:
    return row_mac(sealer, "integrity_head", (scope, version, *sorted(rows)))


class Altered(Exception):
    """Protected rows aren't as we wrote them. ``where`` names the place for the security event."""

    def __init__(self, where: str, message: str) -> None:
        super().__init__(f"{where}: {message}")
        self.where, self.message = where, message


@dataclass(frozen=True)
class Head:
    """A verified head: which MAC and version each set must have."""

    version: int
    digest: str
    sets: Mapping[str, tuple[int, str]]

    def check(self, sealer: Any, scope: str, owner: str, content: bytes) -> None:
        """:raises Altered: the set isn't what was last written for this owner."""
        found = self.sets.get(owner)
        if found is None or not row_holds(sealer, "integrity_set", (scope, owner, found[0], content), found[1]):
            raise Altered(f"{scope}/{owner}", "内容与校验值不符")


def read_head(session: Session, scope: str) -> Head:
    """Read and verify the head of a scope with all its sets.

    :raises Altered: a set was edited, removed, added or put back, or the head is older than one seen before.
    """
    database = db.of(session)
    seen = _anchor().newest(database, f"head:{scope}")  # before the rows: they can't be older than this
    # one statement, so that head and sets are of the same instant
    found = session.execute(
        select(IntegrityHead.version, IntegrityHead.sets, IntegrityHead.digest, IntegritySet.owner,
               IntegritySet.version.label("set_version"), IntegritySet.mac)
        .outerjoin(IntegritySet, IntegritySet.scope == IntegrityHead.scope).where(IntegrityHead.scope == scope)).all()
    if not found:
        if seen is not None or session.execute(select(IntegritySet.owner).where(IntegritySet.scope == scope)).first():
            raise Altered(scope, "校验总表缺失")
        return Head(0, "", {})
    row, rows = found[0], [(r.owner, r.set_version, r.mac) for r in found if r.owner is not None]
    values = (scope, row.version, *sorted(rows))
    if row.sets != len(rows) or not row_holds(database.sealer, "integrity_head", values, row.digest):
        raise Altered(scope, "校验总表与各项不符")
    if seen is not None and (row.version < seen[0] or (row.version == seen[0] and row.digest != seen[1])):
        raise Altered(scope, f"数据被退回到旧版本（{row.version} < {seen[0]}）")
    _anchor().note(database, f"head:{scope}", row.version, row.digest)
    return Head(row.version, row.digest, {owner: (version, mac) for owner, version, mac in rows})
