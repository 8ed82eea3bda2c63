"""Pure rules of dispensing: window choice, times of the day, who may do what after whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import time
from decimal import Decimal

OPEN_STATES = ("waiting", "bounced", "reviewed", "picked")
"""A task that still stands in the queue."""
STATES = {"waiting": "待审核", "bounced": "退回医师", "reviewed": "待调配", "picked": "待核对发药", "done": "已发药",
          "withdrawn": "已退费"}
RETURN_STATES = {"requested": "待审核", "approved": "待收药", "declined": "不同意", "taken": "待退费", "refunded": "已退费",
                 "cancelled": "已撤回"}
ORDINARY = ("", "普通")


def choose_window(open_windows: Sequence[tuple[int, int]], load: Mapping[int, int], before: int | None) -> int | None:
    """The window of a new task: the one where the patient already goes today, else the least loaded, else the lowest
    number. ``open_windows`` are (key, number) of one store and no other (M7.1); None: no window is open.
    """
    if before is not None and any(key == before for key, _ in open_windows):
        return before
    return min(open_windows, key=lambda w: (load.get(w[0], 0), w[1]))[0] if open_windows else None


def clock_time(text: str) -> time:
    """``"21:30"`` as a time. :raises ValueError: it is none."""
    hour, minute = text.split(":")
    return time(int(hour), int(minute))


def within(at: time, start: str, end: str) -> bool:
    """Whether a local time lies in ``start`` … before ``end``, over midnight where ``end`` is the earlier one.
    Without both there is no such period; ``start`` = ``end`` is the whole day.
    """
    if not start or not end:
        return False
    first, last = clock_time(start), clock_time(end)
    if first < last:
        return first <= at < last
    return at >= first or at < last


def controlled(control: str) -> bool:
    """麻醉, 精一, 精二, 毒性 …: anything that isn't an ordinary drug."""
    return control not in ORDINARY


def two_persons(control: str) -> bool:
    """Drugs that one person may not both pick and check (处方管理办法; RX-09): 麻醉, 精一, 精二, 毒性 …"""
    return controlled(control)


def take_refund(open_lines: Sequence[tuple[int, Decimal]], refunded: Decimal) -> dict[int, Decimal]:
    """Share a refunded quantity among return lines (key, quantity not refunded yet), oldest first."""
    shares: dict[int, Decimal] = {}
    for key, left in open_lines:
        part = min(left, refunded)
        if part > 0:
            shares[key] = part
            refunded -= part
    return shares
