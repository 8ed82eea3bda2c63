"""gmssl as an independent reference. The only file that may import gmssl.

It is not constant time, its randomness is guessable and it skips checks (facts: private keys were recovered in a
lab), so by default it verifies and hashes only. `oracle=True` opens the rest for tests; never in production.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any, NoReturn

from gmssl import sm2 as _sm2
from gmssl import sm3 as _sm3
from gmssl import sm4 as _sm4

from crypto import codecs, gcm, sm2
from crypto.errors import CryptoError
from crypto.provider import KeyLike, software_key
from crypto.software import need, pad, unpad


def _sm3_of(data: bytes) -> bytes:
    return bytes.fromhex(_sm3.sm3_hash(list(data)))


def _engine(private: bytes = b"", public: bytes = b"") -> Any:
    engine = _sm2.CryptSM2(private.hex(), public.hex(), mode=1)
    # The constructor strips every leading 0 and 4 from a key that begins with 04; put the key back whole.
    engine.public_key = public.hex()
    return engine


class ReferenceProvider:
    """Provider over gmssl; verify-only unless `oracle`."""

    name = "reference"

    def __init__(self, oracle: bool = False) -> None:
        self.oracle = oracle
        self.version = f"gmssl {version('gmssl')}"
        self.library = str(_sm2.__file__)

    def _refuse(self) -> NoReturn:
        raise CryptoError("the reference provider only verifies")

    def _need_oracle(self) -> None:
        if not self.oracle:
            self._refuse()

    def sm2_generate(self) -> tuple[bytes, bytes]:
        self._need_oracle()
        private = (secrets.randbelow(sm2.N - 2) + 1).to_bytes(32, "big")
        return private, self.sm2_public(private)

    def sm2_public(self, private: KeyLike) -> bytes:
        self._need_oracle()
        engine = _engine()
        scalar = int.from_bytes(sm2.check_private(software_key(private, 32)), "big")
        return bytes.fromhex(engine._kg(scalar, engine.ecc_table["g"]))

    def sm2_sign(
        self, private: KeyLike, data: bytes, uid: bytes = sm2.DEFAULT_UID, k: int | None = None
    ) -> bytes:
        """As the protocol; `k` fixes the random number so that the standard's examples come out."""
        self._need_oracle()
        key = sm2.check_private(software_key(private, 32))
        digest = self._digest(self.sm2_public(key), data, uid)
        signature = None
        while signature is None:
            number = k if k is not None else secrets.randbelow(sm2.N - 1) + 1
            signature = _engine(key).sign(digest, f"{number:064x}")
            if signature is None and k is not None:
                raise CryptoError("k refused")
        return bytes.fromhex(signature)

    @staticmethod
    def _digest(public: bytes, data: bytes, uid: bytes) -> bytes:
        if len(need(uid)) > 8191:
            raise CryptoError("SM2 identity refused")
        curve = b"".join(value.to_bytes(32, "big") for value in (sm2.A, sm2.B, sm2.GX, sm2.GY))
        z = _sm3_of((len(uid) * 8).to_bytes(2, "big") + uid + curve + public)
        return _sm3_of(z + need(data))

    def sm2_verify(self, public: bytes, data: bytes, signature: bytes, uid: bytes = sm2.DEFAULT_UID) -> bool:
        if not sm2.check_signature(signature):
            return False
        try:
            point = sm2.check_public(public)
            digest = self._digest(point, data, uid)
        except CryptoError:
            return False
        return bool(_engine(public=point).verify(signature.hex(), digest))

    def sm2_encrypt(self, public: bytes, data: bytes) -> bytes:
        self._need_oracle()
        point = sm2.check_public(public)
        if not need(data):
            raise CryptoError("SM2 plaintext refused")
        blob = None
        while blob is None:
            blob = _engine(public=point).encrypt(data)
        return bytes(blob)

    def sm2_decrypt(self, private: KeyLike, blob: bytes) -> bytes:
        self._need_oracle()
        key = sm2.check_private(software_key(private, 32))
        codecs.check_ciphertext(blob)
        engine = _engine(key)
        text = engine.decrypt(blob)
        shared = bytes.fromhex(engine._kg(int.from_bytes(key, "big"), blob[:64].hex()))
        if text is None or not hmac.compare_digest(_sm3_of(shared[:32] + text + shared[32:]), blob[64:96]):
            raise CryptoError("SM2 decryption refused")
        return bytes(text)

    def sm3(self, data: bytes) -> bytes:
        return _sm3_of(need(data))

    def sm3_stream(self, chunks: Iterable[bytes]) -> bytes:
        return _sm3_of(b"".join(need(chunk) for chunk in chunks))

    def hmac_sm3(self, key: KeyLike, data: bytes) -> bytes:
        self._need_oracle()
        block = software_key(key)
        block = (_sm3_of(block) if len(block) > 64 else block).ljust(64, b"\0")
        inner = _sm3_of(bytes(byte ^ 0x36 for byte in block) + need(data))
        return _sm3_of(bytes(byte ^ 0x5C for byte in block) + inner)

    def pbkdf2_sm3(self, password: bytes, salt: bytes, rounds: int, length: int = 32) -> bytes:
        self._need_oracle()
        if rounds < 1 or not 1 <= length <= 1024:
            raise CryptoError("PBKDF2 parameters refused")
        out = b""
        for number in range(1, -(-length // 32) + 1):
            step = self.hmac_sm3(password, salt + number.to_bytes(4, "big"))
            total = int.from_bytes(step, "big")
            for _ in range(rounds - 1):
                step = self.hmac_sm3(password, step)
                total ^= int.from_bytes(step, "big")
            out += total.to_bytes(32, "big")
        return out[:length]

    def _blocks(self, key: KeyLike, data: bytes, mode: int) -> bytes:
        self._need_oracle()
        engine = _sm4.CryptSM4()
        engine.set_key(software_key(key, 16), mode)
        parts = (engine.one_round(engine.sk, list(data[at : at + 16])) for at in range(0, len(data), 16))
        return b"".join(bytes(part) for part in parts)

    def sm4_gcm_encrypt(self, key: KeyLike, nonce: bytes, data: bytes, aad: bytes = b"") -> bytes:
        return gcm.encrypt(lambda text: self._blocks(key, text, _sm4.SM4_ENCRYPT), need(nonce, 12), need(data), aad)

    def sm4_gcm_decrypt(self, key: KeyLike, nonce: bytes, blob: bytes, aad: bytes = b"") -> bytes:
        return gcm.decrypt(lambda text: self._blocks(key, text, _sm4.SM4_ENCRYPT), need(nonce, 12), need(blob), aad)

    def sm4_gcm_decrypt_many(self, key: KeyLike, items: Iterable[tuple[bytes, bytes, bytes]]) -> list[bytes]:
        return [self.sm4_gcm_decrypt(key, nonce, blob, aad) for nonce, blob, aad in items]

    def sm4_cbc_encrypt(self, key: KeyLike, iv: bytes, data: bytes) -> bytes:
        out, last = [], need(iv, 16)
        text = pad(need(data))
        for at in range(0, len(text), 16):
            last = self._blocks(key, gcm.xor(text[at : at + 16], last), _sm4.SM4_ENCRYPT)
            out.append(last)
        return b"".join(out)

    def sm4_cbc_decrypt(self, key: KeyLike, iv: bytes, blob: bytes) -> bytes:
        if len(need(blob)) % 16 or not blob:
            raise CryptoError("SM4 decryption refused")
        plain = self._blocks(key, blob, _sm4.SM4_DECRYPT)
        return unpad(gcm.xor(plain, (need(iv, 16) + blob)[: len(blob)]))

    def sm4_ctr(self, key: KeyLike, iv: bytes, data: bytes) -> bytes:
        start, count = int.from_bytes(need(iv, 16), "big"), -(-len(need(data)) // 16)
        blocks = b"".join(((start + number) % (1 << 128)).to_bytes(16, "big") for number in range(count))
        return gcm.xor(data, self._blocks(key, blocks, _sm4.SM4_ENCRYPT)[: len(data)])

    def sm4_ecb_encrypt(self, key: KeyLike, data: bytes, padding: bool = True) -> bytes:
        text = pad(need(data)) if padding else need(data)
        if len(text) % 16:
            raise CryptoError("input refused")
        return self._blocks(key, text, _sm4.SM4_ENCRYPT)

    def sm4_ecb_decrypt(self, key: KeyLike, blob: bytes, padding: bool = True) -> bytes:
        if len(need(blob)) % 16 or (padding and not blob):
            raise CryptoError("SM4 decryption refused")
        text = self._blocks(key, blob, _sm4.SM4_DECRYPT)
        return unpad(text) if padding else text

    def random(self, size: int) -> bytes:
        self._need_oracle()
        return secrets.token_bytes(size)

    def status(self) -> dict[str, Any]:
        return {
            "provider": self.name,
            "version": self.version,
            "library": self.library,
            "warnings": ["verify-only" if not self.oracle else "test oracle: not for production"],
            "healthy": True,
        }
