"""A vendor's GM/T 0018 library: structures, calls, and sessions that belong to one process.

Handles of a parent process are never used, and never closed, in a forked child: the child opens the device anew.
A failed call closes its session. Codes that speak of the data (bad signature, bad ciphertext) only refuse; every
other code is a device failure, is reported to the alarm and closes the whole pool, so the next call tries afresh.
"""

from __future__ import annotations

import ctypes
import logging
import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from crypto.errors import CryptoError, DeviceLost

log = logging.getLogger(__name__)

ECC_MAX = 64
SGD_SM4_ECB, SGD_SM4_CBC, SGD_SM3 = 0x401, 0x402, 0x1
SGD_SM2_SIGN, SGD_SM2_ENCRYPT = 0x20200, 0x20800
MAX_KEYS_PER_SESSION = 32
Alarm = Callable[[str, int], None]

# Codes of GM/T 0018 annex A that say something about the data and not about the device.
DATA_CODES = frozenset(0x01000000 + code for code in (0x0B, 0x0C, 0x0E, 0x0F, 0x16, 0x19, 0x1D))


class PublicKey(ctypes.Structure):
    """ECCrefPublicKey: coordinates left-padded to 64 bytes."""

    _fields_ = [
        ("bits", ctypes.c_uint),
        ("x", ctypes.c_ubyte * ECC_MAX),
        ("y", ctypes.c_ubyte * ECC_MAX),
    ]

    @classmethod
    def pack(cls, point: bytes) -> PublicKey:
        """From x‖y."""
        return cls(256, _left(point[:32]), _left(point[32:]))

    def point(self) -> bytes:
        """x‖y."""
        return _right(self.x) + _right(self.y)


class PrivateKey(ctypes.Structure):
    """ECCrefPrivateKey."""

    _fields_ = [("bits", ctypes.c_uint), ("K", ctypes.c_ubyte * ECC_MAX)]


class Signature(ctypes.Structure):
    """ECCSignature."""

    _fields_ = [("r", ctypes.c_ubyte * ECC_MAX), ("s", ctypes.c_ubyte * ECC_MAX)]


def cipher_type(length: int) -> type[ctypes.Structure]:
    """ECCCipher with room for `length` bytes in its flexible last member."""

    class Cipher(ctypes.Structure):
        _fields_ = [
            ("x", ctypes.c_ubyte * ECC_MAX),
            ("y", ctypes.c_ubyte * ECC_MAX),
            ("M", ctypes.c_ubyte * 32),
            ("L", ctypes.c_uint),
            ("C", ctypes.c_ubyte * length),
        ]

    return Cipher


def pack_cipher(blob: bytes) -> ctypes.Structure:
    """ECCCipher from x‖y‖C3‖C2."""
    text = blob[96:]
    kind = cipher_type(len(text))
    parts = _left(blob[:32]), _left(blob[32:64]), (ctypes.c_ubyte * 32)(*blob[64:96])
    return kind(*parts, len(text), (ctypes.c_ubyte * len(text))(*text))


def unpack_cipher(cipher: Any, room: int) -> bytes:
    """x‖y‖C3‖C2 from ECCCipher."""
    if room < cipher.L:
        raise CryptoError("the device returned a malformed ciphertext")
    return _right(cipher.x) + _right(cipher.y) + bytes(cipher.M) + bytes(cipher.C)[: cipher.L]


def _left(value: bytes) -> Any:
    return (ctypes.c_ubyte * ECC_MAX)(*bytes(ECC_MAX - len(value)), *value)


def _right(field: Any) -> bytes:
    value = bytes(field)
    if any(value[:-32]):
        raise CryptoError("the device returned a malformed number")
    return value[-32:]


class DeviceInfo(ctypes.Structure):
    """DEVICEINFO."""

    _fields_ = [
        ("issuer", ctypes.c_char * 40),
        ("name", ctypes.c_char * 16),
        ("serial", ctypes.c_char * 16),
        ("version", ctypes.c_uint),
        ("standard", ctypes.c_uint),
        ("asymmetric", ctypes.c_uint * 2),
        ("symmetric", ctypes.c_uint),
        ("hash", ctypes.c_uint),
        ("buffer", ctypes.c_uint),
    ]


_P, _U = ctypes.c_void_p, ctypes.c_uint
_REQUIRED: dict[str, list[Any]] = {
    "SDF_OpenDevice": [_P],
    "SDF_CloseDevice": [_P],
    "SDF_OpenSession": [_P, _P],
    "SDF_CloseSession": [_P],
    "SDF_GetDeviceInfo": [_P, _P],
    "SDF_GenerateRandom": [_P, _U, _P],
    "SDF_GetPrivateKeyAccessRight": [_P, _U, ctypes.c_char_p, _U],
    "SDF_ExportSignPublicKey_ECC": [_P, _U, _P],
    "SDF_ExportEncPublicKey_ECC": [_P, _U, _P],
    "SDF_GenerateKeyPair_ECC": [_P, _U, _U, _P, _P],
    "SDF_GenerateKeyWithIPK_ECC": [_P, _U, _U, _P, _P],
    "SDF_ImportKeyWithISK_ECC": [_P, _U, _P, _P],
    "SDF_DestroyKey": [_P, _P],
    "SDF_ExternalVerify_ECC": [_P, _U, _P, ctypes.c_char_p, _U, _P],
    "SDF_InternalSign_ECC": [_P, _U, ctypes.c_char_p, _U, _P],
    "SDF_ExternalEncrypt_ECC": [_P, _U, _P, ctypes.c_char_p, _U, _P],
    "SDF_Encrypt": [_P, _P, _U, ctypes.c_char_p, ctypes.c_char_p, _U, _P, _P],
    "SDF_Decrypt": [_P, _P, _U, ctypes.c_char_p, ctypes.c_char_p, _U, _P, _P],
    "SDF_HashInit": [_P, _U, _P, ctypes.c_char_p, _U],
    "SDF_HashUpdate": [_P, ctypes.c_char_p, _U],
    "SDF_HashFinal": [_P, _P, _P],
}
_OPTIONAL: dict[str, list[Any]] = {
    # Not in the standard's 2012 text, but in nearly every vendor's library.
    "SDF_InternalDecrypt_ECC": [_P, _U, _U, _P, _P, _P],
}


class Session:
    """One open session with its imported symmetric keys. Used by one thread at a time."""

    def __init__(self, library: SdfLibrary, handle: int) -> None:
        self.library, self.handle = library, handle
        self.keys: OrderedDict[bytes, int] = OrderedDict()
        self.rights: set[int] = set()

    def call(self, name: str, *arguments: Any) -> None:
        """Call with this session as first argument; CryptoError unless the device answers 0."""
        self.library.check(name, self.library.call(name, self.handle, *arguments))

    def use_key(self, index: int) -> None:
        """Get the right to use the internal private key `index` (once per session)."""
        if index not in self.rights:
            pin = self.library.pins.get(index, b"")
            self.call("SDF_GetPrivateKeyAccessRight", index, pin, len(pin))
            self.rights.add(index)

    def import_key(self, index: int, wrapped: bytes) -> int:
        """Handle of a symmetric key that is encrypted to the internal key pair `index`."""
        if wrapped in self.keys:
            self.keys.move_to_end(wrapped)
            return self.keys[wrapped]
        self.use_key(index)
        handle = ctypes.c_void_p()
        cipher = pack_cipher(wrapped)
        self.call("SDF_ImportKeyWithISK_ECC", index, ctypes.byref(cipher), ctypes.byref(handle))
        if len(self.keys) >= MAX_KEYS_PER_SESSION:
            self.call("SDF_DestroyKey", self.keys.popitem(last=False)[1])
        self.keys[wrapped] = handle.value or 0
        return self.keys[wrapped]


_opened: weakref.WeakSet[SdfLibrary] = weakref.WeakSet()


def _forked() -> None:
    for library in list(_opened):
        library._reset()


# Right after fork the child has one thread, so nobody else can hold the new locks.
os.register_at_fork(after_in_child=_forked)


class SdfLibrary:
    """The opened library with a pool of sessions for this process."""

    def __init__(self, path: str, pins: Mapping[int, bytes], alarm: Alarm, pool: int) -> None:
        try:
            self._lib = ctypes.CDLL(path)
            self._functions = {name: getattr(self._lib, name) for name in _REQUIRED}
        except (OSError, AttributeError) as failed:
            raise CryptoError(f"SDF library can't be used: {failed}") from None
        for name in _OPTIONAL:
            if function := getattr(self._lib, name, None):
                self._functions[name] = function
        for name, function in self._functions.items():
            function.restype, function.argtypes = ctypes.c_int, (_REQUIRED | _OPTIONAL)[name]
        self.path, self.pins, self._alarm, self._limit = path, dict(pins), alarm, pool
        self.failure = ""
        self._reset()
        _opened.add(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(self._limit)
        self._device: int | None = None
        self._idle: list[Session] = []
        self._epoch = 0
        self._busy = 0

    def has(self, name: str) -> bool:
        """Whether the library offers an optional function."""
        return name in self._functions

    def call(self, name: str, *arguments: Any) -> int:
        """The raw return code."""
        function = self._functions.get(name)
        if function is None:
            raise CryptoError(f"the device library lacks {name}")
        return int(function(*arguments)) & 0xFFFFFFFF

    def check(self, name: str, code: int) -> None:
        """Refuse any code but 0; raise the alarm when the device itself failed."""
        if code == 0:
            return
        if code in DATA_CODES:
            raise DeviceRefusal(f"{name} refused the data ({code:#010x})")
        self.failure = f"{name} failed ({code:#010x})"
        log.error("cryptographic device: %s", self.failure)
        self._alarm(name, code)
        raise DeviceLost(f"cryptographic device: {self.failure}")

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session for the calling thread. It returns to the pool only when all calls succeeded."""
        with self._slots:
            with self._lock:
                session, epoch = self._idle.pop() if self._idle else None, self._epoch
                self._busy += 1
            try:
                if session is None:
                    session = self._open()
                yield session
            except DeviceRefusal:
                if session is not None:
                    self._close(session)
                raise
            except BaseException:
                if session is not None:
                    self._close(session)
                self._drop()
                raise
            finally:
                with self._lock:
                    self._busy -= 1
            with self._lock:
                keep = epoch == self._epoch
                if keep:
                    self._idle.append(session)
            if not keep:
                self._close(session)
            self.failure = ""

    def _open(self) -> Session:
        with self._lock:
            if self._device is None:
                device = ctypes.c_void_p()
                self.check("SDF_OpenDevice", self.call("SDF_OpenDevice", ctypes.byref(device)))
                self._device = device.value or 0
            handle = ctypes.c_void_p()
            self.check("SDF_OpenSession", self.call("SDF_OpenSession", self._device, ctypes.byref(handle)))
            return Session(self, handle.value or 0)

    def _close(self, session: Session) -> None:
        # The session is given up whatever the device answers; a second failure has nothing to add to the first.
        for handle in session.keys.values():
            self.call("SDF_DestroyKey", session.handle, handle)
        self.call("SDF_CloseSession", session.handle)

    def _drop(self) -> None:
        """After a device failure: forget the device and all idle sessions."""
        with self._lock:
            idle, self._idle = self._idle, []
            self._epoch += 1
            device, self._device = self._device, None
            # Other threads may be inside calls on this device; then its handle is forgotten, not closed.
            alone = self._busy <= 1
        for session in idle:
            self._close(session)
        if device is not None and alone:
            self.call("SDF_CloseDevice", device)

    def close(self) -> None:
        """Close all idle sessions and the device of this process."""
        self._drop()


class DeviceRefusal(CryptoError):
    """The device works but refused this data."""
