"""The program manifest: any change of an installed file is found (COMPLIANCE MP-19)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crypto import CryptoError, Provider, manifest
from crypto import selftest as known
from crypto.manifest import Difference
from tests.crypto.conftest import NOW

pytestmark = pytest.mark.requirement("MP-19")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "app"
    (root / "pkg").mkdir(parents=True)
    (root / "pkg" / "a.py").write_text("x = 1\n")
    (root / "pkg" / "空.py").write_text("")
    (root / "log").mkdir()
    (root / "log" / "today").write_text("1")
    (root / "link").symlink_to("pkg/a.py")
    return root


@pytest.fixture
def written(root: Path, provider: Provider, tmp_path: Path) -> Path:
    target = tmp_path / "manifest.json"
    manifest.write_manifest(provider, known.SM2_PRIVATE, "release-1", root, target, "1.0", NOW, ["log/*"])
    return target


def check(provider: Provider, root: Path, target: Path) -> list[Difference]:
    return manifest.verify_manifest(provider, known.SM2_PUBLIC, root, target)


def test_an_untouched_tree_is_clean(root: Path, written: Path, provider: Provider) -> None:
    assert check(provider, root, written) == []
    (root / "log" / "today").write_text("2")
    assert check(provider, root, written) == []
    assert set(json.loads(written.read_text())["files"]) == {"pkg/a.py", "pkg/空.py", "link"}


def test_changes_are_named(root: Path, written: Path, provider: Provider) -> None:
    (root / "pkg" / "a.py").write_text("x = 2\n")
    assert check(provider, root, written) == [Difference("altered", "pkg/a.py")]
    (root / "pkg" / "空.py").unlink()
    (root / "pkg" / "new.py").write_text("")
    (root / "link").unlink()
    (root / "link").symlink_to("/etc/hostname")
    (root / "folder").symlink_to("pkg")
    assert check(provider, root, written) == [
        Difference("extra", "folder"),
        Difference("altered", "link"),
        Difference("altered", "pkg/a.py"),
        Difference("extra", "pkg/new.py"),
        Difference("missing", "pkg/空.py"),
    ]


def test_the_manifest_itself_is_signed(root: Path, written: Path, provider: Provider) -> None:
    good = json.loads(written.read_text())
    for name, value in {
        "version": "2.0", "files": {**good["files"], "pkg/a.py": "00" * 32}, "ignore": ["*"], "signature": "AAAA", "key_id": "x",
        "format": "other", "created": "", "more": 1,
    }.items():  # fmt: skip
        written.write_text(json.dumps({**good, name: value}))
        with pytest.raises(CryptoError):
            check(provider, root, written)
    for text in ("", "[]", "null", "[" * 100_000, "{}"):
        written.write_text(text)
        with pytest.raises(CryptoError):
            check(provider, root, written)
    written.unlink()
    with pytest.raises(CryptoError):
        check(provider, root, written)
    written.write_text(json.dumps(good))
    with pytest.raises(CryptoError):
        manifest.verify_manifest(provider, provider.sm2_generate()[1], root, written)
