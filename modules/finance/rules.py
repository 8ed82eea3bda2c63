"""Pure rules of reconciliation: what is wrong with a number that channel and books both know, or only one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

HIS_ONLY, CHANNEL_ONLY, AMOUNT_DIFF, STATE_DIFF, DUPLICATE = (
    "HIS_ONLY", "CHANNEL_ONLY", "AMOUNT_DIFF", "STATE_DIFF", "DUPLICATE")
KINDS = {HIS_ONLY: "本院有、渠道无", CHANNEL_ONLY: "渠道有、本院无", AMOUNT_DIFF: "金额不一致", STATE_DIFF: "状态不一致",
         DUPLICATE: "渠道重复"}
GRACE = timedelta(days=3)
"""A payment of 23:59 may stand on the next day's statement: so long its absence is no alarm."""
MOVED = {"pay": ("confirmed", "used", "reversed"), "refund": ("confirmed",)}
"""States in which our books say that the money moved. A reversed payment moved too; its return has a number of its own."""
PENDING, OPEN = "pending", "open"


@dataclass(frozen=True)
class Ours:
    """A payment or return in our books: ``act`` pay or refund, ``day`` hospital time."""

    intent_id: int
    act: str
    amount: Decimal
    state: str
    day: date

    @property
    def moved(self) -> bool:
        """Whether we count it as money that moved."""
        return self.state in MOVED[self.act]


@dataclass(frozen=True)
class Theirs:
    """A row of a statement."""

    act: str
    amount: Decimal
    day: date


@dataclass(frozen=True)
class Verdict:
    """A difference: its kind, and whether it is an alarm (``open``) or may still vanish by itself (``pending``)."""

    kind: str
    state: str
    act: str
    day: date
    ours: Decimal | None
    theirs: Decimal | None


def judge(ours: Ours | None, theirs: Sequence[Theirs], through: date) -> list[Verdict]:
    """Everything wrong with one number. ``through``: the last day whose statement we have."""
    if not theirs:
        if ours is None or not ours.moved:
            return []
        late = through >= ours.day + GRACE
        return [Verdict(HIS_ONLY, OPEN if late else PENDING, ours.act, ours.day, ours.amount, None)]
    first = theirs[0]

    def verdict(kind: str, amount: Decimal) -> Verdict:
        return Verdict(kind, OPEN, first.act, first.day, ours.amount if ours else None, amount)

    found = [verdict(DUPLICATE, sum((row.amount for row in theirs), Decimal(0)))] if len(theirs) > 1 else []
    if ours is None:
        found.append(verdict(CHANNEL_ONLY, first.amount))
    elif ours.act != first.act or not ours.moved:
        found.append(verdict(STATE_DIFF, first.amount))
    elif ours.amount != first.amount:
        found.append(verdict(AMOUNT_DIFF, first.amount))
    return found
