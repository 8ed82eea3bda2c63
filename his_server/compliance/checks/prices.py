"""Prices with their days, and books that nobody deletes from (FN-16, FN-19)."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from typing import Any

from his_server.clock import HOSPITAL_ZONE
from his_server.compliance.checks.ledgers import exact, some
from his_server.compliance.checks.prescribing import catalogue_of
from his_server.compliance.frame import Evidence, check
from his_server.compliance.tables import Row
from his_server.compliance.target import Target

UNIT = Decimal("0.0001")
PRICED = {"drug": ("drug_price", "drug_id", "pack_price"), "item": ("charge_item_price", "item_id", "price")}
ACTIVE = ("http", "accounts", "command", "disturb")
LEDGER = ("charge_line", "settlement", "receipt", "payment", "stock_move", "shift")


def _day(value: Any) -> date:
    """The hospital's day of a stored day or moment (UTC)."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(HOSPITAL_ZONE).date()
    assert isinstance(value, date)
    return value


def _plain(value: Any) -> date | None:
    """A stored day as it is."""
    return None if value is None else date.fromisoformat(str(value)[:10])


@check("FN-16", "database")
def effective(target: Target, seen: Evidence) -> None:
    """One price on each day, and every line charged at the price of its day, whatever was changed since."""
    periods: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for kind, (table, owner, amount) in PRICED.items():
        for row in target.db.rows(table):
            found = {"from": _plain(row["valid_from"]), "to": _plain(row["valid_to"]), "price": exact(target, row[amount], 4)}
            periods[kind, row[owner]].append(found)
    twice = []
    for key, rows in periods.items():
        rows.sort(key=lambda row: (row["from"], row["to"] or date.max))
        twice += [key for one, after in pairwise(rows) if (one["to"] or date.max) > after["from"]]
    seen.see(periods and not twice, "每个项目、药品同一天只有一个价格", twice[:5] or f"{len(periods)} 个")
    packs = {row["id"]: Decimal(int(row["pack_size"])) for row in target.db.rows("drug")}
    lines = some(target, "charge_line", "收费明细")
    by = {row["id"]: row for row in lines}
    wrong = []
    for row in lines:
        price = exact(target, row["price"], 4)
        if row["reverses_line_id"]:
            same = price == exact(target, by[row["reverses_line_id"]]["price"], 4)
        elif row["kind"] not in PRICED or price == 0:  # 续诊 and the like cost nothing by rule
            continue
        else:
            same = price in _prices(periods[row["kind"], row["item_id"]], _day(row["created_at"]), packs.get(row["item_id"]))
        if not same:
            wrong.append(row["id"])
    seen.see(not wrong, "每行收费按当日有效价格，退费按原价", wrong[:5] or f"{len(lines)} 行")
    if target.missing(ACTIVE):
        seen.lacks("超过限价的调价被拒绝（须在测试环境，--allow-disturbing）")
        return
    drug, tomorrow = catalogue_of(target).drugs["精二"], (date.fromisoformat(target.today) + timedelta(1)).isoformat()
    limit = {"drug_id": drug, "limit": "12", "valid_from": target.today, "reason": "合规测试"}
    target.whoever("drug_warehouse.price").post("/api/drug-warehouse/price-limits", limit).good("登记限价")
    clerk = target.whoever("masterdata.edit")
    for price, good in (("13", False), ("12", True)):
        body = {"price": price, "valid_from": tomorrow, "reason": "合规测试"}
        done = clerk.post(f"/api/masterdata/drugs/{drug}/prices", body)
        said = f"{done.status} {(done.json.get('errors') or [done.json])[0].get('message', '')}"
        fits = done.status < 300 if good else done.status == 422 and "限价" in said
        seen.see(fits, f"限价 12 元的药品调价为 {price} 元：{'可以' if good else '被拒绝'}", said)


def _prices(rows: list[Row], day: date, pack: Decimal | None) -> set[Decimal]:
    """What one unit may cost on a day: a pack's price or, of a drug, its part for the smallest unit."""
    found = {row["price"] for row in rows if row["from"] <= day and (row["to"] is None or day <= row["to"])}
    return found | {(price / pack).quantize(UNIT, ROUND_HALF_UP) for price in found if pack}


@check("FN-19", "http", "accounts", "database", "command")
def kept(target: Target, seen: Evidence) -> None:
    """Nothing of the product deletes from the books: no route, no command, and a settled line is refused."""
    gone = [f"{method} {path}" for method, path, _ in target.routes() if method == "DELETE"]
    seen.note("产品中的删除接口", gone)
    books = [one for one in gone if any(word in one for word in ("settlement", "receipt", "payment", "shift", "/stock"))]
    seen.see(not books, "没有删除结算、票据、支付、班次、出入库的接口", books or "无")
    told = target.his("--help").out
    purge = [word for word in ("purge", "cleanup", "truncate", "delete") if word in told.lower()]
    seen.see(not purge, "没有清理业务数据的命令", purge or "无")
    before = {name: target.db.count(name) for name in LEDGER}
    line = next((row for row in target.db.rows("charge_line", 1, newest=True, state="settled")), None)
    if line is None or "cashier" not in target.roles:
        seen.lacks("删除已结算明细（库中还没有）")
        return
    refused = target.staff("cashier").post(f"/api/outpatient-billing/supplements/{line['id']}/void", {"reason": "合规测试"})
    seen.see(refused.status in (403, 404, 409, 422), "删除已结算的收费明细被拒绝", f"{refused.status} {refused.code}")
    lost = [name for name, count in before.items() if target.db.count(name) < count]
    seen.see(not lost, "账上没有减少", lost or before)
    seen.lacks("归档介质与保管期限由医院财务部门出示")
