"""Sealing stored data: columns, cookies, files; blind indexes and keyed integrity.

A blob is version(1) ‖ kid(4) ‖ nonce(12) ‖ ciphertext ‖ tag(16), SM4-GCM. Version, key id, purpose and place are
authenticated, so a blob opens only where it was sealed (table/column/row). From the 32-byte root of a purpose two
separate keys are derived: SM4 for sealing, HMAC-SM3 for index and integrity.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

from crypto import sealfile
from crypto.errors import CryptoError, DeviceLost
from crypto.keyring import Key, KeyRing
from crypto.provider import KeyLike, Provider

VERSION = 1
_HEADER = 5
_REFUSED = "sealed data refused"


class Sealer:
    """Seals with the ring's active keys and opens with any living one. Thread- and fork-safe."""

    def __init__(self, ring: KeyRing, provider: Provider) -> None:
        self.ring, self.provider = ring, provider

    def _derive(self, key: Key, use: bytes, size: int) -> bytes:
        if key.kind != "symmetric":
            raise CryptoError("not a symmetric purpose")
        return self.provider.hmac_sm3(key.material, b"his derive " + use)[:size]

    def _sealing(self, kid: bytes, purpose: str) -> tuple[KeyLike, bytes]:
        """The SM4 key and the fixed front part of the authenticated data; kid as in the blob, 4 bytes."""
        cache = self.ring.cache()
        found: tuple[KeyLike, bytes] | None = cache.get((purpose, kid))
        if found is None:
            name = purpose.encode()
            front = bytes((VERSION,)) + kid + bytes((len(name),)) + name
            found = cache[purpose, kid] = self._derive(self.ring.get(kid.hex(), purpose), b"seal", 16), front
        return found

    def _mac_key(self, kid: str, purpose: str, use: bytes) -> bytes:
        cache = self.ring.cache()
        found: bytes | None = cache.get((use, kid, purpose))
        if found is None:
            found = cache[use, kid, purpose] = self._derive(self.ring.get(kid, purpose), use, 32)
        return found

    def seal(self, purpose: str, plaintext: bytes, place: str) -> bytes:
        """Seal `plaintext` (bytes, may be empty) to `place`, e.g. "person/id_number/4711"; 33 bytes longer."""
        key, front = self._sealing(bytes.fromhex(self.ring.active(purpose).kid), purpose)
        nonce = self.provider.random(12)
        body = self.provider.sm4_gcm_encrypt(key, nonce, plaintext, front + place.encode())
        return front[:_HEADER] + nonce + body

    def open(self, purpose: str, blob: bytes, place: str) -> bytes:
        """The plaintext; CryptoError for another place or purpose, an unknown key id or any changed byte."""
        if type(blob) is not bytes or len(blob) < 33 or blob[0] != VERSION:
            raise CryptoError(_REFUSED)
        try:
            key, front = self._sealing(blob[1:5], purpose)
            return self.provider.sm4_gcm_decrypt(key, blob[5:17], blob[17:], front + place.encode())
        except DeviceLost:
            raise
        except CryptoError:
            raise CryptoError(_REFUSED) from None

    def open_many(self, purpose: str, items: Iterable[tuple[bytes, str]]) -> list[bytes]:
        """`open` for many (blob, place) of one purpose, as a list reads them: half the time of one by one.

        All plaintexts in order, or CryptoError and none.
        """
        out: list[bytes] = []
        batch: list[tuple[bytes, bytes, bytes]] = []
        kid, front = b"", b""
        key: KeyLike = b""
        try:
            for blob, place in items:
                if type(blob) is not bytes or len(blob) < 33 or blob[0] != VERSION:
                    raise CryptoError(_REFUSED)
                if blob[1:5] != kid:  # runs of one key, nearly always a single one
                    if batch:
                        out += self.provider.sm4_gcm_decrypt_many(key, batch)
                        batch = []
                    kid = blob[1:5]
                    key, front = self._sealing(kid, purpose)
                batch.append((blob[5:17], blob[17:], front + place.encode()))
            return out + self.provider.sm4_gcm_decrypt_many(key, batch) if batch else out
        except DeviceLost:
            raise
        except CryptoError:
            raise CryptoError(_REFUSED) from None

    def kid_of(self, blob: bytes) -> str:
        """The key id that a blob was sealed with (8 hex digits)."""
        if type(blob) is not bytes or len(blob) < 33 or blob[0] != VERSION:
            raise CryptoError(_REFUSED)
        return blob[1:5].hex()

    def is_current(self, purpose: str, blob: bytes) -> bool:
        """Whether the blob already uses the active key; after a rotation the others want `reseal`."""
        return self.kid_of(blob) == self.ring.active(purpose).kid

    def reseal(self, purpose: str, blob: bytes, place: str) -> bytes:
        """The same content under the active key; a current blob is returned unchanged."""
        if self.is_current(purpose, blob):
            return blob
        return self.seal(purpose, self.open(purpose, blob, place), place)

    def blind_index(self, purpose: str, text: str, kid: str | None = None) -> str:
        """64 hex digits for exact search: key id (8) and HMAC-SM3 cut to 224 bits (56) under that key."""
        kid = kid or self.ring.active(purpose).kid
        return kid + self.provider.hmac_sm3(self._mac_key(kid, purpose, b"index"), text.encode())[:28].hex()

    def blind_indexes(self, purpose: str, text: str) -> list[str]:
        """The index under every living key, the active one first: what a search compares with during re-indexing."""
        return [self.blind_index(purpose, text, key.kid) for key in self._living(purpose)]

    def mac(self, purpose: str, data: bytes, kid: str | None = None) -> bytes:
        """32-byte HMAC-SM3 with the active key, or with the living key `kid`."""
        return self.provider.hmac_sm3(self._mac_key(kid or self.ring.active(purpose).kid, purpose, b"mac"), data)

    def check_mac(self, purpose: str, data: bytes, mac: bytes, kid: str | None = None) -> bool:
        """Whether `mac` holds under the key `kid`, or under any living key of the purpose; DeviceLost when nobody knows."""
        if not isinstance(mac, bytes) or len(mac) != 32:
            return False
        try:
            kids = [kid] if kid else [key.kid for key in self._living(purpose)]
            return any(hmac.compare_digest(self.mac(purpose, data, one), mac) for one in kids)
        except DeviceLost:
            raise
        except CryptoError:
            return False

    def _living(self, purpose: str) -> list[Key]:
        return sorted(self.ring.living(purpose), key=lambda key: key.not_after is not None)

    def mac_function(self, purpose: str, kid: str | None = None) -> Callable[[bytes], bytes]:
        """`mac` bound to one key, for the chain functions of crypto.chain."""
        bound = kid or self.ring.active(purpose).kid
        return lambda data: self.mac(purpose, data, bound)

    def seal_file(self, purpose: str, source: Path | BinaryIO, target: Path | BinaryIO, place: str) -> int:
        """Seal a file or stream at bounded memory; returns the plaintext size. See crypto.sealfile."""
        kid = self.ring.active(purpose).kid
        key, front = self._file_key(kid, purpose)
        return sealfile.copy(
            source,
            target,
            lambda read, write: sealfile.seal(self.provider, key, front, place, read, write),
        )

    def open_file(self, purpose: str, source: Path | BinaryIO, target: Path | BinaryIO, place: str) -> int:
        """Inverse of seal_file; a path as target only appears when the whole file held.

        A stream as target gets authenticated chunks before the end was seen: on CryptoError throw them away.
        """

        def run(read: BinaryIO, write: BinaryIO) -> int:
            return sealfile.open_(self.provider, lambda kid: self._file_key(kid, purpose), place, read, write)

        return sealfile.copy(source, target, run)

    def _file_key(self, kid: str, purpose: str) -> tuple[bytes, bytes]:
        name = purpose.encode()
        front = bytes.fromhex(kid) + bytes((len(name),)) + name
        return self._derive(self.ring.get(kid, purpose), b"file", 32), front

    def status(self) -> dict[str, Any]:
        """Provider and ring for the health page."""
        return {"provider": self.provider.status(), "ring": self.ring.status()}
