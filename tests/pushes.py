"""What the dispensing machines were told, against what was settled (M7.2, M7.3)."""

from __future__ import annotations

import json
from collections import Counter

from sqlalchemy import select
from sqlalchemy.orm import Session

from his_server.messaging.outbox import OutboxEvent
from modules.kernel.charging.models import ChargeLine
from modules.kernel.dispensing.models import DispensingTask


def check_pushes(session: Session) -> int:
    """Exactly one ``PrescriptionReady`` per settled prescription, with the lines of its own settlement and no other;
    returns how many."""
    settled: dict[tuple[int, int], set[int]] = {}
    for row in session.execute(select(ChargeLine.source_id, ChargeLine.settlement_id, ChargeLine.source_line_id).where(
            ChargeLine.source == "prescription", ChargeLine.state == "settled", ChargeLine.reverses_line_id.is_(None))):
        settled.setdefault((row.source_id, row.settlement_id or 0), set()).add(row.source_line_id)
    pushed: Counter[tuple[int, int]] = Counter()
    for text in session.scalars(select(OutboxEvent.payload).where(OutboxEvent.type == "PrescriptionReady")):
        told = json.loads(text)
        key = told["prescription_id"], told["settlement_id"]
        pushed[key] += 1
        assert {line["line_id"] for line in told["lines"]} == settled[key], told
    assert set(pushed) == set(settled), set(settled) ^ set(pushed)
    assert set(pushed.values()) <= {1}, [key for key, count in pushed.items() if count > 1]
    tasks = Counter((t.prescription_id, t.settlement_id) for t in session.scalars(select(DispensingTask)))
    assert tasks == pushed
    return len(pushed)
