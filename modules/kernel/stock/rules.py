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
    "collect": (frozenset({"supplier"}), "in_stock"),
    "use": (frozenset({"in_stock", "opened"}), "dispensed"),
    "take_back": (frozenset({"dispensed", "opened"}), "in_stock"),
    "ship": (frozenset({"in_stock", "opened"}), "in_transit"),
    "arrive": (frozenset({"in_transit"}), "in_stock"),
    "lose": (frozenset({"in_stock", "opened"}), "lost"),
    "take_out": (frozenset({"in_stock", "opened"}), "out"),
    "send_back": (frozenset({"in_stock"}), "supplier"),
    "find": (frozenset({"lost"}), "in_stock"),
}
"""Legal moves of a trace code: act → (from which states, to which). What is not here is refused (TC-07)."""
TRACE_STATES = {"in_stock": "在库", "opened": "拆零在用", "dispensed": "已发出", "in_transit": "调拨途中",
                "supplier": "已退供应商", "lost": "已报损", "out": "已出库"}
TRACE_ACTS = {"collect": "入库采集", "use": "发药", "take_back": "退药", "ship": "调拨发出", "arrive": "调拨接收",
              "lose": "报损", "take_out": "出库", "send_back": "退供应商", "find": "盘盈找回"}
UPLOADS = {"collect": ("DrugTraceReceived", "3503"), "send_back": ("DrugTraceSentBack", "3504"),
           "use": ("DrugTraceSold", "3505"), "take_back": ("DrugTraceReturned", "3506"),
           "lose": ("DrugTraceChanged", "3502"), "take_out": ("DrugTraceChanged", "3502"),
           "find": ("DrugTraceChanged", "3502")}
"""Acts that the insurer's platform hears of: event and transaction. Transfers inside the hospital stay inside."""


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
