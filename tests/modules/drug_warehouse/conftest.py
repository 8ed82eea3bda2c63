"""The drug house of the stock tests, with a supplier that may sell to us."""

from __future__ import annotations

import pytest

from tests.modules.kernel.stock.conftest import House
from tests.modules.kernel.stock.conftest import house as house


@pytest.fixture
def supplier(house: House) -> int:
    """A supplier with the licences that it needs."""
    made = house.ok(house.post("keeper", "drug-warehouse/suppliers", {"code": "G001", "name": "南通医药有限公司"}))
    for kind in ("药品经营许可证", "营业执照"):
        house.ok(house.post("keeper", f"drug-warehouse/suppliers/{made['id']}/papers", {
            "kind": kind, "number": "苏A123", "valid_from": "2024-01-01", "valid_to": "2026-04-01"}))
    return int(made["id"])
