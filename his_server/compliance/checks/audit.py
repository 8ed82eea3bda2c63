"""The audit trail: what is in it, how long it stays, where it goes (DB-15, 16, 18, 31; RU-09)."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal

from his_server.compliance.checks.access import unmasked
from his_server.compliance.checks.exporting import exportable
from his_server.compliance.checks.journey import WINDOW, hand_out, patient, two_pharmacists, units
from his_server.compliance.checks.prescribing import catalogue_of
from his_server.compliance.client import Answer
from his_server.compliance.frame import Evidence, NotRun, check
from his_server.compliance.target import Target

COLUMNS = {
    "at": "时间",
    "zone": "时区",
    "user_id": "用户",
    "login": "登录名",
    "name": "姓名",
    "roles": "角色",
    "ip": "来源地址",
    "terminal": "终端",
    "event": "事件",
    "object_type": "对象类型",
    "object_id": "对象",
    "success": "成败",
    "trace_id": "追踪号",
    "detail": "内容",
}
RFC5424 = re.compile(r"<\d{1,3}>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S* \S+ \S+ \S+ \S+ ")


@check("DB-15", "http", "accounts", "database")
def coverage(target: Target, seen: Evidence) -> None:
    """One of each kind of action, done and refused: each leaves at least one row."""
    who = target.new_account("cashier")
    browser = target.visitor()
    editor, auditor, boss, keeper = (
        target.whoever("patients.edit"),
        target.admin("auditadmin"),
        target.admin("sysadmin"),
        target.admin("secadmin"),
    )
    person = target.another_patient()
    body = {
        "name": "合规测试",
        "department_id": None,
        "valid_until": (date.today() + timedelta(days=9)).isoformat(),
        "active": True,
    }
    revision = editor.get(f"/api/patients/{person}").good("打开")["revision"]
    spare = target.new_account()

    def signed_in() -> Answer:
        browser.sign_in(who, target.password())
        return browser.get("/api/session")

    actions: list[tuple[str, str, Callable[[], Answer]]] = [
        ("登录失败", "session.refused", lambda: target.visitor().enter(who.login, "Wrong1+word")),
        ("登录", "session.sign_in", signed_in),
        ("改口令", "user.password_change", lambda: browser.new_password(who.password, target.password())),
        (
            "建立账户",
            "user.create",
            lambda: boss.post(
                "/api/security/users",
                {"login": f"{target.mark}-a", "name": "合规测试", **boss.sealed(password=target.password())},
            ),
        ),
        ("修改账户", "user.change", lambda: boss.put(f"/api/security/users/{spare.id}", body)),
        ("授权", "grant.change", lambda: keeper.put(f"/api/security/users/{spare.id}/grants", {"grants": [{"role": "nurse"}]})),
        ("调阅病人", "patient.view", lambda: editor.get(f"/api/patients/{person}")),
        ("检索病人", "patient.search", lambda: editor.get(f"/api/patients?q={target.markers['phone']}")),
        ("修改病人", "patient.edit", lambda: editor.put(f"/api/patients/{person}", {"revision": revision, "work_unit": "甲"})),
        ("被拒的修改", "request.refused", lambda: editor.put(f"/api/patients/{person}", {"revision": 1, "work_unit": "乙"})),
        ("越权", "permission.denied", lambda: editor.get("/api/audit")),
        ("查询审计", "audit.query", lambda: auditor.get("/api/audit?limit=1")),
        ("退出", "session.sign_out", lambda: browser.send("DELETE", "/api/session")),
    ]
    for what, event, act in actions:
        before = target.db.count("security_audit", event=event)
        answer = act()
        after = target.db.count("security_audit", event=event)
        seen.see(after > before, f"{what}留有审计", f"{event} {before}→{after}（{answer.status}）")
    made = [row for row in target.db.rows("security_user", login_key=f"{target.mark}-a")]
    if made:
        boss.put(f"/api/security/users/{made[0]['id']}", {**body, "active": False})
    if target.disturb:
        try:
            _work(target)
        except NotRun as error:
            seen.note("没有当场办理收费、发药、调价、日结", error)
    for what, event in (
        ("收费", "charge.settle"),
        ("退费", "charge.refund"),
        ("调价", "price.change"),
        ("发药", "prescription.dispense"),
        ("日结", "shift.close"),
        ("导出报表", "report.xlsx"),
    ):
        if count := target.db.count("security_audit", event=event):
            seen.see(True, f"{what}留有审计", f"{event} {count} 条")
        else:
            seen.lacks(f"{what}（库中还没有这类业务）")


def _work(target: Target) -> None:
    """One of each of the hospital's business, as far as it can be done today."""
    pharmacists, clerk = two_pharmacists(target), target.whoever("masterdata.edit")
    with patient(target) as who:
        drug = next(iter(who.visit.drugs(1)))
        pack = Decimal(drug["pack_size"])
        hand_out(target, who.pay(who.order(drug, pack)).prescription, pharmacists).good("发药")
        bill = who.pay(who.order(drug, pack, check_reason="合规测试"))
        line = bill.settlement["lines"][0]
        who.refund(bill, line, units(line)).good("退费")
    priced = catalogue_of(target).drugs["慢病药"]
    price = {"price": "11", "valid_from": target.today, "reason": "合规测试"}
    clerk.post(f"/api/masterdata/drugs/{priced}/prices", price).good("调价")
    exportable(target)
    target.staff("cashier").post(f"{WINDOW}/shifts/close", {"counted_cash": None}).good("日结")


@check("DB-16", "http", "accounts", "database")
def content(target: Target, seen: Evidence) -> None:
    """Every row says who, when, whence, what and whether it worked, and holds neither a secret nor a whole number."""
    visitor = target.visitor()
    visitor.enter(f"{target.mark}-nobody", "Wrong1+word")
    known = {each["name"].lower(): each for each in target.db.columns["security_audit"]}
    for name, title in COLUMNS.items():
        seen.see(name in known, f"审计有{title}", name)
    width = getattr(known.get("ip", {}).get("type"), "length", 0) or 0
    seen.see(width >= 45, "来源地址列容得下 IPv6", width)
    target.whoever("patients.view").get(f"/api/patients?q={target.markers['id_no']}")
    rows = target.db.rows("security_audit", 500, newest=True)
    empty = [
        row["event"]
        for row in rows
        if not (row["at"] and row["zone"] and row["event"]) or (row["channel"] == "staff" and row["user_id"] and not row["ip"])
    ]
    seen.see(not empty, "时间、时区、事件、来源地址不缺", empty[:3] or f"{len(rows)} 条")
    text = str(rows[0]["at"])
    seen.see("." in text or isinstance(rows[0]["at"], datetime), "时间精确到毫秒以下", text)
    whole = [f"{row['event']}" for row in rows if unmasked(f"{row['detail']} {row['object_id']}")]
    seen.see(not whole, "审计内容没有完整证件号、手机号", whole[:5] or "0 条")
    secret = [row["event"] for row in rows if any(word in row["detail"] for word in target.secrets if len(word) >= 8)]
    seen.see(not secret, "审计内容没有口令", secret[:3] or "0 条")


@check("DB-18", "command")
def retention(target: Target, seen: Evidence) -> None:
    """Less than 180 days is refused, by the command and by the settings."""
    with target.workplace() as folder:
        done = target.his("audit", "archive", "--days", "30", "--folder", str(folder))
        seen.see(done.code != 0 and "180" in done.out, "归档保留期 30 天被拒绝", done.out[-160:])
        config = folder / "short.toml"
        config.write_text("[module.security]\naudit_days = 30\n", "utf-8")
        target.hand_over(config)
        done = target.his("audit", "archive", "--folder", str(folder), environment={"HIS_CONFIG": str(config)})
        seen.see(done.code != 0, "设置 audit_days = 30 被拒绝", done.out[-160:] or f"退出码 {done.code}", vital=False)
    seen.lacks("满 180 天的记录归档后在恢复环境中读出（须有半年前的数据；由 tests/security/test_audit.py 在注入时钟下证明）")


@check("DB-31", "http", "accounts", "command")
def central(target: Target, seen: Evidence) -> None:
    """The trail goes out as RFC 5424; the clock is kept."""
    done = target.his("audit", "syslog", "--after", "0")
    lines = [line for line in done.out.splitlines() if line.startswith("<")]
    wrong = [line[:80] for line in lines if not RFC5424.match(line)]
    seen.see(lines and not wrong, "审计可按 RFC 5424 输出", wrong[:2] or f"{len(lines)} 行")
    seen.see(not any(unmasked(line) for line in lines[:2000]), "外送内容没有完整证件号、手机号", "0 处")
    clock = target.admin("secadmin").get("/api/security/crypto").good("密码模块状态").get("clock", {})
    if clock.get("synchronised") is None:
        seen.lacks("本机不提供时钟同步状态")
    else:
        seen.see(clock["synchronised"], "主机时钟已同步，误差小于 1 秒", clock, vital=False)


@check("RU-09", "http", "accounts", "database")
def traceable(target: Target, seen: Evidence) -> None:
    """One trace id leads from the answer to the audit trail."""
    trace = f"{target.mark}trace0001"
    answer = target.whoever("patients.view").get(f"/api/patients/{target.another_patient()}", headers={"X-Request-ID": trace})
    seen.see(answer.header("x-request-id") == trace, "回答带回追踪号", answer.header("x-request-id"))
    rows = target.db.rows("security_audit", trace_id=trace)
    seen.see(len(rows) >= 1, "按追踪号一步查到审计记录", [row["event"] for row in rows])
    wrong = target.visitor().get("/api/patients/1")
    seen.see(wrong.json.get("trace_id"), "报错带追踪号与处理办法", wrong.json.get("message"))
