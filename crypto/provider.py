"""The interface that every cryptographic provider implements, and the only place that chooses one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from crypto.errors import CryptoError
from crypto.sm2 import DEFAULT_UID


@dataclass(frozen=True)
class DeviceKey:
    """A key that stays inside a device (GM/T 0018).

    index: the device's key pair (1…). wrapped empty: that SM2 pair itself. Otherwise `wrapped` is a symmetric key
    encrypted to the pair's encryption key, which every session imports for itself.
    """

    index: int
    wrapped: bytes = b""


KeyLike = bytes | DeviceKey


@runtime_checkable
class Provider(Protocol):
    """SM2, SM3 and SM4. Sizes in bytes; every refusal is CryptoError, `sm2_verify` answers only True or False."""

    name: str
    version: str
    library: str

    def sm2_generate(self) -> tuple[bytes, bytes]:
        """A new pair: private 32, public 64 (x‖y)."""
        ...

    def sm2_public(self, private: KeyLike) -> bytes:
        """The 64-byte public key of a private key."""
        ...

    def sm2_sign(self, private: KeyLike, data: bytes, uid: bytes = DEFAULT_UID) -> bytes:
        """64 bytes r‖s over SM3(Z ‖ data)."""
        ...

    def sm2_verify(self, public: bytes, data: bytes, signature: bytes, uid: bytes = DEFAULT_UID) -> bool:
        """Whether `signature` (64 bytes) holds. Malformed keys and signatures are simply False."""
        ...

    def sm2_encrypt(self, public: bytes, data: bytes) -> bytes:
        """x‖y‖C3‖C2, that is 96 + len(data) bytes; data must not be empty."""
        ...

    def sm2_decrypt(self, private: KeyLike, blob: bytes) -> bytes:
        """The plaintext of x‖y‖C3‖C2."""
        ...

    def sm3(self, data: bytes) -> bytes:
        """32-byte digest."""
        ...

    def sm3_stream(self, chunks: Iterable[bytes]) -> bytes:
        """32-byte digest of the concatenation, at bounded memory."""
        ...

    def hmac_sm3(self, key: KeyLike, data: bytes) -> bytes:
        """32-byte HMAC-SM3 (GB/T 15852.2)."""
        ...

    def pbkdf2_sm3(self, password: bytes, salt: bytes, rounds: int, length: int = 32) -> bytes:
        """PBKDF2-HMAC-SM3."""
        ...

    def sm4_gcm_encrypt(self, key: KeyLike, nonce: bytes, data: bytes, aad: bytes = b"") -> bytes:
        """Ciphertext ‖ tag16; nonce exactly 12 bytes, never twice under one key."""
        ...

    def sm4_gcm_decrypt(self, key: KeyLike, nonce: bytes, blob: bytes, aad: bytes = b"") -> bytes:
        """The plaintext; nothing is released before the tag held."""
        ...

    def sm4_gcm_decrypt_many(self, key: KeyLike, items: Iterable[tuple[bytes, bytes, bytes]]) -> list[bytes]:
        """sm4_gcm_decrypt of many (nonce, blob, aad): all plaintexts, or CryptoError and none."""
        ...

    def sm4_cbc_encrypt(self, key: KeyLike, iv: bytes, data: bytes) -> bytes:
        """CBC with PKCS#7 padding; iv 16 random bytes. Not authenticated: only for peers that demand it."""
        ...

    def sm4_cbc_decrypt(self, key: KeyLike, iv: bytes, blob: bytes) -> bytes:
        """The plaintext; padding is checked."""
        ...

    def sm4_ctr(self, key: KeyLike, iv: bytes, data: bytes) -> bytes:
        """CTR, both directions; iv is the 16-byte first counter block. Not authenticated."""
        ...

    def sm4_ecb_encrypt(self, key: KeyLike, data: bytes, padding: bool = True) -> bytes:
        """ECB, only where a peer's specification demands it; PKCS#7 unless padding=False."""
        ...

    def sm4_ecb_decrypt(self, key: KeyLike, blob: bytes, padding: bool = True) -> bytes:
        """Inverse of sm4_ecb_encrypt."""
        ...

    def random(self, size: int) -> bytes:
        """`size` bytes fit for keys."""
        ...

    def status(self) -> dict[str, Any]:
        """What the health page shows: provider, library, version, path, warnings."""
        ...


def get_provider(name: str = "openssl", **options: Any) -> Provider:
    """The provider of that name: "openssl", "reference" or "sdf".

    Raises CryptoError when it can't be opened; there is no fallback to another one (COMPLIANCE MP-17).
    """
    if name == "openssl":
        from crypto.openssl import OpenSSLProvider

        return OpenSSLProvider(**options)
    if name == "reference":
        from crypto.reference import ReferenceProvider

        return ReferenceProvider(**options)
    if name == "sdf":
        from crypto.sdf import SdfProvider

        return SdfProvider(**options)
    raise CryptoError(f"no such provider: {name}")


def software_key(key: KeyLike, size: int | None = None) -> bytes:
    """The key bytes for a software provider; refuses device keys and wrong sizes."""
    if not isinstance(key, bytes) or (size is not None and len(key) != size):
        raise CryptoError("key refused")
    return key
