"""Two files of one person become one, and two again if that was a mistake (M3.2, HS-08).

Nothing is rewritten: the merged person points to the survivor, and whoever asks for a person's documents asks for
the whole :func:`family`. So an unmerge restores exactly.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import and_, bindparam, func, or_, select
from sqlalchemy.orm import Session, aliased

from dialects import portable
from his_server.actor import Actor
from his_server.clock import local
from his_server.db import now
from his_server.errors import Conflict, NotFound, invalid
from his_server.messaging import outbox
from his_server.security import audit
from modules.kernel.patients.models import Person, PersonMerge, PersonProtection
from modules.kernel.patients.service import concealing

_own = aliased(Person)
_ROOT = select(func.coalesce(_own.merged_into_id, _own.id)).where(_own.id == bindparam("b_person")).scalar_subquery()
_FAMILY = (select(Person.id).where((Person.id == _ROOT) | (Person.merged_into_id == _ROOT))
           .order_by(Person.merged_into_id.is_not(None), Person.id))


def survivors(session: Session, person_ids: Iterable[int]) -> dict[int, Person]:
    """For each id the person it stands for today: itself, or whom it was merged into. One query."""
    own = aliased(Person)
    rows = session.execute(select(own.id, Person).join(Person, Person.id == func.coalesce(own.merged_into_id, own.id))
                           .where(own.id.in_(set(person_ids))))
    return {own_id: person for own_id, person in rows}


def survivor(session: Session, person_id: int) -> Person:
    """The person an id stands for today. :raises NotFound: there never was one."""
    found = survivors(session, [person_id]).get(person_id)
    if found is None:
        raise NotFound("patients.none", "没有这位病人，请重新查找")
    return found


def family(session: Session, person_id: int) -> list[int]:
    """The ids under which a person's documents lie: the survivor's first, then all merged into it. One query."""
    session.flush()
    return [row.id for row in portable.fetch(session.connection(), _FAMILY, {"b_person": person_id})]


def merge(session: Session, actor: Actor, survivor_id: int, merged_id: int, reason: str) -> PersonMerge:
    """Merge one file into another that survives.

    :raises Invalid: a file with itself. :raises NotFound: no such person. :raises Conflict: one is merged already.
    """
    if survivor_id == merged_id:
        raise invalid("merged_id", "不能把病人与自己合并，请另选一份档案")
    people = survivors(session, [survivor_id, merged_id])
    for person_id in (survivor_id, merged_id):
        if person_id not in people:
            raise NotFound("patients.none", "没有这位病人，请重新查找")
        if people[person_id].id != person_id:
            raise Conflict("patients.merged", f"该档案已并入门诊号 {people[person_id].outpatient_no}，请刷新后核对")
    if session.scalar(select(PersonProtection.id).where(
            PersonProtection.person_id == merged_id, PersonProtection.in_force == 1,
            (PersonProtection.level >= 4) | PersonProtection.locked).limit(1)) is not None:
        raise Conflict("patients.protected", "被并入的档案设有保护级别或已封存，请医务部门先在保留的档案上设置并解除后再合并")
    # Both rows are written, in the order of their ids, so that two merges of the same files take turns.
    for person_id in sorted((survivor_id, merged_id)):
        free = (Person.id == person_id) & Person.merged_into_id.is_(None)
        if not portable.guarded_update(session, Person, free, {"revision": Person.revision + 1}):
            raise Conflict("patients.merged", "其中一份档案刚被他人合并，请刷新后核对")
    merged = people[merged_id]
    moved = list(session.scalars(select(Person.id).where(Person.merged_into_id == merged_id).order_by(Person.id)))
    if people[survivor_id].name_kept_sealed is not None:
        concealing.conceal(session, [merged_id, *moved])
    for child in session.scalars(select(Person).where(Person.id.in_(moved))):
        child.merged_into_id = survivor_id
    merged.merged_into_id = survivor_id
    found = PersonMerge(survivor_id=survivor_id, merged_id=merged_id, moved=",".join(map(str, moved)), reason=reason,
                        merged_at=now(session), merged_by=actor.user_id, merged_by_name=actor.name)
    session.add(found)
    session.flush()
    outbox.record(session, "PersonMerged", f"person:{survivor_id}", {"survivor_id": survivor_id, "merged_id": merged_id})
    audit.record(session, actor, "patient.merge", "person", survivor_id,
                 {"merged_id": merged_id, "merge_id": found.id, "reason": reason})
    return found


def unmerge(session: Session, actor: Actor, merge_id: int, reason: str) -> PersonMerge:
    """Undo a merge: both files are as they were, with all numbers and documents.

    :raises NotFound: no such merge. :raises Conflict: it is undone already, saying by whom.
    """
    found = session.get(PersonMerge, merge_id)
    if found is None:
        raise NotFound("patients.no_merge", "没有这次合并记录，请刷新后重试")
    if session.get_one(Person, found.merged_id).name_kept_sealed is not None:
        raise Conflict("patients.protected", "该病人的资料已封存，请医务部门先解除封存再撤销合并")
    if not portable.guarded_update(session, PersonMerge, (PersonMerge.id == merge_id) & PersonMerge.undone_at.is_(None),
                                   {"undone_at": now(session), "undone_by": actor.user_id,
                                    "undone_by_name": actor.name, "undo_reason": reason}):
        at = f"{local(found.undone_at):%m-%d %H:%M}" if found.undone_at else ""
        raise Conflict("patients.unmerged", f"{found.undone_by_name} 已于 {at} 撤销本次合并，请刷新后核对")
    merged = session.get_one(Person, found.merged_id)
    parent = merged.merged_into_id
    later = select(PersonMerge.merged_id).where(
        or_(PersonMerge.merged_at > found.merged_at, and_(PersonMerge.merged_at == found.merged_at, PersonMerge.id > merge_id)),
        PersonMerge.survivor_id == parent, PersonMerge.undone_at.is_(None))
    moved = set(map(int, filter(None, found.moved.split(",")))) - set(session.scalars(later))
    for child in session.scalars(select(Person).where(Person.id.in_(moved), Person.merged_into_id == parent)):
        child.merged_into_id = merged.id
    merged.merged_into_id = None
    session.flush()
    outbox.record(session, "PersonUnmerged", f"person:{found.survivor_id}",
                  {"survivor_id": found.survivor_id, "merged_id": found.merged_id})
    audit.record(session, actor, "patient.unmerge", "person", found.survivor_id,
                 {"merged_id": found.merged_id, "merge_id": found.id, "reason": reason})
    return found
