"""SM4-GCM composed from single-block encryption (GB/T 36624, NIST SP 800-38D), for devices that only offer ECB.

GHASH runs in Python with a 256-entry table per hash key. The block cipher, and with it the key, stays with the
caller: `ecb(blocks)` encrypts whole 16-byte blocks.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable

from crypto.errors import CryptoError

Ecb = Callable[[bytes], bytes]
_POLY = 0xE1 << 120


def _halve(value: int) -> int:
    return (value >> 1) ^ (_POLY if value & 1 else 0)


def _reduction() -> list[int]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = _halve(value)
        table.append(value)
    return table


_REDUCE = _reduction()


def _table(h: int) -> list[int]:
    table = [0] * 256
    value = h
    for bit in (128, 64, 32, 16, 8, 4, 2, 1):
        table[bit] = value
        value = _halve(value)
    for byte in range(1, 256):
        low = byte & -byte
        table[byte] = table[byte ^ low] ^ table[low]
    return table


def ghash(h: bytes, aad: bytes, text: bytes) -> bytes:
    """GHASH of aad and text, each zero-padded to blocks, and their bit lengths."""
    table = _table(int.from_bytes(h, "big"))
    lengths = (len(aad) * 8).to_bytes(8, "big") + (len(text) * 8).to_bytes(8, "big")
    data = aad + bytes(-len(aad) % 16) + text + bytes(-len(text) % 16) + lengths
    state = 0
    for start in range(0, len(data), 16):
        state ^= int.from_bytes(data[start : start + 16], "big")
        product = 0
        for _ in range(16):
            product = (product >> 8) ^ _REDUCE[product & 0xFF] ^ table[state & 0xFF]
            state >>= 8
        state = product
    return state.to_bytes(16, "big")


def counters(nonce: bytes, first: int, count: int) -> bytes:
    """`count` counter blocks nonce ‖ number."""
    return b"".join(nonce + number.to_bytes(4, "big") for number in range(first, first + count))


def _stream(ecb: Ecb, nonce: bytes, data: bytes) -> tuple[bytes, bytes, bytes]:
    """(H, E(J0), data XOR key stream) with a single call of the block cipher."""
    if len(nonce) != 12 or len(data) >= 1 << 36:
        raise CryptoError("nonce refused")
    count = -(-len(data) // 16)
    blocks = ecb(bytes(16) + counters(nonce, 1, 1 + count))
    return blocks[:16], blocks[16:32], xor(data, blocks[32 : 32 + len(data)])


def xor(left: bytes, right: bytes) -> bytes:
    """XOR of two strings of one length."""
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).to_bytes(len(left), "big")


def encrypt(ecb: Ecb, nonce: bytes, data: bytes, aad: bytes) -> bytes:
    """Ciphertext ‖ tag16."""
    h, mask, text = _stream(ecb, nonce, data)
    return text + xor(ghash(h, aad, text), mask)


def decrypt(ecb: Ecb, nonce: bytes, blob: bytes, aad: bytes) -> bytes:
    """The plaintext; CryptoError when the tag doesn't hold."""
    if len(blob) < 16:
        raise CryptoError("SM4 decryption refused")
    text, tag = blob[:-16], blob[-16:]
    h, mask, data = _stream(ecb, nonce, text)
    if not hmac.compare_digest(xor(ghash(h, aad, text), mask), tag):
        raise CryptoError("SM4 decryption refused")
    return data
