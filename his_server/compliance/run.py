"""Running the checks in their order, and what comes of it."""

from __future__ import annotations

import http.client
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from crypto import CryptoError
from his_server.compliance import checks as _checks
from his_server.compliance.frame import (
    BAD,
    CHECKS,
    GOOD,
    NEEDS,
    NOT_APPLICABLE,
    NOT_RUN,
    PARTLY,
    VERDICTS,
    Entry,
    Evidence,
    NotApplicable,
    NotRun,
    Result,
    judge,
)
from his_server.compliance.target import Target

log = logging.getLogger("his.compliance")
LOADED = _checks.__name__
"""All checks are declared once this package is imported."""


def run_one(target: Target, entry: Entry) -> Result:
    """Run a check that has a function. Whatever it raises is 未执行, with the reason."""
    declared = CHECKS[entry.id]
    evidence, began = Evidence(), time.monotonic()
    if lacking := target.missing(declared.needs):
        return Result(entry, NOT_RUN, "缺少：" + "、".join(NEEDS[need] for need in lacking))
    try:
        declared.run(target, evidence)
        result = judge(entry, evidence)
    except NotApplicable as error:
        result = Result(entry, NOT_APPLICABLE, str(error), evidence)
    except NotRun as error:
        result = Result(entry, NOT_RUN, str(error), evidence)
    except (
        OSError,
        http.client.HTTPException,
        SQLAlchemyError,
        CryptoError,
        LookupError,
        TypeError,
        ValueError,
        ArithmeticError,
        AssertionError,
        AttributeError,
        RuntimeError,
    ) as error:
        log.exception("check %s broke off", entry.id)
        result = Result(entry, NOT_RUN, f"检查中断：{type(error).__name__}：{str(error)[:200]}", evidence)
    if result.verdict == NOT_RUN and any(seen.ok is False for seen in evidence.seen):
        result = judge(entry, evidence)  # what was seen to be wrong before it broke off stays wrong
        result.reason += "；检查未做完"
    result.seconds = time.monotonic() - began
    return result


def run(target: Target, entries: Sequence[Entry], say: Callable[[str], None] = lambda text: None) -> list[Result]:
    """Run the entries in order; those judged by others come after them. Accounts that were made are ended."""
    done: dict[str, Result] = {}
    try:
        for entry in entries:
            if entry.id in CHECKS:
                done[entry.id] = run_one(target, entry)
            elif not entry.rest.startswith(("=", "@")):
                done[entry.id] = without_function(entry)
            if entry.id in done:
                say(f"{entry.id} {done[entry.id].verdict} {entry.title} {done[entry.id].reason[:100]}".rstrip())
    finally:
        left = target.tidy()
    for entry in entries:
        if entry.id not in done:
            done[entry.id] = derived(entry, done) if entry.rest.startswith("=") else compared(entry, done, target)
            say(f"{entry.id} {done[entry.id].verdict} {entry.title}")
    if left:
        say(f"未能停用的测试账户与目录：{'、'.join(left)}")
    return [done[entry.id] for entry in entries]


def without_function(entry: Entry) -> Result:
    """A check that isn't run by machine, with its reason or its pointer."""
    kind, _, text = entry.rest.partition(" ")
    if kind == "?":
        return Result(entry, NOT_RUN, f"文档审查项，由测评人员核对：{text}")
    return Result(entry, NOT_RUN, text or "没有实现")


def derived(entry: Entry, done: dict[str, Result]) -> Result:
    """The verdict of a clause that others prove: the worst of theirs; not run where one of them wasn't."""
    ids = entry.rest.removeprefix("=").split()
    verdicts = {id: done[id].verdict if id in done else NOT_RUN for id in ids}
    evidence = Evidence()
    for id, verdict in verdicts.items():
        evidence.note(f"见 {id}", verdict)
    found = set(verdicts.values()) - {NOT_APPLICABLE}
    if BAD in found:
        verdict = BAD
    elif NOT_RUN in found:
        verdict = NOT_RUN
    elif PARTLY in found:
        verdict = PARTLY
    else:
        verdict = GOOD if found else NOT_APPLICABLE
    reason = "、".join(f"{id} {each}" for id, each in verdicts.items() if each not in (GOOD, NOT_APPLICABLE))
    return Result(entry, verdict, f"依据 {reason}" if reason else f"依据 {'、'.join(ids)}", evidence)


def compared(entry: Entry, done: dict[str, Result], target: Target) -> Result:
    """Whether a run on another database came to the same verdicts: wrong on one only is 不符合, any other difference is told."""
    if not target.other:
        return Result(entry, NOT_RUN, entry.rest.partition(" ")[2])
    evidence = Evidence()
    ours = target.tables.dialect if target.tables is not None else "未知"
    theirs = str(target.other["stack"].get("数据库", "未知"))
    verdicts = {one["id"]: one["verdict"] for one in target.other["results"]}
    evidence.see(not theirs.startswith(ours), "两次运行面对不同的数据库", f"{ours} / {theirs}")
    both = [id for id in done if id in verdicts]
    differ = {id: f"{done[id].verdict}/{verdicts[id]}" for id in both if done[id].verdict != verdicts[id]}
    broken = [f"{id} {told}" for id, told in differ.items() if BAD in told.split("/")]
    evidence.see(len(both) > 10 and not broken, "没有只在一种数据库上不符合的项", broken or f"比较 {len(both)} 项")
    other = [f"{id} {told}" for id, told in differ.items() if BAD not in told.split("/")]
    evidence.see(not other, "其余判定相同（部分符合、未执行的差别逐项列出）", "；".join(other) or "相同", vital=False)
    return judge(entry, evidence)


@dataclass(frozen=True)
class Count:
    """How many of each verdict."""

    of: dict[str, int]

    def __str__(self) -> str:
        return "，".join(f"{verdict} {self.of[verdict]}" for verdict in VERDICTS)


def count(results: Iterable[Result]) -> Count:
    """Count the verdicts."""
    found: Counter[Any] = Counter(result.verdict for result in results)
    return Count({verdict: found[verdict] for verdict in VERDICTS})
