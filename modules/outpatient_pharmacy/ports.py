"""What the pharmacies ask of others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from sqlalchemy.orm import Session

from his_server.actor import Actor
from modules.kernel.stock.service import Document

WARD_RETURNS = "ward.returns"
"""Name under which whoever keeps the wards binds its :class:`WardReturnsPort`: the inpatient modules, until then a stand-in."""


@dataclass(frozen=True)
class SlipLine:
    """A drug that comes back: ``quantity`` smallest units of what ``issued`` handed out as ``issued_line_id``."""

    id: int
    drug_id: int
    quantity: Decimal
    issued: Document
    issued_line_id: int


@dataclass(frozen=True)
class Transfer:
    """转科 after the slip was written."""

    ward_from: str
    ward_to: str
    moved_at: datetime


@dataclass(frozen=True)
class ReturnSlip:
    """病区退药单 (``requested`` | ``taken``). ``asked_ward`` wrote it; ``present_ward`` is where the patient lies now and
    ``store_id`` the ward pharmacy that supplies that ward (both None after discharge)."""

    id: int
    number: str
    state: str
    reason: str
    person_id: int
    stay_number: str
    bed: str
    asked_ward: str
    asked_at: datetime
    asked_by_name: str
    present_ward_id: int | None
    present_ward: str
    store_id: int | None
    changed_at: datetime
    changed_by_name: str
    lines: tuple[SlipLine, ...]
    transfers: tuple[Transfer, ...] = ()


class WardReturnsPort(Protocol):
    """The ward side of return slips (M7.8). In-process: every method works in the caller's unit of work and calls nobody."""

    def waiting(self, session: Session, limit: int) -> Sequence[ReturnSlip]:
        """Slips that wait to be taken in, oldest first."""
        ...

    def find(self, session: Session, return_id: int) -> ReturnSlip | None:
        """One slip, whatever its state."""
        ...

    def confirm(self, session: Session, actor: Actor, return_id: int, present_ward_id: int) -> None:
        """The drugs are back: the guarded step to ``taken``; credit to the patient is the ward side's own affair.

        :raises Conflict: taken by somebody (named), or the patient isn't in that ward any more.
        """
        ...
