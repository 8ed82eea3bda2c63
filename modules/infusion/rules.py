"""Pure rules of the infusion room: which lines make which bottles today, what a scan must match."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from typing import Protocol

USAGES = ("静滴", "静注", "泵入", "肌注", "皮下")
"""What is given in the room: drips, pushes, pumps, injections."""
CONDITIONS = ("正常", "滴速调整", "渗液", "红肿", "发热寒战", "皮疹", "其他不适")
ENDED = ("finished", "stopped")
STATES = {"waiting": "待配药", "prepared": "已配药", "running": "输液中", "finished": "已结束", "stopped": "已停止"}
INFUSION_STATES = {"waiting": "候输", "running": "输液中", "finished": "已结束", "cancelled": "已取消"}


class Line(Protocol):
    """What the rules need of a prescription line."""

    id: int
    group_no: int
    turns: int
    usage: str
    frequency: str


@dataclass(frozen=True)
class Group:
    """Lines that are given together; ``key`` is the first line's."""

    key: int
    lines: tuple[Line, ...]

    @property
    def turns(self) -> int:
        """How often it is given in all."""
        return min(line.turns for line in self.lines)


def groups(lines: Iterable[Line]) -> list[Group]:
    """The groups of a prescription that are given in the room, in order."""
    found: dict[tuple[str, int], list[Line]] = {}
    for line in lines:
        if line.usage in USAGES:
            found.setdefault(("group", line.group_no) if line.group_no else ("line", line.id), []).append(line)
    return [Group(each[0].id, tuple(each)) for each in found.values()]


def turns_today(group: Group, made: int, per_day: Mapping[str, int]) -> Sequence[int]:
    """Which turns of a group are due today when ``made`` have been made: as many as its frequency has in a day."""
    most = per_day.get(group.lines[0].frequency, 1)
    return range(made + 1, min(made + most, group.turns) + 1)


def units(dose: Decimal, dose_amount: Decimal | None, quantity: Decimal, turns: int) -> Decimal:
    """Smallest units of a line that one turn takes: by its dose, but never more than the line has for each turn."""
    exact = dose / dose_amount if dose_amount else dose
    return min(exact, quantity / turns).quantize(Decimal("0.0001"), ROUND_DOWN)
