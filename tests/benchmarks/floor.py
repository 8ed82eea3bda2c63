"""What every benchmark needs: clients that hammer, percentiles, CPU of process trees, and the bare floor.

The machine is shared and its speed changes from minute to minute: trust ratios of what ran in turns, not seconds.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import text
from sqlalchemy.engine import make_url

from his_server.db import Database

TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Timing:
    """Latencies (seconds) of jobs that several clients did, and how long it took together."""

    latencies: tuple[float, ...]
    elapsed: float

    @property
    def rate(self) -> float:
        """Jobs per second."""
        return len(self.latencies) / self.elapsed

    def percentile(self, percent: float) -> float:
        """Milliseconds within which so many percent were done."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] * 1000

    def __str__(self) -> str:
        return (f"{self.rate:7.1f}/s  p50 {self.percentile(50):6.1f}  p95 {self.percentile(95):6.1f}  "
                f"p99 {self.percentile(99):6.1f} ms")


def together(timings: Sequence[Timing]) -> Timing:
    """Timings of blocks that ran one after the other."""
    return Timing(tuple(t for timing in timings for t in timing.latencies), sum(t.elapsed for t in timings))


def side_by_side(timings: Sequence[Timing]) -> Timing:
    """Timings of processes that ran at the same time: their rates add up."""
    rate = sum(timing.rate for timing in timings)
    latencies = tuple(t for timing in timings for t in timing.latencies)
    return Timing(latencies, len(latencies) / rate)


def hammer(jobs: Sequence[Sequence[Any]], opened: Callable[[], Callable[[Any], None]]) -> Timing:
    """One thread per sequence of jobs; ``opened`` gives each thread what does a job. All begin together."""
    latencies: list[list[float]] = [[] for _ in jobs]
    failures: list[BaseException] = []
    ready = threading.Barrier(len(jobs) + 1)

    def client(mine: Sequence[Any], times: list[float]) -> None:
        try:
            act = opened()
            ready.wait(60)
            for job in mine:
                began = time.perf_counter()
                act(job)
                times.append(time.perf_counter() - began)
        except BaseException as error:
            failures.append(error)
            ready.abort()

    threads = [threading.Thread(target=client, args=pair) for pair in zip(jobs, latencies, strict=True)]
    for thread in threads:
        thread.start()
    try:
        ready.wait(60)
    except threading.BrokenBarrierError:
        raise failures[0] from None
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - began
    if failures:
        raise failures[0]
    return Timing(tuple(t for times in latencies for t in times), elapsed)


def http_load(port: int, jobs: Sequence[Sequence[bytes]]) -> Timing:
    """Send ready-made requests over one kept-alive connection per client; every answer must be 2xx.

    For a process of its own: the clients' work is not the server's.
    """

    def opened() -> Callable[[bytes], None]:
        wire = socket.create_connection(("127.0.0.1", port), timeout=60)
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return lambda request: _exchange(wire, request)

    return hammer(jobs, opened)


def _exchange(wire: socket.socket, request: bytes) -> None:
    wire.sendall(request)
    got = b""
    while b"\r\n\r\n" not in got:
        got += _more(wire)
    head, _, body = got.partition(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
    while len(body) < length:
        body += _more(wire)
    assert head.split(b" ", 2)[1].startswith(b"2"), body.decode(errors="replace")


def _more(wire: socket.socket) -> bytes:
    part = wire.recv(65536)
    assert part, "the server closed the connection"
    return part


def http_request(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """A request as it goes over the wire."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}",
             *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


Statements = Sequence[tuple[str, Sequence[Any]]]


def sql_load(url: str, jobs: Sequence[Sequence[Statements]]) -> Timing:
    """The floor: each job's statements in one transaction, by bare psycopg, one connection per client."""
    connections: list[psycopg.Connection[Any]] = []

    def opened() -> Callable[[Statements], None]:
        connection = psycopg.connect(bare_url(url))
        connections.append(connection)
        return lambda job: _transaction(connection, job)

    try:
        return hammer(jobs, opened)
    finally:
        for connection in connections:
            connection.close()


def _transaction(connection: psycopg.Connection[Any], job: Statements) -> None:
    with connection.transaction(), connection.cursor() as cursor:
        for statement, values in job:
            cursor.execute(statement, values)


def bare_url(url: str) -> str:
    """A SQLAlchemy URL as libpq wants it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def insert_sql(table: str, rows: Sequence[dict[str, Any]]) -> tuple[str, list[Any]]:
    """One INSERT of all rows (same columns)."""
    names = list(rows[0])
    one = "(" + ", ".join(["%s"] * len(names)) + ")"
    return (f'INSERT INTO "{table}" ({", ".join(names)}) VALUES ' + ", ".join([one] * len(rows)),
            [row[name] for row in rows for name in names])


# CPU


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def tree(root: int) -> list[int]:
    """A process and all below it."""
    below: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                below.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
            except FileNotFoundError:
                continue  # it has just ended
    found = [root]
    for pid in found:
        found += below.get(pid, [])
    return found


def cpu_seconds(roots: Iterable[int]) -> float:
    """User and system time of process trees, ended children included."""
    total = 0
    for root in roots:
        for pid in tree(root):
            try:
                total += sum(int(value) for value in _stat(pid)[11:15])
            except FileNotFoundError:
                continue
    return total / TICK


def postmaster(database: Database) -> int:
    """Process id of the PostgreSQL server (of this machine) behind a database."""
    with database.engine.connect() as connection:
        backend = int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
    return int(_stat(backend)[1])
