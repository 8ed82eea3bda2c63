"""The one error shape: ``code / status / message / errors / trace_id`` (issue 2, DESIGN section 9).

``message`` is Chinese, says what happened and what to do next; ``errors`` names fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class FieldError:
    """One wrong field: a path such as ``lines.2.quantity`` and a Chinese message."""

    field: str
    message: str


class AppError(Exception):
    """A refusal that the user is told of. Anything else that escapes is a defect (500)."""

    status = 400

    def __init__(self, code: str, message: str, errors: Sequence[FieldError] = (), *, status: int | None = None):
        super().__init__("; ".join([f"{code}: {message}", *(e.message for e in list(errors)[:3])]))
        self.code = code
        self.message = message
        self.errors = tuple(errors)
        if status is not None:
            self.status = status


class Invalid(AppError):
    """422: the input is understood and wrong."""

    status = 422


class NotFound(AppError):
    """404: no such thing, or not visible to this actor."""

    status = 404


class Conflict(AppError):
    """409: somebody else was first, or the state does not allow it."""

    status = 409


class Forbidden(AppError):
    """403: the actor lacks the permission."""

    status = 403


class Unauthenticated(AppError):
    """401: no valid session."""

    status = 401


class Unavailable(AppError):
    """503: try again later; nothing was done, or what was done is safe and visible."""

    status = 503


def invalid(field: str, message: str, code: str = "input.invalid") -> Invalid:
    """A 422 about one field."""
    return Invalid(code, message, [FieldError(field, message)])
