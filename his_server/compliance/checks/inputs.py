"""What comes in: hostile input on every writing route, least data, rare characters (DB-21, 28; XC-10, 11; PR-13)."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib import resources
from typing import Any

from his_server.compliance.checks.access import NOBODY, address, broken
from his_server.compliance.client import Answer, Visitor
from his_server.compliance.frame import Evidence, NotRun, check
from his_server.compliance.target import ADMINISTRATORS, Target

LEAKS = re.compile(r"Traceback|File \"/|sqlalchemy|werkzeug|jinja2|psycopg|dmPython|line \d+, in ", re.I)
HOSTILE = (
    "' OR '1'='1' --",
    "1; DROP TABLE person",
    "<script>alert(1)</script>",
    "{{7*7}}${7*7}",
    "../../../../etc/passwd",
    "a\r\nX-Evil: 1",
    '=HYPERLINK("http://x")',
    "\x00",
    "𠮷" * 3000,
    "-1",
    "1e309",
    "NaN",
)
BODIES: dict[str, bytes] = {
    "不是 JSON": b"{nonsense",
    "空数组": b"[]",
    "数字": b"1e309",
    "NaN": b'{"amount": NaN}',
    "Infinity": b'{"quantity": Infinity}',
    "过深": b"[" * 3000 + b"]" * 3000,
    "负数与超大": b'{"quantity": "-1", "amount": "1e309", "id": -1}',
    "XML 实体": (b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>'),
    "无效 UTF-8": b'{"name": "\xff\xfe"}',
}
PROBES = "䶮㛃㼆𠮷𫖯𬭎𰻝"
"""GB 18030-2022: extension A, B, C, E and G; names that people have (COMPLIANCE 9.5)."""


def _writing(target: Target) -> Iterator[tuple[str, str, Visitor]]:
    """Every writing route with somebody who may call it."""
    for method, path, about in target.routes():
        permission = about["x-permission"]
        if method == "GET" or path.startswith(("/api/session", "/api/open/")) or permission == "public":
            continue
        holders = [code for code, role in target.roles.items() if permission in role["permissions"]] or ["cashier"]
        code = min(holders, key=lambda one: (one not in target._signed_in, target.roles[one]["second_factor"]))
        yield method, path, target.staff(code)


@check("DB-21", "http", "accounts")
def hostile_input(target: Target, seen: Evidence) -> None:
    """Wrong and hostile input on every writing route and every search: refused with a message, never a 500."""
    asked, wrong, leaks = 0, [], []

    def look(what: str, answer: Answer) -> None:
        nonlocal asked
        asked += 1
        if broken(answer):
            wrong.append(f"{what}: {answer.status} {answer.code}")
        if LEAKS.search(answer.text):
            leaks.append(what)

    for method, path, visitor in _writing(target):
        for what, body in BODIES.items():
            look(f"{method} {path} {what}", visitor.send(method, address(path), raw=body))
        fields = _fields(target, method, path)
        for value in HOSTILE:
            look(
                f"{method} {path} {value[:12]!r}",
                visitor.send(method, address(path), {**dict.fromkeys(fields, value), "nonsense": value}),
            )
    seen.see(asked > 500 and not wrong, "全部写接口 × 畸形与恶意内容：没有 5xx", wrong[:6] or f"{asked} 次")
    seen.see(not leaks, "回答中没有堆栈与内部信息", leaks[:5] or "无")
    clerk = target.whoever("patients.view")
    for value in HOSTILE[:9]:
        answer = clerk.get(f"/api/patients?q={value[:50]}")
        seen.see(
            answer.status < 500 and not LEAKS.search(answer.text) and len(answer.json.get("items") or []) < 5,
            f"检索 {value[:20]!r}",
            f"{answer.status} {len(answer.json.get('items') or [])} 人",
        )
    script = f"<script>{target.mark}</script>"
    person = target.another_patient(work_unit=script)
    answer = target.whoever("patients.view").get(f"/api/patients/{person}")
    typed = answer.header("content-type")
    seen.see(
        answer.json.get("work_unit") == script and "json" in typed and "nosniff" in answer.header("x-content-type-options"),
        "存入的脚本原样作为数据返回（JSON，nosniff），不成为页面",
        typed,
    )
    for what, values in (
        ("未来的出生日期", {"birth_date": "2099-01-01"}),
        ("不存在的日期", {"birth_date": "2001-02-30"}),
        ("过长的姓名", {"name": "王" * 101}),
        ("控制字符", {"name": "王\x07二"}),
        ("未知字段", {"salary": "1"}),
    ):
        answer = target.register(**values)
        seen.see(answer.status == 422 and answer.json.get("errors"), f"{what}被拒绝并指明字段", f"{answer.status} {answer.code}")
    big = target.whoever("patients.edit").send("POST", "/api/patients", raw=b'{"name": "' + b"x" * (5 << 20) + b'"}')
    seen.see(big.status in (400, 413, 422), "超大请求被拒绝", big.status)


def _fields(target: Target, method: str, path: str) -> list[str]:
    about = target.openapi["paths"][path][method.lower()].get("requestBody", {})
    schema = about.get("content", {}).get("application/json", {}).get("schema", {})
    name = schema.get("$ref", "").rpartition("/")[2]
    return list(target.openapi["components"]["schemas"].get(name, {}).get("properties", {}))


@check("DB-28", "http", "accounts")
def least_data(target: Target, seen: Evidence) -> None:
    """Only what is needed is asked for: the rest may be empty, stays empty, and nothing unknown is taken."""
    answer = target.register(sex="0")
    seen.see(answer.status == 201, "只填姓名即可建档", f"{answer.status} {answer.code}")
    person = answer.json.get("id", NOBODY)
    file = target.whoever("patients.view").get(f"/api/patients/{person}").good("打开")
    filled = {
        name: value
        for name, value in file.items()
        if value not in (None, "", [], False)
        and name not in ("id", "revision", "name", "sex", "outpatient_no", "created_at", "birth_date_known")
    }
    seen.see(not filled, "没有填的项目为空，不默认", filled or "全部为空")
    if target.tables is not None:
        row = target.db.rows("person", id=person)[0]
        defaults = {
            name: value
            for name, value in row.items()
            if value is not None
            and name
            in ("nationality", "ethnic", "marriage", "occupation", "home_region", "household_region", "id_type", "birth_date")
        }
        seen.see(not defaults, "库中为 NULL", defaults or "NULL")
    extra = target.register(blood="A")
    seen.see(extra.status == 422, "未声明的字段被拒绝", f"{extra.status} {extra.code}")
    _catalogued(target, seen)


def personal_data() -> dict[str, Any]:
    """The catalogue of what the product keeps of persons: columns, what for, on which ground, how long."""
    return tomllib.loads(resources.files("his_server.compliance").joinpath("personal.toml").read_text("utf-8"))


def _catalogued(target: Target, seen: Evidence) -> None:
    """Each column that holds something of a person stands in the catalogue with purpose and ground, and nothing else does."""
    told = personal_data()
    named = [one for item in told["item"] for one in item["columns"]]
    bare = [item["what"] for item in told["item"] if not (item["why"] and item["basis"] and item["kept"])]
    once = len(named) == len(set(named))
    seen.see(once and not bare, "个人信息目录逐字段写明目的、依据、保存期", bare or f"{len(named)} 个字段")
    seen.note("依据与保存期", "由产品提出，医院法务核对（his-server compliance personal-data 打印目录）")
    if target.tables is None:
        seen.lacks("目录与库中的列逐一核对（需 --database）")
        return
    there = {f"{table}.{column['name'].lower()}" for table, columns in target.db.columns.items() for column in columns}
    kept = {one for one in there if one.endswith("_sealed") or one.partition(".")[0] in told["whole"]}
    seen.see(kept <= set(named), "库中保存个人信息的列都在目录中", sorted(kept - set(named))[:8] or f"{len(kept)} 列")
    seen.see(set(named) <= there, "目录中没有库里不存在的列", sorted(set(named) - there)[:8] or "无")


@check("XC-10", "http", "accounts")
def rare_characters(target: Target, seen: Evidence) -> None:
    """Characters of GB 18030-2022 level 3 through form, database, search, mask and export, equal by code point."""
    name = PROBES[:5] + target.mark[-2:]
    answer = target.register(name=name)
    person = answer.good("以生僻字建档")["id"]
    clerk = target.whoever("patients.names")
    shown = clerk.get(f"/api/patients/{person}").good("打开").get("name")
    seen.see(shown == name, "建档后原样显示", shown)
    if target.tables is not None:
        stored = target.db.rows("person", id=person)[0]["name"]
        seen.see(stored == name, "库中逐码位一致", [f"U+{ord(c):X}" for c in stored[:5]])
    for probe in (name, name[:2], PROBES[3]):
        found = [one["id"] for one in clerk.get(f"/api/patients?q={probe}").json.get("items", ())]
        seen.see(person in found, f"按姓名检索 {probe}", len(found), vital=len(probe) > 1)
    ordinary = next(
        (
            role
            for role, about in target.roles.items()
            if "patients.view" in about["permissions"]
            and "patients.names" not in about["permissions"]
            and role not in ADMINISTRATORS
        ),
        "",
    )
    if ordinary:
        masked = str(target.staff(ordinary).get(f"/api/patients/{person}").json.get("name"))
        seen.see(
            masked[:1] == name[0]
            and "*" in masked
            and "\ufffd" not in masked
            and not any(0xD800 <= ord(c) < 0xE000 for c in masked),
            "脱敏按码位，不截断代理对",
            masked,
        )
    long = target.register(name=PROBES[3] * 50)
    seen.see(long.status == 201, "50 个扩展 B 区汉字的姓名", f"{long.status} {long.code}")
    from his_server.reporting import glyph_missing

    lacking = glyph_missing(PROBES)
    seen.see(not lacking, "打印字体含全部探针字", lacking or PROBES, vital=False)
    seen.lacks("纸面字形与各外部接口报文（由测评人员看样张）")


@check("XC-11", "http", "accounts")
def encoding_traps(target: Target, seen: Evidence) -> None:
    """Private-use code points, bidirectional controls and lone surrogates are refused; what passes isn't changed to ``?``."""
    clerk = target.whoever("patients.edit")
    for what, bad in (
        ("PUA U+E81E", "王\ue81e"),
        ("双向控制 U+202E", "王\u202e二"),
        ("零宽 U+200B", "王\u200b二"),
        ("替换符 U+FFFD", "王\ufffd"),
        ("制表符", "王\t二"),
    ):
        answer = target.register(name=bad)
        seen.see(
            answer.status == 422,
            f"姓名含 {what}：拒绝",
            f"{answer.status} {answer.code}",
            vital="U+E81E" in what or "202E" in what,
        )
    answer = clerk.send("POST", "/api/patients", raw=b'{"name": "\\ud842", "sex": "1", "confirmed": true}')
    seen.see(answer.status == 422, "单个代理项：拒绝", f"{answer.status} {answer.code}")
    legacy = clerk.send("POST", "/api/patients", raw='{"name": "王二", "sex": "1"}'.encode("gb18030"))
    seen.see(legacy.status in (400, 422), "GB18030 字节当作 UTF-8 提交：拒绝而不是乱码", f"{legacy.status} {legacy.code}")
    person = target.another_patient(name="龴·阿不都")
    shown = target.whoever("patients.names").get(f"/api/patients/{person}").json.get("name")
    seen.see(shown == "龴·阿不都", "U+9FB4 与间隔号原样保留", shown)


@check("PR-13", "app")
def partners(target: Target, seen: Evidence) -> None:
    """Each outside interface names its owner, its direction and the sensitive fields that it needs."""
    import tomllib

    assert target.app_dir is not None
    files = sorted((target.app_dir / "interfaces").glob("*/manifest.toml"))
    if not files:
        raise NotRun("程序目录中没有接口清单")
    for path in files:
        about: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
        flat = {**about, **about.get("interface", {})}
        seen.see(
            flat.get("direction") and (flat.get("owner") or flat.get("name")),
            f"接口 {path.parent.name} 写明方向与责任方",
            {k: flat.get(k) for k in ("id", "owner", "direction")},
            vital=False,
        )
        listed = flat.get("sensitive")
        inside = (
            [word for word in ("person", "patient", "id_no") if word in path.with_name("contract.py").read_text("utf-8")]
            if (path.with_name("contract.py").exists())
            else []
        )
        seen.see(
            listed is not None or not inside,
            f"接口 {path.parent.name} 列明所用敏感字段",
            listed or f"未列，契约中有 {inside}",
            vital=listed is None and "simulator" not in path.parent.name,
        )
    seen.lacks("真实报文与清单逐字段比对（须各外部系统在线）")
