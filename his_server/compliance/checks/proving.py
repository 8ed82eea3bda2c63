"""Functions, requirements and cases: what the installed program says that it implements against the matrix of traces (RU-02)."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from his_server.compliance.checks.program import HOUSES
from his_server.compliance.frame import Evidence, NotRun, check
from his_server.compliance.target import Target

ROW = re.compile(r"^\| ([A-Z][A-Z0-9]*[.-]?\d[\w.-]*) \|([^|]*)\|([^|]*)\|([^|]*)\|([^|]*)\|$", re.M)
"""A line of the matrix: number, requirement, implementation, cases, result."""
NUMBER = re.compile(r"[A-Z]\d+(\.\d+)?|[A-Z]{2}-\d\d")
TENDER = re.compile(r"[A-Z]\d+(\.\d+)?$")
PASSED, NOT_RUN_YET = "通过", "未运行"


@check("RU-02", "app")
def traced(target: Target, seen: Evidence) -> None:
    """Every requirement that an installed source says it implements has a case in the matrix; lines of the tender without one,
    and cases without a passing result, are counted."""
    assert target.app_dir is not None
    if target.trace is None:
        raise NotRun("没有给出追溯矩阵（--trace docs/trace.md，随源码，由 his-server trace --run 生成）")
    rows = {found[1]: found for found in ROW.finditer(target.trace.read_text("utf-8"))}
    cases = {id: found[4].count("::") for id, found in rows.items()}
    claimed = _claimed(target.app_dir)
    seen.see(len(rows) > 100 and claimed, "矩阵列出需求、实现、用例、结果", f"{len(rows)} 条需求，{sum(cases.values())} 个用例")
    unproved = sorted(f"{id}（{places[0]}）" for id, places in claimed.items() if not cases.get(id))
    seen.see(not unproved, "程序声明实现的每一条需求都有用例", unproved[:6] or f"{len(claimed)} 条")
    bare = sorted(id for id in rows if TENDER.match(id) and not cases[id])
    asked = [id for id in rows if TENDER.match(id)]
    seen.see(not bare, "招标的每一条需求都有用例", f"{len(asked)} 条中 {len(bare)} 条没有：{'、'.join(bare[:30])}", vital=False)
    results = {id: found[5].strip() for id, found in rows.items() if cases[id]}
    failed = sorted(id for id, told in results.items() if not told.startswith((PASSED, NOT_RUN_YET, "未执行")))
    seen.see(not failed, "没有用例不通过", failed[:8] or "0 条")
    if waiting := sum(not told.startswith(PASSED) for told in results.values()):
        seen.lacks(f"{waiting} 条需求的用例在这份矩阵里没有运行结果（在源码上执行 his-server trace --run）")


def _claimed(folder: Path) -> dict[str, list[str]]:
    """Requirement → installed sources whose text says ``Implements:``."""
    found: dict[str, list[str]] = {}
    for house in HOUSES:
        for path in sorted((folder / house).rglob("*.py")):
            if "node_modules" in path.parts:
                continue
            text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
            for line in text.splitlines():
                if line.startswith("Implements:"):
                    for word in re.findall(r"[\w.-]+", line.removeprefix("Implements:")):
                        if NUMBER.fullmatch(id := word.rstrip(".")):
                            found.setdefault(id, []).append(path.relative_to(folder).as_posix())
    return found
