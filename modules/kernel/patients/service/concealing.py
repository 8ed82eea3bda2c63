"""封存 hides the name itself (COMPLIANCE PR-06).

Every list, report, export and interface reads ``Person.name``. While a file is locked that column says
:data:`~modules.kernel.patients.rules.CONCEALED` and the name is kept sealed beside it: whoever forgets to ask shows
nothing. Rows stay where they are, so that queues, sums and stocks agree, and the outpatient number tells them apart.
Implements: PR-06.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from modules.kernel.patients.models import Person
from modules.kernel.patients.rules import CONCEALED


def conceal(session: Session, ids: Sequence[int]) -> None:
    """Keep the names of these files sealed. Search keys and history stay: both lead to the file, which is shut."""
    for person in session.scalars(select(Person).where(Person.id.in_(ids), Person.name_kept_sealed.is_(None))):
        name, person.name_kept = person.name, person.name
        session.flush()
        _rename(session, person, name, CONCEALED)


def restore(session: Session, ids: Sequence[int]) -> None:
    """The names of these files as they were."""
    for person in session.scalars(select(Person).where(Person.id.in_(ids), Person.name_kept_sealed.is_not(None))):
        name, person.name_kept = person.name_kept or "", None
        session.flush()
        _rename(session, person, CONCEALED, name)


def _rename(session: Session, person: Person, before: str, after: str) -> None:
    # by statement: it is no change of the person's name, and mustn't stand in the file's history
    session.execute(update(Person).where(Person.id == person.id, Person.name == before).values(name=after)
                    .execution_options(synchronize_session=False))
    session.refresh(person, ["name"])
