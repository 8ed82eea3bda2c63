"""The installed program: its signed list of files, parts, licences, claims (MP-19, XC-13, XC-14, RU-01)."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import json
import re
from pathlib import Path
from typing import Any

from his_server.compliance.frame import Evidence, NotRun, check
from his_server.compliance.target import Target

HOUSES = ("his_server", "crypto", "dialects", "modules", "interfaces", "demo")
FORBIDDEN_LICENCES = re.compile(r"\b(A?GPL)", re.I)
LESSER = re.compile(r"LGPL|Lesser", re.I)


@check("MP-19", "app", "command")
def manifest(target: Target, seen: Evidence) -> None:
    """The program's files agree with their signed list; an altered byte is found and stops the start."""
    assert target.app_dir is not None
    done = target.his("keys", "manifest", "verify")
    if done.code != 0 and ("没有" in done.out and "清单" in done.out):
        seen.see(False, "程序目录有签名清单", done.out[-160:])
        return
    seen.see(done.code == 0, "全部程序文件与签名清单相符", done.out[-160:])
    if not target.disturb:
        seen.lacks("改动一个文件（需 --allow-disturbing）")
        return
    victim = target.app_dir / "his_server" / "clock.py"
    before = victim.read_bytes()
    try:
        victim.write_bytes(before + b"\n# altered\n")
        altered = target.his("keys", "manifest", "verify")
    finally:
        victim.write_bytes(before)
    seen.see(altered.code != 0 and "clock.py" in altered.out, "改动一个程序文件即被指出", altered.out[-160:])
    again = target.his("keys", "manifest", "verify")
    seen.see(again.code == 0, "还原后相符", f"退出码 {again.code}")


def _sbom(target: Target) -> tuple[Path, dict[str, Any]]:
    assert target.app_dir is not None
    for folder in (target.app_dir, target.app_dir.parent, target.app_dir.parent / "share"):
        for path in sorted(folder.glob("*sbom*.json")) if folder.is_dir() else ():
            found: dict[str, Any] = json.loads(path.read_text("utf-8"))
            return path, found
    raise NotRun("程序目录中没有 SBOM（sbom.json）：不是由安装包安装的")


@check("XC-13", "app")
def bill_of_materials(target: Target, seen: Evidence) -> None:
    """The SBOM names exactly what is installed, with digests that are true."""
    path, document = _sbom(target)
    main = (document.get("metadata") or {}).get("component")  # CycloneDX keeps the program itself apart from its parts
    components = [*([main] if main else ()), *(document.get("components") or document.get("packages") or ())]
    listed = {_plain(str(one.get("name"))): str(one.get("version") or one.get("versionInfo") or "") for one in components}
    seen.see(components, "SBOM 列出组件", f"{path.name}，{len(components)} 个")
    there = {_plain(one.metadata["Name"]): one.version for one in importlib.metadata.distributions()}
    missing = sorted(name for name in there if name not in listed)
    seen.see(not missing, "实际安装的 Python 组件都在 SBOM 中", missing[:8] or f"{len(there)} 个")
    wrong = sorted(
        f"{name} {listed[name]}≠{version}" for name, version in there.items() if name in listed and listed[name] != version
    )
    seen.see(not wrong, "版本一致", wrong[:8] or "一致")
    unlicensed = sorted(
        str(one.get("name"))
        for one in components
        if not (one.get("licenses") or one.get("license") or one.get("licenseDeclared"))
    )
    seen.see(not unlicensed, "每个组件写明许可证", unlicensed[:8] or "全部写明", vital=False)
    told = next((one["content"] for one in (main or {}).get("hashes") or () if one.get("alg") == "SM3"), None)
    if told is None:
        seen.lacks("程序自身的 SM3 摘要：SBOM 中没有")
    else:
        assert target.app_dir is not None
        seen.see(told == tree_digest(target.app_dir), "程序自身的 SM3 摘要与磁盘上的文件一致", told[:16])


def tree_digest(folder: Path) -> str:
    """SM3 over names and digests of a folder's files, as the SBOM's maker forms it; without byte code and the lists."""
    total = hashlib.new("sm3")
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and path not in (folder / "manifest.json", folder / "sbom.json"):
            total.update(f"{path.relative_to(folder.parent)}\0{hashlib.new('sm3', path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


DANGEROUS = {
    "eval": "执行任意代码",
    "exec": "执行任意代码",
    "os.system": "调用外壳",
    "os.popen": "调用外壳",
    "pickle.load": "反序列化",
    "pickle.loads": "反序列化",
    "marshal.loads": "反序列化",
    "yaml.load": "反序列化",
    "tempfile.mktemp": "可抢占的临时文件",
    "Markup": "不转义的页面文本",
    "ssl._create_unverified_context": "不核验证书",
}
UNVERIFIED = re.compile(r"CERT_NONE|check_hostname\s*=\s*False|verify\s*=\s*False")
STATEMENT = re.compile(r"\s*(select|insert|update|delete|drop|alter)\b", re.I)
OWN = ("his_server/compliance/",)
"""The suite itself asks for broken handshakes."""
SQL_PLACES = ("dialects/", "his_server/db/migrations/")
"""Where statements are put together by design: from names of the models, never from what somebody typed."""


def weaknesses(path: str, text: str) -> list[str]:
    """What of a source an auditor would ask about: place and why."""
    found = [] if path.startswith(OWN) else [f"{path}: 不核验证书" for _ in UNVERIFIED.finditer(text)][:1]
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if name in DANGEROUS:
            found.append(f"{path}:{node.lineno} {name}（{DANGEROUS[name]}）")
        if any(one.arg == "shell" and isinstance(one.value, ast.Constant) and one.value.value for one in node.keywords):
            found.append(f"{path}:{node.lineno} shell=True")
        made = node.args[0] if node.args and name.rpartition(".")[2] in ("text", "execute", "exec_driver_sql") else None
        if isinstance(made, ast.JoinedStr) and made.values and not path.startswith(SQL_PLACES):
            first = made.values[0]
            if isinstance(first, ast.Constant) and STATEMENT.match(str(first.value)):
                found.append(f"{path}:{node.lineno} 拼接的 SQL")
    return found


@check("DB-22", "app")
def source_audit(target: Target, seen: Evidence) -> None:
    """A static look at the program's sources for what lets somebody in (GB/T 34944); known holes need an offline list."""
    assert target.app_dir is not None
    files, found = 0, []
    for house in HOUSES:
        for path in sorted((target.app_dir / house).rglob("*.py")):
            if "node_modules" not in path.parts:
                files += 1
                found += weaknesses(path.relative_to(target.app_dir).as_posix(), path.read_text("utf-8", "replace"))
    what = "源代码没有任意代码执行、外壳调用、反序列化、拼接 SQL、不核验证书"
    seen.see(files > 10 and not found, what, found[:6] or f"{files} 个文件")
    seen.lacks("已知漏洞比对与动态扫描：需要测评机构的离线漏洞库与 DAST 工具，组件清单见安装包 SBOM（XC-13）")


@check("XC-14")
def licences(target: Target, seen: Evidence) -> None:
    """No GPL or AGPL in the running environment's installed components, none without a licence."""
    needed = _needed("his-server")
    told = {name: _licence(name) for name in needed}
    seen.see(len(needed) > 10, "运行所需组件", f"{len(needed)} 个")
    bad = {name: text for name, text in told.items() if FORBIDDEN_LICENCES.search(text) and not LESSER.search(text)}
    seen.see(not bad, "没有 GPL、AGPL 组件", bad or "无")
    unknown = sorted(name for name, text in told.items() if not text)
    seen.see(not unknown, "每个组件都写明许可证", unknown or "全部写明")
    seen.lacks("源码出处与本地镜像由厂商出示")


def _needed(root: str) -> set[str]:
    found: set[str] = set()
    todo = [root]
    while todo:
        name = todo.pop()
        try:
            requirements = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for line in requirements:
            if "extra ==" in line:
                continue
            part = _plain(re.split(r"[\s\[;<>=!~(]", line, maxsplit=1)[0])
            if part not in found and _there(part):
                found.add(part)
                todo.append(part)
    return found


def _there(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _licence(name: str) -> str:
    about = importlib.metadata.metadata(name)
    classifiers = [line.rsplit("::", 1)[-1].strip() for line in about.get_all("Classifier") or () if line.startswith("License")]
    return about.get("License-Expression") or " / ".join(classifiers) or (about.get("License") or "").split("\n")[0][:80]


@check("RU-01", "http", "accounts")
def claims(target: Target, seen: Evidence) -> None:
    """One version everywhere; every entry of every menu opens a page; every permission of a menu exists."""
    told = {"接口文档": target.openapi["info"]["version"], "安装的组件": importlib.metadata.version("his-server")}
    if target.command is not None and (done := target.his("--version")).code == 0:
        told["命令"] = done.out.strip().split()[-1]
    seen.see(len(set(told.values())) == 1, "版本号处处一致", told)
    page = target.visitor().get("/")
    seen.see(page.status == 200 and b"<html" in page.body, "首页可打开", page.status)
    broken, entries = [], 0
    for role in target.roles:
        if role in target._signed_in or not target.roles[role]["second_factor"]:
            for section in target.staff(role).get("/api/session").json.get("menu", ()):
                for item in section["items"]:
                    entries += 1
                    if target.visitor().get(item["path"]).status != 200:
                        broken.append(item["path"])
    seen.see(entries and not broken, "各角色菜单的每一项都有页面", sorted(set(broken))[:5] or f"{entries} 项")
    seen.lacks("用户手册逐条对照由测评人员进行")
