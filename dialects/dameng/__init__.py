"""SQLAlchemy dialect for Dameng DM8 over dmPython (`dm+dmpython://`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dialects.dameng.base import DamengDialect

__all__ = ["DamengDialect"]


def __getattr__(name: str) -> Any:
    # Lazy: the error classification imports our codes on every database, and needs nothing else of this
    # package.
    if name == "DamengDialect":
        from dialects.dameng.base import DamengDialect

        return DamengDialect
    raise AttributeError(name)
