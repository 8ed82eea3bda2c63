"""Reformed regions: present addresses move to the successor, the code that was entered is kept (M1.4, HS-06)."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.security import audit
from modules.kernel.masterdata.models import Region
from modules.kernel.patients.models import Person

ADDRESSES = ("home_region", "household_region", "work_region")
"""Addresses that follow a reform. Birth and native place stay as they were called."""


@dataclass(frozen=True)
class MigratedCode:
    """One reformed code: how many persons had it in one of their addresses."""

    field: str
    code: str
    name: str
    present_code: str
    present_name: str
    persons: int


@dataclass(frozen=True)
class MigrationReport:
    """What was (or would be) moved, and codes in use that no list knows."""

    moved: tuple[MigratedCode, ...]
    unknown: tuple[tuple[str, str, int], ...]

    @property
    def persons(self) -> int:
        """Addresses moved in all."""
        return sum(entry.persons for entry in self.moved)


def migrate_regions(session: Session, actor: Actor, *, dry_run: bool = False) -> MigrationReport:
    """Move present addresses from reformed regions to what they are today; repeatable: a second run moves nothing.

    One grouped query and one update per address field and reformed code.
    """
    known = {row.code: row for row in session.execute(
        select(Region.code, Region.full_name, Region.present_code))}
    moved: list[MigratedCode] = []
    unknown: list[tuple[str, str, int]] = []
    for name in ADDRESSES:
        column, was = getattr(Person, name), getattr(Person, f"{name}_was")
        used = session.execute(select(column, func.count()).where(column.is_not(None)).group_by(column)
                               .order_by(column)).all()
        for code, persons in used:
            region = known.get(code)
            if region is None:
                unknown.append((name, code, persons))
            elif region.present_code != code:
                present = known[region.present_code]
                if not dry_run:
                    portable.guarded_update(session, Person, column == code,
                                            {name: present.code, was.key: func.coalesce(was, code)})
                moved.append(MigratedCode(name, code, region.full_name, present.code, present.full_name, persons))
    report = MigrationReport(tuple(moved), tuple(unknown))
    if not dry_run:
        audit.record(session, actor, "regions.migrate", "region", "all", {"persons": report.persons})
    return report
