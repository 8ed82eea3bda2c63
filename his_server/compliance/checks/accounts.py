"""Accounts: names, passwords, defaults, ends, second factors, three administrators (DB-01, 02, 03, 08, 11, 12, 13; PR-05)."""

from __future__ import annotations

from datetime import date, timedelta

from his_server.compliance.client import Account, Answer, Visitor
from his_server.compliance.frame import Evidence, check
from his_server.compliance.target import ADMINISTRATORS, TEMPORARY, Target

DEFAULTS = (
    ("admin", "admin"),
    ("admin", "123456"),
    ("root", "root"),
    ("administrator", "Administrator1!"),
    ("SYSDBA", "SYSDBA"),
    ("SYSAUDITOR", "SYSAUDITOR"),
    ("his", "his"),
    ("sysadmin", "sysadmin"),
    ("sysadmin", "Sysadmin1"),
    ("secadmin", "secadmin"),
    ("auditadmin", "auditadmin"),
    ("test", "test"),
    ("guest", "guest"),
)
DEMO = "Haohe#Demo6"
WEAK = {
    "纯数字": "12345678",
    "两类字符": "abcdefgh1",
    "过短": "Aa1#xyz",
    "常见词": "P@ssw0rd123",
    "键盘序列": "Qwertyuiop1!",
    "重复": "Aa1!Aa1!Aa1!",
}


def attempt(target: Target, login: str, password: str) -> Answer:
    """Ask for an account; what was made is ended like all others."""
    boss = target.admin("sysadmin")
    answer = boss.post("/api/security/users", {"login": login, "name": "合规测试", **boss.sealed(password=password)})
    if answer.status == 201:
        target.made.append(Account(login, password, id=answer.json["id"]))
    return answer


@check("DB-01", "http", "accounts")
def unique_names(target: Target, seen: Evidence) -> None:
    """One name, one person: letter case, width, blanks and former owners don't make another."""
    first = target.new_account()
    name = first.login
    wide = "".join(chr(ord(c) + 0xFEE0) if 0x21 <= ord(c) <= 0x7E else c for c in name)
    for what, other in (("同名", name), ("大写", name.upper()), ("前导空格", f" {name}"), ("全角", wide)):
        answer = attempt(target, other, target.password())
        seen.see(answer.status == 409, f"{what}登录名再建账户应被拒绝", f"{answer.status} {answer.code}")
    target.admin("sysadmin").put(
        f"/api/security/users/{first.id}", {"name": "合规测试", "department_id": None, "valid_until": None, "active": False}
    ).good("停用账户")
    again = attempt(target, name, target.password())
    seen.see(again.status == 409, "停用后的登录名不得再次使用", f"{again.status} {again.code}")
    if target.tables is not None:
        seen.see(
            target.db.count("security_user", login_key=name) == 1,
            "库中该登录名只有一行",
            target.db.count("security_user", login_key=name),
        )


@check("DB-02", "http", "accounts")
def password_quality(target: Target, seen: Evidence) -> None:
    """Weak passwords are refused wherever one is set; the last five don't come back; administrators need ten."""
    for what, password in {**WEAK, "含登录名": f"{target.mark}-weakA1!"}.items():
        login = f"{target.mark}-weak" if what == "含登录名" else f"{target.mark}w{len(seen.seen)}"
        answer = attempt(target, login, password)
        seen.see(answer.status == 422, f"建账户时拒绝弱口令（{what}）", f"{answer.status} {answer.code}")
    who = target.new_account()
    boss = target.admin("sysadmin")
    reset = boss.post(f"/api/security/users/{who.id}/password", boss.sealed(password="12345678"))
    seen.see(reset.status == 422, "管理员重置口令时拒绝弱口令", f"{reset.status} {reset.code}")
    browser = target.visitor()
    first = who.password
    browser.sign_in(who, target.password())
    weak = browser.new_password(who.password, "Abcdefgh")
    seen.see(weak.status == 422, "本人修改时拒绝弱口令", f"{weak.status} {weak.code}")
    used = [first, who.password]
    for _ in range(3):
        new = target.password()
        browser.new_password(who.password, new).good("修改口令")
        who.password = new
        used.append(new)
    for back, old in enumerate(reversed(used[:-1]), 1):
        answer = browser.new_password(who.password, old)
        seen.see(answer.status == 422, f"不得使用第前 {back} 次的口令", f"{answer.status} {answer.code}")
    short = "Aa1#xyzQ9"
    admin = target.new_account("sysadmin")
    answer = boss.post(f"/api/security/users/{admin.id}/password", boss.sealed(password=short))
    seen.see(answer.status == 422, "管理员口令少于 10 位被拒绝", f"{answer.status} {answer.code}")


@check("DB-03", "http", "accounts", "database", "disturb")
def password_age(target: Target, seen: Evidence) -> None:
    """A first password opens nothing; a password of 91 days doesn't either."""
    who = target.new_account("cashier")
    answer = target.visitor().enter(who.login, who.password)
    seen.see(answer.json.get("must_change_password") is True and "csrf" not in answer.json, "首次登录必须先改口令", answer.code)
    browser = target.visitor().sign_in(who, target.password())
    seen.see(browser.get("/api/masterdata/departments").status == 200, "改后可以使用", 200)
    row = target.db.rows("security_user", id=who.id)[0]
    old = row["password_changed_at"]
    past = old - timedelta(days=91) if not isinstance(old, str) else str(int(old[:4]) - 1) + old[4:]
    with target.db.altered("security_user", {"id": who.id}, password_changed_at=past):
        refused = browser.get("/api/masterdata/departments")
        again = target.visitor().enter(who.login, who.password)
    seen.see(refused.status == 403, "口令超过 90 天：其他接口一律拒绝", f"{refused.status} {refused.code}")
    seen.see(again.json.get("must_change_password") is True, "口令超过 90 天：登录须先改口令", again.code)


@check("DB-08", "http", "accounts")
def second_factor(target: Target, seen: Evidence) -> None:
    """Administrators and approvers don't get in with a password alone; a code works once and for its owner."""
    for role in sorted({code for code, one in target.roles.items() if one["second_factor"]} - set(ADMINISTRATORS[1:])):
        who = target.new_account()
        target.admin("secadmin").put(f"/api/security/users/{who.id}/grants", {"grants": [{"role": role}]}).good("授权")
        answer = target.visitor().enter(who.login, who.password)
        alone = answer.status == 200 and not answer.json.get("second_factor")
        seen.see(not alone, f"角色 {role} 未登记第二因素时只凭口令不得登录", f"{answer.status} {answer.code}")
    who = target.new_account("finance" if "finance" in target.roles else "cashier")
    if not who.totp:
        target.enrol(who)
    other = target.new_account()
    target.enrol(other)
    first = target.visitor().enter(who.login, who.password)
    if not seen.see(first.json.get("second_factor") is True, "登记后登录要求第二步", f"{first.status} {first.code}"):
        return
    ticket = first.json["ticket"]
    foreign = target.visitor().second_step(ticket, other.code())
    seen.see(foreign.status == 401, "他人的动态口令无效", f"{foreign.status} {foreign.code}")
    code = who.code()
    good = target.visitor().second_step(ticket, code)
    seen.see(good.status == 200, "本人的动态口令有效", f"{good.status} {good.code}")
    replay = target.visitor()
    again = replay.enter(who.login, who.password)
    answer = replay.second_step(again.json.get("ticket", "none"), code)
    seen.see(answer.status == 401, "同一动态口令重放无效", f"{answer.status} {answer.code}")
    for name in ("sysadmin", "auditadmin"):
        answer = target.admin(name).send("DELETE", f"/api/security/users/{who.id}/factors")
        seen.see(answer.status == 403, f"{name} 不能解除第二因素（只有安全管理员）", f"{answer.status} {answer.code}")
    if not target.accounts["secadmin"].totp:
        seen.lacks("管理员账户文件中没有动态口令种子：被测环境的三名管理员没有登记第二因素（演示环境如此）")


@check("DB-11", "http")
def no_defaults(target: Target, seen: Evidence) -> None:
    """No account or password that comes with the product opens anything."""
    opened = [login for login, password in DEFAULTS if target.visitor().enter(login, password).status == 200]
    seen.see(not opened, f"{len(DEFAULTS)} 组常见默认账户口令均被拒绝", opened or "全部拒绝")
    demo = [login for login in ("cashier01", "doctor01", *ADMINISTRATORS) if target.visitor().enter(login, DEMO).status == 200]
    seen.see(not demo, "演示口令打不开任何账户（装有演示数据的环境不符合此项）", demo or "全部拒绝")
    if target.tables is not None:
        open_doors = [row["login"] for row in target.db.rows("security_user") if "$" not in (row["password"] or "")]
        seen.see(not open_doors, "库中没有无口令摘要的账户", open_doors or "无")


@check("DB-12", "http", "accounts")
def expired_accounts(target: Target, seen: Evidence) -> None:
    """After its last day an account is shut; unused ones are listed; one staff member, one account."""
    who = target.new_account("cashier")
    browser = target.visitor().sign_in(who, target.password())
    boss = target.admin("sysadmin")
    boss.put(
        f"/api/security/users/{who.id}",
        {
            "name": "合规测试",
            "department_id": None,
            "active": True,
            "valid_until": (date.today() - timedelta(days=2)).isoformat(),
        },
    ).good("设置有效期")
    seen.see(browser.get("/api/session").status == 401, "过期账户的会话立即失效", browser.get("/api/session").status)
    answer = target.visitor().enter(who.login, who.password)
    seen.see(answer.status == 401, "过期账户不能登录", f"{answer.status} {answer.code}")
    unused = boss.get("/api/security/users?unused_days=90")
    seen.see(unused.status == 200 and "items" in unused.json, "可列出 90 天未用的账户", unused.status)
    bound = next((one for one in boss.get("/api/security/users?limit=100").json.get("items", ()) if one.get("staff_id")), None)
    if bound is None:
        seen.lacks("没有绑定人员的账户可供验证“一人一账户”")
        return
    body = {
        "login": f"{target.mark}-twin",
        "name": "合规测试",
        "staff_id": bound["staff_id"],
        **boss.sealed(password=target.password()),
    }
    twin = boss.post("/api/security/users", body)
    if twin.status == 201:
        target.made.append(Account(body["login"], "", id=twin.json["id"]))
    seen.see(twin.status == 409, "同一人员不能有第二个账户", f"{twin.status} {twin.code}")


@check("DB-13", "http", "accounts")
def three_powers(target: Target, seen: Evidence) -> None:
    """Nobody of the three can do another's work or the hospital's, and nobody can hold two of the three."""
    who = target.new_account()
    grants = {"grants": [{"role": "cashier"}]}
    tries: list[tuple[str, Visitor, str, str, object]] = [
        ("系统管理员授权", target.admin("sysadmin"), "PUT", f"/api/security/users/{who.id}/grants", grants),
        ("系统管理员读审计", target.admin("sysadmin"), "GET", "/api/audit", None),
        ("安全管理员建账户", target.admin("secadmin"), "POST", "/api/security/users", {"login": "x", "name": "x"}),
        ("安全管理员读审计", target.admin("secadmin"), "GET", "/api/audit", None),
        ("审计管理员授权", target.admin("auditadmin"), "PUT", f"/api/security/users/{who.id}/grants", grants),
        ("审计管理员建账户", target.admin("auditadmin"), "POST", "/api/security/users", {"login": "x", "name": "x"}),
    ]
    for name in ADMINISTRATORS:
        tries += [
            (f"{name} 查病人", target.admin(name), "GET", "/api/patients?q=x", None),
            (f"{name} 查收费", target.admin(name), "GET", "/api/outpatient-billing/settlements", None),
            (f"{name} 查库存", target.admin(name), "GET", "/api/stock/stores", None),
        ]
    for what, visitor, method, path, body in tries:
        answer = visitor.send(method, path, body)
        seen.see(answer.status == 403, f"{what}应被拒绝", f"{answer.status} {answer.code}")
    keeper = target.admin("secadmin")
    for first, second in (("sysadmin", "secadmin"), ("secadmin", "auditadmin"), ("auditadmin", "cashier")):
        answer = keeper.put(f"/api/security/users/{who.id}/grants", {"grants": [{"role": first}, {"role": second}]})
        seen.see(answer.status in (403, 409, 422), f"不得同时授予 {first} 与 {second}", f"{answer.status} {answer.code}")
    own = keeper.get("/api/session").good("读取会话")["user"]["id"]
    answer = keeper.put(f"/api/security/users/{own}/grants", {"grants": [{"role": "secadmin"}, {"role": "cashier"}]})
    seen.see(answer.status in (403, 409, 422), "安全管理员不能给自己授权", f"{answer.status} {answer.code}")
    auditors = [
        one
        for one in target.admin("sysadmin").get("/api/security/users?role=auditadmin&limit=100").json.get("items", ())
        if one.get("state") == "active"
    ]
    if len(auditors) == 1:
        answer = target.admin("sysadmin").put(
            f"/api/security/users/{auditors[0]['id']}",
            {"name": auditors[0]["name"], "department_id": None, "valid_until": None, "active": False},
        )
        seen.see(answer.status == 409, "最后一名审计管理员不能停用", f"{answer.status} {answer.code}")
    else:
        seen.lacks(f"有 {len(auditors)} 名审计管理员，没有验证“最后一名不可停用”")
    if target.tables is None or target.db.dialect == "dm":
        seen.lacks("数据库侧的三权（SYSDBA、SYSSSO、SYSAUDITOR）由数据库管理员出示")
    else:
        seen.note("数据库侧的三权", f"{target.db.dialect} 没有分立的系统账户（达梦才有），数据库另行测评")


@check("PR-05", "http", "accounts")
def temporary_people(target: Target, seen: Evidence) -> None:
    """Interns, trainees and vendors have an end, within a year."""
    keeper = target.admin("secadmin")
    for role in TEMPORARY:
        endless = target.new_account()
        answer = keeper.put(f"/api/security/users/{endless.id}/grants", {"grants": [{"role": role}, {"role": "nurse"}]})
        seen.see(answer.status in (409, 422), f"没有截止日期的账户不能授予 {role}", f"{answer.status} {answer.code}")
    far = target.new_account(until=date.today() + timedelta(days=800))
    answer = keeper.put(f"/api/security/users/{far.id}/grants", {"grants": [{"role": "intern"}]})
    seen.see(answer.status in (409, 422), "截止日期超过一年的被拒绝", f"{answer.status} {answer.code}")
    who = target.new_account("intern", "nurse")
    boss = target.admin("sysadmin")
    browser = target.visitor().sign_in(who, target.password())
    change = {"name": "合规测试", "department_id": None, "active": True}
    endless = boss.put(f"/api/security/users/{who.id}", {**change, "valid_until": None})
    seen.see(endless.status == 422, "实习账户不能取消截止日期", f"{endless.status} {endless.code}")
    boss.put(f"/api/security/users/{who.id}", {**change, "valid_until": (date.today() - timedelta(days=2)).isoformat()}).good(
        "到期"
    )
    seen.see(browser.get("/api/session").status == 401, "到期后立即不能访问", browser.get("/api/session").status)
