"""Moving stored data to the active keys after a rotation, while the hospital works (issue 3; COMPLIANCE MP-16).

Rows are taken in key order and in batches; one that is current already is passed over, so an interrupted run is
simply started again. MACs and chains aren't moved: they prove what was written then, so retired keys of
``integrity`` and ``audit`` live as long as the rows do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, inspect, select, update
from sqlalchemy.orm import Session

from crypto import CryptoError, DeviceLost
from his_server.db import Database
from his_server.db import database as db
from his_server.db.base import Base, SealedText
from his_server.security import grants, integrity
from his_server.security.models import User

PURPOSES = ("column", "index")
"""Purposes whose rotation leaves rows that can be moved."""
TOTP = "totp"


@dataclass(frozen=True)
class Attribute:
    """A sealed column of a table. ``sealed`` is None for the one-time code secrets, which grants protect too."""

    model: type[Any]
    name: str
    sealed: SealedText | None

    @property
    def table(self) -> str:
        """The table's name."""
        return str(self.model.__tablename__)

    def place(self, row_id: int) -> str:
        """What the blob of a row is bound to."""
        return self.sealed._place(row_id) if self.sealed else f"{self.table}.{self.name}:{row_id}"

    def columns(self) -> list[str]:
        """The columns that change together."""
        if self.sealed is None or not self.sealed.index:
            return [f"{self.name}_sealed"]
        return [f"{self.name}_sealed", f"{self.name}_index", *self.sealed.carried]


@dataclass
class Done:
    """How many rows were moved, and how many couldn't be opened (their key is destroyed, or they were altered)."""

    changed: int = 0
    failed: int = 0


def attributes() -> list[Attribute]:
    """Every sealed column of every loaded model."""
    found = {(mapper.class_.__tablename__, name): Attribute(mapper.class_, name, value)
             for mapper in Base.registry.mappers for cls in mapper.class_.__mro__
             for name, value in vars(cls).items() if isinstance(value, SealedText)}
    found["security_user", TOTP] = Attribute(User, TOTP, None)
    return [found[key] for key in sorted(found)]


def stale(database: Database, attribute: Attribute) -> int:
    """How many rows still use a retired key."""
    return sum(len(keys) for keys in _stale_batches(database, attribute, 1000))


def run(database: Database, attribute: Attribute, batch: int = 500) -> Done:
    """Move one column to the active keys; each batch is a unit of work of its own."""
    done = Done()
    for keys in _stale_batches(database, attribute, batch):
        with database.begin() as session:
            _move(session, attribute, keys, done)
    return done


def _stale_batches(database: Database, attribute: Attribute, batch: int) -> Iterator[list[int]]:
    """Keys of rows that aren't current, looked at ``batch`` rows at a time."""
    model, last = attribute.model, -1
    columns = [getattr(model, name) for name in attribute.columns()]
    while True:
        with database.begin(write=False) as session:
            rows = session.execute(select(model.id, *columns).where(model.id > last, columns[0].is_not(None))
                                   .order_by(model.id).limit(batch)).all()
        if not rows:
            return
        last = rows[-1].id
        if keys := [row.id for row in rows if not _current(database.sealer, attribute, row)]:
            yield keys


def _current(sealer: Any, attribute: Attribute, row: Any) -> bool:
    try:
        if not sealer.is_current("column", bytes(getattr(row, f"{attribute.name}_sealed"))):
            return False
    except CryptoError:
        return False  # not a blob at all: counted as failed when it is opened
    if attribute.sealed is None or not attribute.sealed.index:
        return True
    index = getattr(row, f"{attribute.name}_index")
    return index is None or index.startswith(sealer.ring.active("index").kid)


def _move(session: Session, attribute: Attribute, keys: Sequence[int], done: Done) -> None:
    sealer, model, name = db.of(session).sealer, attribute.model, attribute.name
    change = integrity.begin_change(session, grants.SCOPE) if attribute.sealed is None else None
    table = inspect(model).local_table
    columns = [table.c[column] for column in attribute.columns()]
    # locked: what somebody is just changing isn't overwritten with what it was
    rows = session.execute(select(table.c.id, *columns).where(table.c.id.in_(keys)).order_by(table.c.id)
                           .with_for_update()).all()
    changes = []
    for row in rows:
        blob = getattr(row, f"{name}_sealed")
        if blob is None or _current(sealer, attribute, row):
            continue
        try:
            plain = sealer.open("column", bytes(blob), attribute.place(row.id))
        except DeviceLost:
            raise
        except CryptoError:
            done.failed += 1
            continue
        values = {f"b_{name}_sealed": sealer.seal("column", plain, attribute.place(row.id)), "b_id": row.id}
        if attribute.sealed is not None and attribute.sealed.index:
            old, new = getattr(row, f"{name}_index"), attribute.sealed.blind(plain.decode())
            values[f"b_{name}_index"] = new
            for other in attribute.sealed.carried:
                text = getattr(row, other)
                values[f"b_{other}"] = None if text is None else text.replace(old, new)
        changes.append(values)
    if change is not None:
        for user in session.scalars(select(User).where(User.id.in_([values["b_id"] for values in changes]))):
            grants.still_intact(session, user)  # what was altered isn't protected anew
    if changes:
        statement = (update(table).where(table.c.id == bindparam("b_id"))
                     .values({column.name: bindparam(f"b_{column.name}", type_=column.type) for column in columns}))
        session.connection().execute(statement, changes)
        done.changed += len(changes)
    if change is not None:
        users = session.scalars(select(User).where(User.id.in_([values["b_id"] for values in changes]))
                                .execution_options(populate_existing=True)).all()
        grants.protect_users(session, change, users)
        change.close()
