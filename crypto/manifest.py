"""The program manifest: SM3 of every file of an installation, SM2-signed, checked at start (COMPLIANCE MP-19)."""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from crypto.errors import CryptoError
from crypto.files import write_private
from crypto.provider import KeyLike, Provider
from crypto.sm2 import DEFAULT_UID

_FORMAT = "his-manifest-1"
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Difference:
    """kind: altered, missing or extra; path relative to the root."""

    kind: str
    path: str


def digest_tree(provider: Provider, root: Path, ignore: Iterable[str] = ()) -> dict[str, str]:
    """Relative path → SM3 hex of every file below root. ignore: patterns over the relative path.

    A symbolic link counts by its target text, so pointing one elsewhere is a change.
    """
    patterns = tuple(ignore)
    found: dict[str, str] = {}
    for folder, folders, files in os.walk(root):
        folders.sort()
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        for name in sorted([*files, *links]):
            path = Path(folder) / name
            relative = path.relative_to(root).as_posix()
            if any(fnmatch(relative, pattern) for pattern in patterns):
                continue
            if path.is_symlink():
                found[relative] = "link:" + provider.sm3(os.readlink(path).encode()).hex()
            elif path.is_file():
                found[relative] = provider.sm3_stream(_chunks(path)).hex()
    return found


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _text(document: dict[str, Any]) -> bytes:
    bare = {name: value for name, value in document.items() if name != "signature"}
    return json.dumps(bare, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def write_manifest(
    provider: Provider,
    private: KeyLike,
    key_id: str,
    root: Path,
    target: Path,
    version: str,
    now: datetime,
    ignore: Iterable[str] = (),
) -> dict[str, Any]:
    """Digest `root`, sign, write to `target` (outside root, or ignored). Returns the document."""
    document: dict[str, Any] = {
        "format": _FORMAT,
        "version": version,
        "created": now.isoformat(),
        "key_id": key_id,
        "ignore": sorted(ignore),
        "files": digest_tree(provider, root, ignore),
    }
    signature = provider.sm2_sign(private, _text(document))
    document["signature"] = base64.b64encode(signature).decode()
    write_private(target, json.dumps(document, ensure_ascii=False, indent=1).encode())
    target.chmod(0o644)
    return document


def verify_manifest(provider: Provider, public: bytes, root: Path, manifest: Path) -> list[Difference]:
    """Every difference between root and the manifest; CryptoError when the manifest itself doesn't hold."""
    refused = CryptoError("program manifest refused")
    try:
        document = json.loads(manifest.read_bytes())
        if document["format"] != _FORMAT or not isinstance(document["files"], dict):
            raise refused
        signature = base64.b64decode(document["signature"], validate=True)
        ignore = [str(pattern) for pattern in document["ignore"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError, binascii.Error):
        raise refused from None
    if not provider.sm2_verify(public, _text(document), signature, DEFAULT_UID):
        raise refused
    expected, actual = document["files"], digest_tree(provider, root, ignore)
    return [
        Difference(
            "missing" if path not in actual else "extra" if path not in expected else "altered", path
        )
        for path in sorted(expected.keys() | actual.keys())
        if expected.get(path) != actual.get(path)
    ]
