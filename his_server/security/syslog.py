"""The audit trail to a central log server as RFC 5424 messages (COMPLIANCE DB-31).

Rows go out in the order of the seal chain, so that a gap shows at the other side: each message names its place, the
row's MAC and the chain's. A batch counts as sent when the other side has read it all and closed the line; after a
failure it goes on from the last such place: nothing is left out, a message may come twice (same place). Over TCP with
octet counting (RFC 6587), through a TLS or TLCP gateway where the line isn't trusted. ``his-server audit syslog``
writes the same lines for a collector on the host.
Implements: DB-31.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import BigInteger, String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from dialects import portable
from his_server.db import Database
from his_server.db.base import Base
from his_server.security.audit import AuditRow
from his_server.security.events import title_of
from his_server.security.seals import AUDIT, Seal

FACILITY, INFORMATION, WARNING = 13, 6, 4
"""Facility 13 is "log audit"; failures and refusals are warnings."""
DATA_ID = "audit@32473"
"""Structured data of ours, under the enterprise number that RFC 5612 keeps for examples: we have none of our own."""
PORT = "syslog"
BATCH = 500
TIMEOUT = 10
_UNPRINTABLE = re.compile(r"[^\x21-\x7e]")


class SyslogPosition(Base):
    """How far the trail has gone to a target."""

    __tablename__ = "security_syslog"
    target: Mapped[str] = mapped_column(String(200), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger)


def rows_after(session: Session, seq: int, limit: int | None = None) -> Sequence[Any]:
    """Sealed audit rows after a place of the chain, in order; one query."""
    return session.execute(
        select(Seal.seq, Seal.mac.label("link"), AuditRow.__table__)
        .join(AuditRow, AuditRow.id == Seal.row_id).where(Seal.chain == AUDIT.name, Seal.seq > seq)
        .order_by(Seal.seq).limit(limit or BATCH)).all()


def message(row: Any, host: str) -> bytes:
    """One RFC 5424 message, UTF-8, without framing."""
    priority = FACILITY * 8 + (INFORMATION if row.success else WARNING)
    at = row.at if row.at.tzinfo else row.at.replace(tzinfo=UTC)
    values = {"seq": row.seq, "id": row.id, "user": row.user_id, "login": row.login, "name": row.name,
              "staff": row.staff_id or "", "roles": row.roles, "channel": row.channel, "ip": row.ip, "terminal": row.terminal,
              "type": row.object_type, "object": row.object_id, "success": int(bool(row.success)), "trace": row.trace_id,
              "mac": row.row_mac, "link": row.link}
    data = " ".join(f'{name}="{_escaped(str(value))}"' for name, value in values.items())
    head = f"<{priority}>1 {_stamp(at)} {_word(host, 255)} his-server - {_word(row.event, 32)} [{DATA_ID} {data}] "
    return head.encode() + b"\xef\xbb\xbf" + f"{title_of(row.event)} {row.detail}".encode()


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _word(text: str, size: int) -> str:
    return _UNPRINTABLE.sub("?", text)[:size] or "-"


def _escaped(text: str) -> str:
    return re.sub(r'(["\\\]])', r"\\\1", re.sub(r"[\x00-\x1f\x7f]", " ", text))


def lines(session: Session, after: int = 0) -> Iterator[tuple[int, bytes]]:
    """All messages after a place, with their places; bounded memory."""
    host = socket.gethostname()
    while rows := rows_after(session, after):
        for row in rows:
            after = int(row.seq)
            yield after, message(row, host)


def check_target(target: str) -> str:
    """``tcp://host:port`` or empty. :raises ValueError: anything else."""
    if target:
        parts = urlsplit(target)
        if parts.scheme != "tcp" or not parts.hostname or not parts.port or parts.path or parts.query or parts.username:
            raise ValueError("syslog: expected tcp://host:port")
    return target


def run(database: Database) -> int:
    """The worker's job: forward to the configured target, if there is one."""
    target = database.ports.get(PORT)
    return forward(database, target) if target else 0


def forward(database: Database, target: str) -> int:
    """Send what is new to the target; returns how many messages. Between units of work, never inside one.

    :raises OSError: the target doesn't answer; the next run begins where this one stopped.
    """
    parts = urlsplit(check_target(target))
    host, sent = socket.gethostname(), 0
    with database.begin(write=False) as session:
        seq = session.scalar(select(SyslogPosition.seq).where(SyslogPosition.target == target)) or 0
        rows = rows_after(session, seq)
    while rows:
        frames = b"".join(b"%d %b" % (len(each), each) for each in (message(row, host) for row in rows))
        with socket.create_connection((str(parts.hostname), int(parts.port or 0)), timeout=TIMEOUT) as line:
            line.sendall(frames)
            line.shutdown(socket.SHUT_WR)
            while line.recv(4096):  # until it closes: then all was read
                pass
        seq, sent = int(rows[-1].seq), sent + len(rows)
        with database.begin() as session:
            portable.upsert(session, SyslogPosition, [{"target": target, "seq": seq}], ["target"])
        with database.begin(write=False) as session:
            rows = rows_after(session, seq)
    return sent
