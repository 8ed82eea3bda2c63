"""The sealed file: authenticated chunks at bounded memory (STREAM construction over SM4-GCM).

Header: magic "HSF1" ‖ kid(4) ‖ file id(16) ‖ chunk size(4). Each file has its own SM4 key, HMAC-SM3(purpose key,
file id) cut to 16 bytes, so the nonce may count: 7 zero bytes ‖ last flag ‖ chunk number(4). Reordering changes the
number, truncation loses the flagged last chunk, appending follows it: all are refused.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from crypto.errors import CryptoError
from crypto.files import sync_folder
from crypto.provider import Provider

MAGIC = b"HSF1"
CHUNK = 1 << 18
_REFUSED = "sealed file refused"
_HEADER = len(MAGIC) + 4 + 16 + 4


def copy(source: Path | BinaryIO, target: Path | BinaryIO, run: Callable[[BinaryIO, BinaryIO], int]) -> int:
    """Run over paths or streams; a target path is written beside and renamed only after success (mode 0600)."""
    with ExitStack() as stack:
        read = stack.enter_context(source.open("rb")) if isinstance(source, Path) else source
        if not isinstance(target, Path):
            return run(read, target)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
        stack.callback(temporary.unlink, missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as write:
            size = run(read, write)
            write.flush()
            os.fsync(write.fileno())
        os.replace(temporary, target)
        sync_folder(target.parent)
        return size


def _full(read: BinaryIO, size: int) -> bytes:
    """Up to `size` bytes, fewer only at the end of the stream."""
    parts: list[bytes] = []
    while size and (part := read.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _nonce(number: int, last: bool) -> bytes:
    if number >> 32:
        raise CryptoError("file too large")
    return bytes(7) + bytes((last,)) + number.to_bytes(4, "big")


def seal(
    provider: Provider, key: bytes, front: bytes, place: str, read: BinaryIO, write: BinaryIO, chunk: int = CHUNK
) -> int:
    """Seal `read` to `write`; front is kid(4) ‖ length ‖ purpose. Returns the plaintext size in bytes."""
    header = MAGIC + front[:4] + provider.random(16) + chunk.to_bytes(4, "big")
    write.write(header)
    sm4 = provider.hmac_sm3(key, header)[:16]
    aad = header + front + place.encode()
    total, number, block = 0, 0, _full(read, chunk)
    while True:
        ahead = _full(read, chunk) if len(block) == chunk else b""
        write.write(provider.sm4_gcm_encrypt(sm4, _nonce(number, not ahead), block, aad))
        total, number = total + len(block), number + 1
        if not ahead:
            return total
        block = ahead


def open_(
    provider: Provider,
    key_of: Callable[[str], tuple[bytes, bytes]],
    place: str,
    read: BinaryIO,
    write: BinaryIO,
) -> int:
    """Inverse of seal; key_of gives (key, front) for a key id. CryptoError for anything not exactly sealed."""
    header = _full(read, _HEADER)
    if len(header) != _HEADER or header[:4] != MAGIC:
        raise CryptoError(_REFUSED)
    chunk = int.from_bytes(header[-4:], "big")
    if not 1024 <= chunk <= 1 << 24:
        raise CryptoError(_REFUSED)
    try:
        key, front = key_of(header[4:8].hex())
    except CryptoError:
        raise CryptoError(_REFUSED) from None
    sm4 = provider.hmac_sm3(key, header)[:16]
    aad = header + front + place.encode()
    total, number, block = 0, 0, _full(read, chunk + 16)
    while True:
        ahead = _full(read, chunk + 16) if len(block) == chunk + 16 else b""
        try:
            text = provider.sm4_gcm_decrypt(sm4, _nonce(number, not ahead), block, aad)
        except CryptoError:
            raise CryptoError(_REFUSED) from None
        write.write(text)
        total, number = total + len(text), number + 1
        if not ahead:
            return total
        block = ahead
