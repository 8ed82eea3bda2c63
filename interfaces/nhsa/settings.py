"""Settings of the national insurer's interface, ``[module.nhsa]``: every value that a province or city decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from his_server.settings import SettingsError
from interfaces.hub.settings import LineSettings

SIGNED = ("", "SM2")
SEALED = ("", "SM4")


@dataclass(frozen=True)
class Settings(LineSettings):
    """``fixmedins_code`` is the institution's (12 characters; the platform's ``hospital_code`` when empty).

    ``path`` takes ``{infno}`` where a province has one path per transaction. ``infno`` names provincial variants, as in
    ``{2203 = "2203A"}``. ``secret_key``, ``sm4_key`` are written by ``his-server secret``. ``signtype`` SM2 signs ``input``
    by the key ring's ``nhsa-sm2``; ``centre_key`` is the insurer's public key (hex) that answers are checked by.
    ``stamp``: ms or s. ``area`` mdtrtarea_admvs. ``ecard_cert``: mdtrt_cert_type of an electronic social-security card.
    ``unmapped``: ``refuse`` a line whose code nobody mapped, or ``own``: our codes are the insurer's. ``late_seconds``:
    after so long a settlement that wasn't heard of can't arrive any more. ``columns``: names of a downloaded catalogue's columns
    in their order, by list_type (:data:`client.catalogues.COLUMNS` otherwise).
    """

    path: str = "/fsi/api/rsfComIfsService/callService"
    fixmedins_code: str = ""
    fixmedins_name: str = ""
    fixmedins_soft_fcty: str = "豪和医院信息系统"
    area: str = "320600"
    recer_sys_code: str = "HIS"
    infver: str = "V1.0"
    dev_no: str = ""
    mac: str = "00-00-00-00-00-00"
    api_name: str = "fsi"
    api_version: str = "1.0.0"
    access_key: str = ""
    secret_key: str = ""
    stamp: str = "ms"
    signtype: str = ""
    centre_key: str = ""
    enc_type: str = ""
    sm4_key: str = ""
    psn_setlway: str = "01"
    ecard_cert: str = "03"
    unmapped: str = "refuse"
    late_seconds: int = 300
    upload_batch: int = 100
    upload_lanes: int = 4
    infno: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, known in (("signtype", SIGNED), ("enc_type", SEALED), ("stamp", ("ms", "s")),
                            ("unmapped", ("refuse", "own"))):
            if getattr(self, name) not in known:
                raise SettingsError(f"[module.nhsa] {name} 只能是 {'、'.join(repr(one) for one in known)}")
        if self.fixmedins_code and len(self.fixmedins_code) != 12:
            raise SettingsError("[module.nhsa] fixmedins_code 应为 12 位定点医药机构编号")
        if not 1 <= self.upload_batch <= 1000 or not 1 <= self.upload_lanes <= 32:
            raise SettingsError("[module.nhsa] upload_batch 为 1 至 1000，upload_lanes 为 1 至 32")
