"""The sunshine-procurement platform, seen from the warehouse (M6.3, H24). An interface provides the adapter.

Every call may be repeated with the same key: the adapter or the platform recognises it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Protocol


@dataclass(frozen=True)
class Product:
    """A product of the catalogue (H003). ``factor``: smallest units in one platform unit."""

    platform_id: str
    code: str
    name: str
    form: str
    spec: str
    pack: str
    unit: str
    factor: Decimal
    manufacturer: str
    approval_no: str
    price: Decimal
    active: bool = True


@dataclass(frozen=True)
class Shipment:
    """What was sent for an order line (H009), in platform units; ``line_key`` is our line's."""

    platform_id: str
    line_key: str
    quantity: Decimal
    price: Decimal
    lot_no: str
    expiry: date | None
    shipped_at: datetime


class SunshinePort(Protocol):
    """The platform. Lists come in pages: ``after`` is the token of the page before, None at the beginning."""

    def products(self, since: datetime | None, after: str | None) -> tuple[Sequence[Product], str | None]:
        """H003: products changed since an instant, and the token of the next page."""

    def order(self, key: str, payload: Mapping[str, Any]) -> str:
        """H005–H007: create, fill and submit an order; returns the platform's number."""

    def shipments(self, platform_number: str) -> Sequence[Shipment]:
        """H008, H009: what was sent for an order."""

    def receive(self, key: str, payload: Mapping[str, Any]) -> None:
        """H010: goods taken in."""

    def give_back(self, key: str, payload: Mapping[str, Any]) -> None:
        """H011: goods sent back."""
