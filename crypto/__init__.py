"""SM2, SM3, SM4 for the whole product: providers, codecs, key ring, sealing. Knows nothing of hospitals."""

from __future__ import annotations

from crypto.errors import CryptoError, DeviceLost
from crypto.keyring import Key, KeyRing
from crypto.master import MasterKey
from crypto.provider import DeviceKey, KeyLike, Provider, get_provider
from crypto.seal import Sealer
from crypto.sm2 import DEFAULT_UID

__all__ = [
    "DEFAULT_UID",
    "CryptoError",
    "DeviceKey",
    "DeviceLost",
    "Key",
    "KeyLike",
    "KeyRing",
    "MasterKey",
    "Provider",
    "Sealer",
    "get_provider",
]
