"""Reading and keeping preferences. Every function is about the acting person and nobody else."""

from __future__ import annotations

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.db import now, of
from his_server.errors import Conflict
from his_server.preferences.models import MOST, Preference


def of_actor(session: Session, actor: Actor) -> dict[str, str]:
    """All that the person chose, by name; one query."""
    rows = session.execute(select(Preference.name, Preference.chosen).where(Preference.user_id == actor.user_id)
                           .order_by(Preference.name))
    return {row.name: row.chosen for row in rows}


def keep(session: Session, actor: Actor, name: str, chosen: str) -> None:
    """Keep a choice; an empty one is forgotten. :raises Conflict: more than :data:`~.models.MOST` names."""
    mine = (Preference.user_id == actor.user_id, Preference.name == name)
    if not chosen:
        session.execute(delete(Preference).where(*mine))
        return
    others = session.scalar(select(func.count()).select_from(Preference).where(
        Preference.user_id == actor.user_id, Preference.name != name)) or 0
    if others >= MOST:
        raise Conflict("preferences.too_many", "个人设置过多，请联系信息科清理")
    portable.upsert(session, Preference, [
        {"id": of(session).keys.next(), "user_id": actor.user_id, "name": name, "chosen": chosen,
         "changed_at": now(session)}], ["user_id", "name"], ["chosen", "changed_at"])
