"""The product's key ring: opened from the settings, made on first use in a new data folder."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from crypto import Provider, get_provider
from crypto.files import locked, read_private, write_private
from crypto.keyring import KeyRing, MasterKey
from crypto.seal import Sealer
from his_server import metrics
from his_server.settings import Settings, SettingsError

log = logging.getLogger("his.crypto")

PURPOSES = ("column", "index", "session", "cookie", "audit", "integrity", "export")
SIGNING = "sign-sm2"
DOCUMENT = "document-sm2"
"""The hospital's seal under prescriptions, approvals, red receipts (MP-15): certified apart from checkpoints."""
SM2_PURPOSES = ("login-sm2", SIGNING, DOCUMENT)
alarms: list[tuple[str, int]] = []
"""The device's last failures in this process, newest last: function of GM/T 0018 and its error code."""
_ALARMS_KEPT = 20


def open_sealer(settings: Settings) -> Sealer:
    """The sealer over the key ring of the settings.

    :raises CryptoError: the ring or its master key is missing a part, unreadable or open to others.
    """
    provider = open_provider(settings)
    master_path, ring_path = settings.master_key_path, settings.key_ring_path
    for folder in (master_path.parent, ring_path.parent):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with locked(master_path):  # several processes may start on a new data folder at once
        if not master_path.exists() and not ring_path.exists():
            device = settings.crypto_key_index if settings.crypto_provider == "sdf" else None
            MasterKey.create_file(master_path, provider=provider, device_index=device)
        master = MasterKey.from_file(master_path, provider=provider)
        ring = KeyRing.open(ring_path, master) if ring_path.exists() else KeyRing.create(ring_path, master)
    ring.ensure((*PURPOSES, *SM2_PURPOSES))
    return Sealer(ring, provider)


def _sealed_url_path(settings: Settings) -> Path:
    return settings.key_ring_path.with_name("database.sealed")


def seal_database_url(settings: Settings, sealer: Sealer, url: str) -> None:
    """Keep the database's address, with its password, sealed beside the key ring instead of in the settings."""
    write_private(_sealed_url_path(settings), sealer.seal("export", url.encode(), "database url"))


def database_url(settings: Settings, sealer: Sealer) -> str:
    """The database's address: of the settings, else the sealed one that ``his-server setup`` wrote, else SQLite's.

    :raises CryptoError: the sealed file was altered, is open to others, or was made with another ring.
    """
    path = _sealed_url_path(settings)
    if settings.database_url or not path.exists():
        return settings.url
    return sealer.open("export", read_private(path), "database url").decode()


def open_provider(settings: Settings) -> Provider:
    """The provider that the settings choose; there is no other one to fall back to (COMPLIANCE MP-17).

    :raises CryptoError: the library or the device can't be used.
    :raises SettingsError: an option doesn't fit the provider.
    """
    return get_provider(settings.crypto_provider, **provider_options(settings))


def provider_options(settings: Settings) -> dict[str, Any]:
    """The options of ``get_provider`` that the settings give. :raises SettingsError: one is missing or malformed."""
    name, library = settings.crypto_provider, settings.crypto_library
    if name == "sdf":
        if not library:
            raise SettingsError("crypto_library: the sdf provider needs the path of the vendor's libsdf.so")
        return {"library": library, "key_index": settings.crypto_key_index, "pin_file": settings.crypto_pin_file,
                "slots": _slots(settings.crypto_slots), "pool": settings.crypto_sessions, "alarm": device_alarm,
                "encryption_slots": _slots(settings.crypto_encryption_slots)}
    if name == "openssl":
        return {"library": library or None, "timing_policy": settings.crypto_timing_policy}
    raise SettingsError(f"crypto_provider: openssl or sdf, not {name}")


def _slots(given: tuple[str, ...]) -> dict[str, int]:
    try:
        return {purpose: int(index) for purpose, index in (item.split("=") for item in given)}
    except ValueError as error:
        raise SettingsError("crypto_slots: expected purpose=index, such as sign-sm2=2") from error


def device_alarm(function: str, code: int) -> None:
    """What a failed call of the cryptographic device sets off: a critical log line, a metric, the health page."""
    log.critical("cryptographic device failed: %s returned %#010x", function, code & 0xFFFFFFFF)
    metrics.crypto_alarms.labels(function).inc()
    alarms.append((function, code))
    del alarms[:-_ALARMS_KEPT]

