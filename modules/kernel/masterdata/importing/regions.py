"""Regions are a graph: parents above, successors after. Checked as a whole, names and present codes kept for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from modules.kernel.masterdata.importing.table import CellError, TableRow
from modules.kernel.masterdata.models import Region

DEEPEST = 6


@dataclass(frozen=True)
class _Node:
    name: str
    parent: str
    successor: str


def _graph(session: Session, values: Sequence[Mapping[str, Any]]) -> dict[str, _Node]:
    """All regions as they will be after the import, by code."""
    graph = {row.code: _Node(row.name, row.parent_code, row.successor) for row in session.execute(
        select(Region.code, Region.name, Region.parent_code, Region.successor))}
    for v in values:
        code = v.get("code")
        if not code:
            continue
        old = graph.get(code, _Node("", "", ""))
        graph[code] = _Node(v.get("name") or old.name, v.get("parent_code", old.parent),
                            v.get("successor", old.successor))
    return graph


def check(session: Session, names: Mapping[str, str], rows: Sequence[TableRow], values: Sequence[Mapping[str, Any]],
          errors: list[CellError]) -> None:
    """Parents and successors must be regions themselves and lead to an end; bad cells go to ``errors``."""
    graph = _graph(session, values)
    for row, value in zip(rows, values, strict=True):
        for attribute, column in (("parent", "parent_code"), ("successor", "successor")):
            to, seen = value.get(column) or "", {value.get("code")}
            if to and to not in graph:
                errors.append(CellError(row.number, names[column], f"没有地区代码 {to}"))
            while to in graph and to not in seen:
                seen.add(to)
                to = getattr(graph[to], attribute)
            if to in seen:
                errors.append(CellError(row.number, names[column], f"经 {to} 又回到自己，成了一个圈"))


def complete(session: Session, values: Sequence[dict[str, Any]], existing: Mapping[tuple[Any, ...], Region]) -> set[int]:
    """Fill ``full_name`` and ``present_code``; regions outside the file whose chain leads through it follow, too.

    Returns the ids of those others that changed.
    """
    graph = _graph(session, values)
    given = {v["code"]: v for v in values}
    followed = set()
    for code, node in graph.items():
        present = code
        while graph[present].successor:
            present = graph[present].successor
        path, above = [node.name], node.parent
        while above in graph and len(path) < DEEPEST:
            path.append(graph[above].name)
            above = graph[above].parent
        full = "".join(reversed(path))[:120]
        if code in given:
            given[code].update(present_code=present, full_name=full)
            continue
        row = existing[(code,)]
        if (row.present_code, row.full_name) != (present, full):
            row.present_code, row.full_name = present, full
            followed.add(row.id)
    return followed
