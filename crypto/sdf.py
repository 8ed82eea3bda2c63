"""Provider over a GM/T 0018 device (server cryptographic machine, card) through the vendor's library.

Private keys and master keys stay in the device and are named by DeviceKey. Fail closed: when the device is lost
every operation refuses and the alarm is called; nothing is ever computed in software instead. Exceptions, stated
in docs/crypto.md: PBKDF2 (600,000 rounds over a network device are not feasible) runs in `hashlib`, and GHASH, the
keyless part of GCM, runs here while all SM4 blocks are made by the device.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from crypto import codecs, gcm, sm2
from crypto.errors import CryptoError
from crypto.files import read_private
from crypto.provider import DeviceKey, KeyLike, software_key
from crypto.sdf_library import (
    SGD_SM2_ENCRYPT,
    SGD_SM2_SIGN,
    SGD_SM3,
    SGD_SM4_CBC,
    SGD_SM4_ECB,
    Alarm,
    DeviceInfo,
    DeviceRefusal,
    PrivateKey,
    PublicKey,
    SdfLibrary,
    Session,
    Signature,
    cipher_type,
    pack_cipher,
    unpack_cipher,
)
from crypto.software import need, pad, unpad

_MAX_SM2_PLAINTEXT = 136
_KNOWN_KEYS = 64


def _silent(name: str, code: int) -> None:
    """The default alarm: the error log of sdf_library is all."""


class SdfProvider:
    """GM/T 0018 device.

    library: path of the vendor's libsdf.so. key_index: the internal key pair to which symmetric keys are wrapped.
    slots: the internal key pair of each signing purpose of a key ring ({"sign-sm2": 2}), encryption_slots: of each
    purpose that decrypts ({"login-sm2": 2}); a ring makes no SM2 key without one.
    pins: access codes of internal keys by index, or pin_file: a JSON file of mode 0600 with them ({"1": "…"}).
    alarm(function, code): called for every device failure. pool: sessions per process. chunk: most bytes per call.
    """

    name = "sdf"

    def __init__(
        self,
        library: str,
        key_index: int = 1,
        pins: Mapping[int, bytes] | None = None,
        pin_file: Path | str | None = None,
        alarm: Alarm = _silent,
        pool: int = 8,
        chunk: int = 16384,
        slots: Mapping[str, int] | None = None,
        encryption_slots: Mapping[str, int] | None = None,
    ) -> None:
        if pool < 1 or chunk < 16 or chunk % 16:
            raise CryptoError("pool and chunk refused")
        self._sdf = SdfLibrary(library, _pins(pins, pin_file), alarm, pool)
        self.library, self._index, self._chunk = library, key_index, chunk
        self._slots, self._encryption_slots = dict(slots or {}), dict(encryption_slots or {})
        # SM3(key) → key wrapped to the device; so a raw key is wrapped once per process, not per call.
        self._wrapped: OrderedDict[bytes, bytes] = OrderedDict()
        info = DeviceInfo()
        with self._sdf.session() as session:
            session.call("SDF_GetDeviceInfo", ctypes.byref(info))
            self._enc_public = self._export(session, "SDF_ExportEncPublicKey_ECC", key_index)
        self._info = {
            "issuer": info.issuer.decode("utf-8", "replace"),
            "device": info.name.decode("utf-8", "replace"),
            "serial": info.serial.decode("utf-8", "replace"),
            "standard": info.standard,
        }
        self.version = f"{self._info['issuer']} {self._info['device']} {info.version:#x}"

    @staticmethod
    def _export(session: Session, name: str, index: int) -> bytes:
        key = PublicKey()
        session.call(name, index, ctypes.byref(key))
        return sm2.check_public(key.point())

    # SM2

    def sm2_generate(self) -> tuple[bytes, bytes]:
        """A pair made by the device for use elsewhere (e.g. a partner's demo key). Its private half can't be used
        through this provider: GM/T 0018 signs with internal keys only."""
        public, private = PublicKey(), PrivateKey()
        with self._sdf.session() as session:
            session.call(
                "SDF_GenerateKeyPair_ECC", SGD_SM2_SIGN, 256, ctypes.byref(public), ctypes.byref(private)
            )
        return sm2.check_private(bytes(private.K)[-32:]), sm2.check_public(public.point())

    def ring_pair(self, purpose: str) -> tuple[DeviceKey, bytes]:
        """The device's pair for a purpose of a key ring; CryptoError when no slot is set for it."""
        if purpose in self._slots:
            key = DeviceKey(self._slots[purpose])
            return key, self.sm2_public(key)
        if purpose in self._encryption_slots:
            key = DeviceKey(self._encryption_slots[purpose])
            return key, self.sm2_encryption_public(key)
        raise CryptoError(f"no key pair of the device is set for {purpose}")

    def sm2_public(self, private: KeyLike) -> bytes:
        index = self._internal(private)
        with self._sdf.session() as session:
            return self._export(session, "SDF_ExportSignPublicKey_ECC", index)

    def sm2_encryption_public(self, private: KeyLike) -> bytes:
        """The public key of the pair's encryption half (devices keep two key pairs per index)."""
        index = self._internal(private)
        with self._sdf.session() as session:
            return self._export(session, "SDF_ExportEncPublicKey_ECC", index)

    @staticmethod
    def _internal(private: KeyLike) -> int:
        if not isinstance(private, DeviceKey) or private.wrapped:
            raise CryptoError("the sdf provider uses private keys inside the device only")
        return private.index

    def sm2_sign(self, private: KeyLike, data: bytes, uid: bytes = sm2.DEFAULT_UID) -> bytes:
        index, result = self._internal(private), Signature()
        with self._sdf.session() as session:
            public = self._export(session, "SDF_ExportSignPublicKey_ECC", index)
            digest = self._hash(session, [need(data)], public, need(uid))
            session.use_key(index)
            session.call("SDF_InternalSign_ECC", index, digest, 32, ctypes.byref(result))
        signature = bytes(result.r)[-32:] + bytes(result.s)[-32:]
        if not sm2.check_signature(signature):
            raise CryptoError("the device returned a malformed signature")
        return signature

    def sm2_verify(self, public: bytes, data: bytes, signature: bytes, uid: bytes = sm2.DEFAULT_UID) -> bool:
        """As the protocol. A lost device answers False here too (after the alarm): unverified is not valid."""
        if not sm2.check_signature(signature):
            return False
        try:
            point = sm2.check_public(public)
            sign = Signature()
            sign.r[32:], sign.s[32:] = tuple(signature[:32]), tuple(signature[32:])
            with self._sdf.session() as session:
                digest = self._hash(session, [need(data)], point, need(uid))
                key = PublicKey.pack(point)
                session.call(
                    "SDF_ExternalVerify_ECC", SGD_SM2_SIGN, ctypes.byref(key), digest, 32, ctypes.byref(sign)
                )
            return True
        except CryptoError:
            return False

    def sm2_encrypt(self, public: bytes, data: bytes) -> bytes:
        point = sm2.check_public(public)
        if not 1 <= len(need(data)) <= _MAX_SM2_PLAINTEXT:
            raise CryptoError("SM2 plaintext refused")
        with self._sdf.session() as session:
            return self._encrypt_to(session, point, data)

    @staticmethod
    def _encrypt_to(session: Session, point: bytes, data: bytes) -> bytes:
        key, cipher = PublicKey.pack(point), cipher_type(_MAX_SM2_PLAINTEXT)()
        session.call(
            "SDF_ExternalEncrypt_ECC", SGD_SM2_ENCRYPT, ctypes.byref(key), data, len(data), ctypes.byref(cipher)
        )
        return codecs.check_ciphertext(unpack_cipher(cipher, _MAX_SM2_PLAINTEXT))

    def sm2_decrypt(self, private: KeyLike, blob: bytes) -> bytes:
        index = self._internal(private)
        size = len(codecs.check_ciphertext(blob)) - 96
        if size > _MAX_SM2_PLAINTEXT:
            raise CryptoError("SM2 decryption refused")
        cipher, length = pack_cipher(blob), ctypes.c_uint(size)
        out = ctypes.create_string_buffer(size)
        try:
            with self._sdf.session() as session:
                session.use_key(index)
                session.call(
                    "SDF_InternalDecrypt_ECC",
                    index,
                    SGD_SM2_ENCRYPT,
                    ctypes.byref(cipher),
                    out,
                    ctypes.byref(length),
                )
        except DeviceRefusal:
            raise CryptoError("SM2 decryption refused") from None
        return out.raw[: length.value]

    # SM3

    def _hash(
        self, session: Session, chunks: Iterable[bytes], public: bytes | None = None, uid: bytes = b""
    ) -> bytes:
        key = ctypes.byref(PublicKey.pack(public)) if public else None
        if len(uid) > 8191:
            raise CryptoError("SM2 identity refused")
        if public and not uid:
            # HashInit takes an empty identity for "no Z" in some libraries, so Z is hashed as data.
            return self._hash(session, [self._hash(session, [sm2.za_input(public, uid)]), *chunks])
        session.call("SDF_HashInit", SGD_SM3, key, uid or None, len(uid))
        for chunk in chunks:
            for at in range(0, len(need(chunk)), self._chunk):
                part = chunk[at : at + self._chunk]
                session.call("SDF_HashUpdate", part, len(part))
        out, length = ctypes.create_string_buffer(32), ctypes.c_uint(32)
        session.call("SDF_HashFinal", out, ctypes.byref(length))
        if length.value != 32:
            raise CryptoError("the device returned a malformed digest")
        return out.raw

    def sm3(self, data: bytes) -> bytes:
        return self.sm3_stream([need(data)])

    def sm3_stream(self, chunks: Iterable[bytes]) -> bytes:
        with self._sdf.session() as session:
            return self._hash(session, chunks)

    def hmac_sm3(self, key: KeyLike, data: bytes) -> bytes:
        secret = software_key(key)
        need(data)
        with self._sdf.session() as session:
            block = (self._hash(session, [secret]) if len(secret) > 64 else secret).ljust(64, b"\0")
            inner = self._hash(session, [bytes(byte ^ 0x36 for byte in block), data])
            return self._hash(session, [bytes(byte ^ 0x5C for byte in block), inner])

    def pbkdf2_sm3(self, password: bytes, salt: bytes, rounds: int, length: int = 32) -> bytes:
        if rounds < 1 or not 1 <= length <= 1024:
            raise CryptoError("PBKDF2 parameters refused")
        return hashlib.pbkdf2_hmac("sm3", need(password), need(salt), rounds, length)

    # SM4

    def generate_session_key(self, index: int) -> DeviceKey:
        """A new SM4 key that only ever leaves the device encrypted to its internal key pair `index`."""
        cipher, handle = cipher_type(_MAX_SM2_PLAINTEXT)(), ctypes.c_void_p()
        with self._sdf.session() as session:
            session.call(
                "SDF_GenerateKeyWithIPK_ECC", index, 128, ctypes.byref(cipher), ctypes.byref(handle)
            )
            session.call("SDF_DestroyKey", handle)
        return DeviceKey(index, codecs.check_ciphertext(unpack_cipher(cipher, _MAX_SM2_PLAINTEXT)))

    def _handle(self, session: Session, key: KeyLike) -> int:
        if isinstance(key, DeviceKey):
            if not key.wrapped:
                raise CryptoError("key refused")
            return session.import_key(key.index, key.wrapped)
        secret = software_key(key, 16)
        name = hashlib.new("sm3", secret).digest()
        wrapped = self._wrapped.get(name)
        if wrapped is None:
            wrapped = self._encrypt_to(session, self._enc_public, secret)
            self._wrapped[name] = wrapped
            while len(self._wrapped) > _KNOWN_KEYS:
                self._wrapped.popitem(last=False)
        return session.import_key(self._index, wrapped)

    def _blocks(
        self, key: KeyLike, data: bytes, name: str, mode: int = SGD_SM4_ECB, iv: bytes | None = None
    ) -> bytes:
        """Whole blocks through SDF_Encrypt or SDF_Decrypt, in pieces that the device takes."""
        out = []
        with self._sdf.session() as session:
            handle = self._handle(session, key)
            for at in range(0, len(data), self._chunk):
                part = data[at : at + self._chunk]
                buffer, length = ctypes.create_string_buffer(len(part)), ctypes.c_uint(len(part))
                # A fresh copy: devices write the next IV into the caller's buffer.
                vector = ctypes.create_string_buffer(iv, 16) if iv else None
                session.call(
                    name, handle, mode, vector, part, len(part), buffer, ctypes.byref(length)
                )
                if length.value != len(part):
                    raise CryptoError("the device returned a malformed block")
                out.append(buffer.raw)
                if iv:
                    iv = (buffer.raw if name == "SDF_Encrypt" else part)[-16:]
        return b"".join(out)

    def sm4_gcm_encrypt(self, key: KeyLike, nonce: bytes, data: bytes, aad: bytes = b"") -> bytes:
        need(aad)
        return gcm.encrypt(lambda text: self._blocks(key, text, "SDF_Encrypt"), need(nonce, 12), need(data), aad)

    def sm4_gcm_decrypt(self, key: KeyLike, nonce: bytes, blob: bytes, aad: bytes = b"") -> bytes:
        need(aad)
        return gcm.decrypt(lambda text: self._blocks(key, text, "SDF_Encrypt"), need(nonce, 12), need(blob), aad)

    def sm4_gcm_decrypt_many(self, key: KeyLike, items: Iterable[tuple[bytes, bytes, bytes]]) -> list[bytes]:
        return [self.sm4_gcm_decrypt(key, nonce, blob, aad) for nonce, blob, aad in items]

    def sm4_cbc_encrypt(self, key: KeyLike, iv: bytes, data: bytes) -> bytes:
        return self._blocks(key, pad(need(data)), "SDF_Encrypt", SGD_SM4_CBC, need(iv, 16))

    def sm4_cbc_decrypt(self, key: KeyLike, iv: bytes, blob: bytes) -> bytes:
        if len(need(blob)) % 16 or not blob:
            raise CryptoError("SM4 decryption refused")
        return unpad(self._blocks(key, blob, "SDF_Decrypt", SGD_SM4_CBC, need(iv, 16)))

    def sm4_ctr(self, key: KeyLike, iv: bytes, data: bytes) -> bytes:
        start, count = int.from_bytes(need(iv, 16), "big"), -(-len(need(data)) // 16)
        blocks = b"".join(((start + number) % (1 << 128)).to_bytes(16, "big") for number in range(count))
        return gcm.xor(data, self._blocks(key, blocks, "SDF_Encrypt")[: len(data)])

    def sm4_ecb_encrypt(self, key: KeyLike, data: bytes, padding: bool = True) -> bytes:
        text = pad(need(data)) if padding else need(data)
        if len(text) % 16:
            raise CryptoError("input refused")
        return self._blocks(key, text, "SDF_Encrypt")

    def sm4_ecb_decrypt(self, key: KeyLike, blob: bytes, padding: bool = True) -> bytes:
        if len(need(blob)) % 16 or (padding and not blob):
            raise CryptoError("SM4 decryption refused")
        text = self._blocks(key, blob, "SDF_Decrypt")
        return unpad(text) if padding else text

    def random(self, size: int) -> bytes:
        if size < 0 or size > 1 << 24:
            raise CryptoError("random size refused")
        out = ctypes.create_string_buffer(size or 1)
        with self._sdf.session() as session:
            for at in range(0, size, self._chunk):
                count = min(self._chunk, size - at)
                session.call("SDF_GenerateRandom", count, ctypes.byref(out, at))
        return out.raw[:size]

    def status(self) -> dict[str, Any]:
        """Asks the device (one random number), so a lost device shows as unhealthy."""
        try:
            self.random(16)
        except CryptoError as failed:
            return {**self._base(), "healthy": False, "failure": str(failed)}
        return {**self._base(), "healthy": True, "failure": ""}

    def _base(self) -> dict[str, Any]:
        return {
            "provider": self.name,
            "version": self.version,
            "library": self.library,
            "key_index": self._index,
            "warnings": [],
            **self._info,
        }

    def close(self) -> None:
        """Close this process's sessions and device."""
        self._sdf.close()


def _pins(pins: Mapping[int, bytes] | None, pin_file: Path | str | None) -> dict[int, bytes]:
    if pins is not None and pin_file is not None:
        raise CryptoError("give pins or pin_file, not both")
    if pin_file is None:
        return dict(pins or {})
    try:
        return {int(index): str(pin).encode() for index, pin in json.loads(read_private(Path(pin_file))).items()}
    except (ValueError, AttributeError):
        raise CryptoError(f"{pin_file} is not a file of access codes") from None
