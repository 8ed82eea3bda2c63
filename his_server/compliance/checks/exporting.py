"""What leaves as a file: who may, how much, with whose approval, marked and on record (PR-07)."""

from __future__ import annotations

import hashlib
import io

from openpyxl import load_workbook

from his_server.compliance.client import Visitor
from his_server.compliance.frame import Evidence, check
from his_server.compliance.target import ADMINISTRATORS, Target

APPROVE = "exports.approve"


@check("PR-07", "http", "accounts")
def exports(target: Target, seen: Evidence) -> None:
    """Exports are for those who may, audited with how much went out, and say who made them; a large one needs approval."""
    reports, who = exportable(target)
    if who is None:
        seen.lacks("没有可导出的报表")
        return
    name, query = reports
    answer = who.get(f"/api/reports/{name}?{query}format=xlsx")
    seen.see(answer.status == 200 and answer.body[:2] == b"PK", f"报表 {name} 可导出", f"{answer.status} {len(answer.body)} 字节")
    stranger = target.staff("intern") if "intern" in target.roles else target.fresh()
    foreign = stranger.get(f"/api/reports/{name}?{query}format=xlsx")
    seen.see(foreign.status in (403, 404), "他人用同一地址导出被拒绝", f"{foreign.status} {foreign.code}")
    book = load_workbook(io.BytesIO(answer.body))
    marks = (book.properties.creator or "", book.worksheets[0].oddHeader.right.text or "")
    seen.see(all(target.today in one for one in marks), "文件属性与每页页眉写明导出人与时间", marks)
    if target.tables is not None:
        digest = hashlib.new("sm3", answer.body).hexdigest()
        rows = [row["detail"] for row in target.db.rows("security_audit", 200, newest=True, event="report.xlsx")]
        seen.see(any(digest in one and '"rows"' in one for one in rows), "导出有审计：行数与文件的 SM3", rows[:1])
    _approved(target, seen, who)
    seen.lacks("导出文件加密：产品没有（办公软件打不开国密加密的表格，表格自带的口令用的是境外算法）；文件有水印、限额审批、留痕")


def exportable(target: Target) -> tuple[tuple[str, str], Visitor | None]:
    """A report that somebody of an ordinary role may export, with its query, and that person; None where there is none."""
    for role in target.roles:
        if role in ADMINISTRATORS or target.roles[role]["second_factor"]:
            continue
        visitor = target.staff(role)
        for one in visitor.get("/api/reports").json.get("items", ()):
            query = "from=2026-01-01&to=2026-01-02&"
            for text in ("", query, "date=2026-01-02&", "day=2026-01-02&"):
                if visitor.get(f"/api/reports/{one['name']}?{text}format=xlsx").status == 200:
                    return (one["name"], text), visitor
    return ("", ""), None


def _approved(target: Target, seen: Evidence, who: Visitor) -> None:
    """More rows than the house lets out unasked: refused on screen and on paper until another person approved just that."""
    limit = who.get("/api/reports").good("可用的报表").get("approve_rows")
    if not seen.see(limit, "产品限定不经审批可导出的行数", limit):
        return
    found = _larger(target, int(limit))
    if found is None:
        seen.lacks(f"超过 {limit} 行的导出须经审批：没有这么大的报表可供验证（测试环境可设 [module.exports] approve_rows = 5）")
        return
    role, name, query = found
    asker, other, approver = target.fresh(role), target.fresh(role), target.fresh(_approving(target))
    for form in ("xlsx", "pdf"):
        refused = asker.get(f"/api/reports/{name}?{query}&format={form}")
        seen.see(refused.status == 403, f"超过 {limit} 行未经审批不能{'导出' if form == 'xlsx' else '以打印的方式取得'}",
                 f"{refused.status} {refused.json.get('message', '')}")
    filters = dict(one.split("=") for one in query.split("&"))
    asked = asker.post("/api/exports", {"report": name, "filters": filters, "reason": "合规测试"}).good("申请导出")
    decide = f"/api/exports/{asked['id']}/decide"
    own = asker.post(decide, {"approve": True})
    seen.see(own.status == 403, "不能审批自己的申请", f"{own.status} {own.code}")
    approver.post(decide, {"approve": True}).good("审批导出")
    again = approver.post(decide, {"approve": False})
    seen.see(again.status == 409, "已审批的不能改判", f"{again.status} {again.json.get('message', '')}")
    answer = asker.get(f"/api/reports/{name}?{query}&format=xlsx")
    seen.see(answer.status == 200, "他人批准后申请人可以导出", f"{answer.status} {len(answer.body)} 字节")
    foreign = other.get(f"/api/reports/{name}?{query}&format=xlsx")
    seen.see(foreign.status == 403, "别人不能借用这次批准", f"{foreign.status} {foreign.code}")
    seen.note("批准的时限", "24 小时（由 tests/platform/test_exports.py 在注入时钟下证明）")


def _approving(target: Target) -> str:
    """The role that approves and asks for least."""
    holders = [code for code, role in target.roles.items() if APPROVE in role["permissions"] and code not in ADMINISTRATORS]
    return min(holders, key=lambda code: (target.roles[code]["second_factor"], code))


def _larger(target: Target, limit: int) -> tuple[str, str, str] | None:
    """A role, a report and a query that shows more rows than may leave unasked."""
    queries = (f"from=2026-01-01&to={target.today}", f"start=2026-01-01&end={target.today}")
    for role in target.roles:
        if role in ADMINISTRATORS or target.roles[role]["second_factor"]:
            continue
        visitor = target.staff(role)
        for one in visitor.get("/api/reports").json.get("items", ()):
            for query in queries:
                rows = visitor.get(f"/api/reports/{one['name']}?{query}").json.get("rows")
                if rows and len(rows) > limit:
                    return role, one["name"], query
    return None
