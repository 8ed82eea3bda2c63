"""The signed list of all program files (MP-19), made at build time with the publisher's SM2 key.

The key: the PEM file named by ``PACKAGING_SIGN_KEY`` (a release), else one made in the cache (a development build, said in the
key id). An SM2 signature is random, so a second build with the same files would differ in it alone: signatures are kept in a
store by what they sign, and the same list gets the same signature again.

Implements: MP-19.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from runtime import CACHE, EPOCH, HERE

sys.path.insert(0, str(HERE.parent))

from crypto import get_provider, pem
from crypto.files import read_private, write_private
from crypto.manifest import verify_manifest, write_manifest

IGNORED = ("manifest.json",)


def publisher() -> tuple[str, bytes, bytes]:
    """Key id, private and public key of the publisher."""
    provider = get_provider("openssl")
    given = os.environ.get("PACKAGING_SIGN_KEY")
    path = Path(given) if given else CACHE / "publisher.key"
    if not path.exists():
        if given:
            raise SystemExit(f"PACKAGING_SIGN_KEY names {path}, which doesn't exist")
        private, public = provider.sm2_generate()
        write_private(path, pem.private_to_pem(provider, private, public).encode(), replace=False)
    private = pem.private_from_pem(provider, read_private(path))
    public = provider.sm2_public(private)
    name = "release" if given else "development"
    return f"{name}-{hashlib.new('sm3', public).hexdigest()[:8]}", private, public


def sign(root: Path, version: str) -> None:
    """Write ``publisher.pem`` and ``manifest.json`` into ``root``, and check them as the start will."""
    provider = get_provider("openssl")
    key_id, private, public = publisher()
    (root / "publisher.pem").write_text(pem.public_to_pem(public), "ascii")
    (root / "publisher.pem").chmod(0o644)
    target = root / "manifest.json"
    write_manifest(provider, private, key_id, root, target, version, datetime.fromtimestamp(int(EPOCH), UTC), IGNORED)
    document = json.loads(target.read_text(encoding="utf-8"))
    fresh = document.pop("signature")
    about = json.dumps(document, sort_keys=True, ensure_ascii=False).encode()
    store = CACHE / "signatures" / hashlib.new("sm3", about).hexdigest()
    if not store.exists():
        store.parent.mkdir(exist_ok=True)
        store.write_text(fresh)
    document["signature"] = base64.b64encode(base64.b64decode(store.read_text())).decode()
    target.write_text(json.dumps(document, ensure_ascii=False, indent=1), encoding="utf-8")
    target.chmod(0o644)
    if differences := verify_manifest(provider, public, root, target):
        raise SystemExit(f"the manifest doesn't hold: {differences[:5]}")
