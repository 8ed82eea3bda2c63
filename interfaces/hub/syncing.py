"""Dictionaries for a peer: only what is new or changed since it last took it, in parts, again after a failure.

What the peer has is remembered by a digest per code, written after its answer. A peer keeps one row per code, so that a part
that is sent twice does no harm.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import String, UniqueConstraint, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from dialects import portable
from his_server.db import Database, Instant, Keyed, now, of
from his_server.messaging.outbox import Refused
from his_server.search import search_keys
from modules.kernel.charging.ports import CONFIRMED, Outcome

GONE = ""
"""The digest of what was taken away."""


class SyncedEntry(Keyed):
    """What a peer has of a dictionary: the digest of one code's row; empty when it was told that the code is gone."""

    __tablename__ = "synced_entry"
    __table_args__ = (UniqueConstraint("interface", "dictionary", "code"),)
    interface: Mapped[str] = mapped_column(String(40))
    dictionary: Mapped[str] = mapped_column(String(20))
    code: Mapped[str] = mapped_column(String(60))
    digest: Mapped[str] = mapped_column(String(64))
    sent_at: Mapped[datetime] = mapped_column(Instant)


def send_changed(database: Database, interface: str, dictionary: str,
                 rows: Callable[[Session], Mapping[str, Mapping[str, Any]]], size: int,
                 send: Callable[[Sequence[Mapping[str, Any]]], Outcome],
                 gone: Callable[[str], Mapping[str, Any]] | None = None) -> int:
    """Send what changed, ``size`` rows a time; returns how many. ``gone(code)`` is the row that takes a code away.

    :raises Refused: the peer didn't take a part; what it took before is remembered.
    """
    with database.begin(write=False) as session:
        present = {code: dict(row) for code, row in rows(session).items()}
        known: dict[str, str] = dict(session.execute(
            select(SyncedEntry.code, SyncedEntry.digest)
            .where(SyncedEntry.interface == interface, SyncedEntry.dictionary == dictionary)).all())
    due = [(code, _digest(row), row) for code, row in present.items() if known.get(code) != _digest(row)]
    if gone is not None:
        due += [(code, GONE, dict(gone(code))) for code, digest in known.items() if code not in present and digest != GONE]
    for start in range(0, len(due), size):
        part = due[start:start + size]
        answer = send([row for _, _, row in part])
        if answer.state != CONFIRMED:
            raise Refused(f"{dictionary}: {answer.message}")
        with database.begin() as session:
            at, keys = now(session), of(session).keys.take(len(part))
            portable.upsert(session, SyncedEntry, [
                {"id": key, "interface": interface, "dictionary": dictionary, "code": code, "digest": digest, "sent_at": at}
                for key, (code, digest, _) in zip(keys, part, strict=True)],
                ["interface", "dictionary", "code"], ["digest", "sent_at"])
    return len(due)


def _digest(row: Mapping[str, Any]) -> str:
    return hashlib.new("sm3", json.dumps(row, ensure_ascii=False, sort_keys=True, default=str).encode()).hexdigest()


def initials(name: str) -> str:
    """The likeliest pinyin initials of a name, as other systems search by; the name itself where it has none."""
    return next((key.key for key in search_keys(name, person=False) if key.kind == "initials"), name).upper()
