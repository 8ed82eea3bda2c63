"""The master key: wraps the keys of a ring. From a file, a passphrase or a device; split into shares as backup."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from crypto import shamir
from crypto.errors import CryptoError
from crypto.files import read_private, write_private
from crypto.provider import DeviceKey, KeyLike, Provider, get_provider

PASSPHRASE_ROUNDS = 600_000
_FORMAT = "his-master-1"


class MasterKey:
    """Wraps and unwraps short secrets (SM4-GCM). Never shows its material except to `split`.

    Build it by `from_file`, `from_passphrase`, `generate` or `combine`. `provider` None means the openssl provider.
    """

    def __init__(self, provider: Provider | None, key: KeyLike, material: bytes | None = None) -> None:
        self.provider = provider or get_provider("openssl")
        self._key, self._material = key, material

    def __repr__(self) -> str:
        return f"MasterKey({'device' if self._material is None else 'software'})"

    @classmethod
    def _from_material(cls, material: bytes, provider: Provider | None) -> MasterKey:
        if len(material) != 32:
            raise CryptoError("master key refused")
        provider = provider or get_provider("openssl")
        return cls(provider, provider.hmac_sm3(material, b"his master wrap")[:16], material)

    @classmethod
    def generate(cls, provider: Provider | None = None) -> MasterKey:
        """A fresh software master key (32 bytes)."""
        provider = provider or get_provider("openssl")
        return cls._from_material(provider.random(32), provider)

    @classmethod
    def from_passphrase(
        cls,
        passphrase: str,
        salt: bytes,
        rounds: int = PASSPHRASE_ROUNDS,
        provider: Provider | None = None,
    ) -> MasterKey:
        """Derived by PBKDF2-HMAC-SM3; salt at least 16 bytes, rounds at least 10,000 (COMPLIANCE MP-06)."""
        if not passphrase or len(salt) < 16 or rounds < 10_000:
            raise CryptoError("passphrase parameters refused")
        provider = provider or get_provider("openssl")
        return cls._from_material(provider.pbkdf2_sm3(passphrase.encode(), salt, rounds, 32), provider)

    @classmethod
    def create_file(
        cls,
        path: Path | str,
        passphrase: str | None = None,
        provider: Provider | None = None,
        device_index: int | None = None,
    ) -> MasterKey:
        """A new master key in a new file of mode 0600.

        With `passphrase` the file holds the key wrapped under it; with `device_index` (sdf provider) the key is made
        by the device, leaves it only encrypted to its internal key pair of that index, and can't be split; with
        neither the file itself is the secret and belongs on a protected medium.
        """
        provider = provider or get_provider("openssl")
        if device_index is not None:
            generate = getattr(provider, "generate_session_key", None)
            if generate is None or passphrase:
                raise CryptoError("a device master key needs the sdf provider and no passphrase")
            handle: DeviceKey = generate(device_index)
            document: dict[str, Any] = {"kind": "device", "index": handle.index, "wrapped": handle.wrapped.hex()}
            master = cls(provider, handle)
        else:
            master = cls.generate(provider)
            document = cls._document(master._secret(), passphrase, provider)
        text = json.dumps({"format": _FORMAT, **document}, indent=1)
        write_private(Path(path), text.encode(), replace=False)
        return master

    @staticmethod
    def _document(material: bytes, passphrase: str | None, provider: Provider) -> dict[str, Any]:
        if not passphrase:
            return {"kind": "plain", "key": material.hex()}
        salt = provider.random(16)
        outer = MasterKey.from_passphrase(passphrase, salt, PASSPHRASE_ROUNDS, provider)
        wrapped = outer.wrap(material, b"master file").hex()
        return {"kind": "passphrase", "salt": salt.hex(), "rounds": PASSPHRASE_ROUNDS, "wrapped": wrapped}

    def save(self, path: Path | str, passphrase: str | None = None) -> None:
        """Write a restored software master key to a new file (see create_file)."""
        document = self._document(self._secret(), passphrase, self.provider)
        text = json.dumps({"format": _FORMAT, **document}, indent=1)
        write_private(Path(path), text.encode(), replace=False)

    @classmethod
    def from_file(
        cls, path: Path | str, passphrase: str | None = None, provider: Provider | None = None
    ) -> MasterKey:
        """Open a master key file; it must belong to this user with mode 0600."""
        provider = provider or get_provider("openssl")
        try:
            document = json.loads(read_private(Path(path)))
            if document["format"] != _FORMAT:
                raise CryptoError(f"{path} is not a master key file")
            if document["kind"] == "plain":
                return cls._from_material(bytes.fromhex(document["key"]), provider)
            if document["kind"] == "device":
                return cls(provider, DeviceKey(int(document["index"]), bytes.fromhex(document["wrapped"])))
            if document["kind"] == "passphrase":
                if not passphrase:
                    raise CryptoError(f"{path} needs its passphrase")
                rounds = int(document["rounds"])
                outer = cls.from_passphrase(passphrase, bytes.fromhex(document["salt"]), rounds, provider)
                material = outer.unwrap(bytes.fromhex(document["wrapped"]), b"master file")
                return cls._from_material(material, provider)
        except (ValueError, KeyError, TypeError, RecursionError):
            raise CryptoError(f"{path} is not a master key file") from None
        raise CryptoError(f"{path} is not a master key file")

    def _secret(self) -> bytes:
        if self._material is None:
            raise CryptoError("the master key is in a device and can't leave it")
        return self._material

    def split(self, k: int, n: int) -> list[str]:
        """n shares for n custodians, any k restore the key (COMPLIANCE MP-16)."""
        return shamir.split(self.provider, self._secret(), k, n)

    @classmethod
    def combine(cls, shares: list[str], provider: Provider | None = None) -> MasterKey:
        """The master key from k shares."""
        return cls._from_material(shamir.combine(shares), provider)

    def wrap(self, data: bytes, label: bytes) -> bytes:
        """nonce12 ‖ ciphertext ‖ tag16 under the master key, bound to `label`."""
        nonce = self.provider.random(12)
        return nonce + self.provider.sm4_gcm_encrypt(self._key, nonce, data, label)

    def unwrap(self, blob: bytes, label: bytes) -> bytes:
        """Inverse of wrap."""
        return self.provider.sm4_gcm_decrypt(self._key, blob[:12], blob[12:], label)
