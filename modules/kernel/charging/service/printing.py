"""Printing is apart from charging: it can fail and be repeated; each print is counted (M1.6, M1.7)."""

from __future__ import annotations

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.db import now, of
from his_server.security import audit
from modules.kernel.charging.models import PrintRecord

_COPIES = select(func.max(PrintRecord.copy_no).label("copies")).where(
    PrintRecord.document == bindparam("b_document"), PrintRecord.document_id == bindparam("b_id"))


def count_print(session: Session, actor: Actor, document: str, document_id: int) -> int:
    """Record one printing; returns its copy number (2 and more are reprints, marked 补打)."""
    session.flush()
    copies = portable.fetch(session.connection(), _COPIES, {"b_document": document, "b_id": document_id})
    copy_no = (copies[0].copies or 0) + 1
    portable.insert_many(session, PrintRecord, [{
        "id": of(session).keys.next(), "document": document, "document_id": document_id, "copy_no": copy_no,
        "printed_at": now(session), "printed_by": actor.user_id, "printed_by_name": actor.name}])
    audit.record(session, actor, "print", document, document_id, {"copy": copy_no})
    return copy_no
