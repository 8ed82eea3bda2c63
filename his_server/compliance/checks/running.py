"""The product as a process among others: what it uses, and what it says when it can't have it (RU-04, RU-05)."""

from __future__ import annotations

import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

from his_server.compliance.checks import recovery
from his_server.compliance.frame import Evidence, NotRun, check
from his_server.compliance.target import Target

USERS, ROUNDS, EACH = 8, 4, 10
"""People who work at once; how often they are looked at; requests of each in between."""
GROWTH, SHARE = 0.05, 0.8
"""What memory may grow between the second and the last look; what of the host's memory or processors may be used."""


def resident(pids: list[int]) -> int:
    """Bytes of memory that these processes hold."""
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) for pid in pids)
    return pages * os.sysconf("SC_PAGE_SIZE")


def busy(pids: list[int]) -> float:
    """Seconds of processor time that these processes have used."""
    ticks = 0
    for pid in pids:
        parts = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
        ticks += int(parts[11]) + int(parts[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def served_by(target: Target) -> list[int]:
    """The processes that answer at the target's port. :raises NotRun: they aren't on this host, or not ours to see."""
    parts = urlsplit(target.base)
    if parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise NotRun("被测服务不在本机，看不到它的进程")
    if not (pids := recovery.listeners(parts.port or 80)):
        raise NotRun("没有找到服务的进程（须在服务所在主机以 root 运行）")
    return pids


@check("RU-04", "http", "accounts")
def resources(target: Target, seen: Evidence) -> None:
    """Several people at work at once: memory doesn't grow from round to round, and the host keeps a reserve."""
    pids, clerk, person = served_by(target), target.whoever("patients.view"), target.patient
    paths = (
        f"/api/patients/{person}", f"/api/patients?q={target.markers['phone']}", "/api/session", "/api/masterdata/departments")

    def work(n: int) -> int:
        return max(clerk.get(paths[(n + k) % len(paths)]).status for k in range(EACH))

    memory, statuses, began, used = [], set(), time.monotonic(), busy(pids)
    for _ in range(ROUNDS):
        with ThreadPoolExecutor(USERS) as pool:
            statuses |= set(pool.map(work, range(USERS)))
        memory.append(resident(pids))
    elapsed, spent = time.monotonic() - began, busy(pids) - used
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    shown = [f"{one / 2**20:.0f}" for one in memory]
    seen.see(statuses == {200}, f"{USERS} 人同时办理 {USERS * ROUNDS * EACH} 次，全部成功", sorted(statuses))
    steady = memory[-1] <= memory[1] * (1 + GROWTH)
    seen.see(steady, f"内存不随业务量增长（第 2 轮到第 {ROUNDS} 轮不超过 {GROWTH:.0%}）", f"{shown} MB")
    seen.see(memory[-1] <= whole * SHARE, f"内存不超过主机的 {SHARE:.0%}", f"{shown[-1]} MB / {whole / 2**20:.0f} MB")
    seen.note("处理器", f"{len(pids)} 个进程 {elapsed:.1f} 秒内用 {spent:.1f} 秒，主机 {os.cpu_count()} 核")
    seen.lacks("8～72 小时持续加压、三年数据量与容量拐点（按 docs/load.md 在专用环境做）")


@check("RU-05", "http", "command")
def beside_others(target: Target, seen: Evidence) -> None:
    """A port that another program has: the product says which and what to do, and what runs already goes on."""
    # a host may have one family of addresses only: that by which the product was reached
    family = socket.AF_INET6 if ":" in (urlsplit(target.base).hostname or "") else socket.AF_INET
    host = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    with socket.create_server((host, 0), family=family) as other:
        port = other.getsockname()[1]
        bind = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        began = time.monotonic()
        done = target.his("run", "--bind", bind, "--workers", "1")
        took = time.monotonic() - began
        seen.see(done.code != 0, "端口被其他程序占用时不启动", f"退出码 {done.code}，{took:.1f} 秒")
        seen.see(str(port) in done.out and "占用" in done.out, "说明是哪个端口、怎么办", done.out[-200:].strip())
        with socket.create_connection((host, port), 5):
            seen.see(True, "原来占用端口的程序不受影响", bind)
    seen.see(target.visitor().get("/readyz").status == 200, "正在运行的服务不受影响", "/readyz 200")
    listed = target.his("hub", "list")
    lines = [line for line in listed.out.splitlines() if "版本" in line]
    versioned = [line for line in lines if "版本  " not in line]
    seen.see(listed.code == 0 and lines and lines == versioned, "每个接口写明契约版本与负责科室", f"{len(lines)} 个接口")
    seen.lacks("接口契约逐字段的测试（由各接口的模拟器测试证明）与目标主机上其他软件的共存，须在现场看")
