"""What partners read: pages of a resource, all of it or what changed since an earlier answer.

A resource's newest state is kept row by row with the version at which it last changed. Reading brings it up to date
first, one caller at a time, so that no change is missed: whatever is written later has a later version.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from flask import current_app
from sqlalchemy import and_, delete, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.db import now, today
from his_server.errors import invalid
from his_server.http import Call
from interfaces.hub.gateway import Gateway
from interfaces.read_views import contract, mapping
from interfaces.read_views.models import ReadFeed, ReadFeedRow
from interfaces.read_views.settings import Settings

gateway = Gateway("read_views")
_DAYS = ("day", "valid_from", "valid_to")


def _settings() -> Settings:
    found: Settings = current_app.extensions["his_module_settings"]["read_views"]
    return found


def refresh(session: Session, resource: str, source: Callable[[Session, int], mapping.Rows], settings: Settings) -> int:
    """Bring a resource up to date unless that was done a moment ago; returns its version.

    Its row is held from here to the end of the unit of work. Sessions of past days are forgotten, not reported as gone.
    """
    at, kept = now(session), select(ReadFeed.version, ReadFeed.fresh_at).where(ReadFeed.resource == resource)
    feed = session.execute(kept).first()
    if feed is None:
        portable.upsert(session, ReadFeed, [{"resource": resource, "version": 0, "fresh_at": None}], ["resource"], [])
    elif feed.fresh_at is not None and timedelta(0) <= at - feed.fresh_at < timedelta(seconds=settings.fresh_seconds):
        return int(feed.version)
    portable.guarded_update(session, ReadFeed, ReadFeed.resource == resource, {"version": ReadFeed.version + 0})
    feed = session.execute(kept).one()
    known = {row.row_key: row for row in session.execute(
        select(ReadFeedRow.row_key, ReadFeedRow.gone, ReadFeedRow.content).where(ReadFeedRow.resource == resource))}
    there = {key: _text(content) for key, content in source(session, settings.days)}
    changed = {key: (text, False) for key, text in there.items()
               if key not in known or known[key].gone or known[key].content != text}
    missing = [row for key, row in known.items() if key not in there]
    past = [row.row_key for row in missing if _past(row.content, today(session))]
    changed |= {row.row_key: (row.content, True) for row in missing if not row.gone and row.row_key not in past}
    version = int(feed.version) + bool(changed)
    for begin in range(0, len(past), 500):
        session.execute(delete(ReadFeedRow).where(ReadFeedRow.resource == resource,
                                                  ReadFeedRow.row_key.in_(past[begin:begin + 500])))
    portable.upsert(session, ReadFeedRow, [
        {"resource": resource, "row_key": key, "version": version, "gone": gone, "content": text}
        for key, (text, gone) in sorted(changed.items())], ["resource", "row_key"])
    portable.guarded_update(session, ReadFeed, ReadFeed.resource == resource, {"version": version, "fresh_at": at})
    return version


def _text(content: dict[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _past(content: str, day: date) -> bool:
    found = json.loads(content).get("day")
    return found is not None and date.fromisoformat(found) < day


def page(call: Call, resource: str, source: Callable[[Session, int], mapping.Rows]) -> dict[str, Any]:
    """One page, in the order of keys; later pages belong to the version of the first."""
    limit, since = call.query["limit"], call.query["changed_since"]
    if call.query["cursor"] is None:
        version, last = refresh(call.session, resource, source, _settings()), ""
    else:
        version, since, last = _place(call.query["cursor"], resource)
    row = ReadFeedRow
    found = and_(row.resource == resource, row.row_key > last)
    condition = and_(found, row.gone.is_(False)) if since is None else and_(found, row.version > since)
    rows = call.session.execute(select(row.row_key, row.gone, row.content).where(condition)
                                .order_by(row.row_key).limit(limit + 1)).all()
    more = portable.encode_cursor((resource, version, -1 if since is None else since, rows[limit - 1].row_key)) \
        if len(rows) > limit else None
    return {"items": [_shown(one) for one in rows[:limit]], "next": more, "version": version}


def _shown(row: Any) -> dict[str, Any]:
    content = json.loads(row.content)
    content |= {name: date.fromisoformat(content[name]) for name in _DAYS if content.get(name)}
    return {**content, "deleted": row.gone}


def _place(cursor: str, resource: str) -> tuple[int, int | None, str]:
    try:
        of, version, since, last = portable.decode_cursor(cursor)
        if of != resource or not (isinstance(version, int) and isinstance(since, int) and isinstance(last, str)):
            raise ValueError(of)
    except ValueError as error:
        raise invalid("cursor", "翻页标记有误，请从第一页重新查询") from error
    return version, None if since < 0 else since, last


@gateway.use_case("departments.list", "GET", "/departments", title="科室", query=contract.PageQuery,
                  out=contract.DepartmentFeed, keys=("code", "deleted"), writes=True)
def departments(call: Call) -> dict[str, Any]:
    """Departments in use."""
    return page(call, "departments", mapping.departments)


@gateway.use_case("staff.list", "GET", "/staff", title="人员", query=contract.PageQuery, out=contract.StaffFeed,
                  personal=("name",), keys=("code", "deleted"), writes=True)
def staff(call: Call) -> dict[str, Any]:
    """Members of staff."""
    return page(call, "staff", mapping.staff)


@gateway.use_case("schedules.list", "GET", "/schedules", title="出诊安排", query=contract.PageQuery,
                  out=contract.ScheduleFeed, keys=("code", "deleted"), writes=True)
def schedules(call: Call) -> dict[str, Any]:
    """Clinic sessions of the next days."""
    return page(call, "schedules", mapping.schedules)


@gateway.use_case("slots.list", "GET", "/slots", title="号源余量", query=contract.PageQuery, out=contract.SlotsFeed,
                  keys=("code", "deleted"), writes=True)
def slots(call: Call) -> dict[str, Any]:
    """Slots left of each clinic session."""
    return page(call, "slots", mapping.slots)


@gateway.use_case("drug-notices.list", "GET", "/drug-notices", title="缺药、禁药通知", query=contract.PageQuery,
                  out=contract.DrugNoticeFeed, keys=("code", "deleted"), writes=True)
def drug_notices(call: Call) -> dict[str, Any]:
    """Shortage and prohibition notices in force."""
    return page(call, "drug-notices", mapping.drug_notices)
