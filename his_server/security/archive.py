"""Retention of the audit trail: never under 180 days; what is older is archived, then removed (DB-18)."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

from sqlalchemy import delete, func, select

from crypto import CryptoError
from dialects import portable
from his_server.actor import SYSTEM
from his_server.db import Database
from his_server.db import database as db
from his_server.security import audit, integrity, seals
from his_server.security.seals import AUDIT, Seal, SealStart
from his_server.settings import SettingsError

LEAST_DAYS = 180
"""Cybersecurity law and level protection: at least six months."""


def check_days(days: int) -> int:
    """:raises SettingsError: shorter than the law allows."""
    if days < LEAST_DAYS:
        raise SettingsError(f"审计记录至少保存 {LEAST_DAYS} 天，不能设为 {days} 天")
    return days


def archive(database: Database, folder: Path, days: int) -> Path | None:
    """Move sealed audit rows older than ``days`` from the database to a sealed file; returns it, None when none.

    The file is written and read back before anything is deleted. Only a whole beginning of the chain goes, so that
    the rest stays verifiable. :raises SettingsError: under 180 days. :raises CryptoError: the file can't be read back.
    """
    check_days(days)
    edge = database.clock.now() - timedelta(days=days)
    with database.begin(write=False) as session:
        first_kept = session.scalar(
            select(func.min(Seal.seq)).join(audit.AuditRow, audit.AuditRow.id == Seal.row_id)
            .where(Seal.chain == AUDIT.name, audit.AuditRow.at >= edge))
        until = session.execute(
            select(Seal.seq, Seal.mac).where(Seal.chain == AUDIT.name, *([Seal.seq < first_kept] if first_kept else []))
            .order_by(Seal.seq.desc()).limit(1)).first()
        if until is None or (first_kept is None and _young(session, edge)):
            return None
        if findings := seals.verify(session):
            raise CryptoError(f"the audit trail doesn't hold, nothing is removed: {findings[0].where}")
        lines = [_line(row) for row in session.execute(
            select(Seal.seq, Seal.kid, Seal.mac.label("link"), audit.AuditRow.__table__)
            .join(audit.AuditRow, audit.AuditRow.id == Seal.row_id)
            .where(Seal.chain == AUDIT.name, Seal.seq <= until.seq).order_by(Seal.seq))]
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"audit-{until.seq:012d}.jsonl.sealed"
    database.sealer.seal_file("export", BytesIO("".join(lines).encode()), path, f"audit archive {until.seq}")
    if read(database, path) != [json.loads(line) for line in lines]:
        raise CryptoError(f"{path} can't be read back")
    with database.begin() as session:
        sealer = db.of(session).sealer
        ids = select(Seal.row_id).where(Seal.chain == AUDIT.name, Seal.seq <= until.seq)
        session.execute(delete(audit.AuditRow).where(audit.AuditRow.id.in_(ids)).execution_options(
            synchronize_session=False))
        session.execute(delete(Seal).where(Seal.chain == AUDIT.name, Seal.seq <= until.seq))
        mac = integrity.row_mac(sealer, "security_seal_start", (AUDIT.name, until.seq, until.mac))
        start = {"chain": AUDIT.name, "seq": until.seq, "mac": until.mac, "row_mac": mac}
        portable.upsert(session, SealStart, [start], ["chain"])
        audit.record(session, session.info.get("actor", SYSTEM), "audit.archive", "audit", until.seq,
                     {"rows": len(lines), "file": path.name, "until": edge})
    return path


def _young(session: Any, edge: datetime) -> bool:
    return session.scalar(select(func.count()).select_from(audit.AuditRow).where(audit.AuditRow.at >= edge)) > 0


def _line(row: Any) -> str:
    return json.dumps(dict(row._mapping), ensure_ascii=False, default=str, sort_keys=True) + "\n"


def read(database: Database, path: Path) -> list[dict[str, Any]]:
    """The rows of an archive file. :raises CryptoError: it was changed or belongs to another key ring."""
    number = int(path.name.split("-")[1].split(".")[0])
    plain = BytesIO()  # never a plain file on the disk, not even for a moment (DB-27)
    database.sealer.open_file("export", path, plain, f"audit archive {number}")
    return [json.loads(line) for line in plain.getvalue().decode().splitlines()]
