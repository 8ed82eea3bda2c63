"""The sealer's job: every few seconds, and cheap while nothing happens.

A few statements find the chains with something to do; only those are sealed (:mod:`his_server.security.seals`).
Implements: DB-17, MP-14.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Executable, and_, bindparam, literal, or_, select, union_all
from sqlalchemy.orm import Session

from his_server.db import Database
from his_server.db import database as db
from his_server.db.types import Instant
from his_server.security.seals import (
    CHAINS,
    LONGEST_TRANSACTION,
    Seal,
    SealCheckpoint,
    is_fresh,
    seal_new,
    unsealed,
)

BEFORE_ALL = datetime(1970, 1, 1, tzinfo=UTC)


def seal_due(database: Database) -> int:
    """Seal the chains that have something new, checkpoint those whose time has come; returns the rows sealed."""
    with database.begin(write=False) as session:
        names = waiting(session)
    return sum(seal_new(database, CHAINS[name]) for name in names)


def waiting(session: Session) -> list[str]:
    """The chains with rows that have no place yet, or with places that no checkpoint covers though it is time for one.

    Three statements for all chains together, a fourth once their checkpoints are old.
    """
    at = db.now(session)
    ask = _statements(tuple(CHAINS))
    heads = {row.chain: row for row in session.execute(ask.heads)}
    made = {row.chain: row for row in session.execute(ask.made)}
    old = [name for name in heads if name in made and not is_fresh(made[name].made_at, at)]
    covered = _covered(session, {name: made[name].number for name in old})
    open_ = {name for name in heads if name not in made} | {name for name in old if heads[name].seq > covered.get(name, 0)}
    since = {_since(name): made[name].made_at - LONGEST_TRANSACTION if name in made else BEFORE_ALL for name in CHAINS}
    open_.update(session.scalars(ask.unsealed, since))
    return [name for name in CHAINS if name in open_]


class _Statements(NamedTuple):
    """Each chain's newest place, its newest checkpoint, and the names of the chains with rows that have no place."""

    heads: Executable
    made: Executable
    unsealed: Executable


@cache
def _statements(names: tuple[str, ...]) -> _Statements:
    """Made once: building them took most of what an idle worker's run of this job did."""
    parts = (select(literal(name)).select_from(
        unsealed(CHAINS[name], bindparam(_since(name), type_=Instant)).limit(1).subquery()) for name in names)
    return _Statements(_newest(names, Seal.chain, Seal.seq),
                       _newest(names, SealCheckpoint.chain, SealCheckpoint.number, SealCheckpoint.made_at), union_all(*parts))


def _since(name: str) -> str:
    return f"since_{name.replace('-', '_')}"


def _newest(names: tuple[str, ...], chain: Any, number: Any, *more: Any) -> Executable:
    """Each chain's row with the highest ``number``."""
    return union_all(*(select(select(chain, number, *more).where(chain == name).order_by(number.desc()).limit(1).subquery())
                       for name in names))


def _covered(session: Session, numbers: dict[str, int]) -> dict[str, int]:
    """The last place that each of these checkpoints covers."""
    if not numbers:
        return {}
    which = or_(*(and_(SealCheckpoint.chain == name, SealCheckpoint.number == number) for name, number in numbers.items()))
    return {name: json.loads(text)["seq"] for name, text in session.execute(
        select(SealCheckpoint.chain, SealCheckpoint.text).where(which))}
