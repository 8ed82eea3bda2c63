"""A shared libcrypto through ctypes: finding it, probing it, and the SM2 calls that the openssl provider makes.

Works with OpenSSL 1.1.1, 3.x and API-compatible builds such as Tongsuo: keys go in as DER (`d2i_*`), signatures
are made over the finished 32-byte digest, so neither OSSL_PARAM nor the identity controls are needed.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import platform
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from crypto import asn1
from crypto.errors import CryptoError

_OID_EC = asn1.oid("1.2.840.10045.2.1")
_OID_SM2 = asn1.oid("1.2.156.10197.1.301")
_EVP_PKEY_SM2 = 1172
_VOID, _INT, _LONG, _SIZE = ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_size_t
_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "d2i_PUBKEY": (_VOID, [_VOID, ctypes.POINTER(ctypes.c_char_p), _LONG]),
    "d2i_AutoPrivateKey": (_VOID, [_VOID, ctypes.POINTER(ctypes.c_char_p), _LONG]),
    "i2d_PUBKEY": (_INT, [_VOID, _VOID]),
    "EVP_PKEY_free": (None, [_VOID]),
    "EVP_PKEY_CTX_new": (_VOID, [_VOID, _VOID]),
    "EVP_PKEY_CTX_free": (None, [_VOID]),
    "EVP_PKEY_sign_init": (_INT, [_VOID]),
    "EVP_PKEY_sign": (_INT, [_VOID, ctypes.c_char_p, ctypes.POINTER(_SIZE), ctypes.c_char_p, _SIZE]),
    "EVP_PKEY_verify_init": (_INT, [_VOID]),
    "EVP_PKEY_verify": (_INT, [_VOID, ctypes.c_char_p, _SIZE, ctypes.c_char_p, _SIZE]),
    "EVP_PKEY_encrypt_init": (_INT, [_VOID]),
    "EVP_PKEY_encrypt": (_INT, [_VOID, ctypes.c_char_p, ctypes.POINTER(_SIZE), ctypes.c_char_p, _SIZE]),
    "EVP_PKEY_decrypt_init": (_INT, [_VOID]),
    "EVP_PKEY_decrypt": (_INT, [_VOID, ctypes.c_char_p, ctypes.POINTER(_SIZE), ctypes.c_char_p, _SIZE]),
    "ERR_clear_error": (None, []),
    "RAND_bytes": (_INT, [ctypes.c_char_p, _INT]),
    "OpenSSL_version": (ctypes.c_char_p, [_INT]),
    "OpenSSL_version_num": (ctypes.c_ulong, []),
}

SHIPPED = Path(__file__).parent / "lib"
"""Where the packages put the libcrypto that ships with the product (packaging/)."""


def candidates(path: str | None) -> Iterator[str]:
    """Library names in the order tried. A path that was set, or shipped, is the only one: no silent fallback."""
    shipped = sorted(str(found) for found in SHIPPED.glob("libcrypto.so*")) if SHIPPED.is_dir() else []
    if path or shipped:
        yield path or shipped[0]
        return
    yield from ("libcrypto.so.3", "libcrypto.so.1.1")
    if found := ctypes.util.find_library("crypto"):
        yield found


class Libcrypto:
    """An opened libcrypto with SM2. Raises CryptoError when it is missing, too old or built without SM2."""

    def __init__(self, path: str | None = None) -> None:
        self.path = ""
        for name in candidates(path):
            try:
                self.lib = ctypes.CDLL(name)
            except OSError:
                continue
            self.path = name
            break
        if not self.path:
            raise CryptoError(f"libcrypto can't be opened: {path or 'none shipped, none in the system'}")
        self.call: dict[str, Callable[..., Any]] = {}
        for name, (result, arguments) in _SIGNATURES.items():
            try:
                function = getattr(self.lib, name)
            except AttributeError:
                raise CryptoError(f"{self.path} lacks {name}") from None
            function.restype, function.argtypes = result, arguments
            self.call[name] = function
        self.number = int(self.call["OpenSSL_version_num"]())
        self.version = self.call["OpenSSL_version"](0).decode("ascii", "replace")
        if self.number < 0x10101000:
            raise CryptoError(f"{self.version} is too old: 1.1.1 is the first with SM2")
        # 1.1.1 loads SM2 keys as plain EC and must be told; 3.x knows by the curve and dropped the call.
        self.alias = getattr(self.lib, "EVP_PKEY_set_alias_type", None) if self.number < 0x30000000 else None
        if self.alias is not None:
            self.alias.restype, self.alias.argtypes = _INT, [_VOID, _INT]
        self.path = self._real_path() or self.path

    def _real_path(self) -> str:
        """The file behind the name, from the process's own memory map (Linux)."""
        try:
            maps = Path("/proc/self/maps").read_text("utf-8", "replace")
        except OSError:
            return ""
        wanted = ctypes.cast(self.lib.OpenSSL_version_num, _VOID).value or 0
        for line in maps.splitlines():
            match = re.match(r"([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ \S+\s+(/.*)$", line)
            if match and int(match[1], 16) <= wanted < int(match[2], 16):
                return match[3]
        return ""

    def timing_report(self, machine: str | None = None) -> str:
        """Text of the known SM2 timing report for this version and machine, or "" when none applies.

        CVE-2025-9231: SM2 on 64-bit ARM was not constant time from 3.2 on; fixed in 3.2.6, 3.3.5, 3.4.3, 3.5.4
        and everything later than 3.5.
        """
        if (machine or platform.machine()).lower() not in ("aarch64", "arm64"):
            return ""
        major, minor, patch = self.number >> 28, self.number >> 20 & 0xFF, self.number >> 4 & 0xFF
        fixed = {2: 6, 3: 5, 4: 3, 5: 4}
        if major == 3 and minor in fixed and patch < fixed[minor]:
            return f"{self.version}: SM2 signing is not constant time on aarch64 (CVE-2025-9231)"
        return ""

    def load_public(self, point: bytes) -> PKey:
        """An EVP_PKEY from x‖y."""
        der = asn1.sequence(asn1.sequence(_OID_EC, _OID_SM2), asn1.bits(b"\x04" + point))
        return self._load("d2i_PUBKEY", der)

    def load_private(self, scalar: bytes) -> PKey:
        """An EVP_PKEY from the 32-byte scalar; the library computes the public point."""
        inner = asn1.sequence(asn1.integer(1), asn1.octets(scalar), asn1.tlv(0xA0, _OID_SM2))
        pkcs8 = asn1.sequence(asn1.integer(0), asn1.sequence(_OID_EC, _OID_SM2), asn1.octets(inner))
        return self._load("d2i_AutoPrivateKey", pkcs8)

    def _load(self, function: str, der: bytes) -> PKey:
        handle = self.call[function](None, ctypes.byref(ctypes.c_char_p(der)), len(der))
        if not handle:
            self.call["ERR_clear_error"]()
            raise CryptoError("SM2 key refused")
        key = PKey(self, handle)
        if self.alias is not None and self.alias(handle, _EVP_PKEY_SM2) != 1:
            raise CryptoError(f"{self.version} was built without SM2")
        return key


class PKey:
    """Owns one EVP_PKEY. Using it from several threads at once is safe; the last reference frees it."""

    def __init__(self, lib: Libcrypto, handle: int) -> None:
        self._free = lib.call["EVP_PKEY_free"]
        self.lib, self.handle = lib, handle
        self._new, self._drop = lib.call["EVP_PKEY_CTX_new"], lib.call["EVP_PKEY_CTX_free"]

    def __del__(self) -> None:
        self._free(self.handle)

    def public(self) -> bytes:
        """x‖y."""
        size = self.lib.call["i2d_PUBKEY"](self.handle, None)
        if size <= 64:
            raise CryptoError("SM2 key refused")
        buffer = ctypes.create_string_buffer(size)
        self.lib.call["i2d_PUBKEY"](self.handle, ctypes.byref(ctypes.c_void_p(ctypes.addressof(buffer))))
        return buffer.raw[-64:]

    def run(self, operation: str, data: bytes, room: int) -> bytes | None:
        """sign, encrypt or decrypt `data` with an output of at most `room` bytes; None when the library refuses."""
        call = self.lib.call
        context = self._new(self.handle, None)
        if not context:
            return None
        try:
            out, size = ctypes.create_string_buffer(room), _SIZE(room)
            if (
                call[f"EVP_PKEY_{operation}_init"](context) == 1
                and call[f"EVP_PKEY_{operation}"](context, out, ctypes.byref(size), data, len(data)) == 1
            ):
                return out.raw[: size.value]
            call["ERR_clear_error"]()
            return None
        finally:
            self._drop(context)

    def verify(self, digest: bytes, signature: bytes) -> bool:
        """Whether the DER signature over the 32-byte digest holds."""
        call = self.lib.call
        context = self._new(self.handle, None)
        if not context:
            return False
        try:
            if call["EVP_PKEY_verify_init"](context) == 1 and (
                call["EVP_PKEY_verify"](context, signature, len(signature), digest, len(digest)) == 1
            ):
                return True
            call["ERR_clear_error"]()
            return False
        finally:
            self._drop(context)
