"""Departments for the shell and the account pages: the module that owns them says how to look them up."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sqlalchemy.orm import Session

Lookup = Callable[[Session, Iterable[int] | None], dict[int, tuple[str, str]]]
_lookups: list[Lookup] = []


def register_departments(lookup: Lookup) -> None:
    """Let ``lookup(session, ids) -> {id: (code, name)}`` answer; ids None: all that are in use. The last one counts."""
    _lookups[:] = [lookup]


def department_names(session: Session, ids: Iterable[int | None]) -> dict[int, str]:
    """Names of departments; empty when no loaded module owns departments."""
    wanted = {i for i in ids if i}
    found = _lookups[0](session, wanted) if wanted and _lookups else {}
    return {key: name for key, (_, name) in found.items()}


def departments(session: Session) -> list[dict[str, object]]:
    """All departments in use, by code."""
    found = _lookups[0](session, None) if _lookups else {}
    return [{"id": key, "code": code, "name": name}
            for key, (code, name) in sorted(found.items(), key=lambda entry: entry[1])]
