"""Signing in and sessions: lockout under 50 threads, idle time, hygiene, residue (DB-04, 05, 06, 27; MP-05, MP-11)."""

from __future__ import annotations

import json
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

from crypto import get_provider, pem
from crypto.ca import CertificateAuthority
from his_server.compliance.client import Visitor
from his_server.compliance.frame import Evidence, check
from his_server.compliance.target import Target

THREADS, GUESSES = 50, 5


def refused_rows(target: Target, user_id: int) -> int:
    """Refused attempts on an account in the audit trail."""
    return target.db.count("security_audit", event="session.refused", user_id=user_id)


@check("DB-04", "http", "accounts")
def lockout(target: Target, seen: Evidence) -> None:
    """Five wrong guesses lock an account, also when fifty come at once; refusals tell nothing apart."""
    who = target.new_account("cashier")
    target.visitor().sign_in(who, target.password())
    visitors = [target.visitor() for _ in range(THREADS)]
    bodies = [{"login": who.login, **visitor.sealed(password=f"Wrong{n}+word")} for n, visitor in enumerate(visitors)]
    gate = threading.Barrier(THREADS)

    def guess(n: int) -> int:
        gate.wait(60)
        return visitors[n].post("/api/session", bodies[n]).status

    with ThreadPoolExecutor(THREADS) as pool:
        statuses = list(pool.map(guess, range(THREADS)))
    seen.see(statuses == [401] * THREADS, f"{THREADS} 线程同时猜口令均被拒绝", sorted(set(statuses)))
    right = target.visitor().enter(who.login, who.password)
    seen.see(right.status == 401, "锁定后正确口令也不能登录", f"{right.status} {right.code}")
    if target.tables is not None:
        row = target.db.rows("security_user", id=who.id)[0]
        seen.see(
            row["failures"] == GUESSES and row["locked_until"] is not None,
            f"并发下计数恰为 {GUESSES} 并锁定",
            f"failures={row['failures']} locked_until={row['locked_until']}",
        )
        seen.see(refused_rows(target, who.id) >= THREADS + 1, "每次失败都有审计记录", refused_rows(target, who.id))
    unknown, wrong = target.visitor().enter(f"{target.mark}-none", "Wrong1+word"), right
    told = [{k: v for k, v in one.json.items() if k != "trace_id"} for one in (unknown, wrong)]
    seen.see(told[0] == told[1] and unknown.status == 401, "不存在的账户与锁定账户的回答相同（不可枚举）", unknown.code)
    boss = target.admin("sysadmin")
    boss.post(f"/api/security/users/{who.id}/unlock").good("解锁")
    after = target.visitor().enter(who.login, who.password)
    seen.see(after.status == 200, "系统管理员解锁后可以登录", f"{after.status} {after.code}")
    if target.tables is not None:
        seen.see(
            target.db.count("security_audit", event="user.unlock", object_id=str(who.id)) >= 1, "解锁有审计", "security_audit"
        )


@check("DB-05", "http", "accounts", "database", "disturb")
def idle(target: Target, seen: Evidence) -> None:
    """After the idle limit the session is gone on the server; polling in the background doesn't prolong it."""
    browser = target.fresh("cashier")
    limit = int(browser.get("/api/session").good("读取会话")["idle_seconds"])
    seen.see(limit <= 1800, "空闲时限不超过 30 分钟", f"{limit} 秒")
    assert browser.account is not None

    def last() -> dict[str, object]:
        rows = target.db.rows("security_session", user_id=browser.account.id, stage="active")  # type: ignore[union-attr]
        return rows[0] if rows else {}

    def set_back(seconds: int) -> object:
        row = last()
        at = row["last_seen_at"]
        moment = datetime.fromisoformat(at) if isinstance(at, str) else at
        back = moment - timedelta(seconds=seconds)  # type: ignore[operator]
        value = back.isoformat(" ", timespec="microseconds") if isinstance(at, str) else back
        target.db.change("security_session", {"id": row["id"]}, last_seen_at=value)
        return value

    set_back(limit // 2)
    before = last()["last_seen_at"]
    browser.get("/api/preferences", headers={"X-Background": "1"})
    seen.see(last().get("last_seen_at") == before, "后台轮询不延长会话", "last_seen_at 未变")
    browser.get("/api/preferences")
    seen.see(last().get("last_seen_at") != before, "人的操作延长会话", "last_seen_at 已更新")
    set_back(limit + 120)
    answer = browser.get("/api/preferences")
    seen.see(answer.status == 401, "超时后请求被拒绝", f"{answer.status} {answer.code}")
    seen.see(not last(), "超时后服务端会话记录已删除", "security_session 无此会话" if not last() else "仍在")


@check("DB-06", "http", "accounts")
def hygiene(target: Target, seen: Evidence) -> None:
    """Sign-out ends a session; a new password ends the others; no fixation; cookie attributes; no token in addresses."""
    browser = target.fresh("cashier")
    assert browser.account is not None
    attributes = browser.set_cookie.lower()
    for word in ("httponly", "samesite=strict", "path=/"):
        seen.see(word in attributes, f"会话 Cookie 带 {word}", browser.set_cookie.split(";", 1)[-1])
    secure = "; secure" in attributes
    seen.see(
        secure,
        "会话 Cookie 带 Secure（生产环境必须）",
        browser.set_cookie.split(";", 1)[-1],
        vital=target.base.startswith("https"),
    )
    other = target.visitor().sign_in(browser.account)
    seen.see(other.get("/api/session").status == 200, "同一账户可有第二个会话", 200)
    new = target.password()
    browser.new_password(browser.account.password, new).good("修改口令")
    browser.account.password = new
    seen.see(other.get("/api/session").status == 401, "改口令后其他会话失效", other.get("/api/session").status)
    planted = Visitor(target.send, cookies=dict(browser.cookies))
    before = dict(planted.cookies)
    planted.sign_in(browser.account)
    seen.see(planted.cookies != before, "登录后换发新的会话标识（不可固定）", "Cookie 已更换")
    seen.see(browser.get("/api/session").status == 401, "登录前浏览器里的旧会话随即失效", browser.get("/api/session").status)
    stolen = Visitor(target.send, cookies=dict(planted.cookies), csrf=planted.csrf)
    gone = planted.send("DELETE", "/api/session")
    seen.see(gone.status == 204, "可以退出", gone.status)
    seen.see(stolen.get("/api/session").status == 401, "退出后原 Cookie 失效", stolen.get("/api/session").status)
    alive = target.fresh("cashier")
    value = next(iter(alive.cookies.values()))
    forged = alive.post("/api/preferences", {}, headers={"X-CSRF-Token": "00" * 32})
    put = alive.send("PUT", "/api/preferences/x", {"value": 1}, headers={"X-CSRF-Token": "00" * 32})
    seen.see(put.status == 403, "没有正确 CSRF 令牌的写请求被拒绝", f"{put.status} {put.code}")
    foreign = alive.send("PUT", "/api/preferences/x", {"value": 1}, headers={"Origin": "https://evil.example"})
    seen.see(foreign.status == 403, "来自其他网站的写请求被拒绝", f"{foreign.status} {foreign.code}")
    shown = alive.get("/api/session").text + forged.text
    seen.see(value not in shown and value not in alive.get("/api/openapi.json").text, "会话标识不出现在内容和地址中", "未出现")
    if target.tables is not None:
        held = [
            place
            for place, cell in target.db.cells()
            if place.startswith("security_session.") and (cell == value or (isinstance(cell, str) and value in cell))
        ]
        seen.see(not held, "库中不存会话标识原文", held or "只存带密钥的摘要")


@check("DB-27", "http", "accounts")
def residue(target: Target, seen: Evidence) -> None:
    """Answers aren't kept by caches; after sign-out and disabling nothing of the session remains."""
    browser = target.fresh("cashier")
    assert browser.account is not None
    for path in ("/api/session", f"/api/patients?q={target.mark}", "/api/masterdata/departments"):
        answer = browser.get(path)
        seen.see("no-store" in answer.header("cache-control"), f"{path} 的回答不得缓存", answer.header("cache-control"))
    if target.tables is None:
        seen.lacks("库中残留（需 --database）")
        return
    user = browser.account.id
    seen.see(target.db.count("security_session", user_id=user) >= 1, "登录时服务端有会话", "有")
    browser.send("DELETE", "/api/session")
    seen.see(
        target.db.count("security_session", user_id=user) == 0,
        "退出后会话记录删除",
        target.db.count("security_session", user_id=user),
    )
    target.visitor().sign_in(browser.account)
    target.admin("sysadmin").put(
        f"/api/security/users/{user}", {"name": "合规测试", "department_id": None, "valid_until": None, "active": False}
    ).good("停用")
    seen.see(
        target.db.count("security_session", user_id=user) == 0,
        "停用账户后其会话全部删除",
        target.db.count("security_session", user_id=user),
    )
    seen.lacks("内存转储中的口令（须 gcore 与 root 权限，由测评人员现场执行）")


@check("MP-11", "http", "accounts")
def sealed_password(target: Target, seen: Evidence) -> None:
    """What a tap behind the TLS end sees of a sign-in: no password, nothing that works twice."""
    who = target.new_account("cashier")
    browser = target.visitor()
    body = {"login": who.login, **browser.sealed(password=who.password)}
    wire = json.dumps(body)
    seen.see(
        who.password not in wire and who.password.encode().hex() not in wire, "登录报文中没有口令原文", f"{len(wire)} 字节密文"
    )
    first, again = browser.post("/api/session", body), target.visitor().post("/api/session", body)
    seen.see(first.status == 200, "密文口令可以登录", f"{first.status} {first.code}")
    seen.see(again.status == 401, "截获的登录报文重放无效", f"{again.status} {again.code}")
    plain = target.visitor().post("/api/session", {"login": who.login, "password": who.password})
    seen.see(plain.status in (401, 422), "服务端不接受明文口令", f"{plain.status} {plain.code}")
    fields = target.openapi["components"]["schemas"].get("SignIn", {}).get("properties", {})
    seen.see(fields and "password" not in fields, "接口定义中没有明文口令字段", sorted(fields))
    challenges = {browser.get("/api/session/challenge").json["nonce"] for _ in range(20)}
    seen.see(
        len(challenges) == 20 and all(len(one) >= 32 for one in challenges), "随机数每次不同且不少于 128 位", len(challenges)
    )


@check("MP-05", "http", "accounts", "data", "disturb")
def certificates(target: Target, seen: Evidence) -> None:
    """An SM2 certificate signs a single-use challenge: replayed, foreign, expired and revoked ones are refused."""
    provider = get_provider("openssl")
    assert target.data_dir is not None
    trust = target.data_dir / "trust"
    made = not trust.exists()
    if made:
        trust.mkdir(mode=0o700)
        target.hand_over(trust)
    root_file, list_file = trust / f"{target.mark}.pem", trust / f"{target.mark}.crl"
    now = datetime.now(UTC)
    who = target.new_account("cashier")
    target.visitor().sign_in(who, target.password())
    with tempfile.TemporaryDirectory() as folder:
        authority = CertificateAuthority.create(Path(folder) / "ca", provider, {"CN": target.mark}, now - timedelta(days=9))
        (private, public), (foreign, other) = provider.sm2_generate(), provider.sm2_generate()

        def issue(key: bytes, at: datetime, days: int) -> tuple[str, int]:
            made = authority.issue({"CN": "合规测试"}, key, at, days)
            return pem.encode("CERTIFICATE", made.der), made.serial

        def prove(key: bytes, certificate: str) -> dict[str, str]:
            nonce = target.visitor().get("/api/session/challenge").json["nonce"]
            text = f"his-server sign-in\n{target.hospital_code}\n{who.login}\n{nonce}".encode()
            return {
                "login": who.login,
                "nonce": nonce,
                "certificate": certificate,
                "signature": provider.sm2_sign(key, text).hex(),
            }

        def refused(what: str, body: dict[str, str]) -> None:
            answer = target.visitor().post("/api/session/certificate", body)
            seen.see(answer.status == 401, f"{what}被拒绝", f"{answer.status} {answer.code}")

        own, serial = issue(public, now - timedelta(minutes=5), 1)
        bind = f"/api/security/users/{who.id}/certificate"
        try:
            root_file.write_text(pem.encode("CERTIFICATE", authority.certificate.der), "ascii")
            list_file.write_text((Path(folder) / "ca" / "crl.pem").read_text("ascii"), "ascii")
            for file in (root_file, list_file):
                target.hand_over(file)
            target.admin("secadmin").post(bind, {"certificate": own}).good("登记证书")
            body = prove(private, own)
            first = target.visitor().post("/api/session/certificate", body)
            seen.see(first.status == 200, "证书签名质询可以登录", f"{first.status} {first.code}")
            refused("同一签名重放", body)
            refused("他人私钥的签名", prove(foreign, own))
            refused("未登记的证书", prove(foreign, issue(other, now - timedelta(minutes=5), 1)[0]))
            past = target.admin("secadmin").post(bind, {"certificate": issue(public, now - timedelta(days=5), 1)[0]})
            seen.see(past.status == 422, "过期证书不能登记", f"{past.status} {past.code}")
            authority.revoke(serial, now)
            list_file.write_text((Path(folder) / "ca" / "crl.pem").read_text("ascii"), "ascii")
            target.admin("sysadmin").post(f"/api/security/users/{who.id}/unlock").good("解锁")
            refused("吊销的证书", prove(private, own))
        finally:
            root_file.unlink(missing_ok=True)
            list_file.unlink(missing_ok=True)
            if made:
                trust.rmdir()
    seen.lacks("真实 UKey（软证书只证明协议）")
