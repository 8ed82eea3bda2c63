"""What a person does with the log: look at whole bodies, ask or send again; and what the night does: archive."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from his_server.actor import Actor
from his_server.db import Database, of
from his_server.errors import Conflict, NotFound
from his_server.messaging import service as messaging
from his_server.messaging.outbox import Delivery
from his_server.security import audit
from interfaces.hub import queries
from interfaces.hub.calls import place
from interfaces.hub.models import CallTerm, InterfaceCall
from modules.kernel.charging.models import Intent
from modules.kernel.charging.service import intents

BATCH = 1000


def unmask(session: Session, actor: Actor, call_id: int, reason: str) -> dict[str, Any]:
    """The whole bodies of a call, for a reason, audited. :raises NotFound: there is none."""
    found = queries.sealed_bodies(session, of(session).sealer, call_id, place)
    person = found.pop("person_id")
    audit.record(session, actor, "hub.unmask", "interface_call", call_id, {"reason": reason, "person_id": person})
    return found


def replay(database: Database, actor: Actor, call_id: int, reason: str) -> str:
    """Bring the matter of a call forward again, by the one mechanism that it belongs to; says in Chinese what was done.

    An undecided payment, insurance or invoice call is asked about (never sent twice blindly); a message that is stuck
    is sent again. :raises Conflict: the matter has its result, so there is nothing to repeat.
    """
    with database.begin(write=False) as session:
        call = session.get(InterfaceCall, call_id)
        if call is None:
            raise NotFound("hub.call", "没有这次接口调用，可能已过保存期")
        intent = session.scalar(select(Intent.id).where(Intent.number == call.business_key))
        stuck = session.scalar(
            select(Delivery.id).where(Delivery.destination == call.interface, Delivery.business_key == call.business_key,
                                      Delivery.state.in_(("asked", "dead")))
            .order_by(Delivery.occurred_at, Delivery.event_id).limit(1))
    if stuck is not None:
        with database.begin() as session:
            session.info["actor"] = actor
            messaging.resend(session, actor, stuck, reason)
        return "已重新排队发送，请稍后刷新查看"
    if intent is None:
        raise Conflict("hub.nothing_to_replay", "该调用没有可重发的业务，或对应消息已送达")
    before = intents.read(database, intent)
    if before.state not in intents.UNDECIDED:
        raise Conflict("hub.decided", f"该笔业务已有结果（{before.message or before.state}），无需重发")
    with database.begin() as session:
        audit.record(session, actor, "hub.replay", "interface_call", call_id, {"reason": reason, "number": before.number})
    after = intents.ask(database, actor, intent)
    intents.go_on(database, intent)
    return f"已向对方查询：{after.message or after.state}"


def archive(database: Database, folder: Path, keep_days: int) -> int:
    """Move calls older than ``keep_days`` days into sealed files, a thousand at a time; returns how many.

    Each file is written and opened again before its rows go, and each batch is a short transaction of its own, so that
    nobody waits. Killed in between, it goes on: a file that was written already is written over.
    """
    edge = database.clock.now() - timedelta(days=keep_days)
    moved = 0
    while True:
        with database.begin(write=False) as session:
            rows = list(session.scalars(select(InterfaceCall).where(InterfaceCall.started_at < edge)
                                        .order_by(InterfaceCall.started_at, InterfaceCall.id).limit(BATCH)))
            lines = [_line(row) for row in rows]
        if not rows:
            return moved
        _seal(database, folder, rows[0], lines)
        ids = [row.id for row in rows]
        with database.begin() as session:
            session.execute(delete(CallTerm).where(CallTerm.call_id.in_(ids)))
            session.execute(delete(InterfaceCall).where(InterfaceCall.id.in_(ids)))
        moved += len(rows)


def _line(row: InterfaceCall) -> str:
    values = {column.key: getattr(row, column.key) for column in InterfaceCall.__table__.columns}
    plain = {key: value.hex() if isinstance(value, bytes) else value if value is None or isinstance(value, int | str)
             else value.isoformat() for key, value in values.items()}
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":")) + "\n"


def _seal(database: Database, folder: Path, first: InterfaceCall, lines: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"calls-{first.started_at:%Y%m%d%H%M%S}-{first.id}.jsonl.sealed"
    plain, again = path.with_suffix(".tmp"), path.with_suffix(".check")
    text = "".join(lines)
    try:
        plain.write_text(text, encoding="utf-8")
        database.sealer.seal_file("export", plain, path, path.name)
        database.sealer.open_file("export", path, again, path.name)
        if again.read_text(encoding="utf-8") != text:
            raise OSError(f"{path.name} can't be read back")
    finally:
        plain.unlink(missing_ok=True)
        again.unlink(missing_ok=True)
