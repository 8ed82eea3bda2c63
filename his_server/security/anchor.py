"""The outside anchor: what the newest sealed state was, kept in files that a database administrator can't write.

Each installation has its own folder under ``data_dir/anchor``; its files only ever grow. Every process also
remembers what it has seen, so that a hospital without the files still notices a roll-back while it runs.
Put the folder on another machine or a write-once medium for full strength (docs: operations manual).
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import threading
import weakref
from pathlib import Path
from typing import Any

from sqlalchemy import String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from dialects import portable
from his_server.db import database as db
from his_server.db.base import Base
from his_server.db.database import Database
from his_server.security import integrity

log = logging.getLogger("his.security")
_lock = threading.Lock()
_seen: weakref.WeakKeyDictionary[Database, dict[str, tuple[int, str]]] = weakref.WeakKeyDictionary()
_folders: weakref.WeakKeyDictionary[Database, Path] = weakref.WeakKeyDictionary()
_read: weakref.WeakKeyDictionary[Database, dict[str, tuple[tuple[int, int], tuple[int, str]]]]
_read = weakref.WeakKeyDictionary()


class Installation(Base):
    """The random name of this installation, protected by a MAC: the anchor folder's name."""

    __tablename__ = "security_installation"
    key: Mapped[str] = mapped_column(String(10), primary_key=True)
    name: Mapped[str] = mapped_column(String(32))
    mac: Mapped[str] = mapped_column(String(64))


def place(database: Database, base: Path | None) -> None:
    """Keep this database's anchors below ``base`` (``data_dir``)."""
    if base is not None:
        _folders[database] = base
        _own.pop(database, None)


def known(session: Session) -> bool:
    """Whether the installation has its name."""
    return session.execute(select(Installation.key)).first() is not None


def create(session: Session) -> None:
    """Give the installation its name, once."""
    sealer = db.of(session).sealer
    name = sealer.provider.random(16).hex()
    mac = integrity.row_mac(sealer, "security_installation", (name,))
    portable.upsert(session, Installation, [{"key": "this", "name": name, "mac": mac}], ["key"], [])


def installation(database: Database) -> str:
    """Name of the installation, 32 hex digits.

    :raises Altered: the row is missing or was changed.
    """
    with database.begin(write=False) as session:
        row = session.execute(select(Installation.name, Installation.mac)).first()
    if row is None or not integrity.row_holds(database.sealer, "security_installation", (row.name,), row.mac):
        raise integrity.Altered("security_installation", "安装标识缺失或被改动")
    return str(row.name)


_own: weakref.WeakKeyDictionary[Database, Path] = weakref.WeakKeyDictionary()


def folder(database: Database) -> Path | None:
    """The folder of this installation's anchors, made when needed; None when no place was given."""
    found = _own.get(database)
    if found is None and (base := _folders.get(database)) is not None:
        found = base / "anchor" / installation(database)
        found.mkdir(parents=True, exist_ok=True, mode=0o700)
        _own[database] = found
    return found


def _file(database: Database, what: str) -> Path | None:
    found = folder(database)
    return None if found is None else found / (what.replace(":", "-") + ".jsonl")


def newest(database: Database, what: str) -> tuple[int, str] | None:
    """The newest (version, digest) that this process or any earlier one has noted."""
    with _lock:
        seen = _seen.setdefault(database, {}).get(what)
    path = _file(database, what)
    if path is None or not path.exists():
        return seen
    about = path.stat()
    stamp = (about.st_size, about.st_mtime_ns)
    cached = _read.setdefault(database, {}).get(what)
    if cached is None or cached[0] != stamp:
        cached = (stamp, _last(path) or (0, ""))
        _read[database][what] = cached
    return max(cached[1], seen, key=lambda pair: pair[0]) if seen else cached[1]


def _last(path: Path) -> tuple[int, str] | None:
    """The newest whole entry; a line that a crash cut short is passed over."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 8192))
        tail = file.read().splitlines()
    for line in reversed([line for line in tail if line.strip()]):
        try:
            entry = json.loads(line)
            return int(entry["version"]), str(entry["digest"])
        except (ValueError, KeyError, TypeError):
            log.critical("the outside anchor %s has a damaged line", path)
    return None


def note(database: Database, what: str, version: int, digest: str, **more: Any) -> None:
    """Remember a newer state; older ones are ignored. Appends one line to the file and flushes it to the disk."""
    with _lock:
        seen = _seen.setdefault(database, {})
        if what not in seen or seen[what][0] < version:
            seen[what] = (version, digest)
    path = _file(database, what)
    if path is None:
        return
    try:
        _append(path, {"version": version, "digest": digest, "at": database.clock.now().isoformat(), **more})
    except OSError:  # what was committed stays; this process remembers, the next note repairs the file
        log.critical("the outside anchor %s can't be written", path, exc_info=True)


def _append(path: Path, entry: dict[str, Any]) -> None:
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        before = _last(path)
        if before is None or before[0] < entry["version"]:
            # the line break in front ends a line that a crash cut short
            os.write(handle, ("\n" + json.dumps(entry, ensure_ascii=False) + "\n").encode())
            os.fsync(handle)
    finally:
        os.close(handle)
