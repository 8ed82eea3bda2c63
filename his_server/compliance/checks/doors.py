"""Doors: what listens on the host and what is declared, debuggers, banners (DB-20)."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from his_server.compliance.checks import recovery
from his_server.compliance.checks.inputs import LEAKS
from his_server.compliance.frame import Evidence, check
from his_server.compliance.target import Target

WHOSE = ("HIS_CONFIG", "HIS_DATA_DIR", "HIS_DATABASE_URL")
"""By these variables of the environment a process belongs to one installation and not to another of the same host."""
LISTENING, BOUND = "0A", "07"
"""States in the kernel's tables of TCP and UDP sockets."""


@check("DB-20", "http", "command")
def least_doors(target: Target, seen: Evidence) -> None:
    """Nothing listens that isn't declared. No debugger, no listing, no banner; errors tell nothing of the inside; the server
    names no version."""
    nobody = target.visitor()
    for path in (
        "/console",
        "/debug",
        "/swagger",
        "/swagger.json",
        "/docs",
        "/.git/config",
        "/.env",
        "/server-status",
        "/admin",
        "/phpinfo.php",
        "/actuator/env",
        "/?__debugger__=yes&cmd=resource&f=debugger.js",
    ):
        answer = nobody.get(path)
        page = "text/html" in answer.header("content-type") and b'id="app"' in answer.body
        leaked = re.search(rb"Werkzeug|__debugger__|\[core\]|SECRET|repositoryformatversion", answer.body)
        seen.see(
            not leaked and (answer.status in (301, 302, 400, 401, 403, 404) or page),
            f"没有调试或管理入口 {path}",
            f"{answer.status}{'（应用首页）' if page else ''}",
        )
    for path in ("/api/nothing", "/api/patients/x"):
        answer = nobody.get(path)
        seen.see(not LEAKS.search(answer.text), f"报错不泄露内部信息 {path}", f"{answer.status} {answer.code}")
    server = nobody.get("/").header("server")
    seen.see(not re.search(r"\d+\.\d+", server), "响应头不含服务器版本", server or "无", vital=False)
    for name, wanted in (("x-content-type-options", "nosniff"), ("content-security-policy", "script-src 'self'")):
        seen.see(wanted in nobody.get("/").header(name), f"首页带 {name}", nobody.get("/").header(name)[:100])
    policy = nobody.get("/").header("content-security-policy")
    seen.see(
        "unsafe-inline" not in policy.split("style-src")[0] and "unsafe-eval" not in policy,
        "脚本策略不允许内联与 eval",
        policy[:160],
    )
    traced = target.send("TRACE", "/", {}, None)
    seen.see(traced.status in (400, 404, 405, 501), "不支持 TRACE", traced.status)
    _declared_ports(target, seen)


def _declared_ports(target: Target, seen: Evidence) -> None:
    """The ports of the product's processes are those of its own list; administrators work from named networks."""
    told = target.his("ports")
    if not seen.see(told.code == 0, "产品给出监听端口与服务清单（his-server ports）", told.out.strip()[-300:]):
        return
    declared = {place.replace(" localhost:", " 127.0.0.1:") for place in re.findall(r"^(?:tcp|udp) \S+", told.out, re.M)}
    seen.see("没有限制" not in told.out, "管理员来源网段有限制（admin_networks）", told.out.strip().splitlines()[-1], vital=False)
    parts = urlsplit(target.base)
    serving = recovery.listeners(parts.port or 80) if parts.hostname in ("127.0.0.1", "localhost", "::1") else []
    if not serving:
        seen.lacks("产品进程实际监听的端口（须在服务所在主机以 root 运行，并直接给出产品的地址）")
        return
    found = sockets(serving)
    strange = sorted(found - declared)
    seen.see(found and not strange, "产品全部进程监听的端口都在清单中", strange or sorted(found))


def sockets(serving: Iterable[int]) -> set[str]:
    """Where the processes of the same installation as ``serving`` listen, as ``tcp 127.0.0.1:8000``."""
    own = _environment(min(serving))
    inodes = {inode for pid in _processes() if _environment(pid) == own for inode in _inodes(pid)}
    found = set()
    for name, state in (("tcp", LISTENING), ("tcp6", LISTENING), ("udp", BOUND), ("udp6", BOUND)):
        table = Path(f"/proc/net/{name}")
        for line in table.read_text("ascii").splitlines()[1:] if table.exists() else ():
            parts = line.split()
            if parts[3] == state and parts[9] in inodes:
                found.add(f"{name[:3]} {_place(parts[1])}")
    return found


def _processes() -> list[int]:
    """Processes whose command line names the product."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if b"his_server" in words or b"his-server" in words:
            found.append(int(folder.name))
    return found


def _environment(pid: int) -> tuple[str, ...]:
    try:
        text = Path(f"/proc/{pid}/environ").read_text("utf-8", "replace")
    except OSError:
        return ()
    given = dict(one.partition("=")[::2] for one in text.split("\0"))
    return tuple(given.get(name, "") for name in WHOSE)


def _inodes(pid: int) -> list[str]:
    found = []
    with contextlib.suppress(OSError):  # it ends meanwhile
        for link in Path(f"/proc/{pid}/fd").iterdir():
            target = os.readlink(link)
            if target.startswith("socket:["):
                found.append(target[8:-1])
    return found


def _place(text: str) -> str:
    """An address of the kernel's tables: words of four bytes, the lowest first."""
    address, _, port = text.partition(":")
    words = b"".join(bytes.fromhex(address[at:at + 8])[::-1] for at in range(0, len(address), 8))
    found = ipaddress.ip_address(words)
    return f"[{found}]:{int(port, 16)}" if found.version == 6 else f"{found}:{int(port, 16)}"
