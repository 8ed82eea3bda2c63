"""The sealer's job: every few seconds, and cheap while nothing happens.

A few statements find the chains with something to do; only those are sealed (:mod:`his_server.security.seals`).
Implements: DB-17, MP-14.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import and_, literal, or_, select, union_all
from sqlalchemy.orm import Session

from his_server.db import Database
from his_server.db import database as db
from his_server.security.seals import (
    CHAINS,
    LONGEST_TRANSACTION,
    Seal,
    SealCheckpoint,
    is_fresh,
    seal_new,
    unsealed,
)


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
    heads = _newest(session, Seal.chain, Seal.seq)
    made = _newest(session, SealCheckpoint.chain, SealCheckpoint.number, SealCheckpoint.made_at)
    old = [name for name in heads if name in made and not is_fresh(made[name].made_at, at)]
    covered = _covered(session, {name: made[name].number for name in old})
    open_ = {name for name in heads if name not in made} | {name for name in old if heads[name].seq > covered.get(name, 0)}
    parts = (select(literal(name)).select_from(unsealed(
        chained, made[name].made_at - LONGEST_TRANSACTION if name in made else None).limit(1).subquery())
        for name, chained in CHAINS.items())
    open_.update(session.scalars(union_all(*parts)))
    return [name for name in CHAINS if name in open_]


def _newest(session: Session, chain: Any, number: Any, *more: Any) -> dict[str, Any]:
    """Each chain's row with the highest ``number``."""
    parts = (select(select(chain, number, *more).where(chain == name).order_by(number.desc()).limit(1).subquery())
             for name in CHAINS)
    return {row.chain: row for row in session.execute(union_all(*parts))}


def _covered(session: Session, numbers: dict[str, int]) -> dict[str, int]:
    """The last place that each of these checkpoints covers."""
    if not numbers:
        return {}
    which = or_(*(and_(SealCheckpoint.chain == name, SealCheckpoint.number == number) for name, number in numbers.items()))
    return {name: json.loads(text)["seq"] for name, text in session.execute(
        select(SealCheckpoint.chain, SealCheckpoint.text).where(which))}
