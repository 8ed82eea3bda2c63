"""Regions and dictionaries as forms need them: present region of an old code, what may be chosen today."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from his_server.db import today
from his_server.errors import FieldError
from modules.kernel.masterdata.models import DictionaryEntry, Region
from modules.kernel.masterdata.service.lookups import valid_on


@dataclass(frozen=True)
class RegionName:
    """A region code as it was entered and what it is today (M1.4)."""

    code: str
    name: str
    present_code: str
    present_name: str

    @property
    def changed(self) -> bool:
        """Whether the region has been reformed since."""
        return self.code != self.present_code


def current_regions(session: Session, codes: Iterable[str | None]) -> dict[str, RegionName]:
    """Name and present region of each code, unknown ones left out. One query."""
    wanted = {code for code in codes if code}
    if not wanted:
        return {}
    present = aliased(Region)
    rows = session.execute(
        select(Region.code, Region.full_name, present.code, present.full_name)
        .join(present, present.code == Region.present_code).where(Region.code.in_(wanted)))
    return {row[0]: RegionName(*row) for row in rows}


def current_region(session: Session, code: str) -> RegionName | None:
    """The present region of a code; None for a code that never was one. One query."""
    return current_regions(session, [code]).get(code)


def refused_regions(session: Session, codes: Mapping[str, str | None]) -> list[FieldError]:
    """Field errors of the codes (by field) that a new entry may not use: unknown, or ended with its successor named."""
    known = current_regions(session, codes.values())
    errors = []
    ended = set(session.scalars(select(Region.code).where(Region.code.in_(known), ~valid_on(Region, today(session)))))
    for field, code in codes.items():
        if not code:
            continue
        if code not in known:
            errors.append(FieldError(field, f"没有这个地区代码（{code}），请从列表中选择"))
        elif code in ended:
            to = known[code]
            hint = f"请选择“{to.present_name}”" if to.changed else "请选择现行地区"
            errors.append(FieldError(field, f"{to.name}（{code}）已撤销，{hint}"))
    return errors


def code_names(session: Session, codes: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Names of dictionary codes, valid or not any more, by ``(dictionary, code)``. One query."""
    wanted = set(codes)
    if not wanted:
        return {}
    rows = session.execute(
        select(DictionaryEntry.dictionary, DictionaryEntry.code, DictionaryEntry.name)
        .where(DictionaryEntry.dictionary.in_({d for d, _ in wanted}), DictionaryEntry.code.in_({c for _, c in wanted})))
    return {(row.dictionary, row.code): row.name for row in rows}


def refused_codes(session: Session, values: Mapping[str, tuple[str, str | None]]) -> list[FieldError]:
    """Field errors of dictionary codes: ``{field: (dictionary, code)}``; empty codes pass, unknown ones don't (HS-04)."""
    asked = {field: pair for field, pair in values.items() if pair[1]}
    if not asked:
        return []
    known = set(session.execute(
        select(DictionaryEntry.dictionary, DictionaryEntry.code)
        .where(DictionaryEntry.dictionary.in_({d for d, _ in asked.values()}),
               DictionaryEntry.code.in_({c for _, c in asked.values()}), valid_on(DictionaryEntry, today(session)))
    ))
    return [FieldError(field, f"没有这个代码（{code}），请从列表中选择")
            for field, (dictionary, code) in asked.items() if (dictionary, code) not in known]
