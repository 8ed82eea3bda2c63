"""SM2 domain parameters and the checks around every key (GB/T 32918.5, GB/T 35276). No secret arithmetic here."""

from __future__ import annotations

import hashlib

from crypto.errors import CryptoError

P = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
A = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFC
B = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93
N = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
GX = 0x32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7
GY = 0xBC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0

DEFAULT_UID = b"1234567812345678"
"""The user identity of GB/T 35276 / GM/T 0009 when nothing else was agreed."""

_CURVE = b"".join(value.to_bytes(32, "big") for value in (A, B, GX, GY))


def on_curve(x: int, y: int) -> bool:
    """Whether (x, y) is a point of the curve with coordinates below p; infinity is not representable."""
    return x < P and y < P and (y * y - x * x * x - A * x - B) % P == 0


def check_public(key: bytes) -> bytes:
    """The key as 64 bytes x‖y. Accepts 64 bytes or 65 with 04; raises CryptoError off the curve."""
    if not isinstance(key, bytes):
        raise CryptoError("SM2 public key refused")
    if len(key) == 65 and key[0] == 4:
        key = key[1:]
    if len(key) != 64 or not on_curve(int.from_bytes(key[:32], "big"), int.from_bytes(key[32:], "big")):
        raise CryptoError("SM2 public key refused")
    return key


def check_private(key: bytes) -> bytes:
    """The key, 32 bytes with 1 ≤ d ≤ n−2; raises CryptoError otherwise."""
    if not isinstance(key, bytes) or len(key) != 32 or not 1 <= int.from_bytes(key, "big") <= N - 2:
        raise CryptoError("SM2 private key refused")
    return key


def check_signature(signature: bytes) -> bool:
    """Whether the raw signature is 64 bytes with 1 ≤ r, s < n."""
    if not isinstance(signature, bytes) or len(signature) != 64:
        return False
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    return 1 <= r < N and 1 <= s < N


def za_input(public: bytes, uid: bytes) -> bytes:
    """What Z is the digest of (GB/T 32918.2 5.5): identity length, identity, curve and public key."""
    if not isinstance(uid, bytes) or len(uid) > 8191:
        raise CryptoError("SM2 identity refused")
    return (len(uid) * 8).to_bytes(2, "big") + uid + _CURVE + public


def za(public: bytes, uid: bytes) -> bytes:
    """Z, 32 bytes. uid at most 8191 bytes."""
    return hashlib.new("sm3", za_input(public, uid)).digest()


def digest(public: bytes, data: bytes, uid: bytes) -> bytes:
    """e = SM3(Z ‖ M), the 32 bytes that are signed."""
    state = hashlib.new("sm3", za(public, uid))
    state.update(data)
    return state.digest()
