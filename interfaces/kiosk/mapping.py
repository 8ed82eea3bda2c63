"""Ours → a kiosk's: a conversion as the contract names its parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modules.kernel.charging.ports import Credential

_NAMES = {"conversion_id": "id", "settlement_no": "of_number", "insutype": "insurance", "medfee_sumamt": "total",
          "fund_pay_sumamt": "fund", "acct_pay": "account", "psn_cash_pay": "cash", "hosp_part_amt": "hospital",
          "balc": "balance", "return_amount": "back"}
_SAME = ("state", "message", "returns", "receipt_numbers")


def conversion(found: Mapping[str, Any]) -> dict[str, Any]:
    """A conversion's state."""
    return {**{theirs: found[ours] for theirs, ours in _NAMES.items()}, **{name: found[name] for name in _SAME}}


def credential(given: Mapping[str, Any]) -> Credential:
    """What the patient showed, as the insurer's port takes it."""
    return Credential(given["cert_type"], given["cert_no"], given["card_sn"])
