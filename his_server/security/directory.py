"""Names of departments for the shell and the account pages: the module that owns them says how to look them up."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sqlalchemy.orm import Session

Lookup = Callable[[Session, Iterable[int]], dict[int, str]]
_departments: list[Lookup] = []


def register_departments(lookup: Lookup) -> None:
    """Let ``lookup(session, ids) -> {id: name}`` answer for departments. The last one registered counts."""
    _departments[:] = [lookup]


def department_names(session: Session, ids: Iterable[int]) -> dict[int, str]:
    """Names of departments; empty when no loaded module owns departments."""
    wanted = {i for i in ids if i}
    return _departments[0](session, wanted) if wanted and _departments else {}
