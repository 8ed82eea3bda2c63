"""Data for tests and research: nobody is in them, and nobody can be found by them (PR-12)."""

from __future__ import annotations

import contextlib
import csv
from collections import defaultdict
from datetime import date, timedelta
from pathlib import Path

from his_server.compliance.checks.access import unmasked
from his_server.compliance.checks.journey import patient
from his_server.compliance.frame import Evidence, NotRun, check
from his_server.compliance.target import Target

K = 5
QUASI = ("sex", "age_band", "city", "month", "department")
"""What somebody may know of a patient from elsewhere."""
KNOWN = 5000
"""So many persons' names and numbers are looked for."""


@check("PR-12", "http", "accounts", "command", "database", "disturb")
def without_persons(target: Target, seen: Evidence) -> None:
    """Export today's visits; look for markers, names and numbers of everybody, and for groups in which somebody stands out."""
    with contextlib.ExitStack() as stack, target.workplace() as folder:
        try:
            for _ in range(K):
                stack.enter_context(patient(target, name=f"去标识{target.mark}", home_detail=target.markers["home_detail"]))
        except NotRun as error:
            seen.lacks(f"当天的测试就诊（{error}）")
        done = [_export(target, folder / name, seen) for name in ("one", "two")]
        if not all(done):
            return
        text = "".join(path.read_text("utf-8") for path in sorted((folder / "one").glob("*.csv")))
        cells = {cell for path in (folder / "one").glob("*.csv") for row in _rows(path) for cell in row.values()}
        rows, again = (_rows(folder / name / "就诊.csv") for name in ("one", "two"))
    people, visits = target.db.rows("person", KNOWN, newest=True), target.db.rows("encounter", KNOWN, newest=True)
    words = {target.mark, *target.markers.values(), *(row["name"] for row in people if len(row["name"]) > 2)}
    words |= {row["name"] for row in target.db.rows("staff", KNOWN) if len(row["name"]) > 2}
    numbers = {row["outpatient_no"] for row in people} | {row["visit_no"] for row in visits}
    found = sorted({word for word in words if word and word in text} | numbers & cells)
    seen.see(not found, f"没有任何病人、医师的姓名、号码、住址（找 {len(words) + len(numbers)} 个）", found[:5] or "0 处")
    seen.see(not unmasked(text), "没有完整证件号、手机号", "0 处")
    if not rows:
        seen.lacks(f"没有同组满 {K} 人的就诊可供核对")
        return
    groups: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for row in rows:
        groups[tuple(row[name] for name in QUASI)].add(row["person"])
    smallest = min(len(persons) for persons in groups.values())
    seen.see(smallest >= K, f"重识别测试：性别、年龄段、市、月、科室相同的至少 {K} 人", f"{len(groups)} 组，最少 {smallest} 人")
    shared = {row["person"] for row in rows} & {row["person"] for row in again}
    seen.see(not shared, "两次导出的假名不同，不能互相关联", f"{len(rows)} 次就诊")
    logged = target.db.rows("security_audit", 2, newest=True, event="research.export")
    seen.see(len(logged) == 2 and all("合规测试" in row["detail"] for row in logged), "导出有审计，写明用途与行数", len(logged))
    seen.note("诊断与用药的特殊组合", "交付前由医院数据管理部门核对（命令有此提示）")


def _export(target: Target, place: Path, seen: Evidence) -> bool:
    days = ("--from", (date.fromisoformat(target.today) - timedelta(6)).isoformat(), "--to", target.today)
    done = target.his("anonymize", "--out", str(place), *days, "--k", str(K), "--reason", "合规测试")
    return seen.see(done.code == 0, "导出去标识化数据", done.out[-200:])


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))
