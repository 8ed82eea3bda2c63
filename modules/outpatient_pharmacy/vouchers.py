"""Printed documents of the pharmacies. The same prescription gives the same bytes but for the reprint mark."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from his_server.clock import local
from his_server.reporting import Column, Document

SEX = {"1": "男", "2": "女", "9": "未说明", "0": "未知"}
_LINES = (Column("shelf", "货位", width=7),
          Column("name", "药品", width=20), Column("spec", "规格", width=12), Column("quantity_text", "数量", width=9),
          Column("directions", "用法用量", width=19), Column("batch", "批号 / 效期 / 数量", width=26))


def dispensing(found: Mapping[str, Any], *, hospital: str, copy: int) -> bytes:
    """发药单 of a prescription: what was, or is to be, taken from which lot. ``copy`` 2 and more are marked 补打."""
    person = found["person"]
    page = Document("A5", landscape=True, reprint="补打" if copy > 1 else None)
    page.title(f"{hospital}发药单")
    page.pairs([
        ("姓名", person["name"]), ("性别", SEX.get(person["sex"], "")), ("门诊号", person["outpatient_no"]),
        ("处方号", found["number"]), ("处方", found["kind"]), ("医生", found["doctor_name"]),
        ("收费时间", _shown(found["charged_at"])), ("发药时间", _shown(found["dispensed_at"])),
        ("诊断", found["diagnosis"]),
    ], columns=3)
    if person["allergies"]:
        page.line(f"过敏：{person['allergies']}", bold=True)
    walk = sorted(found["lines"], key=lambda line: line["shelf"] or "~")  # along the shelves; without one at the end
    page.table(_LINES, [{**line, "directions": _directions(line), "batch": _batches(line)} for line in walk])
    task = found["task"] or {}
    page.pairs([("审核", task.get("reviewed_by_name", "")), ("调配", task.get("picked_by_name", "")),
                ("核对发药", task.get("checked_by_name", "")), ("窗口", task.get("window", "")), ("领药人", "")], columns=3)
    page.barcode(found["number"])
    return page.to_bytes()


def _shown(at: datetime | None) -> str:
    return f"{local(at):%Y-%m-%d %H:%M}" if at else ""


def _directions(line: Mapping[str, Any]) -> str:
    """How to take it: ``口服 每次0.5g tid 共3日``."""
    note = f" {line['note']}" if line["note"] else ""
    return f"{line['usage']} 每次{line['dose'].normalize():f}{line['dose_unit']} {line['frequency']} 共{line['days']}日{note}"


def _batches(line: Mapping[str, Any]) -> str:
    """Lots as taken, one per line; what came back is marked."""
    return "\n".join(f"{b['lot_no']} {b['expiry']:%Y-%m-%d} {'退' if b['returned'] else ''}{b['quantity_text']}"
                     for b in line["batches"])
