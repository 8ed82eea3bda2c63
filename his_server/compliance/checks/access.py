"""Who may call what: every route with every role from outside, other people's things, masking (DB-09, 10; PR-01)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from his_server.compliance.client import Answer, Visitor
from his_server.compliance.frame import Evidence, NotRun, check
from his_server.compliance.target import ADMINISTRATORS, TEMPORARY, Target, id_number

OPEN = ("public", "signed_in")
FREE = ("/healthz", "/readyz", "/")
"""Answered without a session, beside the declared routes: health and the pages."""
NOBODY = 999_999_999
ID_NUMBER = re.compile(
    r"(?<![0-9A-Za-z])[1-9]\d{5}(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dXx](?![0-9A-Za-z])"
)
MOBILE = re.compile(r"(?<![0-9A-Za-z.])1[3-9]\d{9}(?![0-9A-Za-z])")
BANK = re.compile(r"(?<![0-9A-Za-z.])62\d{14,17}(?![0-9A-Za-z])")


def address(path: str) -> str:
    """A declared path with keys that no row has."""
    return re.sub(r"\{(\w+)\}", lambda found: str(NOBODY) if found[1].endswith("id") else "x-none", path)


def ask(visitor: Visitor, method: str, path: str) -> Answer:
    """A request that the rules refuse even to those who may make it: nothing happens."""
    return visitor.send(method, address(path) + "?nonsense=1", None if method == "GET" else {"nonsense": [1]})


def broken(answer: Answer) -> bool:
    """Whether the product broke: 503 with a code of its own is an answer (a line that isn't there), any other 5xx isn't."""
    return answer.status >= 500 and not (answer.status == 503 and "." in answer.code)


@check("DB-09", "http", "accounts")
def matrix(target: Target, seen: Evidence) -> None:
    """Every declared route as nobody and as every role: refused exactly where the declaration says so."""
    declared = [(method, path, about["x-permission"]) for method, path, about in target.routes()]
    seen.see(len(declared) > 50, "接口文档列出全部接口", f"{len(declared)} 个")
    public = [path for _, path, permission in declared if permission == "public"]
    seen.see(
        all(path.startswith(("/api/session", "/api/open/")) for path in public),
        "免登录的只有登录与外部系统签名接口",
        sorted(set(public)),
    )
    nobody = target.visitor()
    wrong = [
        f"未登录 {method} {path} {status}"
        for method, path, permission in declared
        if permission != "public" and (status := ask(nobody, method, path).status) != 401
    ]
    seen.see(not wrong, "未登录调用全部接口均为 401", wrong[:5] or f"{len(declared) - len(public)} 个均为 401")
    asked, failures = 0, []
    for role, about in target.roles.items():
        if not about.get("active", True):
            continue
        try:
            visitor = target.staff(role)
        except NotRun as error:
            seen.lacks(f"角色 {role}：{error}")
            continue
        for method, path, permission in declared:
            if path == "/api/session" and method == "DELETE":
                continue
            answer = ask(visitor, method, path)
            asked += 1
            may = permission in OPEN or permission in about["permissions"]
            refused = answer.status == 403 and answer.code == "permission.denied"
            if refused is may or broken(answer) or (answer.status == 401 and permission != "public"):
                failures.append(f"{role} {method} {path}: {answer.status} {answer.code}")
    seen.see(not failures, "每个角色只能调用声明给它的接口", failures[:8] or f"{asked} 次调用全部与声明一致")
    undeclared = [
        path
        for path in ("/api/", "/api/admin", "/api/debug", "/admin", "/api/users", "/api/v1/patients", "/console")
        if target.visitor().get(path).status not in (401, 404) and path.startswith("/api/")
    ]
    seen.see(not undeclared, "猜测的未声明地址不存在", undeclared or "404")
    if target.app_dir is not None:
        strays = list(_strays(target))
        seen.see(not strays, "源码中没有绕过统一声明的接口", strays or "无")
    else:
        seen.lacks("源码中绕过声明的接口（需 --app-dir）")


ALLOWED_STRAYS = ("his_server/app.py", "his_server/web/serve.py", "his_server/http.py", "interfaces/hub/control.py")
"""Health and pages; the decorator itself; the page of the simulators' host, which the product doesn't serve."""


def _strays(target: Target) -> Iterator[str]:
    assert target.app_dir is not None
    for folder in ("his_server", "modules", "interfaces"):
        for path in (target.app_dir / folder).rglob("*.py"):
            name = path.relative_to(target.app_dir).as_posix()
            if (
                "node_modules" in name
                or "dev-mock" in name
                or name in ALLOWED_STRAYS
                or "/simulator" in name
                or "/compliance/" in name
            ):
                continue
            text = path.read_text("utf-8", "replace")
            if re.search(r"\.add_url_rule\(|\bBlueprint\(|@app\.(get|post|put|delete|route)\(", text):
                yield name


@check("DB-10", "http", "accounts")
def other_peoples_things(target: Target, seen: Evidence) -> None:
    """Changed keys, other people's reports and file names with ``..`` open nothing; trying leaves a trace."""
    cashier = target.staff("cashier")
    for path in ("/api/outpatient-billing/shifts/", "/api/outpatient-billing/settlements/", "/api/patients/"):
        answer = cashier.get(f"{path}{NOBODY}")
        seen.see(answer.status == 404, f"不存在的编号 {path}…", f"{answer.status} {answer.code}")
    for path in (
        "/..%2f..%2f..%2fetc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/static/../../keys/master.key",
        "/../var/keys/ring.json",
        "/assets/..%5c..%5cmaster.key",
    ):
        answer = target.visitor().get(path)
        leaked = b"root:" in answer.body or b'"entries"' in answer.body or b'"wrapped"' in answer.body
        seen.see(not leaked and answer.status < 500, f"路径穿越 {path}", answer.status)
    for name in ("../../etc/passwd", "x' OR '1'='1", "..%2f..%2fring"):
        answer = cashier.get(f"/api/reports/{quote(name, safe='%')}")
        seen.see(answer.status in (400, 403, 404, 422), f"报表名 {name}", f"{answer.status} {answer.code}")
    other = target.fresh("cashier")
    current = other.get("/api/outpatient-billing/shifts/current")
    seen.see(current.status in (200, 404, 409), "新收费员看不到他人的当班", f"{current.status} {current.code}")
    own = current.json.get("settlements") if isinstance(current.json, dict) else None
    seen.see(not own, "新收费员的当班没有他人的单据", own or "空")
    before = target.tables and target.db.count("security_audit", event="permission.denied")
    refused = cashier.get("/api/audit")
    seen.see(refused.status == 403, "收费员读审计被拒绝", f"{refused.status} {refused.code}")
    if target.tables is not None:
        after = target.db.count("security_audit", event="permission.denied")
        seen.see(after > (before or 0), "越权尝试留有审计", f"{before} → {after}")
    seen.lacks("病区之间（住院模块在后续版本）")


@check("PR-01", "http", "accounts")
def masked_everywhere(target: Target, seen: Evidence) -> None:
    """No list, search, report or queue shows a whole number to an ordinary role: masked by the server."""
    person, markers = target.patient, target.markers
    asked = 0
    hits: list[str] = []
    for role in target.roles:
        if role in (*ADMINISTRATORS, *TEMPORARY):
            continue
        try:
            visitor = target.staff(role)
        except NotRun as error:
            seen.lacks(f"角色 {role}：{error}")
            continue
        permissions = target.roles[role]["permissions"]
        for path in _reading(target, permissions, person, markers["id_no"]):
            answer = visitor.get(path)
            asked += 1
            if answer.status == 200 and (found := unmasked(answer.text)):
                hits.append(f"{role} {path.split('?')[0]}：{found}")
    seen.see(asked > 20, "以每个普通角色读取全部列表、查询、报表接口", f"{asked} 次")
    seen.see(not hits, "回答中没有未脱敏的身份证号、手机号、银行卡号", hits[:6] or "0 处")
    found = target.whoever("patients.view").get(f"/api/patients?q={markers['id_no']}").good("按证件号检索")["items"]
    shown = str(found[0].get("masked_id")) if found else ""
    seen.see(
        found and found[0]["id"] == person and "*" in shown and markers["id_no"] not in shown,
        "按完整证件号可检索，显示为脱敏值",
        shown,
    )
    file = target.whoever("patients.view").get(f"/api/patients/{person}").good("打开病人")
    text = str(file)
    leaks = [name for name, value in markers.items() if value in text and name != "allergies"]
    seen.see(not leaks, "病人档案中的证件、电话、住址均已脱敏", leaks or "均已脱敏")


def unmasked(text: str) -> list[str]:
    """What in a body looks like a whole number of a person, shortened for the report."""
    found = [one for one in ID_NUMBER.findall(text) if id_number(one[:17]) == one.upper()]
    return sorted({f"{one[:3]}…（{len(one)} 位）" for one in (*found, *MOBILE.findall(text), *BANK.findall(text))})


def _reading(target: Target, permissions: set[str], person: int, number: str) -> Iterator[str]:
    """Every GET that a role may make and that a machine can ask: without keys, what must be given filled in."""
    values: dict[str, Any] = {"q": number, "person_id": person, "date": "2026-01-01", "on": "2026-01-01"}
    for method, path, about in target.routes():
        if (
            method != "GET"
            or about["x-permission"] not in (*permissions, "signed_in")
            or "{" in path
            or path.startswith("/api/live")
        ):
            continue
        given = {
            one["name"]: values.get(one["name"])
            for one in about["parameters"]
            if one["in"] == "query" and (one.get("required") or one["name"] in values)
        }
        yield path + ("?" + "&".join(f"{k}={quote(str(v))}" for k, v in given.items() if v is not None) if given else "")
    if {"patients.view"} & permissions:
        yield from (f"/api/patients/{person}{part}" for part in ("", "/timeline", "/identifiers", "/merges"))
