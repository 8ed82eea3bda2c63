"""Killed processes, backups, time (DB-25, 30; RU-03; XC-12; MP-10)."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import ssl
import statistics
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from his_server.compliance.client import Http
from his_server.compliance.frame import Evidence, NotRun, check
from his_server.compliance.tables import Tables
from his_server.compliance.target import Target

CHANGING = ("security_", "idempotency_key", "key_block", "delivery", "outbox", "schedule", "job")
"""Tables that the running product writes while it is being backed up."""
COMMON_MS, SLOWEST_MS = 1000, 3000
ETH_ALL = 3


def digest(tables: Tables, name: str) -> tuple[int, str]:
    """Rows of a table and an SM3 over them that doesn't depend on their order."""
    rows = sorted(
        repr(sorted((k, bytes(v) if isinstance(v, memoryview) else v) for k, v in row.items())) for row in tables.rows(name)
    )
    return len(rows), hashlib.new("sm3", "\n".join(rows).encode()).hexdigest()


@check("DB-25", "command", "database", "disturb")
def backup(target: Target, seen: Evidence) -> None:
    """Back up, restore into an empty database, compare every table; a damaged backup is refused before anything is written."""
    if target.his("backup", "--help").code != 0:
        raise NotRun("本安装没有 his-server backup 命令")
    with target.workplace() as folder:
        began = time.monotonic()
        made = target.his("backup", "create", "--to", str(folder), "--without-recovery-key")
        if not seen.see(made.code == 0, "备份并自动核对", made.out[-160:]):
            return
        file = max((path for path in folder.iterdir() if path.is_file()), key=lambda path: path.stat().st_size)
        seen.note("备份用时（RPO 取决于备份周期）", f"{time.monotonic() - began:.1f} 秒，{file.stat().st_size / 1e6:.1f} MB")
        marked = target.mark.encode()
        seen.see(marked not in file.read_bytes(), "备份文件是密文", file.name)
        damaged = folder / f"damaged{file.suffix}"
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        damaged.write_bytes(content)
        target.hand_over(damaged)
        bad = target.his("backup", "verify", str(damaged))
        seen.see(bad.code != 0 and "损坏" in bad.out, "损坏一比特的备份核对不通过并说明原因", bad.out[-120:])
        if target.db.dialect != "sqlite" and not target.empty:
            seen.lacks("恢复到空数据库（须另给一个空库：--empty-database）")
            return
        empty = target.empty or f"sqlite:///{folder}/restored.db"
        refused = target.his("restore", str(damaged), environment={"HIS_DATABASE_URL": empty})
        seen.see(refused.code != 0 and "损坏" in refused.out, "损坏的备份拒绝恢复并说明原因", refused.out[-120:])
        began = time.monotonic()
        done = target.his("restore", str(file), environment={"HIS_DATABASE_URL": empty})
        if not seen.see("恢复完成，与备份一致" in done.out, "恢复到空数据库", done.out[-160:]):
            return
        # the running product went on since the backup, and so did its anchor: behind that, and nothing else, the copy may be
        behind = ("账不平：audit ", "账不平：grants ")
        found = [line.strip() for line in done.out.splitlines() if "账不平" in line]
        wrong = [line for line in found if not line.startswith(behind)]
        seen.see(not wrong, "恢复后账目与库存核对为平", wrong[:3] or "为平")
        seen.note("与库外锚比较", found[:3] or "一致")
        seen.note("恢复用时（RTO）", f"{time.monotonic() - began:.1f} 秒")
        restored = Tables(empty)
        names = [name for name in target.db.names if not name.startswith(CHANGING)]
        wrong = [name for name in names if name not in restored.names or digest(restored, name) != digest(target.db, name)]
        seen.see(len(names) > 20 and not wrong, "逐表行数与 SM3 摘要一致", wrong[:5] or f"{len(names)} 张表")


def listeners(port: int) -> list[int]:
    """Processes that listen on a port of this host."""
    inodes = set()
    for name in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(name).read_text("ascii").splitlines()[1:] if Path(name).exists() else ():
            parts = line.split()
            if parts[3] == "0A" and int(parts[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{parts[9]}]")
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if any(os.readlink(link) in inodes for link in (folder / "fd").iterdir()):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()[1])


@check("DB-30", "http", "accounts", "database", "disturb")
def killed(target: Target, seen: Evidence) -> None:
    """kill −9 of a process while patients are being registered: service comes back by itself, nothing is half done or twice."""
    parts = urlsplit(target.base)
    if parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise NotRun("被测服务不在本机，不能杀进程")
    pids = listeners(parts.port or 80)
    workers = [pid for pid in pids if _parent(pid) in pids]
    if not workers:
        raise NotRun("没有找到服务的工作进程（须在服务所在主机以 root 运行）")
    clerk = target.whoever("patients.edit")
    sent: dict[str, int] = {}
    stop = threading.Event()

    def register(n: int) -> None:
        while not stop.is_set():
            key = f"{target.mark}-{n}-{len(sent)}"
            name = f"杀进程{key}"
            for _ in range(20):
                try:
                    answer = clerk.send("POST", "/api/patients", {"name": name, "sex": "1", "confirmed": True}, key=key)
                except Exception:  # the connection broke: ask again, as a browser does
                    time.sleep(0.3)
                    continue
                sent[name] = answer.status
                break

    threads = [threading.Thread(target=register, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    os.kill(workers[0], signal.SIGKILL)
    began = time.monotonic()
    time.sleep(3)
    stop.set()
    for thread in threads:
        thread.join(60)
    back = next((time.monotonic() - began for _ in range(60) if _ready(target)), None)
    seen.see(back is not None, "杀死一个工作进程后服务自动恢复", f"{len(workers)} 个工作进程，杀死 1 个")
    good = [name for name, status in sent.items() if status == 201]
    counts = {name: target.db.count("person", name=name) for name in good}
    seen.see(
        len(good) > 3 and all(count == 1 for count in counts.values()),
        "期间办理的业务一笔不少、一笔不多",
        f"{len(good)} 笔成功，库中 {sum(counts.values())} 行",
    )
    if target.command is not None:
        done = target.his("balance")
        seen.see(done.code == 0, "账目核对全部为平", done.out.splitlines()[-1] if done.out else done.code)
    seen.lacks("数据库重启与连接耗尽（由 tests/fault 与现场演练证明）")


def _ready(target: Target) -> bool:
    try:
        return target.visitor().get("/readyz").status == 200
    except Exception:  # not yet
        time.sleep(0.5)
        return False


@check("RU-03", "http", "accounts")
def response_times(target: Target, seen: Evidence) -> None:
    """Ordinary transactions of one user, measured here; the loaded run is another (docs/load.md)."""
    clerk, person = target.whoever("patients.view"), target.patient
    for what, path in (
        ("病人检索", f"/api/patients?q={target.markers['phone']}"),
        ("打开病人", f"/api/patients/{person}"),
        ("会话", "/api/session"),
        ("科室字典", "/api/masterdata/departments"),
    ):
        times = []
        for _ in range(20):
            began = time.perf_counter()
            clerk.get(path).good(what)
            times.append((time.perf_counter() - began) * 1000)
        middle, slowest = statistics.median(times), max(times)
        seen.see(
            middle <= COMMON_MS and slowest <= SLOWEST_MS,
            f"{what}：中位不超过 {COMMON_MS} 毫秒，最长不超过 {SLOWEST_MS} 毫秒",
            f"中位 {middle:.0f}，最长 {slowest:.0f} 毫秒",
        )
    seen.lacks("并发用户与三年数据量下的 p95、p99（按 docs/load.md 在专用环境加压）")


@check("XC-12", "http", "database")
def ipv6(target: Target, seen: Evidence) -> None:
    """The service answers on IPv6 and records such addresses whole."""
    parts = urlsplit(target.base)
    widths = {
        f"{name}.{each['name']}": getattr(each["type"], "length", None)
        for name, columns in target.db.columns.items()
        for each in columns
        if each["name"].lower() in ("ip", "remote_addr", "client_ip")
    }
    narrow = {place: width for place, width in widths.items() if width is not None and width < 45}
    seen.see(widths and not narrow, "地址列容得下 IPv6（45 字符）", narrow or sorted(widths))
    if ":" in (parts.hostname or ""):
        answer = target.visitor().get("/readyz")
        seen.see(answer.status == 200, "本次全部检查经 IPv6 进行", target.base)
        login = f"{target.mark}-v6"
        target.visitor().enter(login, "Wrong1+word")
        rows = target.db.rows("security_audit", 1, newest=True, login=login)
        seen.see(rows and ":" in rows[0]["ip"], "审计记录 IPv6 来源", rows[0]["ip"] if rows else "无")
        return
    try:
        answer = Http(f"{parts.scheme}://[::1]:{parts.port or 80}")("GET", "/readyz", {}, None)
    except OSError as error:
        seen.lacks(f"服务没有监听 IPv6（{type(error).__name__}）：请以 --bind [::]:端口 启动，再以 --base http://[::1]:端口 运行")
        return
    seen.see(answer.status == 200, "经 [::1] 可以访问", answer.status)


@contextmanager
def capture() -> Iterator[list[bytes]]:
    """Every packet of the loopback while the block runs. :raises NotRun: only root may."""
    try:
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_ALL))
        tap.bind(("lo", 0))
    except (OSError, AttributeError) as error:
        raise NotRun(f"不能抓包（须 root）：{type(error).__name__}") from error
    packets: list[bytes] = []
    done = threading.Event()

    def listen() -> None:
        tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
        tap.settimeout(0.2)
        while not done.is_set():
            try:
                packets.append(tap.recv(1 << 16))
            except TimeoutError:
                continue

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        time.sleep(0.3)
        yield packets
        time.sleep(0.5)
    finally:
        done.set()
        thread.join()
        tap.close()


@check("MP-10", "http", "accounts")
def transport(target: Target, seen: Evidence) -> None:
    """Old protocols are refused; what is captured of a sign-in and a registration holds no password, no personal data."""
    parts = urlsplit(target.base)
    if parts.scheme == "https":
        for name, version in (("TLS 1.0", ssl.TLSVersion.TLSv1), ("TLS 1.1", ssl.TLSVersion.TLSv1_1)):
            seen.see(not _handshake(parts.hostname or "", parts.port or 443, version), f"{name} 被拒绝", "握手失败")
    else:
        seen.lacks("旧版 TLS 与弱套件：被测地址是网关后的明文口，请对网关地址（https）再运行")
    who = target.new_account("cashier")
    with capture() as packets:
        target.visitor().sign_in(who, target.password())
        target.another_patient(phone=target.markers["phone"][:9] + "66")
    stream = b"".join(_payload(packet) for packet in packets)
    seen.see(len(packets) > 4, "抓到登录与建档的报文", f"{len(packets)} 个包")
    seen.see(who.password.encode() not in stream, "任何一段链路的报文中都没有口令原文", "0 处")
    phone = (target.markers["phone"][:9] + "66").encode()
    inside = phone in stream
    if parts.scheme == "https":
        seen.see(not inside, "报文中没有病人手机号原文（含到数据库一段）", "有" if inside else "0 处")
    elif inside:
        seen.lacks("网关到应用之间是本机明文链路，病人手机号可见：网关与应用须在同一主机，或对 https 地址再运行")


def _payload(packet: bytes) -> bytes:
    """The TCP payload of an Ethernet frame of IPv4 or IPv6."""
    kind = struct.unpack("!H", packet[12:14])[0] if len(packet) > 14 else 0
    at = 14 + ((packet[14] & 15) * 4 if kind == 0x0800 else 40)
    if kind not in (0x0800, 0x86DD) or len(packet) < at + 20:
        return b""
    return packet[at + (packet[at + 12] >> 4) * 4 :]


def _handshake(host: str, port: int, version: ssl.TLSVersion) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        context.minimum_version = context.maximum_version = version
        with socket.create_connection((host, port), 10) as plain, context.wrap_socket(plain):
            return True
    except (ssl.SSLError, OSError, ValueError):
        return False
