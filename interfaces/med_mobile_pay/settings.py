"""Settings of the insurer's mobile payment, ``[module.med_mobile_pay]``; what differs by province stands here (H5)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from his_server.settings import SettingsError
from interfaces.hub.settings import LineSettings
from interfaces.med_mobile_pay.envelope import Keys

PATHS = {"6201": "/org/local/api/hos/uldFeeInfo", "6202": "/org/local/api/hos/pay_order",
         "6203": "/org/local/api/hos/refund_Order", "6301": "/org/local/api/hos/query_order_info",
         "6401": "/org/local/api/hos/revoke_order"}
"""Where the documented platforms take each transaction."""
SIMULATED = {"app_id": "43AF047BBA47FC8A1AE8EFB232BDBBCB", "app_secret": "4117E877F5FA0A0188891283E4B617D5",
             "private_key": hashlib.new("sm3", b"the hospital, towards the simulator").hexdigest()}
"""Our side towards our own simulator: published test values, worth nothing anywhere else."""
SIMULATOR_PRIVATE = hashlib.new("sm3", b"the simulator of the mobile payment").hexdigest()
"""The simulator's own SM2 key, as public as this line."""


@dataclass(frozen=True)
class Settings(LineSettings):
    """``app_id``; ``app_secret`` and ``private_key`` (hex) stand sealed; ``platform_key`` is their public key (hex).

    ``user_id`` of SM2 signatures differs by vendor. ``cashier``: the login in whose name the channel settles, with
    receipts of its own. ``org_code`` orgCodg, ``org_id`` orgId, ``fee_type`` feeType, ``treatments`` our kinds → medType.
    ``own_code`` as the list code of a line that nobody mapped yet. ``push_path``: where bills are announced (our contract;
    empty: not at all). ``in_statements``: whether the centre's 3201 counts mobile orders too; the insurance office asks
    before the channel is opened.
    """

    app_id: str = ""
    app_secret: str = field(default="", repr=False)
    private_key: str = field(default="", repr=False)
    platform_key: str = ""
    user_id: str = "1234567812345678"
    version: str = "1.0.0"
    paths: Mapping[str, str] = field(default_factory=dict)
    cashier: str = "mobile"
    org_code: str = "H32060200006"
    org_id: str = ""
    fee_type: str = "01"
    treatments: Mapping[str, str] = field(default_factory=lambda: {
        "outpatient": "11", "registration": "12", "emergency": "13"})
    caty: str = "A03"
    push_path: str = "/org/local/api/hos/push_bill"
    skew_seconds: int = 600
    in_statements: bool = False

    def __post_init__(self) -> None:
        if strange := set(self.paths) - set(PATHS):
            raise ValueError(f"med_mobile_pay.paths: 没有交易 {', '.join(sorted(strange))}")

    @classmethod
    def of(cls, settings: Any, package: str = "med_mobile_pay") -> Settings:
        """The interface's part of the settings file."""
        return cls(**settings.extra.get(package, {}))

    def path(self, transaction: str) -> str:
        """Where a transaction goes."""
        return self.paths.get(transaction) or PATHS[transaction]

    def keys(self, app_secret: str, private_key: str) -> Keys:
        """Keys out of opened secrets. :raises SettingsError: one isn't what it should be."""
        try:
            private, peer = bytes.fromhex(private_key), bytes.fromhex(self.platform_key)
        except ValueError as error:
            raise SettingsError("[module.med_mobile_pay] private_key、platform_key 应为十六进制") from error
        peer = peer[1:] if len(peer) == 65 and peer[0] == 4 else peer
        if len(private) != 32 or len(peer) != 64 or len(self.app_id) < 16 or not app_secret:
            raise SettingsError("[module.med_mobile_pay] app_id、app_secret、private_key、platform_key 不完整，请核对")
        return Keys(self.app_id, app_secret, private, peer, self.user_id.encode(), self.version)
