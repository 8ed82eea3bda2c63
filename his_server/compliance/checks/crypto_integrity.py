"""What a database administrator does behind the product's back is found (MP-07, 08, 14, 15; DB-17, 19).

Only with ``--allow-disturbing``: rows are changed by SQL, looked for, and put back.
"""

from __future__ import annotations

import base64
import contextlib
import json
import sqlite3
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from dialects.assessing import renamed
from his_server.compliance.checks.journey import examined, patient
from his_server.compliance.client import Visitor
from his_server.compliance.frame import Evidence, NotRun, check
from his_server.compliance.peers import until
from his_server.compliance.tables import Row
from his_server.compliance.target import Account, Target

GRANTS = "security_user_role"
SEALED = 60
"""Within so many seconds the worker has sealed the first audit rows of a new product."""
FORGED = 5
"""Fields of one signed document that are altered in turn."""


def _mine(target: Target) -> tuple[str, Visitor, Account]:
    """A role of the suite's own, and somebody who holds it: what is tampered with concerns nobody else."""
    role = f"{target.mark}-role"
    target.admin("secadmin").put(f"/api/security/roles/{role}", {"title": "合规测试", "permissions": ["masterdata.view"]}).good(
        "建立测试角色"
    )
    account = target.new_account()
    target.admin("secadmin").put(f"/api/security/users/{account.id}/grants", {"grants": [{"role": role}]}).good("授权")
    return role, target.visitor().sign_in(account, target.password()), account


def _refused(target: Target, visitor: Visitor, seen: Evidence, what: str) -> None:
    before = target.db.count("security_audit", event="integrity.violation")
    answer = visitor.get("/api/masterdata/departments")
    after = target.db.count("security_audit", event="integrity.violation")
    seen.see(
        answer.status == 403 and answer.code == "integrity.violation" and after > before,
        f"{what}：请求被拒绝并有安全事件",
        f"{answer.status} {answer.code}，安全事件 {before}→{after}",
    )


@check("MP-07", "http", "accounts", "database", "disturb")
def access_control(target: Target, seen: Evidence) -> None:
    """Permissions altered, planted, deleted, exchanged or put back by SQL open nothing and are seen."""
    code, visitor, account = _mine(target)
    db = target.db
    role = db.rows("security_role", code=code)[0]
    seen.see(visitor.get("/api/masterdata/drugs?q=a").status == 200, "未改动时可以使用", 200)
    with db.altered("security_role", {"id": role["id"]}, permissions="masterdata.edit masterdata.view"):
        _refused(target, visitor, seen, "改角色权限")
    grant = db.rows(GRANTS, user_id=account.id)[0]
    other = db.rows("security_role", code="finance") or db.rows("security_role", code="cashier")
    with db.added(GRANTS, {**grant, "role_id": other[0]["id"]}, user_id=account.id, role_id=other[0]["id"]):
        _refused(target, visitor, seen, "插入一条授权")
    second = target.fresh("cashier")
    assert second.account is not None
    with db.removed(GRANTS, user_id=second.account.id):
        _refused(target, second, seen, "删除一条授权")
    theirs = db.rows(GRANTS, user_id=second.account.id)[0]
    with (
        db.altered(GRANTS, {"user_id": account.id}, role_id=theirs["role_id"], row_mac=theirs["row_mac"]),
        db.altered(GRANTS, {"user_id": second.account.id}, role_id=grant["role_id"], row_mac=grant["row_mac"]),
    ):
        _refused(target, visitor, seen, "对调两人的授权")
    old: dict[str, list[Row]] = {
        GRANTS: db.rows(GRANTS, user_id=account.id),
        "integrity_set": db.rows("integrity_set", owner=f"user:{account.id}"),
    }
    target.admin("secadmin").put(f"/api/security/users/{account.id}/grants", {"grants": []}).good("收回授权")
    with contextlib.ExitStack() as stack:
        stack.enter_context(db.added(GRANTS, old[GRANTS][0], user_id=account.id))
        row = old["integrity_set"][0]
        stack.enter_context(db.altered("integrity_set", {"owner": row["owner"]}, version=row["version"], mac=row["mac"]))
        _refused(target, visitor, seen, "收回授权后把旧的授权和校验值一并放回")
    seen.see(visitor.get("/api/masterdata/departments").status == 200, "还原后账户照常（只剩已收回的权限）", 200)
    if target.command is not None:
        with db.altered("security_role", {"id": role["id"]}, permissions="masterdata.edit masterdata.view"):
            done = target.his("integrity", "verify")
        seen.see(
            done.code == 1 and ("role:" in done.out or code in done.out),
            "his-server integrity verify 指出被改的角色",
            done.out[-200:],
        )


@check("MP-08", "http", "accounts", "database", "disturb")
def label(target: Target, seen: Evidence) -> None:
    """A sensitivity label that was lowered by SQL opens nothing."""
    person = target.another_patient()
    decider = target.whoever("patients.protect")
    decider.post(f"/api/patients/{person}/protection", {"level": 5, "kinds": ["vip"], "reason": "合规测试"}).good("设定保护级别")
    looker = target.whoever("patients.view", but="patients.protect")
    for what, values in (("把五级改为一级", {"level": 1}), ("把决定改为失效", {"in_force": 7})):
        with target.db.altered("person_protection", {"person_id": person}, **values):
            answer = looker.get(f"/api/patients/{person}")
            seen.see(answer.status == 403, f"{what}后仍打不开", f"{answer.status} {answer.code}")
            if target.command is not None:
                done = target.his("balance", "--check", "patients.protection") if "in_force" in values else None
                if done is not None:
                    seen.see(done.code == 1, "每夜核对指出失效的决定", done.out[-120:])
    with target.db.altered("person_protection", {"person_id": person}, level=1):
        answer = looker.get(f"/api/patients/{person}")
        seen.see(answer.code == "integrity.violation", "标记被改动时明确告警", f"{answer.status} {answer.code}")


@check("MP-14", "http", "accounts", "database", "command", "disturb")
def stored_integrity(target: Target, seen: Evidence) -> None:
    """Amounts, quantities and audit rows that were altered or deleted are each named; so is a tail that was cut off."""
    db = target.db
    until(lambda: not db.count("outbox_delivery", state=["waiting", "sending"]), SEALED)  # or the worker takes forged figures up
    _something_of_each(target, seen)
    edits: list[tuple[str, str, Row, dict[str, Any]]] = []
    for name, column, what in (
        ("charge_line", "amount", "收费明细金额"),
        ("settlement", "total", "结算总额"),
        ("receipt", "amount", "票据金额"),
        ("payment", "amount", "支付金额"),
        ("prescription_line", "quantity", "处方药品数量"),
        ("stock_move", "quantity", "出入库数量"),
        ("request_line", "quantity", "申请数量"),
        ("security_audit", "login", "审计记录操作人"),
    ):
        rows = db.rows(name, 1, newest=True) if name in db.names else []
        if rows:
            value = rows[0][column]
            edits.append((what, name, rows[0], {column: "forged" if isinstance(value, str) else value + 1}))
        else:
            seen.lacks(f"{what}：库中没有记录")
    sealed = until(lambda: {row["row_id"] for row in db.rows("security_seal", 400, chain="audit")}, SEALED)
    middle = next((row for row in db.rows("security_audit", id=sorted(sealed)) if row["id"] in sealed), None)
    with contextlib.ExitStack() as stack:
        for _, name, row, values in edits:
            stack.enter_context(db.altered(name, {"id": row["id"]}, **values))
        if middle is not None:
            stack.enter_context(db.removed("security_audit", id=middle["id"]))
        done = target.his("integrity", "verify")
    seen.see(done.code == 1, "his-server integrity verify 以不通过结束", f"退出码 {done.code}")
    for what, name, row, _ in edits:
        seen.see(str(row["id"]) in done.out, f"改动{what}被逐条指出", f"{name} {row['id']}")
    if middle is not None:
        seen.see(str(middle["id"]) in done.out, "删除中间一条审计被指出", f"security_audit {middle['id']}")
    else:
        seen.lacks("删除中间一条审计：没有已封存的审计记录")
    clean = target.his("integrity", "verify")
    seen.see(clean.code == 0, "还原后校验通过", clean.out[-160:])
    _cut_tail(target, seen)


def _something_of_each(target: Target, seen: Evidence) -> None:
    """In a new product something is prescribed, asked for and paid, so that there is something to tamper with."""
    if all(target.db.count(name) for name in ("payment", "prescription_line", "request_line")):
        return
    try:
        with patient(target) as who:
            examined(who)
            drug = next(iter(who.visit.drugs(1)))
            who.pay(who.order(drug, Decimal(drug["pack_size"])))
    except NotRun as error:
        seen.note("没有当场开方、开申请、收费", error)


def _cut_tail(target: Target, seen: Evidence) -> None:
    """On a copy, because the running worker would go on sealing behind the cut. That a whole one holds was seen before."""
    with target.workplace() as folder, _copy(target, folder) as url:
        if not url:
            seen.lacks("截去审计尾部（连同封存记录）：须在数据库副本上做，请另给一个空库（--empty-database）")
            return
        environment = {"HIS_DATABASE_URL": url}
        cut = type(target.db)(url)
        last = max((row["seq"] for row in cut.rows("security_seal", chain="audit")), default=0)
        tail = [row for row in cut.rows("security_seal", chain="audit") if row["seq"] > last - 20]
        cut.remove("security_seal", chain="audit", seq=[row["seq"] for row in tail])
        cut.remove("security_audit", id=[row["row_id"] for row in tail])
        newest = max((row["number"] for row in cut.rows("security_seal_checkpoint", chain="audit")), default=0)
        cut.remove("security_seal_checkpoint", chain="audit", number=newest)
        done = target.his("audit", "verify", environment=environment)
    found = (line.strip() for line in done.out.splitlines())
    told = next((line for line in found if "尾部被截去" in line or "与外部锚不符" in line), "")
    seen.see(done.code == 1 and told, "截去审计尾部连同封存与检查点，由库外锚发现（在副本上）", told or done.out[-160:])


@contextlib.contextmanager
def _copy(target: Target, folder: Path) -> Iterator[str]:
    """A copy of the database, empty where none can be made: of the file, or restored from a backup and taken away again."""
    db = target.db
    if db.dialect == "sqlite" and db.url.database:
        copy = folder / "copy.db"
        with contextlib.closing(sqlite3.connect(db.url.database)) as source, contextlib.closing(sqlite3.connect(copy)) as to:
            source.backup(to)
        yield f"sqlite:///{target.hand_over(copy)}"
        return
    made = target.his("backup", "create", "--to", str(folder), "--without-recovery-key") if target.empty else None
    if made is None or made.code != 0:
        yield ""
        return
    file = max((path for path in folder.iterdir() if path.is_file()), key=lambda path: path.stat().st_size)
    try:
        done = target.his("restore", str(file), environment={"HIS_DATABASE_URL": target.empty})
        yield target.empty if "恢复完成，与备份一致" in done.out else ""
    finally:
        type(db)(target.empty).clear()


@check("MP-15", "database", "command", "data")
def signed_documents(target: Target, seen: Evidence) -> None:
    """A signed document is exported, verified without database and keys, and every altered byte shows."""
    kinds = sorted({row["kind"] for row in target.db.rows("security_signature", 3000)})
    seen.see(kinds, "有电子签名的文书种类", kinds)
    with target.workplace() as folder:
        for kind in kinds:
            row = target.db.rows("security_signature", 1, newest=True, kind=kind)[0]
            file = folder / f"{kind}.json"
            exported = target.his("signatures", "export", kind, str(row["document_id"]), "--out", str(file))
            if not seen.see(exported.code == 0, f"导出 {kind} 的签名", exported.out[-120:]):
                continue
            public = folder / "key.pem"
            key = target.his("signatures", "key")
            begin, end = "-----BEGIN", "-----END PUBLIC KEY-----"
            public.write_text(begin + key.out.partition(begin)[2].partition(end)[0] + end + "\n", "utf-8")
            good = target.his("signatures", "verify", str(file), "--public", str(public))
            seen.see(good.code == 0, f"{kind} 离线核验通过", good.out[:200])
            if kind != kinds[0]:
                continue
            found = json.loads(file.read_text("utf-8"))
            fields = json.loads(base64.b64decode(found[0]["content"]))
            seen.see(
                {"signed_at", "signer"} <= set(fields) and len(fields) >= 5, "签名覆盖病人、内容、签署人与时间", sorted(fields)
            )
            for name in sorted(fields)[:FORGED]:
                text = json.dumps({**fields, name: f"{fields[name]}0"}, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
                file.write_text(json.dumps([{**found[0], "content": base64.b64encode(text.encode()).decode()}]), "utf-8")
                bad = target.his("signatures", "verify", str(file), "--public", str(public))
                seen.see(bad.code == 1, f"改动签名内容的 {name} 后核验不通过", f"退出码 {bad.code}")
    seen.lacks("可信时间戳与持证 CA（产品只用本机时钟，没有可信时间戳）")


@check("DB-17", "http", "accounts", "database")
def audit_protection(target: Target, seen: Evidence) -> None:
    """No way in the product changes an audit row; what SQL changes is found; the application's account may only insert."""
    writing = [
        f"{method} {path}"
        for method, path, about in target.routes()
        if path.startswith("/api/audit") and method != "GET" and not path.endswith("/verify")
    ]
    seen.see(not writing, "没有修改、删除审计的接口", writing or "无")
    auditor = target.admin("auditadmin")
    for method in ("DELETE", "PUT", "PATCH"):
        answer = auditor.send(method, "/api/audit", {})
        seen.see(answer.status in (404, 405), f"{method} /api/audit 不存在", answer.status)
    if target.disturb:
        row = target.db.rows("security_audit", 1, newest=True)[0]
        with target.db.altered("security_audit", {"id": row["id"]}, success=not row["success"]):
            found = auditor.post("/api/audit/verify").json
        seen.see(found.get("count", 0) >= 1, "SQL 改动的审计记录由校验发现", f"{found.get('count')} 处")
        again = auditor.post("/api/audit/verify").json
        seen.see(again.get("count") == 0, "还原后校验通过", again.get("count"))
    else:
        seen.lacks("SQL 改动审计（需 --allow-disturbing）")
    if target.db.dialect == "sqlite":
        seen.lacks("应用账户对审计表只有插入权限：内嵌库没有数据库账户，生产环境用 his-server audit privileges 收回权限")
    else:
        seen.lacks("应用账户的权限由数据库管理员按 his-server audit privileges 收回后出示")


@check("DB-19", "http", "accounts", "database", "disturb")
def no_audit_no_business(target: Target, seen: Evidence) -> None:
    """While audit rows can't be written nothing is done; afterwards everything is as before."""
    editor = target.whoever("patients.edit")
    person = target.another_patient()
    file = editor.get(f"/api/patients/{person}").good("打开病人")
    change = {"revision": file["revision"], "work_unit": f"{target.mark}单位"}
    before = target.db.rows("person", id=person)[0]
    with renamed(target.db.engine, "security_audit", f"security_audit_{target.mark}"):
        refused = editor.put(f"/api/patients/{person}", change)
        viewed = editor.get(f"/api/patients/{person}")
    seen.see(refused.status >= 500, "审计不可写时修改被拒绝", f"{refused.status} {refused.code}")
    seen.see(viewed.status >= 500, "审计不可写时调阅被拒绝", f"{viewed.status} {viewed.code}")
    after = target.db.rows("person", id=person)[0]
    seen.see(after == before, "病人资料没有变化", "逐列相同" if after == before else "已变化")
    again = editor.put(f"/api/patients/{person}", change)
    seen.see(again.status == 200, "恢复后照常办理", f"{again.status} {again.code}")
