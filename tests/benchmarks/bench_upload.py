"""Upload of fee lines to the insurer against a simulator 200 ms away, over HTTP (M5.2).

``HIS_BENCH_LINES=2000`` is a quick run. The bound is what latency, batch size and lanes allow: lanes × batch ÷ latency,
whatever we do ourselves. One by one is measured on a few lines of the same run; so is a bare sender, which throws the same
messages, made beforehand, into the same line from as many threads and keeps no books: what the machine and the simulator
allow at that moment. The bound is the measure; the bare sender only says how much of what is missing is the machine's.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from his_server import about
from his_server.app import open_database
from his_server.clock import HOSPITAL_ZONE
from his_server.db import Base, Database
from his_server.settings import Settings
from interfaces import nhsa
from interfaces.hub.simulating import Faults, Rule
from interfaces.nhsa.client import uploads, wire
from interfaces.nhsa.client.insurance import Insurance
from interfaces.nhsa.client.stays import Stays
from interfaces.nhsa.mapping import inpatient
from interfaces.nhsa.mapping.inpatient import Stay, StayDiagnosis, StayLine
from interfaces.nhsa.simulator.books import Books
from interfaces.nhsa.simulator.catalogue import code_of
from modules.kernel.charging.ports import Credential
from tests import databases
from tests.factories import insured as make

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]
LINES = int(os.environ.get("HIS_BENCH_LINES", "20000"))
LATENCY_MS, BATCH, LANES, ONE_BY_ONE = 200, 100, 4, 25
LEAST_OF_BOUND = 0.7
WARD, DOCTOR = ("1201", "呼吸内科病区"), ("D320602000001", "单文渊")


@pytest.fixture
def centre(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The simulated centre as a process of its own: its address and its folder."""
    command = [sys.executable, "-m", "his_server", "simulate", "nhsa", "--bind", "127.0.0.1:0", "--folder", str(tmp_path),
               "--threads", "16"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        found = re.search(r"http://[0-9.:]+", server.stderr.readline())
        assert found is not None
        yield found.group(), tmp_path
        server.terminate()


@pytest.fixture
def database(postgres_server: str, tmp_path: Path) -> Iterator[Database]:
    url = databases.create_postgres(postgres_server, "his_bench_upload")
    made = open_database(Settings(data_dir=tmp_path / "his", database_url=url, secure_cookies=False))
    Base.metadata.create_all(made.engine)
    yield made
    made.dispose()


def _lines(count: int, first: int = 1) -> list[StayLine]:
    at = datetime(2026, 3, 2, 9, 0, tzinfo=HOSPITAL_ZONE)
    return [StayLine(line_id=n, code=f"ZL{n % 400}", national=code_of("201", f"ZL{n % 400}", "01"), price=Decimal("12.50"),
                     quantity=Decimal(2), amount=Decimal("25.00"), charged_at=at, department=WARD, doctor=DOCTOR,
                     order=f"YZ{n}") for n in range(first, first + count)]


def _admitted(insurance: Insurance, number: str, serial: int) -> tuple[Stay, str]:
    member: Any = insurance.identify(Credential("ecode", make.id_no(2, serial) + "0000"), "").member
    at = datetime.now(HOSPITAL_ZONE)
    stay = Stay(number=number, stay_no=number, member_no=member.member_no, insurance="310", area="320602", med_type="21",
                admitted_at=at, department=WARD, bed="12", doctor=DOCTOR,
                diagnoses=(StayDiagnosis("J18.900", "肺炎", True, at, WARD[0], DOCTOR),))
    return stay, Stays(insurance.insurer).admit(stay).peer_number or ""


def _run(insurance: Insurance, stay: Stay, mdtrt: str) -> float:
    began, cpu = time.perf_counter(), time.process_time()
    done = uploads.upload(insurance.insurer, stay.member_no, mdtrt, stay.number, stay.area)
    took = time.perf_counter() - began
    print(f"\nour own CPU: {time.process_time() - cpu:.1f} s of {took:.1f} s")
    assert (done.refused, done.waiting, done.lost) == (0, 0, 0), done
    return took


def _bare(insurance: Insurance, stay: Stay, mdtrt: str, count: int) -> float:
    """Seconds that the same batches take without any of our bookkeeping: ready messages, as many threads."""
    insurer = insurance.insurer
    rows = [inpatient.fee(line, stay, stay.member_no, mdtrt) for line in _lines(count)]
    at = insurer.database.clock.now()
    bodies = []
    for n in range(0, count, BATCH):
        msgid = f"{insurer.code}{at.astimezone(HOSPITAL_ZONE):%Y%m%d%H%M}99{n // BATCH:04d}"
        message = insurer._envelope("2301", {"feedetail": rows[n:n + BATCH]}, msgid, at, about.current().actor,
                                    insurer.sign_no(about.current().actor), stay.area)
        bodies.append(wire.dumps(message))
    began = time.perf_counter()
    with ThreadPoolExecutor(LANES) as lanes:
        for answer in lanes.map(lambda body: insurer.line.exchange("POST", insurer.settings.path, body, {
                "Content-Type": "application/json"}), bodies):
            assert wire.loads(answer.body)["infcode"] == "0"
    return time.perf_counter() - began


@pytest.mark.requirement("M5.2")
def test_lines_per_second(centre: tuple[str, Path], database: Database) -> None:
    address, folder = centre
    Faults(folder / "nhsa").write([Rule("slow", "2301", milliseconds=LATENCY_MS)])
    for serial, (batch, lanes) in enumerate(((1, 1), (BATCH, LANES)), 1):
        settings = Settings(data_dir=folder / "his", simulate_payments=True, extra={"nhsa": {
            "url": f"{address}/nhsa", "upload_batch": batch, "upload_lanes": lanes, "unmapped": "own"}})
        database.ports.clear()
        insurance = nhsa.insurance(settings, database)
        assert insurance is not None
        count = ONE_BY_ONE if batch == 1 else LINES
        stay, mdtrt = _admitted(insurance, f"ZY{serial:04d}", serial)
        began = time.perf_counter()
        uploads.write_down(insurance.insurer, stay, stay.member_no, mdtrt, _lines(count))
        written = time.perf_counter() - began
        took = _run(insurance, stay, mdtrt)
        rate, bound = count / took, lanes * batch / (LATENCY_MS / 1000)
        if batch == 1:
            single = rate
            print(f"\none by one: {rate:,.1f} lines/s (bound {bound:,.1f})")
        else:
            other, there = _admitted(insurance, "ZY0009", 9)
            bare = count / _bare(insurance, other, there, count)
            print(f"bare sender: {bare:,.0f} lines/s = {bare / bound:.2f} of the bound; ours {rate / bare:.2f} of the bare one")
            print(f"{count:,} lines, batches of {batch}, {lanes} lanes, {LATENCY_MS} ms: {took:.1f} s, {rate:,.0f} lines/s "
                  f"= {rate / bound:.2f} of the bound {bound:,.0f}, {rate / single:,.0f} times one by one; "
                  f"queued in {written:.1f} s; load {os.getloadavg()[0]:.1f}")
        assert len(Books(folder / "nhsa").rows("SELECT sn FROM fee WHERE mdtrt_id = ?", mdtrt)) == count
    assert rate >= LEAST_OF_BOUND * bound
    assert rate > 50 * single
