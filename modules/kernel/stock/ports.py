"""The drug trace platform, seen from the stock: what lies in a pack that bears a code. An interface provides the adapter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

PACKING = "trace.packing"
"""Name under which an interface binds its :class:`PackingPort`; without one, packing lists come as files."""


@dataclass(frozen=True)
class Packed:
    """A code, the larger pack that it lies in (None: in none), and whether it is a box as it is sold (小码)."""

    code: str
    parent: str | None
    smallest: bool


@dataclass(frozen=True)
class Packing:
    """What the platform says of a code: the code itself and all that lies in it; or, with nothing in ``packed``, why not."""

    packed: Sequence[Packed] = ()
    message: str = ""


class PackingPort(Protocol):
    """The platform. :raises NotSent, LostAnswer: no answer; asking again does no harm."""

    def open(self, code: str) -> Packing:
        """What lies in the pack that bears this code."""
        ...
