"""Primary and standby through dm_svc.conf and the real driver, in a process of its own: the driver reads the file once.

Two stand-ins over one database; the first is killed in mid-transaction.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.dameng_standin import start_standin

_ROOT = Path(__file__).parents[2]
_CLIENT = """
import json, sys, threading, time
from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine, func, insert, select
from sqlalchemy.exc import DBAPIError
import dialects
from dialects.portable import is_disconnect, is_transient

engine = create_engine(sys.argv[1], pool_size=10, max_overflow=0, pool_pre_ping=True)
rows = Table("failover_rows", MetaData(), Column("id", Integer, primary_key=True, autoincrement=False),
             Column("by", String(10)))
rows.metadata.drop_all(engine)
rows.metadata.create_all(engine)
ready, lock = threading.Barrier(11), threading.Lock()
seen = {"told": 0, "retried": 0, "other": 0, "again": []}

def transaction(number, wait):
    with engine.begin() as connection:
        connection.execute(insert(rows).values(id=number, by="first"))
        if wait:
            ready.wait(30)
            ready.wait(30)
        connection.execute(insert(rows).values(id=number + 100, by="second"))

def work(number):
    try:
        transaction(number, True)
    except DBAPIError as error:
        with lock:
            seen["told" if is_disconnect(error) and is_transient(error) else "other"] += 1
        # Nothing was committed: once more, whole. What the dead primary held may be locked for a moment yet.
        for attempt in range(5):
            try:
                transaction(number, False)
                break
            except DBAPIError as again:
                if not is_transient(again) or attempt == 4:
                    raise
                with lock:
                    seen["again"].append(str(again)[:80])
        with lock:
            seen["retried"] += 1

workers = [threading.Thread(target=work, args=(number,)) for number in range(10)]
for worker in workers:
    worker.start()
ready.wait(30)
print("kill", flush=True)
sys.stdin.readline()
begin = time.monotonic()
ready.wait(30)
for worker in workers:
    worker.join(60)
seen["seconds"] = time.monotonic() - begin
with engine.connect() as connection:
    seen["rows"] = connection.scalar(select(func.count()).select_from(rows))
rows.metadata.drop_all(engine)
print(json.dumps(seen), flush=True)
"""


_WEB_CLIENT = """
import json, sys, threading, time
from pathlib import Path
from sqlalchemy import func, select
from his_server.keys import open_sealer
from his_server.settings import Settings
from his_server.db import Base, Database
from his_server.db.idempotency import IdempotencyKey
from tests.platform import mini

database = Database(sys.argv[1], pool_size=10, sealer=open_sealer(Settings(data_dir=Path.cwd())))
Base.metadata.create_all(database.engine)
mini.MiniPayment.__table__.create(database.engine)
app = mini.make_app(database)
lock, under_way, goal = threading.Lock(), threading.Event(), 12
answers = []  # (key, status, code, id, when, how long)

def pay(number):
    client = app.test_client()
    for turn in range(goal):
        key, status = f"window{number}-{turn:03}", 503
        while status != 200:  # as a cashier does who is told: again, with the same key
            begun = time.monotonic()
            answer = client.post("/api/mini/payments", json={"payer": key, "amount": "1.00"},
                                 headers={"X-Login": "anna", "Idempotency-Key": key})
            status = answer.status_code
            with lock:
                answers.append((key, status, answer.json.get("code"), answer.json.get("id"), begun,
                                time.monotonic() - begun))
                if len(answers) == 30:
                    under_way.set()
            if status not in (200, 503):
                return

threads = [threading.Thread(target=pay, args=(number,)) for number in range(10)]
for thread in threads:
    thread.start()
under_way.wait(120)
killed = time.monotonic()
print("kill", flush=True)
sys.stdin.readline()
for thread in threads:
    thread.join(120)
with database.begin(write=False) as session:
    rows = session.scalar(select(func.count()).select_from(mini.MiniPayment))
    payers = session.scalar(select(func.count(mini.MiniPayment.payer.distinct())))
    keys = session.scalar(select(func.count()).select_from(IdempotencyKey))
good = [answer for answer in answers if answer[1] == 200]
after = [begun + took for _, status, _, _, begun, took in answers if status == 200 and begun > killed]
print(json.dumps({
    "rows": rows, "payers": payers, "keys": keys, "told": len({answer[3] for answer in good}), "good": len(good),
    "codes": sorted({str(answer[2]) for answer in answers if answer[1] != 200}),
    "refused": len(answers) - len(good), "slowest": max(answer[5] for answer in answers),
    "recovered": min(after) - killed if after else None}), flush=True)
mini.MiniPayment.__table__.drop(database.engine)
Base.metadata.drop_all(database.engine)
"""


def _switch_over(dialects_postgres_url: str, tmp_path: Path, client: str) -> dict[str, Any]:
    """Run the client over a primary that is killed when it says so, and a standby that takes over; what it saw."""
    primary = start_standin(dialects_postgres_url, database="failover")
    standby = start_standin(dialects_postgres_url, database="failover")
    primary.order(mode=1)
    standby.order(mode=2)
    servers = ",".join(f"127.0.0.1:{each.port}" for each in (primary, standby))
    (tmp_path / "dm_svc.conf").write_text(
        f"hosp=({servers})\n[hosp]\nLOGIN_MODE=(1)\nSWITCH_TIMES=(3)\nSWITCH_INTERVAL=(100)\n", encoding="ascii"
    )
    url = f"dm+dmpython://HIS:Standin_2026@/?service=hosp&dmsvc_path={tmp_path}"
    process = subprocess.Popen(
        [sys.executable, "-c", client, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(_ROOT), "DM_SVC_PATH": str(tmp_path)}, cwd=tmp_path,
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    with process:
        assert process.stdout.readline() == "kill\n"
        primary.stop()
        standby.order(mode=1)  # takes over
        process.stdin.write("\n")
        process.stdin.flush()
        seen: dict[str, Any] = json.loads(process.stdout.readline())
    standby.stop()
    return seen


@pytest.mark.requirement("DB-26")
def test_ten_windows_go_on_at_the_standby_and_every_payment_is_there_once(
    dialects_postgres_url: str, tmp_path: Path
) -> None:
    """Over HTTP's layer, with the platform's own repeating; a window that is told 503 sends the same key again."""
    seen = _switch_over(dialects_postgres_url, tmp_path, _WEB_CLIENT)
    payments = 10 * 12
    assert seen["rows"] == seen["payers"] == seen["keys"] == seen["told"] == seen["good"] == payments
    assert set(seen["codes"]) <= {"database.unavailable", "database.commit_unknown"}
    assert seen["recovered"] < 30
    print(f"first answer {seen['recovered']:.2f} s after the kill, slowest {seen['slowest']:.2f} s, {seen['refused']} told 503")


@pytest.mark.requirement("DB-26")
def test_ten_transactions_move_to_the_standby_and_are_repeated_whole(
    dialects_postgres_url: str, tmp_path: Path
) -> None:
    seen = _switch_over(dialects_postgres_url, tmp_path, _CLIENT)
    assert seen["other"] == 0 and seen["told"] == seen["retried"] == 10
    assert seen["rows"] == 20  # each transaction once, none in halves
    assert seen["seconds"] < 30
    print(f"recovered in {seen['seconds']:.2f} s, tried again after {seen['again']}")
