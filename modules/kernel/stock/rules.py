"""Pure rules of stock: earliest expiry first, unit conversion with fractions visible."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from his_server.money import round_money

ZERO = Decimal("0.0000")


@dataclass(frozen=True)
class Demand:
    """A line that needs a quantity (smallest units) of a drug."""

    line_id: int
    drug_id: int
    quantity: Decimal


@dataclass(frozen=True)
class Candidate:
    """A balance that could serve: ``free`` = on hand − reserved."""

    balance_id: int
    batch_id: int
    drug_id: int
    expiry: date
    free: Decimal


@dataclass(frozen=True)
class Share:
    """A part of a demand served from one balance."""

    line_id: int
    drug_id: int
    balance_id: int
    batch_id: int
    quantity: Decimal


@dataclass(frozen=True)
class Shortage:
    """A demand that can't be met: how much is missing."""

    line_id: int
    drug_id: int
    missing: Decimal


def allocate(demands: Sequence[Demand], candidates: Iterable[Candidate], on: date) -> tuple[list[Share], list[Shortage]]:
    """Serve each demand from the earliest expiry first; a batch that expires on or before ``on`` is never used.

    Returns the shares and what is missing. Several demands of one drug share what there is, in order.
    """
    free: dict[int, Decimal] = {}
    by_drug: dict[int, list[Candidate]] = {}
    for candidate in sorted(candidates, key=lambda c: (c.expiry, c.batch_id)):
        if candidate.expiry > on and candidate.free > 0:
            by_drug.setdefault(candidate.drug_id, []).append(candidate)
            free[candidate.balance_id] = candidate.free
    shares: list[Share] = []
    shortages: list[Shortage] = []
    for demand in demands:
        wanted = demand.quantity
        for candidate in by_drug.get(demand.drug_id, ()):
            taken = min(wanted, free[candidate.balance_id])
            if taken > 0:
                shares.append(Share(demand.line_id, demand.drug_id, candidate.balance_id, candidate.batch_id, taken))
                free[candidate.balance_id] -= taken
                wanted -= taken
            if wanted <= 0:
                break
        if wanted > 0:
            shortages.append(Shortage(demand.line_id, demand.drug_id, wanted))
    return shares, shortages


def in_packs(quantity: Decimal, pack_size: Decimal | int) -> tuple[Decimal, Decimal]:
    """Whole packs and the rest in smallest units: 25 tablets of 12 → (2, 1)."""
    packs = quantity // pack_size
    return packs, quantity - packs * pack_size


def show_quantity(quantity: Decimal, pack_size: Decimal | int, pack_unit: str, base_unit: str) -> str:
    """A quantity as people say it: ``2盒1片``; fractions stay visible, nothing is rounded."""
    packs, rest = in_packs(quantity, pack_size)
    parts = []
    if packs:
        parts.append(f"{packs.normalize():f}{pack_unit}")
    if rest or not packs:
        parts.append(f"{rest.normalize():f}{base_unit}")
    return "".join(parts)


def value(quantity: Decimal, pack_cost: Decimal, pack_size: int) -> Decimal:
    """What a quantity (smallest units) of a batch cost, to the fen; rounded once, from the exact product."""
    return round_money(quantity * pack_cost / pack_size)


STRICT = frozenset({"麻醉", "精一", "精二", "毒性", "放射", "易制毒"})
"""Controls whose stock papers need a second person."""
UNMERGEABLE = frozenset({"麻醉", "精一", "精二"})
"""Controls whose lots are registered one by one and never merged (M8.10, RX-09)."""

TRACE_MOVES: dict[str, tuple[frozenset[str], str]] = {
    "collect": (frozenset({"supplier", "void"}), "in_stock"),
    "use": (frozenset({"in_stock", "opened"}), "dispensed"),
    "take_back": (frozenset({"dispensed", "opened"}), "in_stock"),
    "ship": (frozenset({"in_stock", "opened"}), "in_transit"),
    "arrive": (frozenset({"in_transit"}), "in_stock"),
    "lose": (frozenset({"in_stock", "opened"}), "lost"),
    "take_out": (frozenset({"in_stock", "opened"}), "out"),
    "send_back": (frozenset({"in_stock"}), "supplier"),
    "find": (frozenset({"lost"}), "in_stock"),
    "uncollect": (frozenset({"in_stock"}), "void"),
}
"""Legal moves of a trace code: act → (from which states, to which). What is not here is refused (TC-07)."""
TRACE_STATES = {"in_stock": "在库", "opened": "拆零在用", "dispensed": "已发出", "in_transit": "调拨途中",
                "supplier": "已退供应商", "lost": "已报损", "out": "已出库",
                "void": "已更正为箱码"}
TRACE_ACTS = {"collect": "入库采集", "use": "发药", "take_back": "退药", "ship": "调拨发出", "arrive": "调拨接收",
              "lose": "报损", "take_out": "出库", "send_back": "退供应商", "find": "盘盈找回",
              "uncollect": "更正为箱码", "delete": "删除上传"}
UPLOADS = {"collect": ("DrugTraceReceived", "3503"), "send_back": ("DrugTraceSentBack", "3504"),
           "use": ("DrugTraceSold", "3505"), "take_back": ("DrugTraceReturned", "3506"),
           "lose": ("DrugTraceChanged", "3502"), "take_out": ("DrugTraceChanged", "3502"),
           "find": ("DrugTraceChanged", "3502"), "uncollect": ("DrugTraceChanged", "3502"),
           "delete": ("DrugTraceDeleted", "3507")}
"""Acts that the insurer's platform hears of: event and transaction. Transfers inside the hospital stay inside; a posted
count is one event for the whole sheet (3501): :data:`COUNTED`."""
COUNTED = ("StockCounted", "3501")


def code_error(code: str) -> str | None:
    """Why a text can't be a trace code; None: it can. Leading zeros and letters are kept (TC-01)."""
    if not 6 <= len(code) <= 100:
        return "追溯码应为 6 至 100 位"
    if not code.isascii() or not code.isprintable() or " " in code:
        return "追溯码含有不允许的字符，请重新扫描"
    return None


def share_codes(wanted: Decimal, remaining: Sequence[Decimal]) -> list[Decimal]:
    """How much of each pack a sale takes: scanned order, whole packs until the quantity is reached (TC-05).

    The sum is less than ``wanted`` where the packs don't hold enough; a pack that isn't needed gets 0.
    """
    shares = []
    for left in remaining:
        part = min(wanted, left)
        shares.append(part)
        wanted -= part
    return shares


@dataclass(frozen=True)
class DocumentKind:
    """What a kind of stock paper is called, how it is numbered, and which states follow which."""

    title: str
    prefix: str
    moves: dict[str, frozenset[str]]
    purposes: tuple[str, ...]


_PLAIN = {"draft": frozenset({"confirmed", "cancelled"})}
DOCUMENTS = {
    "stock_in": DocumentKind("入库单", "KR", _PLAIN, ("采购入库", "赠送入库", "捐赠入库", "其他入库")),
    "stock_out": DocumentKind("出库单", "KC", _PLAIN, ("科室领用", "捐赠出库", "检验留样", "其他出库")),
    "loss": DocumentKind("报损单", "KS", _PLAIN, ("过期", "破损", "变质", "召回销毁", "其他报损")),
    "adjust": DocumentKind("调整单", "KT", _PLAIN, ("账实不符", "串批号更正", "其他调整")),
    "supplier_return": DocumentKind("退供应商单", "TG", _PLAIN, ("质量问题", "近效期", "滞销", "召回", "错发")),
    "transfer": DocumentKind("调拨单", "DB", {
        "draft": frozenset({"shipped", "cancelled"}), "shipped": frozenset({"received"})},
        ("请领发药", "调拨", "退药库", "效期调剂")),
    "requisition": DocumentKind("请领单", "QL", {
        "draft": frozenset({"submitted", "cancelled"}), "submitted": frozenset({"approved", "refused"})},
        ("日常请领", "紧急请领")),
}
"""Stock papers (guarded documents): a state is left only for those named here."""
DOCUMENT_STATES = {"draft": "待确认", "confirmed": "已确认", "cancelled": "已作废", "shipped": "在途", "received": "已接收",
                   "submitted": "已提交", "approved": "已批准", "refused": "已拒绝"}


def from_states(kind: str, target: str) -> frozenset[str]:
    """The states from which a paper may go to ``target``."""
    return frozenset(state for state, targets in DOCUMENTS[kind].moves.items() if target in targets)


MOVEMENT = ("received", "dispensed", "transferred", "sent_back", "taken_out", "lost", "adjusted")
"""Columns of the purchase–sales–stock report between opening and closing; each signed, in positive, out negative."""
MOVE_COLUMNS = {"receipt": "received", "opening": "received", "dispense": "dispensed", "return": "dispensed",
                "transfer_out": "transferred", "transfer_in": "transferred", "transfer_back": "transferred",
                "supplier_return": "sent_back", "stock_out": "taken_out", "loss": "lost", "adjust": "adjusted",
                "stocktake": "adjusted", "merge": "adjusted"}


def amounts(opening: Decimal, changes: Sequence[Decimal], pack_cost: Decimal, pack_size: int
            ) -> tuple[Decimal, list[Decimal], Decimal]:
    """Values of an opening, its changes and the closing of a batch, to the fen, that add up exactly (FN-17).

    Opening and closing are each what their quantity cost, rounded once; a change is worth what it makes of the running
    value, so that no fen is lost between them and one period's closing is the next one's opening.
    """
    running, worth = opening, value(opening, pack_cost, pack_size)
    first, shares = worth, []
    for change in changes:
        running += change
        after = value(running, pack_cost, pack_size)
        shares.append(after - worth)
        worth = after
    return first, shares, worth


def stock_days(on_hand: Decimal, used: Decimal, days: int) -> int | None:
    """For how many days stock lasts at the pace of the last ``days``; None where nothing was used."""
    return int(on_hand * days / used) if used > 0 else None
