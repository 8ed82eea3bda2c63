"""SM3, HMAC, PBKDF2 and SM4 from `hashlib` and `cryptography`: the symmetric half of the openssl provider."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from functools import lru_cache
from io import BytesIO
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import SM4

from crypto.errors import CryptoError
from crypto.provider import KeyLike, software_key

_REFUSED = "SM4 decryption refused"
_LARGE = 1 << 16


@lru_cache(maxsize=64)
def _algorithm(key: bytes) -> SM4:
    # The object only holds the key, so sharing it between threads and processes is safe. Contexts are not kept:
    # GCM contexts can't be reset in this library.
    return SM4(key)


def _sm4(key: KeyLike) -> SM4:
    if type(key) is not bytes or len(key) != 16:
        raise CryptoError("key refused")
    return _algorithm(key)


# What `Cipher.encryptor` and `decryptor` call, without checking again what is checked here: that is a third of the
# time of a database field. Another build of the library may not have them under this name.
try:
    from cryptography.hazmat.bindings._rust import openssl as _bindings

    _encryptor: Any = _bindings.ciphers.create_encryption_ctx
    _decryptor: Any = _bindings.ciphers.create_decryption_ctx
except (ImportError, AttributeError):
    _encryptor, _decryptor = (lambda *of: Cipher(*of).encryptor()), (lambda *of: Cipher(*of).decryptor())


def _mode(nonce: bytes) -> modes.GCM:
    if type(nonce) is not bytes or len(nonce) != 12:
        raise CryptoError("nonce refused")
    return modes.GCM(nonce)


def pad(data: bytes) -> bytes:
    """PKCS#7 to 16 bytes."""
    count = 16 - len(data) % 16
    return data + bytes((count,)) * count


def unpad(data: bytes) -> bytes:
    """Checked removal of PKCS#7."""
    if not data or len(data) % 16 or not 1 <= data[-1] <= 16:
        raise CryptoError(_REFUSED)
    count = data[-1]
    if not hmac.compare_digest(data[-count:], bytes((count,)) * count):
        raise CryptoError(_REFUSED)
    return data[:-count]


def need(data: bytes, size: int | None = None) -> bytes:
    """`data` if it is bytes (of that size); CryptoError otherwise."""
    if not isinstance(data, bytes) or (size is not None and len(data) != size):
        raise CryptoError("input refused")
    return data


class SymmetricSoftware:
    """Mixin with the symmetric operations of the Provider protocol. Stateless, so fork- and thread-safe."""

    def sm3(self, data: bytes) -> bytes:
        return hashlib.new("sm3", need(data)).digest()

    def sm3_stream(self, chunks: Iterable[bytes]) -> bytes:
        state = hashlib.new("sm3")
        for chunk in chunks:
            state.update(need(chunk))
        return state.digest()

    def hmac_sm3(self, key: KeyLike, data: bytes) -> bytes:
        return hmac.digest(software_key(key), need(data), "sm3")

    def pbkdf2_sm3(self, password: bytes, salt: bytes, rounds: int, length: int = 32) -> bytes:
        if rounds < 1 or not 1 <= length <= 1024:
            raise CryptoError("PBKDF2 parameters refused")
        return hashlib.pbkdf2_hmac("sm3", need(password), need(salt), rounds, length)

    def sm4_gcm_encrypt(self, key: KeyLike, nonce: bytes, data: bytes, aad: bytes = b"") -> bytes:
        context = _encryptor(_sm4(key), _mode(nonce))
        context.authenticate_additional_data(need(aad))
        size = len(need(data))
        if size < _LARGE:
            return b"".join((context.update(data), context.finalize(), context.tag))
        # Encrypted in place inside the buffer that becomes the result: no second copy of large data.
        out = BytesIO()
        out.seek(size + 15)
        out.write(b"\0")
        with out.getbuffer() as room:
            context.update_into(data, room)
            context.finalize()
            room[size:] = context.tag
        return out.getvalue()

    def sm4_gcm_decrypt(self, key: KeyLike, nonce: bytes, blob: bytes, aad: bytes = b"") -> bytes:
        if type(blob) is not bytes or len(blob) < 16:
            raise CryptoError(_REFUSED)
        context = _decryptor(_sm4(key), _mode(nonce))
        context.authenticate_additional_data(need(aad))
        # Large data is not copied; for a database field the plain slice is quicker.
        data: bytes = context.update(blob[:-16] if len(blob) < _LARGE else memoryview(blob)[:-16])
        try:
            context.finalize_with_tag(blob[-16:])
        except InvalidTag:
            raise CryptoError(_REFUSED) from None
        return data

    def sm4_gcm_decrypt_many(self, key: KeyLike, items: Iterable[tuple[bytes, bytes, bytes]]) -> list[bytes]:
        algorithm, out = _sm4(key), []
        try:
            for nonce, blob, aad in items:
                if type(blob) is not bytes or len(blob) < 16 or type(aad) is not bytes:
                    raise CryptoError(_REFUSED)
                context = _decryptor(algorithm, _mode(nonce))
                context.authenticate_additional_data(aad)
                out.append(context.update(blob[:-16]))
                context.finalize_with_tag(blob[-16:])
        except InvalidTag:
            raise CryptoError(_REFUSED) from None
        return out

    def sm4_cbc_encrypt(self, key: KeyLike, iv: bytes, data: bytes) -> bytes:
        context = Cipher(_sm4(key), modes.CBC(need(iv, 16))).encryptor()
        return context.update(pad(need(data))) + context.finalize()

    def sm4_cbc_decrypt(self, key: KeyLike, iv: bytes, blob: bytes) -> bytes:
        if len(need(blob)) % 16 or not blob:
            raise CryptoError(_REFUSED)
        context = Cipher(_sm4(key), modes.CBC(need(iv, 16))).decryptor()
        return unpad(context.update(blob) + context.finalize())

    def sm4_ctr(self, key: KeyLike, iv: bytes, data: bytes) -> bytes:
        context = Cipher(_sm4(key), modes.CTR(need(iv, 16))).encryptor()
        return context.update(need(data)) + context.finalize()

    def sm4_ecb_encrypt(self, key: KeyLike, data: bytes, padding: bool = True) -> bytes:
        text = pad(need(data)) if padding else need(data)
        if len(text) % 16:
            raise CryptoError("input refused")
        context = Cipher(_sm4(key), modes.ECB()).encryptor()
        return context.update(text) + context.finalize()

    def sm4_ecb_decrypt(self, key: KeyLike, blob: bytes, padding: bool = True) -> bytes:
        if len(need(blob)) % 16 or (padding and not blob):
            raise CryptoError(_REFUSED)
        context = Cipher(_sm4(key), modes.ECB()).decryptor()
        text = context.update(blob) + context.finalize()
        return unpad(text) if padding else text
