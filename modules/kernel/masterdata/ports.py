"""The insurer's catalogues, seen from the master data (facts: nhsa, sections C and T); interfaces provide the adapter.

Bound as ``insurance:catalog``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Protocol

CATALOG = "insurance:catalog"
"""Port: :class:`InsuranceCatalogPort`."""
CATALOGS: dict[str, str] = {"101": "西药、中成药", "102": "中药饮片", "103": "自制剂", "201": "医疗服务项目", "301": "医用耗材"}
"""list_type: the catalogues that can be downloaded and mapped."""


@dataclass(frozen=True)
class Answered:
    """``state`` is confirmed, refused or unknown; ``message`` is Chinese; ``cause`` why, as a short code."""

    state: str
    message: str = ""
    cause: str = ""


@dataclass(frozen=True)
class CatalogEntry:
    """An entry of a national catalogue: ``list_type``, med_list_codg, name, chrgitm_lv; the highest price there is."""

    list_type: str
    code: str
    name: str
    spec: str
    manufacturer: str
    unit: str
    level: str
    limit_price: Decimal | None
    valid_from: date | None
    valid_to: date | None
    active: bool
    version: str


@dataclass(frozen=True)
class CatalogPart(Answered):
    """The answer to :meth:`InsuranceCatalogPort.download`: what changed since the version that was asked with."""

    version: str = ""
    entries: tuple[CatalogEntry, ...] = ()


@dataclass(frozen=True)
class Mapped:
    """Our drug or item ``code`` is the insurer's ``national`` (3301)."""

    code: str
    name: str
    list_type: str
    national: str
    valid_from: date
    valid_to: date | None
    spec: str = ""
    form: str = ""
    unit: str = ""


class InsuranceCatalogPort(Protocol):
    """The insurer's catalogues and our mapping to them; bound as ``insurance:catalog``."""

    def download(self, list_type: str, version: str) -> CatalogPart:
        """What of a catalogue is newer than ``version`` (1301…1315 with 9102); empty version: all of it."""

    def map(self, rows: tuple[Mapped, ...]) -> tuple[Answered, ...]:
        """Tell the insurer our mapping (3301), an outcome per row; a row that it has already is confirmed."""

    def unmap(self, row: Mapped) -> Answered:
        """Take a mapping back (3302)."""

    def mapped(self, changed_since: date) -> tuple[Mapped, ...]:
        """What the insurer holds of our mapping (1317), by the day of its last change."""
