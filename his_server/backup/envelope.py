"""The sealed file around a backup: a key of its own, kept for two readers.

The file's key is wrapped by the house's ring (so that this server can open it) and encrypted to the offline recovery key (so that
a new server can when this one burnt down; its private half isn't on any server). The first line names both and is authenticated
with every chunk that follows.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

from crypto import CryptoError, Provider, Sealer, pem, sealfile

MAGIC = b"HIS-BACKUP-1\n"
PURPOSE = "export"
FRONT = bytes(4) + b"\x06backup"


class Source:
    """A binary stream over pieces of bytes, compressed on the way."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._packer = zlib.compressobj(1)
        self._rest = bytearray()
        self._ended = False

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes; empty at the end."""
        while len(self._rest) < size and not self._ended:
            piece = next(self._pieces, None)
            if piece is None:
                self._rest += self._packer.flush()
                self._ended = True
            else:
                self._rest += self._packer.compress(piece)
        found = bytes(self._rest[:size])
        del self._rest[:size]
        return found


class Sink:
    """Where an opened stream goes: calls ``use(line)`` for each line."""

    def __init__(self, use: Callable[[bytes], None]) -> None:
        self._use, self._unpacker, self._rest = use, zlib.decompressobj(), b""

    def write(self, data: bytes) -> int:
        """Take a chunk. Chunks are authenticated before they come here."""
        lines = (self._rest + self._unpacker.decompress(data)).split(b"\n")
        self._rest = lines.pop()
        for text in lines:
            self._use(text)
        return len(data)


def seal(sealer: Sealer, recovery: bytes | None, about: dict[str, Any], pieces: Iterable[bytes], target: Path) -> None:
    """Write the sealed file; it appears under its name only when it is whole. ``about`` is readable without a key."""
    provider = sealer.provider
    key = provider.random(32)
    kid = sealer.ring.active(PURPOSE).kid
    head = {**about, "ring": {"kid": kid, "key": sealer.seal(PURPOSE, key, "backup").hex()}}
    if recovery is not None:
        head["recovery"] = {"id": provider.sm3(recovery).hex()[:16], "key": provider.sm2_encrypt(recovery, key).hex()}
    first = json.dumps(head, ensure_ascii=False, sort_keys=True).encode() + b"\n"
    place = provider.sm3(first).hex()

    def run(read: BinaryIO, write: BinaryIO) -> int:
        write.write(MAGIC + first)
        return sealfile.seal(provider, key, FRONT, place, read, write)

    sealfile.copy(Source(pieces), target, run)  # type: ignore[arg-type]


def head_of(path: Path) -> dict[str, Any]:
    """What the file says of itself without a key. :raises CryptoError: it is no backup."""
    with path.open("rb") as file:
        if file.readline(100) != MAGIC:
            raise CryptoError("不是本系统的备份文件")
        try:
            head = json.loads(file.readline(1 << 20))
        except ValueError:
            raise CryptoError("备份文件开头已损坏") from None
    if not isinstance(head, dict):
        raise CryptoError("备份文件开头已损坏")
    return head


def key_by_ring(sealer: Sealer, path: Path) -> bytes:
    """The file's key, by this server's ring. :raises CryptoError: it was made by another house, or altered."""
    try:
        return sealer.open(PURPOSE, bytes.fromhex(head_of(path)["ring"]["key"]), "backup")
    except (KeyError, TypeError, ValueError):
        raise CryptoError("备份文件开头已损坏") from None


def key_by_recovery(provider: Provider, private: bytes, path: Path) -> bytes:
    """The file's key, by the offline recovery key. :raises CryptoError: it isn't for that key, or altered."""
    head = head_of(path)
    if "recovery" not in head:
        raise CryptoError("这份备份没有用恢复公钥加密，只能用原服务器的密钥环打开")
    try:
        return provider.sm2_decrypt(private, bytes.fromhex(head["recovery"]["key"]))
    except (KeyError, TypeError, ValueError):
        raise CryptoError("备份文件开头已损坏") from None


def unseal(provider: Provider, key: bytes, path: Path, use: Callable[[bytes], None]) -> None:
    """Hand each line of the backup to ``use``. :raises CryptoError: a byte was changed, or something is missing or added."""
    with path.open("rb") as file:
        file.readline(100)
        place = provider.sm3(file.readline(1 << 20)).hex()
        try:
            sealfile.open_(provider, lambda _kid: (key, FRONT), place, file, Sink(use))  # type: ignore[arg-type]
        except zlib.error:
            raise CryptoError("sealed file refused") from None


def recovery_public(path: Path) -> bytes:
    """The public recovery key. :raises CryptoError: the file holds none."""
    try:
        return pem.public_from_pem(path.read_bytes())
    except OSError as error:
        raise CryptoError(f"{path} 不能读取") from error
