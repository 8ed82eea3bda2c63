"""A refusal in words where somebody else was faster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.orm import Session

from dialects import portable
from his_server.errors import AppError


@contextmanager
def unless_taken(session: Session, refusal: AppError) -> Iterator[None]:
    """Around what must be the only one of its kind: where a unique rule is broken, the block is undone.

    :raises AppError: ``refusal``, when the row is there already.
    """
    try:
        with session.begin_nested():
            yield
            session.flush()
    except Exception as error:
        if portable.is_unique_violation(error):
            raise refusal from error
        raise
