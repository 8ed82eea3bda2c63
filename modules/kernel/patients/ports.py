"""What packages above the patients add to them: numbers of their own that lead to a person (M1.3, M3.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Select
from sqlalchemy.orm import Session

from his_server.actor import Actor

number_lookups: list[Select[tuple[int]]] = []
"""Each finds ``person_id`` by a normalised number, its parameter ``b_number``; the search unites them with the identifiers."""
relations: list[Callable[[Session, Actor, Sequence[int]], bool]] = []
"""Each tells whether the actor treats one of these persons (one person's ids) at present (PR-04)."""
NEED_TO_KNOW = "patients:need_to_know"
"""Port: ``labelled`` or ``all`` (:class:`modules.kernel.patients.settings.Settings`)."""
