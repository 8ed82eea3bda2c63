"""SM4-CCM (RFC 8998, NIST SP 800-38C) composed from a provider's block cipher, for peers that demand it."""

from __future__ import annotations

import hmac

from crypto import gcm
from crypto.errors import CryptoError
from crypto.provider import KeyLike, Provider


def _mac(provider: Provider, key: KeyLike, nonce: bytes, data: bytes, aad: bytes) -> bytes:
    if len(nonce) != 12 or len(aad) >= 0xFF00 or len(data) >= 1 << 24:
        raise CryptoError("CCM parameters refused")
    flags = (0x40 if aad else 0) | 7 << 3 | 2
    blocks = bytes((flags,)) + nonce + len(data).to_bytes(3, "big")
    if aad:
        head = len(aad).to_bytes(2, "big") + aad
        blocks += head + bytes(-len(head) % 16)
    blocks += data + bytes(-len(data) % 16)
    state = bytes(16)
    for at in range(0, len(blocks), 16):
        state = provider.sm4_ecb_encrypt(key, gcm.xor(state, blocks[at : at + 16]), False)
    return state


def encrypt(provider: Provider, key: KeyLike, nonce: bytes, data: bytes, aad: bytes = b"") -> bytes:
    """Ciphertext ‖ tag16; nonce 12 bytes, never twice under one key; data below 16 MiB."""
    tag = _mac(provider, key, nonce, data, aad)
    mixed = provider.sm4_ctr(key, b"\x02" + nonce + bytes(3), tag + data)
    return mixed[16:] + mixed[:16]


def decrypt(provider: Provider, key: KeyLike, nonce: bytes, blob: bytes, aad: bytes = b"") -> bytes:
    """The plaintext; CryptoError when the tag doesn't hold."""
    if len(blob) < 16 or len(nonce) != 12:
        raise CryptoError("SM4 decryption refused")
    mixed = provider.sm4_ctr(key, b"\x02" + nonce + bytes(3), blob[-16:] + blob[:-16])
    if not hmac.compare_digest(_mac(provider, key, nonce, mixed[16:], aad), mixed[:16]):
        raise CryptoError("SM4 decryption refused")
    return mixed[16:]
