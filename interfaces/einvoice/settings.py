"""Settings of the electronic invoice platform, ``[module.einvoice]``; what differs by province stands here (H8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from interfaces.hub.settings import LineSettings

SIMULATED = ("HAOHE-SIM", "5e9ec1b47a3d4f0c8e2b6a7d90f1c3aa")
"""appid and key of our own simulator. No secret: it issues nothing that is worth anything."""


@dataclass(frozen=True)
class Settings(LineSettings):
    """``path``: where the methods are below the address. ``key`` stands sealed (``his-server secret einvoice key``).

    ``sign``: MD5, as the documented platforms have it, or SM3. ``place_code`` 开票点. ``bus_types``: our kinds → busType.
    ``paper_code`` pBillBatchCode. ``channels``: our payment methods → payChannelCode. ``charge_codes``: our fiscal
    categories → chargeCode and chargeName, ``code name``; what isn't listed goes by its own code. ``care_types``:
    insutype → ``medCareTypeCode name``; ``uncertain``: answers that decide nothing (busy, being processed).
    ``picture_method`` is not documented publicly: empty where the platform has none. ``paper_low``: from how few papers
    on to warn.
    """

    path: str = "/api/medical"
    appid: str = ""
    key: str = field(default="", repr=False)
    sign: str = "MD5"
    place_code: str = "001"
    institution_type: str = "综合医院"
    bus_types: Mapping[str, str] = field(default_factory=lambda: {"inpatient": "01", "outpatient": "02", "registration": "06"})
    card_type: str = "3101"
    paper_code: str = "06020126"
    channels: Mapping[str, str] = field(default_factory=lambda: {
        "cash": "02", "scan": "05", "ecny": "12", "med_mobile": "05"})
    other_channel: str = "99"
    charge_codes: Mapping[str, str] = field(default_factory=dict)
    care_types: Mapping[str, str] = field(default_factory=lambda: {
        "310": "01 职工基本医疗保险", "390": "02 城乡居民基本医疗保险", "": "07 自费"})
    other_care: str = "99 其他"
    uncertain: tuple[str, ...] = ("E9999", "E0002")
    picture_method: str = "getEBillPicture"
    paper_low: int = 200
    page_size: int = 200

    def __post_init__(self) -> None:
        if self.sign not in ("MD5", "SM3"):
            raise ValueError("einvoice.sign 应为 MD5 或 SM3")
        if not 1 <= self.page_size <= 1000:
            raise ValueError("einvoice.page_size 应为 1 至 1000")

    @classmethod
    def of(cls, settings: Any, package: str = "einvoice") -> Settings:
        """The interface's part of the settings file."""
        return cls(**settings.extra.get(package, {}))
