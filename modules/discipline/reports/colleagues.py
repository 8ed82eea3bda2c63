"""职工病历调阅: who of the staff opened a file of their own, or a colleague's, and whether they treat the person (PR-03).

A member of staff has no identity number here, so a file is taken for one of the staff by name and sex, or because it is labelled
本院职工 (封存与保护); namesakes are in the list too, and the reader judges. Each run is on record.

Implements: PR-03
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from his_server.actor import Actor
from his_server.clock import day_bounds, local
from his_server.db import now
from his_server.module import ReportSource
from his_server.reporting import Column, Report
from his_server.reporting_routes import DayRange
from his_server.search import normalise
from his_server.security import audit
from his_server.security.audit import AuditRow
from his_server.security.events import title_of
from modules.kernel.encounters.models import Encounter
from modules.kernel.masterdata.models import Staff
from modules.kernel.patients import rules
from modules.kernel.patients.models import Person, PersonProtection, person_search
from modules.kernel.patients.queries import NAMES

STAFF_FILES = "discipline.staff_files"
LOOKS = ("patient.view", "patient.unmask", "patient.break_glass")
"""Events by which somebody has seen a file."""
CHUNK = 500
UNSAID = frozenset({"0", "9"})
PARTS = {"file": "档案", "edit": "修改", "timeline": "变更记录", "identifiers": "号码", "merges": "合并记录",
         "unmask": "敏感信息原文"}
SAME, LABELLED = "姓名性别相同", "标记为本院职工"
Rows = list[dict[str, Any]]


class Days(DayRange):
    """Days of looking, three months at most; ``search`` narrows to a viewer's or a patient's name."""

    longest, longest_told = timedelta(days=92), "三个月"


def _chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for first in range(0, len(items), CHUNK):
        yield items[first:first + CHUNK]


def _agree(one: str, other: str) -> bool:
    """Whether two codes of sex may be the same person's."""
    return one == other or bool({one, other} & UNSAID)


def staff_files(session: Session) -> dict[int, tuple[Person, str]]:
    """Files that are taken for one of the staff → the file and why. Queries: one, and two for each 500 names or files."""
    sexes: dict[str, list[str]] = {}
    for row in session.execute(select(Staff.name, Staff.sex)):
        sexes.setdefault(normalise(row.name), []).append(row.sex)
    ids: set[int] = set()
    for names in _chunks(sorted(sexes)):
        ids |= set(session.scalars(select(person_search.c.owner_id).where(
            person_search.c.part == 0, person_search.c.key.in_(names), person_search.c.kind == "name")))
    labelled = {row.person_id for row in session.scalars(select(PersonProtection).where(PersonProtection.in_force == 1))
                if "staff" in row.kinds.split()}
    found: dict[int, tuple[Person, str]] = {}
    for some in _chunks(sorted(ids | labelled)):
        for person in session.scalars(select(Person).where(Person.id.in_(some))):
            if person.id in labelled:
                found[person.id] = (person, LABELLED)
            elif any(_agree(person.sex, sex) for sex in sexes.get(normalise(person.name), ())):
                found[person.id] = (person, SAME)
    return found


def staff_views(session: Session, actor: Actor, args: Mapping[str, Any]) -> tuple[Report, Rows]:
    """Every look of these days at a file of one of the staff, the newest first: own (本人) or a colleague's (同事)."""
    files = staff_files(session)
    begin, end = day_bounds(args["start"])[0], day_bounds(args["end"])[1]
    looks: list[AuditRow] = []
    treated: set[tuple[int, int | None]] = set()
    for some in _chunks(sorted(files)):
        looks += session.scalars(select(AuditRow).where(
            AuditRow.object_type == "person", AuditRow.object_id.in_([str(one) for one in some]), AuditRow.event.in_(LOOKS),
            AuditRow.at >= begin, AuditRow.at < end))
        treated |= {(row.person_id, row.doctor_id) for row in session.execute(
            select(Encounter.person_id, Encounter.doctor_id).where(Encounter.person_id.in_(some)))}
    viewers = {row.id: row for row in session.execute(
        select(Staff.id, Staff.sex).where(Staff.id.in_({look.staff_id for look in looks if look.staff_id})))}
    rows: Rows = []
    for look in sorted(looks, key=lambda one: (one.at, one.id), reverse=True):
        person, why = files[int(look.object_id)]
        viewer = viewers.get(look.staff_id)
        own = normalise(look.name) == normalise(person.name) and (viewer is None or _agree(viewer.sex, person.sex))
        if args["search"] and args["search"] not in (look.name, person.name):
            continue
        rows.append({
            "at": look.at, "whose": "本人" if own else "同事", "why": SAME if own else why, "viewer": look.name,
            "login": look.login,
            "patient": person.name if actor.can(NAMES) else rules.mask_name(person.name), "outpatient_no": person.outpatient_no,
            "what": title_of(look.event), "part": _part(look.detail),
            "treats": "接诊" if look.staff_id is not None and (person.id, look.staff_id) in treated else "", "ip": look.ip})
    audit.record(session, actor, "staff_files.run", "report", "staff-file-views",
                 {"days": f"{args['start']}..{args['end']}", "rows": len(rows)})
    own_count = sum(row["whose"] == "本人" for row in rows)
    report = Report("staff-file-views", "职工病历调阅", columns=(
        Column("at", "时间", "datetime"), Column("whose", "类别", width=6), Column("viewer", "调阅人", width=10, fixed=True),
        Column("login", "登录名", width=12), Column("patient", "病人", width=10), Column("outpatient_no", "门诊号", width=12),
        Column("why", "判为职工", width=16), Column("what", "操作", width=12), Column("part", "内容", width=12),
        Column("treats", "诊疗关系", width=8), Column("ip", "来源", width=16)),
        subtitle=(f"期间：{args['start']} 至 {args['end']}", f"查看本人 {own_count} 次，查看同事 {len(rows) - own_count} 次",
                  f"查询：{actor.name}　{local(now(session)):%Y-%m-%d %H:%M}"),
        orientation="landscape")
    return report, rows


def _part(detail: str) -> str:
    """What of the file was opened, as the trail has it."""
    found = json.loads(detail).get("part", "")
    return PARTS.get(found, str(found))


SOURCE = ReportSource("staff-file-views", "职工病历调阅", STAFF_FILES, Days, staff_views)
