"""The stack below: what it really is, architecture, foreign parts, IPv6, time and fonts (XC-01, 03, 04, 06, 12, 15)."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from his_server.compliance.target import Target

CPU_MAKERS = {
    "0x48": "鲲鹏（HiSilicon）",
    "0x70": "飞腾（Phytium）",
    "0x41": "ARM",
    "HygonGenuine": "海光",
    "GenuineIntel": "Intel",
    "AuthenticAMD": "AMD",
    "CentaurHauls": "兆芯",
    "Shanghai": "兆芯",
}


def stack_of(target: Target) -> dict[str, str]:
    """The real stack for the report's header: system, machine, processor, database (XC-01)."""
    found = {
        "操作系统": _os_release().get("PRETTY_NAME", "未知"),
        "内核": f"{platform.system()} {platform.release()}",
        "架构": platform.machine(),
        "处理器": processor(),
        "Python": platform.python_version(),
    }
    for name in ("/etc/.kyinfo", "/etc/kylin-release", "/etc/uos-release"):
        if Path(name).exists():
            found[name] = Path(name).read_text("utf-8", "replace").strip()[:120]
    found["被测地址"] = target.base
    if target.tables is not None:
        try:
            found["数据库"] = banner(target)
        except SQLAlchemyError as error:
            found["数据库"] = f"连不上：{type(error).__name__}"
    return found


def _os_release() -> dict[str, str]:
    try:
        lines = Path("/etc/os-release").read_text("utf-8").splitlines()
    except OSError:
        return {}
    return {name: value.strip('"') for name, _, value in (line.partition("=") for line in lines) if value}


def processor() -> str:
    """Maker and model of the processor as the kernel has it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return "未知"
    about = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines) if value}
    maker = about.get("CPU implementer") or about.get("vendor_id", "")
    return f"{CPU_MAKERS.get(maker, maker)} {about.get('model name', '')} × {os.cpu_count()}".strip()


def banner(target: Target) -> str:
    """What the database says that it is."""
    with target.db.engine.connect() as connection:
        version = ".".join(str(part) for part in connection.dialect.server_version_info or ())
    return f"{target.db.dialect} {version}".strip()
