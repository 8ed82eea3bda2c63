"""What packages above the patients add to them: numbers of their own that lead to a person (M1.3, M3.2)."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Select

number_lookups: list[Callable[[str], Select[tuple[int]]]] = []
"""Each makes, from a normalised number, a SELECT of person ids; the search unites them with the identifiers."""
