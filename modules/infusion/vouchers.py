"""Bottle labels. The same bottle gives the same label but for the reprint mark."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from his_server.clock import local
from his_server.reporting import Document

SEX = {"1": "男", "2": "女", "9": "未说明", "0": "未知"}


def label(infusion: Mapping[str, Any], bottle: Mapping[str, Any], *, paper: str, copy: int) -> bytes:
    """瓶签: whom it is for, what is in it, its number as a code. ``copy`` 2 and more are marked 补打."""
    person = infusion["person"]
    page = Document(paper, name=f"瓶签 {bottle['label_no']}", reprint="补打" if copy > 1 else None)
    page.line(f"{person['name']}　{SEX.get(person['sex'], '')}　座位 {infusion['seat'] or '—'}　{infusion['queue_no']} 号",
              bold=True)
    page.line(f"{person['outpatient_no']}　{bottle['usage']} {bottle['frequency']}　第 {bottle['turn']} 次　"
              f"{local(infusion['received_at']):%m-%d}")
    for drug in bottle["drugs"]:
        mark = "（皮试）" if drug.skin_test else ""
        page.line(f"{drug.name} {drug.spec}　{drug.dose.normalize():f}{drug.dose_unit}{mark}")
    page.barcode(bottle["label_no"], height_mm=8)
    return page.to_bytes()
