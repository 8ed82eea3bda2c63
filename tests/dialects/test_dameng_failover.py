"""Primary and standby through dm_svc.conf and the real driver, in a process of its own: the driver reads the file once.

Two stand-ins over one database; the first is killed in mid-transaction.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

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


def test_ten_transactions_move_to_the_standby_and_are_repeated_whole(
    dialects_postgres_url: str, tmp_path: Path
) -> None:
    primary = start_standin(dialects_postgres_url, database="failover")
    standby = start_standin(dialects_postgres_url, database="failover")
    primary.order(mode=1)
    standby.order(mode=2)
    servers = ",".join(f"127.0.0.1:{each.port}" for each in (primary, standby))
    (tmp_path / "dm_svc.conf").write_text(
        f"hosp=({servers})\n[hosp]\nLOGIN_MODE=(1)\nSWITCH_TIMES=(3)\nSWITCH_INTERVAL=(100)\n", encoding="ascii"
    )
    url = f"dm+dmpython://HIS:Standin_2026@/?service=hosp&dmsvc_path={tmp_path}"
    client = subprocess.Popen(
        [sys.executable, "-c", _CLIENT, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(_ROOT), "DM_SVC_PATH": str(tmp_path)}, cwd=tmp_path,
    )  # fmt: skip
    assert client.stdin is not None and client.stdout is not None
    with client:
        assert client.stdout.readline() == "kill\n"
        primary.stop()
        standby.order(mode=1)  # takes over
        client.stdin.write("\n")
        client.stdin.flush()
        seen = json.loads(client.stdout.readline())
    standby.stop()
    assert seen["other"] == 0 and seen["told"] == seen["retried"] == 10
    assert seen["rows"] == 20  # each transaction once, none in halves
    assert seen["seconds"] < 30
    print(f"recovered in {seen['seconds']:.2f} s, tried again after {seen['again']}")
