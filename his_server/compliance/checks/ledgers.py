"""The books, recomputed from the tables by the suite's own arithmetic (FN-01…18, YB-01, 04, 08).

Nothing of the product's calculations is used: amounts are read raw and added up again.
"""

from __future__ import annotations

import ast
import io
import re
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from uuid import uuid4

from sqlalchemy import types as kinds

from his_server.compliance.checks.members import member
from his_server.compliance.frame import Evidence, NotRun, check
from his_server.compliance.peers import peer
from his_server.compliance.tables import Row
from his_server.compliance.target import ADMINISTRATORS, Target

FEN = Decimal("0.01")
ZERO = Decimal(0)
MONEY_FOLDERS = ("modules/kernel/charging", "modules/outpatient_billing", "modules/kernel/stock", "his_server/money.py")
CATEGORIES = {f"{n:02d}" for n in range(1, 15)}


def exact(target: Target, value: Any, places: int = 2) -> Decimal:
    """An amount as it is stored: a scaled integer in the embedded database, NUMERIC elsewhere."""
    if value is None:
        return ZERO
    return Decimal(int(value)).scaleb(-places) if target.db.dialect == "sqlite" else Decimal(value)


def some(target: Target, table: str, what: str, **where: Any) -> list[Row]:
    """Rows of a table. :raises NotRun: there are none (yet)."""
    rows = target.db.rows(table, **where)
    if not rows:
        raise NotRun(f"库中还没有{what}，请在办理过业务的环境中再做")
    return rows


def sums(rows: list[Row], by: str, value: Callable[[Row], Decimal]) -> dict[Any, Decimal]:
    """Totals by a column."""
    found: dict[Any, Decimal] = defaultdict(lambda: ZERO)
    for row in rows:
        found[row[by]] += value(row)
    return found


@check("FN-01", "http", "database")
def exact_numbers(target: Target, seen: Evidence) -> None:
    """No floating point: not in a column, not in JSON, not in the code that handles money."""
    floats = [
        f"{name}.{each['name']}"
        for name, columns in target.db.columns.items()
        for each in columns
        if (isinstance(each["type"], kinds.Float) and not isinstance(each["type"], kinds.Numeric))
        or "FLOAT" in str(each["type"]).upper()
        or "DOUBLE" in str(each["type"]).upper()
        or "REAL" in str(each["type"]).upper()
    ]
    seen.see(not floats, "全部表没有浮点列", floats or f"{len(target.db.names)} 张表")
    schemas = target.openapi["components"]["schemas"]
    numbers = [
        f"{name}.{field}"
        for name, schema in schemas.items()
        for field, about in schema.get("properties", {}).items()
        if about.get("type") == "number" and re.search(r"amount|price|total|covers|paid|due|cost", field)
    ]
    seen.see(not numbers, "接口中的金额都是字符串", numbers[:5] or f"{len(schemas)} 个结构")
    if target.app_dir is None:
        seen.lacks("金额代码中的 float（需 --app-dir）")
        return
    uses = []
    for folder in MONEY_FOLDERS:
        place = target.app_dir / folder
        for path in [place] if place.suffix else sorted(place.rglob("*.py")):
            if path.exists():
                for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                    call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float"
                    if call or (isinstance(node, ast.Constant) and isinstance(node.value, float)):
                        uses.append(f"{path.name}:{node.lineno}")  # type: ignore[attr-defined]
    seen.see(not uses, "收费与库存代码不用浮点数", uses[:5] or "0 处")


@check("FN-02", "database")
def rounding(target: Target, seen: Evidence) -> None:
    """Every line is price × quantity, half up to the fen, recomputed."""
    rows = some(target, "charge_line", "收费明细")
    wrong = [
        row["id"]
        for row in rows
        if exact(target, row["amount"])
        != (exact(target, row["price"], 4) * exact(target, row["quantity"], 4)).quantize(FEN, ROUND_HALF_UP)
    ]
    seen.see(not wrong, "每行金额 = 四位单价 × 数量，四舍五入到分", wrong[:5] or f"{len(rows)} 行全部一致")


@check("FN-03", "database")
def sums_agree(target: Target, seen: Evidence) -> None:
    """Settlement = lines = receipts = payments; categories close."""
    settlements = some(target, "settlement", "结算")
    lines, receipts, payments = (target.db.rows(name) for name in ("charge_line", "receipt", "payment"))
    of = {
        name: sums(rows, "settlement_id", lambda row: exact(target, row["amount"]))
        for name, rows in (("明细", lines), ("票据", receipts), ("支付", payments))
    }
    for name, totals in of.items():
        wrong = [row["number"] for row in settlements if totals[row["id"]] != exact(target, row["total"])]
        seen.see(not wrong, f"结算总额 = {name}合计", wrong[:5] or f"{len(settlements)} 笔全部一致")
    strange = {row["fiscal_category"] for row in lines} - CATEGORIES
    seen.see(
        not strange, "每行都归入一个财政票据类别", sorted(map(str, strange)) or sorted({row["fiscal_category"] for row in lines})
    )


@check("FN-05", "database")
def cash_rounding(target: Target, seen: Evidence) -> None:
    """The jiao rounding is a payment of its own, at most five fen, only beside cash."""
    payments = some(target, "payment", "支付")
    by: dict[Any, list[Row]] = defaultdict(list)
    for row in payments:
        by[row["settlement_id"]].append(row)
    errors = [row for row in payments if row["method"] == "rounding"]
    seen.note("误差行", len(errors))
    big = [row["id"] for row in errors if abs(exact(target, row["amount"])) > Decimal("0.05")]
    seen.see(not big, "误差绝对值不超过 0.05 元", big[:5] or f"{len(errors)} 行")
    alone = [row["id"] for row in errors if not any(one["method"] == "cash" for one in by[row["settlement_id"]])]
    seen.see(not alone, "误差只与现金同时出现（电子支付没有误差）", alone[:5] or "无")
    fen = [row["id"] for row in payments if row["method"] == "cash" and exact(target, row["amount"]) % Decimal("0.1")]
    seen.see(not fen, "现金收付到角", fen[:5] or "一致")


@check("FN-07", "database")
def receipt_numbers(target: Target, seen: Evidence) -> None:
    """Each number of a range is used, void with a reason, or unused; none twice, none outside."""
    ranges = some(target, "number_range", "票段", series="receipt")
    used = [str(row["number"]) for row in target.db.rows("receipt")]
    voids = target.db.rows("number_void", series="receipt")
    seen.see(len(used) == len(set(used)), "票号不重复", f"{len(used)} 张")
    both = set(used) & {str(row["number"]) for row in voids}
    seen.see(not both, "作废的号没有再用", sorted(both) or f"作废 {len(voids)} 个")
    seen.see(all(row["reason"] for row in voids), "作废都有原因", [row["reason"] for row in voids][:3])
    known = set(used) | {str(row["number"]) for row in voids}
    gaps = []
    for row in ranges:
        prefix, width = row["prefix"] or "", int(row["width"])
        gaps += [number for n in range(int(row["first"]), int(row["next"])) if (number := f"{prefix}{n:0{width}d}") not in known]
    seen.see(not gaps, "票段内已过的号码没有缺号", gaps[:5] or f"{len(ranges)} 个票段")
    overlap = [
        (a["id"], b["id"])
        for a in ranges
        for b in ranges
        if a["id"] < b["id"]
        and a["prefix"] == b["prefix"]
        and int(a["first"]) <= int(b["last"])
        and int(b["first"]) <= int(a["last"])
    ]
    seen.see(not overlap, "票段互不重叠", overlap or "无")


@check("FN-08", "database")
def electronic_invoices(target: Target, seen: Evidence) -> None:
    """Forms of code, number and check code; total = settlement; one of each colour."""
    rows = some(target, "electronic_invoice", "电子票据", state=["issued", "red"])
    form = [
        row["id"]
        for row in rows
        if not (
            re.fullmatch(r"\d{8}", row["code"] or "")
            and re.fullmatch(r"\d{10}", row["invoice_number"] or "")
            and re.fullmatch(r"[0-9A-Za-z]{6}", row["check_code"] or "")
        )
    ]
    seen.see(not form, "票据代码 8 位、号码 10 位、校验码 6 位", form[:5] or f"{len(rows)} 张")
    twice = len(rows) - len({(row["code"], row["invoice_number"]) for row in rows})
    seen.see(twice == 0, "代码与号码不重复", f"重复 {twice}")
    failed = target.db.rows("electronic_invoice", state="failed")
    seen.note("开票失败待处理", len(failed))


@check("FN-09", "database")
def red_receipts(target: Target, seen: Evidence) -> None:
    """A red receipt is the exact negative of one other, once; refunds name what they reverse; nothing below zero."""
    receipts = target.db.rows("receipt")
    by = {row["id"]: row for row in receipts}
    reds = [row for row in receipts if row["colour"] == "red"]
    if not reds:
        raise NotRun("库中还没有红冲票据，请在办理过退费的环境中再做")
    wrong = [
        row["number"]
        for row in reds
        if row["reverses_receipt_id"] not in by
        or exact(target, row["amount"]) != -exact(target, by[row["reverses_receipt_id"]]["amount"])
    ]
    seen.see(not wrong, "红票恰为原票的负数并指明原票", wrong[:5] or f"{len(reds)} 张")
    twice = len(reds) - len({row["reverses_receipt_id"] for row in reds})
    seen.see(twice == 0, "一张票只能红冲一次", f"重复 {twice}")
    refunds = target.db.rows("settlement", kind="refund")
    bare = [row["number"] for row in refunds if not row["reverses_id"] or not row["reason"]]
    seen.see(refunds and not bare, "退费指明原结算并有原因", bare[:5] or f"{len(refunds)} 笔")
    lines = target.db.rows("charge_line")
    net = sums([row for row in lines if row["settlement_id"]], "id", lambda row: exact(target, row["amount"]))
    for row in lines:
        if row["reverses_line_id"] and row["settlement_id"]:
            net[row["reverses_line_id"]] += exact(target, row["amount"])
    below = [
        id
        for id, value in net.items()
        if value < 0 and not next((row["reverses_line_id"] for row in lines if row["id"] == id), None)
    ]
    seen.see(not below, "任何明细的退费合计不超过原额", below[:5] or "0 行")
    if target.command is not None:
        seen.note("原票未被改动", "由 MP-14 的校验覆盖")


@check("FN-13", "database", "command")
def three_ways(target: Target, seen: Evidence) -> None:
    """Cashiers = finance = items = channels, each added up from its own rows; and the product's own balance."""
    settlements = some(target, "settlement", "结算")
    total = sum((exact(target, row["total"]) for row in settlements), ZERO)
    lines = sum((exact(target, row["amount"]) for row in target.db.rows("charge_line") if row["settlement_id"]), ZERO)
    paid = sum((exact(target, row["amount"]) for row in target.db.rows("payment")), ZERO)
    per_shift = sum(sums(settlements, "shift_id", lambda row: exact(target, row["total"])).values(), ZERO)
    per_day = sum(sums(settlements, "business_date", lambda row: exact(target, row["total"])).values(), ZERO)
    seen.see(
        total == lines == paid == per_shift == per_day,
        "收费员 = 财务 = 项目 = 渠道，逐日之和 = 总额",
        f"{total} / {lines} / {paid} / {per_shift} / {per_day}",
    )
    done = target.his("balance")
    seen.see(done.code == 0, "his-server balance 全部核对项为平", done.out.splitlines()[-1] if done.out else done.code)


@check("FN-15", "http", "accounts", "database")
def idempotent(target: Target, seen: Evidence) -> None:
    """The same submission five times, also at once, does its work once; the same key with another body is refused."""
    clerk, key = target.whoever("patients.edit"), uuid4().hex
    body = {"name": f"合规测试{target.mark}重复", "sex": "1", "confirmed": True}
    with ThreadPoolExecutor(5) as pool:
        sent = list(pool.map(lambda _: clerk.send("POST", "/api/patients", body, key=key), range(5)))
    ids = {one.json.get("id") for one in sent if one.status == 201}
    seen.see(
        len(ids) == 1 and all(one.status in (201, 409, 503) for one in sent),
        "同一提交并发五次只办理一次",
        f"{[one.status for one in sent]}",
    )
    made = target.db.count("person", name=body["name"])
    seen.see(made == 1, "库中只有一行", made)
    again = clerk.send("POST", "/api/patients", body, key=key)
    seen.see(again.status == 201 and again.header("idempotent-replay") == "true", "再次提交得到第一次的回答", again.status)
    other = clerk.send("POST", "/api/patients", {**body, "sex": "2"}, key=key)
    seen.see(other.status == 409, "同一提交号换内容被拒绝", f"{other.status} {other.code}")
    bare = target.transport_without_key(clerk, "/api/patients", body)
    seen.see(bare.status in (400, 422), "产生价值的提交必须带提交号", f"{bare.status} {bare.code}")


@check("FN-17", "database")
def stock(target: Target, seen: Evidence) -> None:
    """Moves in − out = on hand, per store and batch; nothing below zero, reserved within on hand."""
    moves, balances = some(target, "stock_move", "出入库"), target.db.rows("stock_balance")
    net: dict[Any, Decimal] = defaultdict(lambda: ZERO)
    for row in moves:
        quantity = exact(target, row["quantity"], 4)
        if row["store_to"]:
            net[row["store_to"], row["batch_id"]] += quantity
        if row["store_from"]:
            net[row["store_from"], row["batch_id"]] -= quantity
    held = {(row["store_id"], row["batch_id"]): exact(target, row["on_hand"], 4) for row in balances}
    wrong = [key for key in {*net, *held} if net[key] != held.get(key, ZERO)]
    seen.see(not wrong, "各药房各批次：入 − 出 = 结存", wrong[:5] or f"{len(moves)} 笔，{len(held)} 个批次结存")
    below = [row["id"] for row in balances if not 0 <= exact(target, row["reserved"], 4) <= exact(target, row["on_hand"], 4)]
    seen.see(not below, "没有负库存，占用不超过结存", below[:5] or "无")


@check("FN-18", "http", "accounts")
def exports(target: Target, seen: Evidence) -> None:
    """In an exported sheet amounts are numbers and the header is repeated on each printed page."""
    from openpyxl import load_workbook

    tried = 0
    for role, about in target.roles.items():
        if role in ADMINISTRATORS or about["second_factor"]:
            continue
        visitor = target.staff(role)
        for one in visitor.get("/api/reports").json.get("items", ()):
            answer = visitor.get(f"/api/reports/{one['name']}?from=2026-01-01&to={target.today}&format=xlsx")
            if answer.status != 200:
                continue
            sheet = load_workbook(io.BytesIO(answer.body)).worksheets[0]
            text = [
                f"{one['name']} {cell.coordinate}"
                for row in sheet.iter_rows()
                for cell in row
                if isinstance(cell.value, str) and re.fullmatch(r"-?[\d,]+\.\d{2}", cell.value)
            ]
            tried += 1
            seen.see(not text, f"报表 {one['name']} 导出的金额是数字", text[:3] or f"{sheet.max_row} 行")
            seen.see(sheet.print_title_rows, f"报表 {one['name']} 每页重复表头", sheet.print_title_rows, vital=False)
        if tried >= MOST_REPORTS:
            return
    if not tried:
        raise NotRun("没有按日期即可导出的报表")


MOST_REPORTS = 4


@check("YB-01", "database")
def insurance_identities(target: Target, seen: Evidence) -> None:
    """Total = fund + account + shared account + cash + hospital, and = own + over the limit + paid first + in scope."""
    if target.disturb and not target.missing(("http", "accounts", "data", "command")) and not target.db.count("insurance_claim"):
        with member(target, peer(target, "nhsa")) as who:
            who.previewed()
            who.settle().good("医保结算")
            who.state()
    rows = some(target, "insurance_claim", "医保结算")

    def value(row: Row, *names: str) -> Decimal:
        return sum((exact(target, row[name]) for name in names), ZERO)

    parts = [
        row["id"] for row in rows if value(row, "total") != value(row, "fund", "account", "shared_account", "cash", "hospital")
    ]
    seen.see(not parts, "总额 = 基金 + 个账 + 共济 + 现金 + 医院负担", parts[:5] or f"{len(rows)} 笔")
    scope = [
        row["id"] for row in rows if value(row, "total") != value(row, "own_expense", "over_limit", "self_first", "in_scope")
    ]
    seen.see(not scope, "总额 = 全自费 + 超限价 + 先行自付 + 符合范围", scope[:5] or f"{len(rows)} 笔")
    below = [row["id"] for row in rows if any(exact(target, row[name]) < 0 for name in ("fund", "account", "cash"))]
    seen.see(not below, "各部分不为负", below[:5] or "无")


@check("YB-08", "http", "database")
def no_deposits(target: Target, seen: Evidence) -> None:
    """No way to take an outpatient deposit; the old ones are being cleared and have a list."""
    takes = [
        f"{method} {path}"
        for method, path, _ in target.routes()
        if "deposit" in path and method != "GET" and "clear" not in path and "inpatient" not in path
    ]
    seen.see(not takes, "没有收取门诊预交金的接口", takes or "无")
    if "old_deposit" not in target.db.names:
        return
    left = target.db.rows("old_deposit", state="open")
    total = sum((exact(target, row["balance"]) for row in left), ZERO)
    seen.see(not left, "历史门诊预交金已清退完", f"{len(left)} 笔，{total} 元", vital=False)
    clearing = [path for _, path, _ in target.routes() if "old-deposits" in path]
    seen.see(clearing, "有清退清单与清退办理", clearing)
