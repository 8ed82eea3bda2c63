"""What a check is, and how its observations become a verdict in the assessors' words.

A check function takes a :class:`~his_server.compliance.target.Target` and an :class:`Evidence` and tells what it asked
and what it saw. It never decides the verdict: all observations good is 符合, a vital one bad 不符合, a lesser one bad or
a part that couldn't be run 部分符合, none at all 未执行. An exception is 未执行 with its reason, never a pass.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

GOOD, PARTLY, BAD, NOT_APPLICABLE, NOT_RUN = "符合", "部分符合", "不符合", "不适用", "未执行"
VERDICTS = (GOOD, PARTLY, BAD, NOT_APPLICABLE, NOT_RUN)
PROFILES = {
    "密评": ("MP",),
    "等保": ("DB", "PR"),
    "信创": ("XC",),
    "RUSP": ("RU",),
    "行业": ("HS", "RX", "TC", "YB", "MR", "GR", "FN"),
}
"""Profile → groups of ids. ``all`` is every profile."""
NEEDS = {
    "http": "正在运行的服务（--base）",
    "accounts": "三名管理员的账户文件（--accounts）",
    "database": "独立数据库账户（--database）",
    "app": "程序目录（--app-dir）",
    "data": "数据目录（--data-dir）",
    "command": "已安装的命令（--command）",
    "disturb": "允许改动数据库与文件后还原（--allow-disturbing，只用于测试环境）",
}
"""What a check may need of the target → what to give the command."""
SHOWN = 400
"""Longest piece of evidence, in characters."""
TOLD = 80
"""How much of what was seen stands in the reason."""


class NotRun(Exception):
    """The check, or what it stands on, can't be run here; the text says why."""


class NotApplicable(Exception):
    """The clause doesn't apply to this installation; the text says why."""


@dataclass(frozen=True)
class Entry:
    """A line of the catalogue. ``rest``: how it is judged without a function (see catalogue.toml)."""

    id: str
    mode: str
    clause: str
    title: str
    rest: str

    @property
    def profile(self) -> str:
        """The profile to which the check's group belongs."""
        return next(name for name, groups in PROFILES.items() if self.id[:2] in groups)


@dataclass(frozen=True)
class Check:
    """A function of ``checks/`` and what it needs of the target."""

    id: str
    needs: tuple[str, ...]
    run: Callable[[Any, Evidence], None]


@dataclass
class Seen:
    """One observation: ``ok`` None is a note."""

    ok: bool | None
    asked: str
    saw: str
    vital: bool = True


@dataclass
class Evidence:
    """What a check asked and saw."""

    seen: list[Seen] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def see(self, ok: object, asked: str, saw: object = "", *, vital: bool = True) -> bool:
        """An observation: whether it is as the clause demands. ``vital=False``: a lesser shortcoming."""
        self.seen.append(Seen(bool(ok), asked, _short(saw), vital))
        return bool(ok)

    def note(self, asked: str, saw: object) -> None:
        """A fact that decides nothing."""
        self.seen.append(Seen(None, asked, _short(saw)))

    def lacks(self, part: str) -> None:
        """A part of the clause that wasn't run: the verdict is no 符合 any more."""
        self.missing.append(part)


def _short(saw: object) -> str:
    text = str(saw)
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


@dataclass
class Result:
    """A check's verdict."""

    entry: Entry
    verdict: str
    reason: str = ""
    evidence: Evidence = field(default_factory=Evidence)
    seconds: float = 0.0


CHECKS: dict[str, Check] = {}


def check(id: str, *needs: str) -> Callable[[Callable[[Any, Evidence], None]], Callable[[Any, Evidence], None]]:
    """Declare the function of a check. :raises ValueError: unknown id or need, or declared twice."""

    def declare(run: Callable[[Any, Evidence], None]) -> Callable[[Any, Evidence], None]:
        if id not in catalogue() or id in CHECKS or set(needs) - set(NEEDS):
            raise ValueError(f"check {id} is wrongly declared")
        CHECKS[id] = Check(id, needs, run)
        return run

    return declare


@cache
def catalogue() -> Mapping[str, Entry]:
    """Every check of COMPLIANCE.md, in its order."""
    text = resources.files("his_server.compliance").joinpath("catalogue.toml").read_text("utf-8")
    return {id: Entry(id, *line) for id, line in tomllib.loads(text).items()}


def chosen(profile: str) -> list[Entry]:
    """The entries of a profile (``all``: every one). :raises ValueError: there is no such profile."""
    if profile != "all" and profile not in PROFILES:
        raise ValueError(profile)
    return [entry for entry in catalogue().values() if profile in ("all", entry.profile)]


def judge(entry: Entry, evidence: Evidence) -> Result:
    """The verdict of what was seen."""
    judged = [seen for seen in evidence.seen if seen.ok is not None]
    bad = [seen for seen in judged if not seen.ok]
    missing = "；".join(f"未执行：{part}" for part in evidence.missing)
    if any(seen.vital for seen in bad):
        verdict = BAD
    elif not judged:
        return Result(entry, NOT_RUN, missing or "没有得到任何证据", evidence)
    else:
        verdict = PARTLY if bad or evidence.missing else GOOD
    told = [f"未满足：{seen.asked}" + (f"（{seen.saw[:TOLD]}）" if seen.saw else "") for seen in bad]
    reason = "；".join([*told, *([missing] if missing else [])])
    return Result(entry, verdict, reason, evidence)
