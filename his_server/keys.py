"""The product's key ring: opened from the settings, made on first use in a new data folder."""

from __future__ import annotations

from crypto import get_provider
from crypto.files import locked
from crypto.keyring import KeyRing, MasterKey
from crypto.seal import Sealer
from his_server.settings import Settings

PURPOSES = ("column", "index", "session", "cookie", "audit", "integrity", "export")
SM2_PURPOSES = ("login-sm2", "sign-sm2")


def open_sealer(settings: Settings) -> Sealer:
    """The sealer over the key ring of the settings.

    :raises CryptoError: the ring or its master key is missing a part, unreadable or open to others.
    """
    provider = get_provider(settings.crypto_provider, **({"library": settings.crypto_library}
                                                         if settings.crypto_library else {}))
    master_path, ring_path = settings.master_key_path, settings.key_ring_path
    for folder in (master_path.parent, ring_path.parent):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with locked(master_path):  # several processes may start on a new data folder at once
        if not master_path.exists() and not ring_path.exists():
            MasterKey.create_file(master_path, provider=provider)
        master = MasterKey.from_file(master_path, provider=provider)
        ring = KeyRing.open(ring_path, master) if ring_path.exists() else KeyRing.create(ring_path, master)
    ring.ensure((*PURPOSES, *SM2_PURPOSES))
    return Sealer(ring, provider)
