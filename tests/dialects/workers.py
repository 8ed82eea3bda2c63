"""What the race test's processes run: apart, so that a process starts without the tests' own imports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session

from dialects.portable import claim

from .tables import task


def take(session: Session, worker: str, limit: int) -> list[int]:
    """Claim open tasks for `worker`."""
    wanted = task.c.state == "open"
    return claim(
        session,
        task,
        where=wanted,
        order_by=task.c.due,
        limit=limit,
        set_={"state": "taken", "worker": worker},
    )


def _engine(url: str, path: str | None) -> Engine:
    if not path:
        return create_engine(url)
    from .conftest import sqlite_engine

    return sqlite_engine(Path(path))


def work(url: str, path: str | None, worker: str, results: Any) -> None:
    """Take rows, seven at a time, until there are none; put those taken into `results`."""
    engine = _engine(url, path)
    taken: list[int] = []
    while True:
        with Session(engine) as session:
            ids = take(session, worker, 7)
            session.commit()
        if not ids:
            break
        taken += ids
    results.put(taken)
