"""The stack below: what it really is, architecture, foreign parts, IPv6, time and fonts (XC-01, 03, 04, 06, 12, 15)."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy.exc import SQLAlchemyError

from his_server.compliance.frame import Evidence, NotApplicable, NotRun, check
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


MACHINES = {"x86_64": 62, "aarch64": 183, "loongarch64": 258, "mips64": 8}
"""``e_machine`` of ELF by the machine's name."""
FOREIGN_MODULES = {
    "cx_Oracle",
    "oracledb",
    "pyodbc",
    "pymssql",
    "MySQLdb",
    "pymysql",
    "ibm_db",
    "win32com",
    "pythoncom",
    "boto3",
    "azure",
    "google",
}
OUTSIDE = re.compile(r"https?://(?!(?:www\.w3\.org|localhost|127\.0\.0\.1|\[::1\]))[a-z0-9.-]+\.[a-z]{2,}", re.I)
INFORMATIVE = re.compile(
    r"vuejs\.org|element-plus\.org|github\.com|echarts|apache\.org|mozilla\.org|reactivex|underscorejs|lodash|momentjs|"
    r"day\.js|npmjs|example\.|evil|json-schema|openapis|spec\.",
    re.I,
)
"""Addresses that libraries name in messages and comments; nothing is loaded from them."""
LOADS = re.compile(
    r"""(?:src|href)\s*=\s*["'](https?:)?//|@import\s+(?:url\()?["']?(?:https?:)?//|url\(\s*["']?(?:https?:)?//|importScripts\(\s*["']https?:"""
)
NEW_SYNTAX = {
    "逻辑赋值 ??= ||= &&=": re.compile(r"[\w\])]\s*(?:\?\?|\|\||&&)=[^=]"),
    "静态块": re.compile(r"\bstatic\s*\{"),
    "正则 v 标志": re.compile(r"/[gimsuy]*v[gimsuy]*[.,;)]\s*(?:test|exec)\("),
}
PLUGINS = re.compile(r"ActiveXObject|<applet|<object[^>]+classid|NPAPI|window\.external", re.I)
DOMESTIC = {
    "kylin": "银河麒麟",
    "uos": "统信 UOS",
    "openEuler": "openEuler",
    "deepin": "深度",
    "anolis": "龙蜥",
    "nfschina": "方德",
}


@check("XC-01")
def real_stack(target: Target, seen: Evidence) -> None:
    """What the host, the processor and the database really are; another stack than the declared one is no pass."""
    for name, value in stack_of(target).items():
        seen.note(name, value)
    system, database = _os_release().get("ID", "未知"), target.tables.dialect if target.tables else ""
    if system not in DOMESTIC or database != "dm":
        raise NotRun(f"实际环境为 {system}、{platform.machine()}、{database or '数据库未知'}，不是信创目标栈：请在目标环境运行")
    seen.see(True, "操作系统与数据库为信创目标栈", f"{DOMESTIC[system]}、{banner(target)}")
    seen.see(
        any(word in processor() for word in ("鲲鹏", "飞腾", "海光", "兆芯", "龙芯")), "处理器为国产", processor(), vital=False
    )


def elf_machine(path: Path) -> int | None:
    """``e_machine`` of an ELF file; None for anything else."""
    try:
        with path.open("rb") as file:
            front = file.read(20)
    except OSError:
        return None
    if front[:4] != b"\x7fELF" or len(front) < 20:
        return None
    return int.from_bytes(front[18:20], "little" if front[5] == 1 else "big")


@check("XC-03", "app")
def one_architecture(target: Target, seen: Evidence) -> None:
    """Every native file of the program and of its Python is of this machine."""
    assert target.app_dir is not None
    wanted = MACHINES.get(platform.machine())
    if wanted is None:
        raise NotRun(f"不认识的架构 {platform.machine()}")
    found: dict[int, int] = {}
    foreign = []
    for top in (target.app_dir, Path(sys.prefix)):
        for folder, inside, names in os.walk(top):
            inside[:] = [one for one in inside if one not in (".git", "node_modules", ".browsers")]
            for name in names:
                machine = elf_machine(Path(folder) / name)
                if machine is not None:
                    found[machine] = found.get(machine, 0) + 1
                    if machine != wanted:
                        foreign.append(name)
    seen.see(found and not foreign, f"全部 ELF 文件为 {platform.machine()}", foreign[:5] or f"{sum(found.values())} 个")


@check("XC-04", "app")
def nothing_from_abroad(target: Target, seen: Evidence) -> None:
    """No driver of a foreign database, no cloud kit, no address from which a page loads anything."""
    assert target.app_dir is not None
    imports, loads, addresses, files = [], [], [], 0
    for house in ("his_server", "crypto", "dialects", "modules", "interfaces"):
        for folder, inside, names in os.walk(target.app_dir / house):
            inside[:] = [one for one in inside if one not in ("node_modules", "__pycache__", "dev-mock", "scripts")]
            for name in names:
                path = Path(folder) / name
                if path.suffix == ".py":
                    files += 1
                    text = path.read_text("utf-8", "replace")
                    imports += [
                        f"{name}:{found}"
                        for found in re.findall(r"^\s*(?:from|import)\s+(\w+)", text, re.M)
                        if found in FOREIGN_MODULES
                    ]
                elif path.suffix in (".html", ".css", ".js", ".vue", ".ts"):
                    files += 1
                    text = path.read_text("utf-8", "replace")
                    loads += [name] if LOADS.search(text) else []
                    addresses += [found for found in OUTSIDE.findall(text) if not INFORMATIVE.search(found)]
    seen.see(files > 10 and not imports, "没有境外数据库驱动、云 SDK、Windows 组件", imports[:5] or f"{files} 个文件")
    seen.see(not loads, "页面与样式不从外部地址加载内容", loads[:5] or "0 处")
    seen.note("页面代码里提到的外部地址（只是文字）", sorted(set(addresses))[:8] or "无")
    page = target.visitor().get("/") if target.base else None
    if page is not None:
        seen.see(
            "default-src 'self'" in page.header("content-security-policy"),
            "内容安全策略只许本站",
            page.header("content-security-policy")[:120],
        )
        out = _outgoing(urlsplit(target.base).port or 80)
        seen.see(not out, "服务进程没有对外连接（本机抽样）", out or "0 条")
    ways = ways_out()
    if ways:
        seen.lacks("断网整机运行与 DNS 日志（在无路由的网络命名空间里运行本套件即可）")
    else:
        seen.see(True, "服务、后台任务与本套件全程在没有任何对外路由的网络中运行", "只有回环")


def ways_out() -> list[str]:
    """Interfaces beside the loopback over which anything could leave this network namespace."""
    found = set()
    for name, at in (("route", 0), ("ipv6_route", -1)):
        path = Path("/proc/net") / name
        lines = path.read_text("ascii").splitlines() if path.exists() else []
        found |= {line.split()[at] for line in lines if line.split() and line.split()[at] not in ("lo", "Iface")}
    return sorted(found)


def _outgoing(port: int) -> list[str]:
    from his_server.compliance.checks.recovery import listeners

    found = []
    for pid in listeners(port):
        held = set()
        with contextlib.suppress(OSError):
            held = {os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()}
        for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]:
            parts = line.split()
            remote = ".".join(str(int(parts[2][at : at + 2], 16)) for at in (6, 4, 2, 0))
            if parts[3] == "01" and f"socket:[{parts[9]}]" in held and not remote.startswith("127."):
                found.append(remote)
    return sorted(set(found))


@check("XC-06", "database", "command")
def dameng(target: Target, seen: Evidence) -> None:
    """The parameters of Dameng that can't be changed later."""
    if target.db.dialect != "dm":
        raise NotApplicable(f"被测数据库是 {target.db.dialect}，不是达梦")
    done = target.his("dameng", "check")
    seen.see(done.code == 0, "初始化参数（UNICODE、LENGTH_IN_CHAR、CASE_SENSITIVE）符合要求", done.out[-300:])


@check("XC-07", "database", "command")
def semantics(target: Target, seen: Evidence) -> None:
    """What the product relies on, asked of the Dameng server one by one."""
    if target.db.dialect != "dm":
        raise NotApplicable(f"被测数据库是 {target.db.dialect}，不是达梦")
    with target.workplace() as folder:
        done = target.his("dameng", "check", "--output", str(folder))
        report = folder / "dameng-check.json"
        if not report.exists():
            raise NotRun(f"his-server dameng check 没有报告：{done.out[-200:]}")
        answers = json.loads(report.read_text("utf-8"))["answers"]
    for one in answers:
        if one["outcome"] == "未执行":
            seen.lacks(f"{one['title']}：{one['finding']}")
        else:
            seen.see(one["outcome"] == "通过", f"{one['group']}：{one['title']}", one["finding"], vital=one["need"] == "must")
    seen.see(done.code == 0, "his-server dameng check 的结论", f"退出码 {done.code}")


@check("XC-08", "app")
def browsers(target: Target, seen: Evidence) -> None:
    """The built pages use no syntax that Chromium of domestic browsers lacks, and no plug-in."""
    assert target.app_dir is not None
    scripts = [path for path in (target.app_dir / "his_server" / "web" / "dist").rglob("*.js")]
    if not scripts:
        raise NotRun("程序目录中没有构建好的前端")
    texts = {path.name: path.read_text("utf-8", "replace") for path in scripts}
    for what, pattern in NEW_SYNTAX.items():
        hits = [name for name, text in texts.items() if pattern.search(text)]
        seen.see(not hits, f"脚本不用 {what}", hits[:5] or f"{len(texts)} 个文件")
    hits = [name for name, text in texts.items() if PLUGINS.search(text)]
    seen.see(not hits, "不用 ActiveX、applet、NPAPI", hits[:5] or "0 处")
    seen.lacks("真实国产浏览器上的操作与打印（由测评人员在终端上看；开发侧在 Chromium 83 上做过冒烟）")


@check("XC-15", "http", "accounts")
def time_and_fonts(target: Target, seen: Evidence) -> None:
    """The hospital's day is Shanghai's whatever the host's zone; a licensed font is shipped and covers GB 18030 level 2."""
    row = target.admin("auditadmin").get("/api/audit?limit=1").good("读取审计")["items"][0]
    seen.see(
        str(row.get("zone", "+08:00")) == "+08:00" or "+08" in str(row.get("at")) or str(row.get("at")).endswith(("Z", "+00:00")),
        "时间带时区",
        {k: row.get(k) for k in ("at", "zone")},
    )
    from his_server.reporting import glyph_missing

    common = "".join(chr(code) for code in range(0x4E00, 0x9FA6))
    lacking = glyph_missing(common)
    seen.see(not lacking, "随产品的打印字体含全部 20902 个基本汉字", len(lacking))
    rare = "".join(chr(code) for code in range(0x3400, 0x4DB6))
    seen.see(len(glyph_missing(rare)) == 0, "含扩展 A", len(glyph_missing(rare)), vital=False)
