"""The default provider: SM2 over a shared libcrypto, the rest from `hashlib` and `cryptography`."""

from __future__ import annotations

import ctypes
import hmac
import logging
import os
from functools import lru_cache
from typing import Any, Literal

from crypto import codecs, sm2
from crypto.errors import CryptoError
from crypto.libcrypto import Libcrypto, PKey
from crypto.provider import KeyLike, software_key
from crypto.software import SymmetricSoftware, need

log = logging.getLogger(__name__)
_MAX_PLAINTEXT = 1 << 20  # SM2 encrypts keys and short secrets; larger data belongs in SM4-GCM


class OpenSSLProvider(SymmetricSoftware):
    """SM2 through libcrypto.

    library: path of the shared libcrypto; else the one shipped in crypto/lib; else the system's.
    timing_policy: what to do when the library has the known SM2 timing report on aarch64: "warn" (log and show
    in status) or "refuse" (CryptoError). Safe under fork (libcrypto reseeds) and threads.
    """

    name = "openssl"

    def __init__(self, library: str | None = None, timing_policy: Literal["warn", "refuse"] = "warn") -> None:
        if timing_policy not in ("warn", "refuse"):
            raise CryptoError("timing_policy is warn or refuse")
        self._lib = Libcrypto(library)
        self.version, self.library = self._lib.version, self._lib.path
        self.warnings: list[str] = []
        report = self._lib.timing_report()
        if report and timing_policy == "refuse":
            raise CryptoError(report)
        if report:
            log.warning("%s", report)
            self.warnings.append(report)
        self._timing_policy = timing_policy
        # Loading a private key costs a point multiplication, hence the small caches of EVP_PKEY objects.
        self._private = lru_cache(maxsize=32)(self._load_private)
        self._public = lru_cache(maxsize=256)(self._load_public)
        try:
            self._private((1).to_bytes(32, "big"))
        except CryptoError as refused:
            raise CryptoError(f"{self.version} ({self.library}) has no SM2: {refused}") from None

    def _load_private(self, private: bytes) -> tuple[PKey, bytes]:
        key = self._lib.load_private(sm2.check_private(private))
        return key, key.public()

    def _load_public(self, public: bytes) -> tuple[PKey, bytes]:
        point = sm2.check_public(public)
        return self._lib.load_public(point), point

    def sm2_generate(self) -> tuple[bytes, bytes]:
        while True:
            private = self.random(32)
            if 1 <= int.from_bytes(private, "big") <= sm2.N - 2:
                return private, self._load_private(private)[1]

    def sm2_public(self, private: KeyLike) -> bytes:
        return self._private(software_key(private, 32))[1]

    def sm2_sign(self, private: KeyLike, data: bytes, uid: bytes = sm2.DEFAULT_UID) -> bytes:
        key, public = self._private(software_key(private, 32))
        der = key.run("sign", sm2.digest(public, need(data), uid), 80)
        if der is None:
            raise CryptoError("SM2 signing failed")
        return codecs.signature_from_der(der)

    def sm2_verify(self, public: bytes, data: bytes, signature: bytes, uid: bytes = sm2.DEFAULT_UID) -> bool:
        if not sm2.check_signature(signature) or not isinstance(public, bytes):
            return False
        try:
            key, point = self._public(public)
            return key.verify(sm2.digest(point, need(data), uid), codecs.signature_to_der(signature))
        except CryptoError:
            return False

    def sm2_encrypt(self, public: bytes, data: bytes) -> bytes:
        if not 1 <= len(need(data)) <= _MAX_PLAINTEXT:
            raise CryptoError("SM2 plaintext refused")
        key, _ = self._public(need(public))
        while True:
            der = key.run("encrypt", data, len(data) + 160)
            if der is None:
                raise CryptoError("SM2 encryption failed")
            blob = codecs.ciphertext_from("asn1", der)
            # GB/T 32918.4 A5: an all-zero mask (1 in 256 for one byte) must be drawn again; 3.0 doesn't.
            if blob[96:] != data:
                return blob

    def sm2_decrypt(self, private: KeyLike, blob: bytes) -> bytes:
        key, _ = self._private(software_key(private, 32))
        der = codecs.ciphertext_to("asn1", blob)
        text = key.run("decrypt", der, len(der))
        if text is None or hmac.compare_digest(text, blob[96:]):
            raise CryptoError("SM2 decryption refused")
        return text

    def random(self, size: int) -> bytes:
        if size < 0 or size > 1 << 24:
            raise CryptoError("random size refused")
        out = ctypes.create_string_buffer(size or 1)
        if self._lib.call["RAND_bytes"](out, size) != 1:
            raise CryptoError("the random generator failed")
        return out.raw[:size]

    def status(self) -> dict[str, Any]:
        return {
            "provider": self.name,
            "version": self.version,
            "library": self.library,
            "symmetric": "hashlib, cryptography",
            "timing_policy": self._timing_policy,
            "warnings": list(self.warnings),
            "pid": os.getpid(),
            "healthy": True,
        }
