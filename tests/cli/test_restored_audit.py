"""What the audit trail says after a restore beside an anchor that went on (DB-25, MP-14): exactly the stretch that isn't there,
no more as the house works on, and everything else is still found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete, select, update

from crypto import Sealer
from his_server import backup
from his_server.actor import SYSTEM
from his_server.backup import envelope
from his_server.clock import ManualClock
from his_server.db import Base, Database, migrate
from his_server.module import Finding
from his_server.registry import Hospital
from his_server.security import anchor, audit, bootstrap, seals
from his_server.security.audit import AuditRow

pytestmark = [pytest.mark.requirement("DB-25", "MP-14"), pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)]


@pytest.fixture
def restored(db: Database, hospital: Hospital, sealer: Sealer, clock: ManualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
             ) -> Iterator[Database]:
    """A copy of the house as it was before its anchor went on, beside that anchor."""
    monkeypatch.setattr(migrate, "current", lambda database: migrate.head())
    monkeypatch.setattr(migrate, "prepare", lambda database: Base.metadata.create_all(database.engine))
    with db.begin() as session:
        bootstrap(session, hospital)
    anchor.place(db, tmp_path)
    _work(db, clock, 5)
    target = tmp_path / "a.hisbackup"
    backup.create(db, target, {}, None)
    _work(db, clock, 7)
    made = Database(f"sqlite:///{tmp_path}/restored.db", clock=db.clock, sealer=sealer)
    backup.restore(made, envelope.key_by_ring(sealer, target), target)
    anchor.place(made, tmp_path)
    yield made
    made.dispose()


def _work(database: Database, clock: ManualClock, rows: int) -> int:
    """Something happens, and is sealed and anchored as the worker does; how many rows were sealed."""
    for n in range(rows):
        audit.record_apart(database, SYSTEM, "session.sign_in", "user", n, {})
    clock.move(minutes=6)
    sealed = seals.seal_all(database)
    seals.checkpoint_now(database)
    return sealed


def _found(database: Database) -> list[Finding]:
    with database.begin(write=False) as session:
        return list(seals.verify(session))


def test_new_rows_are_sealed_and_only_the_missing_stretch_is_told(restored: Database, clock: ManualClock) -> None:
    before = _found(restored)
    anchored, cut = before
    assert "与外部锚不符：锚里 2026-03-02 08:42:00 签发、封存到序号" in anchored.message
    assert cut.message.startswith("尾部被截去：检查点记到序号")
    for _ in range(3):
        assert _work(restored, clock, 4) == 4  # the house works on, and its trail is sealed behind the gap
        known, gone = _found(restored)
        assert known == anchored  # the gap, no more and no less, for good
        assert gone.message.startswith(("尾部被截去：", "被退回到旧状态："))
    assert seals.seal_all(restored) == 0  # nothing new is nothing to seal


@pytest.mark.parametrize("act", ["edit", "delete"])
def test_what_is_done_to_a_row_afterwards_is_still_found(restored: Database, clock: ManualClock, act: str) -> None:
    _work(restored, clock, 4)
    known = _found(restored)
    with restored.begin(write=False) as session:
        last = session.scalar(select(AuditRow.id).order_by(AuditRow.id.desc()).limit(1))
    change = update(AuditRow).values(login="nobody") if act == "edit" else delete(AuditRow)
    with restored.writer(), restored.engine.begin() as connection:
        connection.execute(change.where(AuditRow.id == last))
    more = [one for one in _found(restored) if one not in known]
    assert [one.where for one in more] == [f"id {last}"] and ("改动" if act == "edit" else "删除") in more[0].message
