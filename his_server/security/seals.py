"""Chains over append-only tables: the audit trail, and any ledger that declares itself (COMPLIANCE MP-14, DB-17).

Writers only insert rows with their own MAC. The sealer, one scheduled job, gives every committed row a place in a
chain of HMAC-SM3 (:mod:`crypto.chain`); a checkpoint signed with SM2 follows every few minutes and is also written
outside of the database. :func:`verify` names every row that was edited, deleted, inserted, swapped, and a tail or a
whole table that was put back. What a database administrator can still do unseen is delete a row in the seconds
before it is sealed.
"""

from __future__ import annotations

import json
import logging
import re
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, BindParameter, Index, Integer, Select, String, Text, and_, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from crypto import CryptoError, chain
from his_server.actor import SYSTEM
from his_server.clock import local
from his_server.db import Database
from his_server.db import database as db
from his_server.db.base import Base
from his_server.db.types import Instant
from his_server.module import Finding
from his_server.security import anchor, audit, integrity

log = logging.getLogger("his.security")
CHECKPOINT_EVERY = timedelta(minutes=5)
LONGEST_TRANSACTION = timedelta(hours=1)
"""Rows are written with the time of their INSERT and may be committed this much later."""
GRACE = timedelta(minutes=15)
"""An intact row that is older than this and still has no place is a finding (the worker doesn't run)."""
SIGNING = "sign-sm2"


BATCH = 2000
"""Rows sealed in one unit of work."""


@dataclass(frozen=True)
class Members:
    """Rows of a :class:`integrity.Guarded` model that belong to a sealed row and are written with it, never later.
    ``by`` is their column with its key."""

    title: str
    model: type[Any]
    by: str


@dataclass(frozen=True)
class Chained:
    """An append-only table that is sealed: its key is ``id``, its time column ``at`` (indexed), its MAC ``row_mac``.
    Its members are sealed with it, so that one that goes, comes or changes places shows."""

    name: str
    title: str
    model: type[Any]
    columns: tuple[str, ...]
    at: str = "at"
    members: tuple[Members, ...] = ()

    def content(self, row_id: int, row_mac: str, members: str | None = None) -> bytes:
        """What stands in the chain for a row."""
        return integrity.encode((self.name, row_id, row_mac, *([members] if members else [])))

    def intact(self, sealer: Any, row: Any) -> bool:
        """Whether a row's own MAC holds."""
        if getattr(self.model, "__guarded__", ()):
            return integrity.holds(sealer, row, self.model)
        values = [getattr(row, name) for name in self.columns]
        return integrity.row_holds(sealer, self.model.__tablename__, values, row.row_mac)


CHAINS: dict[str, Chained] = {}


def declare(name: str, title: str, model: type[Any], *, at: str = "at", columns: tuple[str, ...] = (),
            members: tuple[Members, ...] = ()) -> Chained:
    """Have a table sealed: an :class:`integrity.Guarded` model, or one whose MAC covers ``columns`` in this order."""
    CHAINS[name] = Chained(name, title, model, columns or tuple(integrity.guarded_columns(model)), at, members)
    return CHAINS[name]


AUDIT = declare("audit", "审计记录", audit.AuditRow, columns=audit.COLUMNS)


class Seal(Base):
    """A row's place in its chain."""

    __tablename__ = "security_seal"
    __table_args__ = (Index("ix_security_seal_row", "chain", "row_id", unique=True),)
    chain: Mapped[str] = mapped_column(String(40), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    row_id: Mapped[int] = mapped_column(BigInteger)
    row_mac: Mapped[str] = mapped_column(String(64))
    members: Mapped[str | None] = mapped_column(String(64))
    """Keyed digest of the row's members and their MACs."""
    kid: Mapped[str] = mapped_column(String(16))
    mac: Mapped[str] = mapped_column(String(64))


class SealCheckpoint(Base):
    """A signed head of a chain; ``text`` is the checkpoint as JSON."""

    __tablename__ = "security_seal_checkpoint"
    chain: Mapped[str] = mapped_column(String(40), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    made_at: Mapped[datetime] = mapped_column(Instant)
    text: Mapped[str] = mapped_column(Text)


class SealStart(Base):
    """Where a chain begins after its first part was archived; protected by a MAC."""

    __tablename__ = "security_seal_start"
    chain: Mapped[str] = mapped_column(String(40), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger)
    mac: Mapped[str] = mapped_column(String(64))
    row_mac: Mapped[str] = mapped_column(String(64))


def seal_all(database: Database) -> int:
    """Seal what is new in every chain, checkpoint when it is time; returns the rows sealed."""
    return sum(seal_new(database, chained) for chained in CHAINS.values())


def seal_new(database: Database, chained: Chained) -> int:
    """Seal one chain's new rows. Rows whose own MAC doesn't hold get no place, but an alarm."""
    broken: list[int] = []
    made: chain.Checkpoint | None = None
    count, last = 0, BATCH
    try:
        while last == BATCH:
            with database.begin() as session:
                last, broken = _seal(session, chained)
                if last < BATCH:  # a checkpoint says that all before it is sealed
                    made = _checkpoint(session, chained)
            count += last
    except IntegrityError:
        log.warning("another sealer was faster on %s", chained.name)
        return count
    if made is not None:
        _anchor(database, made)
    fresh = set(broken) - _alarmed.setdefault(database, set())
    if fresh:
        _alarmed[database] |= fresh
        log.critical("%s has %d rows that we didn't write, first %d", chained.name, len(fresh), min(fresh))
        audit.record_apart(database, SYSTEM, "integrity.violation", chained.name, min(fresh),
                           {"rows": len(fresh)}, success=False)
    return count


_alarmed: weakref.WeakKeyDictionary[Database, set[int]] = weakref.WeakKeyDictionary()
"""Keys of broken rows that this process has raised the alarm about."""


def _seal(session: Session, chained: Chained) -> tuple[int, list[int]]:
    database = db.of(session)
    sealer = database.sealer
    last = session.execute(select(Seal.seq, Seal.mac).where(Seal.chain == chained.name)
                           .order_by(Seal.seq.desc()).limit(1)).first()
    seq, mac = (last.seq, bytes.fromhex(last.mac)) if last else _start(session, chained)
    kid = sealer.ring.active("audit").kid
    rows, good, broken = [], [], []
    for row in session.execute(unsealed(chained, _since(session, chained))):
        if not chained.intact(sealer, row):
            broken.append(int(row.id))
            continue
        good.append((row.id, row.row_mac))
        if len(good) == BATCH:
            break
    members = _members(session, chained, [row_id for row_id, _ in good])
    for row_id, row_mac in good:
        seq += 1
        mac = chain.link(_mac_for(sealer), kid, mac, seq, chained.content(row_id, row_mac, members.get(row_id)))
        rows.append({"chain": chained.name, "seq": seq, "row_id": row_id, "row_mac": row_mac,
                     "members": members.get(row_id), "kid": kid, "mac": mac.hex()})
    for first in range(0, len(rows), 500):
        session.execute(insert(Seal), rows[first:first + 500])
    return len(rows), broken


def _members(session: Session, chained: Chained, row_ids: Sequence[int],
             kids: Mapping[int, str] | None = None) -> dict[int, str]:
    """Keyed digest of each row's members, under the active key or the given one; empty without members."""
    if not chained.members or not row_ids:
        return {}
    sealer = db.of(session).sealer
    found: dict[int, list[tuple[str, int, str | None]]] = {row_id: [] for row_id in row_ids}
    for kind in chained.members:
        by = getattr(kind.model, kind.by)
        for first in range(0, len(row_ids), 500):
            for row in session.execute(select(by.label("owner"), kind.model.id, kind.model.row_mac)
                                       .where(by.in_(row_ids[first:first + 500]))):
                found[row.owner].append((kind.model.__tablename__, row.id, row.row_mac))
    active = sealer.ring.active("audit").kid
    return {row_id: sealer.mac("audit", integrity.encode(sorted(rows, key=lambda row: row[:2])),
                               (kids or {}).get(row_id, active)).hex() for row_id, rows in found.items()}


def _mac_for(sealer: Any) -> chain.MacFor:
    return lambda kid, data: sealer.mac("audit", data, kid)


def _since(session: Session, chained: Chained) -> datetime | None:
    """Rows before this instant have been sealed: the last checkpoint's time, less the longest transaction."""
    made = session.scalar(select(SealCheckpoint.made_at).where(SealCheckpoint.chain == chained.name)
                          .order_by(SealCheckpoint.number.desc()).limit(1))
    return None if made is None else made - LONGEST_TRANSACTION


def unsealed(chained: Chained, since: datetime | BindParameter[datetime] | None = None) -> Select[Any]:
    """The query for the rows that have no place yet, oldest first; ``since``: all before has one."""
    table, at = chained.model, getattr(chained.model, chained.at)
    columns = [getattr(table, name) for name in dict.fromkeys((*chained.columns, "id", chained.at, "row_mac"))]
    query = (select(*columns).outerjoin(Seal, and_(Seal.chain == chained.name, Seal.row_id == table.id))
             .where(Seal.seq.is_(None)).order_by(at, table.id))
    return query if since is None else query.where(at >= since)


def _start(session: Session, chained: Chained) -> tuple[int, bytes]:
    row = session.get(SealStart, chained.name)
    return (row.seq, bytes.fromhex(row.mac)) if row else (0, chain.GENESIS)


def _stored_checkpoints(session: Session, name: str) -> list[chain.Checkpoint]:
    texts = session.scalars(select(SealCheckpoint.text).where(SealCheckpoint.chain == name)
                            .order_by(SealCheckpoint.number))
    return [chain.Checkpoint(**json.loads(text)) for text in texts]


def is_fresh(made_at: datetime, now: datetime) -> bool:
    """Whether the last checkpoint is young enough that none follows yet."""
    return timedelta() <= now - made_at < CHECKPOINT_EVERY


def _checkpoint(session: Session, chained: Chained, *, at_once: bool = False) -> chain.Checkpoint | None:
    """A new checkpoint when there are new seals and the last one is old enough."""
    database = db.of(session)
    now = db.now(session)
    last = session.execute(select(SealCheckpoint.made_at, SealCheckpoint.text)
                           .where(SealCheckpoint.chain == chained.name)
                           .order_by(SealCheckpoint.number.desc()).limit(1)).first()
    previous = chain.Checkpoint(**json.loads(last.text)) if last else None
    if last and not at_once and is_fresh(last.made_at, now):
        return None
    head = session.execute(select(Seal.seq, Seal.mac).where(Seal.chain == chained.name)
                           .order_by(Seal.seq.desc()).limit(1)).first()
    if head is None or (previous is not None and head.seq <= previous.seq):
        return None
    key = database.sealer.ring.active(SIGNING)
    made = chain.checkpoint(database.sealer.provider, key.material, key.kid, chained.name, head.seq,
                            bytes.fromhex(head.mac), now, previous)
    session.execute(insert(SealCheckpoint).values(chain=chained.name, number=made.number, made_at=now,
                                                  text=json.dumps(asdict(made), sort_keys=True)))
    return made


def checkpoint_now(database: Database) -> None:
    """A checkpoint of every chain, whatever the time (before a backup, in tests)."""
    for chained in CHAINS.values():
        with database.begin() as session:
            made = _checkpoint(session, chained, at_once=True)
        if made is not None:
            _anchor(database, made)


def _anchor(database: Database, made: chain.Checkpoint) -> None:
    folder = anchor.folder(database)
    if folder is not None:
        chain.append_anchor(folder / f"chain-{made.chain}.jsonl", made)


def verify(session: Session, chained: Chained = AUDIT) -> list[Finding]:
    """Everything that is wrong with a chain and its rows; bounded memory but for the findings."""
    database = db.of(session)
    sealer, name = database.sealer, chained.name
    stored = _stored_checkpoints(session, name)
    found = chain.verify_checkpoints(sealer.provider, lambda kid: _public(sealer, kid), name, stored)
    wrong = [Finding(name, f"checkpoint {f.seq}", _told(f)) for f in found]
    anchored: list[chain.Checkpoint] = []
    folder = anchor.folder(database)
    path = None if folder is None else folder / f"chain-{name}.jsonl"
    if path is not None and path.exists():
        try:
            anchored = chain.read_anchor(path, name)
        except CryptoError:
            wrong.append(Finding(name, str(path), "外部锚文件损坏"))
    made_at = {point.seq: datetime.fromisoformat(point.at) for point in anchored}
    wrong += [Finding(name, f"checkpoint {f.seq}", f"与外部锚不符：锚里 {local(made_at[f.seq]):%Y-%m-%d %H:%M:%S} 签发、封存到"
                                                   f"序号 {f.seq} 的检查点，库里没有或内容不同")
              for f in chain.compare_anchor(stored, anchored)]
    start = session.get(SealStart, name)
    if start and not integrity.row_holds(sealer, "security_seal_start", (name, start.seq, start.mac), start.row_mac):
        wrong.append(Finding(name, "security_seal_start", "归档起点被改动"))
    seals = session.execute(select(Seal.seq, Seal.row_id, Seal.row_mac, Seal.members, Seal.kid, Seal.mac)
                            .where(Seal.chain == name).order_by(Seal.seq).execution_options(yield_per=1000))
    links = (chain.ChainRow(s.seq, chained.content(s.row_id, s.row_mac, s.members), s.kid, _bytes(s.mac)) for s in seals)
    begin = (start.seq, _bytes(start.mac)) if start else (0, chain.GENESIS)
    points = [p for p in (*stored, *anchored) if p.seq > begin[0]
              and chain.check_signature(sealer.provider, lambda kid: _public(sealer, kid), p)]
    wrong += [Finding(name, f"seq {f.seq}", _told(f))
              for f in chain.verify_chain(_mac_for(sealer), links, points, begin)]
    wrong += [*_rows_against_seals(session, chained), *_members_against_seals(session, chained)]
    return wrong


_CHAIN_TEXT = {
    "altered": "封存记录被改动或插入", "missing": "封存记录缺失 {} 条", "duplicate": "序号重复", "order": "顺序颠倒",
    "truncated": "尾部被截去：检查点记到序号 {}", "rolled-back": "被退回到旧状态：与检查点不同",
    "checkpoint": "检查点有误：第 {} 号的签名或次序不符",
}
"""The chain's kinds of findings; ``{}`` is the number that its detail names."""


def _told(found: chain.Finding) -> str:
    return _CHAIN_TEXT[found.kind].format(*re.findall(r"\d+", found.detail)[:1])



def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def _public(sealer: Any, kid: str) -> bytes | None:
    try:
        public: bytes = sealer.ring.get(kid, SIGNING).public
    except CryptoError:
        return None
    return public


def _rows_against_seals(session: Session, chained: Chained) -> Iterator[Finding]:
    sealer, table, name = db.of(session).sealer, chained.model, chained.name
    columns = [getattr(table, column) for column in dict.fromkeys((*chained.columns, "id", "row_mac"))]
    query = (select(Seal.seq, Seal.row_id, Seal.row_mac.label("sealed_mac"), *columns)
             .select_from(Seal).outerjoin(table, table.id == Seal.row_id)
             .where(Seal.chain == name).order_by(Seal.seq).execution_options(yield_per=1000))
    for row in session.execute(query):
        if row.id is None:
            yield Finding(name, f"id {row.row_id}", f"记录被删除（序号 {row.seq}）")
        elif row.row_mac != row.sealed_mac or not chained.intact(sealer, row):
            yield Finding(name, f"id {row.id}", f"记录被改动（序号 {row.seq}）")
    old = db.now(session) - GRACE
    for row in session.execute(unsealed(chained)):
        if not chained.intact(sealer, row):
            yield Finding(name, f"id {row.id}", "记录不是由本系统写入，或被改动")
        elif getattr(row, chained.at) < old:
            yield Finding(name, f"id {row.id}", "记录没有封存（封存任务未运行，或封存记录被删除）")


def _members_against_seals(session: Session, chained: Chained) -> Iterator[Finding]:
    """Members that were edited or planted, and rows whose members went, came or changed places."""
    if not chained.members:
        return
    for kind in chained.members:
        for row in integrity.broken_rows(session, kind.model):
            yield Finding(chained.name, f"{kind.model.__tablename__} id {row.id}", f"{kind.title}被改动，或不是由本系统写入")
    last = 0
    while True:
        seals = session.execute(select(Seal.seq, Seal.row_id, Seal.kid, Seal.members)
                                .where(Seal.chain == chained.name, Seal.seq > last).order_by(Seal.seq).limit(500)).all()
        if not seals:
            return
        last = seals[-1].seq
        try:
            found = _members(session, chained, [s.row_id for s in seals], {s.row_id: s.kid for s in seals})
        except CryptoError:
            found = {}  # a forged key id: the chain names the row
        titles = "、".join(kind.title for kind in chained.members)
        for seal in seals:
            if found and found[seal.row_id] != seal.members:
                yield Finding(chained.name, f"id {seal.row_id}", f"所属{titles}有增删、改动或移位（序号 {seal.seq}）")


def verify_all(session: Session) -> list[Finding]:
    """Every chain, and the guarded rows that are in none."""
    found = [finding for chained in CHAINS.values() for finding in verify(session, chained)]
    chained_models = {model for chained in CHAINS.values()
                      for model in (chained.model, *(kind.model for kind in chained.members))}
    for model in integrity.guarded_models():
        if model not in chained_models:
            found += [Finding(model.__tablename__, f"id {row.id}", "记录被改动，或不是由本系统写入")
                      for row in integrity.broken_rows(session, model)]
    return found


def verify_daily(database: Database) -> int:
    """The nightly job: verify everything, leave a row with the result, raise the alarm; returns the findings."""
    with database.begin(write=False) as session:
        found = verify_all(session)
    for finding in found[:20]:
        log.critical("%s %s: %s", finding.check, finding.where, finding.message)
    audit.record_apart(database, SYSTEM, "audit.verify", "audit", "", {"findings": len(found)}, success=not found)
    return len(found)
