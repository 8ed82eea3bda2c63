"""Rules over the source: who may import what, no weak algorithms, no keys in the repository or in processes."""

from __future__ import annotations

import ast
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from crypto import KeyRing, MasterKey, Provider, Sealer, pem

ROOT = Path(__file__).parents[2]
CODE = ("crypto", "his_server", "modules", "interfaces", "dialects")
GUARDED = ("crypto", "his_server/security", "his_server/keys.py")


@cache
def tracked() -> list[str]:
    """What belongs to the repository; generated and installed files aren't ours to judge."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return [name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def sources(*places: str) -> Iterator[Path]:
    for name in tracked():
        if name.endswith(".py") and any(name == place or name.startswith(place + "/") for place in places):
            yield ROOT / name


def imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.requirement("MP-01")
def test_gmssl_is_imported_in_one_file() -> None:
    assert {path.relative_to(ROOT).as_posix() for path in sources(*CODE) if "gmssl" in imports(path)} == {
        "crypto/reference.py"
    }


@pytest.mark.requirement("MP-18")
def test_the_random_module_is_in_no_security_code() -> None:
    assert [path for path in sources(*GUARDED) if "random" in imports(path)] == []


def test_crypto_stands_alone() -> None:
    allowed = {"crypto", "cryptography", "gmssl", "click"} | set(sys.stdlib_module_names)
    for path in sources("crypto"):
        assert imports(path) <= allowed, path
        assert "click" not in imports(path) or path.name == "cli.py"


@pytest.mark.requirement("MP-04")
def test_only_national_algorithms_in_crypto() -> None:
    weak = re.compile(r"\b(md5|sha1|sha224|sha256|sha384|sha512|AES|DES|RC4|RSA|TripleDES|Blowfish)\b")
    for path in sources("crypto"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute | ast.Name):
                name = node.attr if isinstance(node, ast.Attribute) else node.id
                assert not weak.fullmatch(name), f"{path}: {name}"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "new":
                first = node.args[0]
                assert isinstance(first, ast.Constant) and first.value == "sm3", path


def test_no_file_grows_beyond_reading() -> None:
    assert {path.name: size for path in sources("crypto") if (size := len(path.read_text("utf-8").splitlines())) > 420} == {}


PEM = re.compile(r"-----BEGIN (?:EC |ENCRYPTED )?PRIVATE KEY-----\s*\n[A-Za-z0-9+/]{20}")
NAMED = re.compile(
    r"(?i)[\"']?\b[a-z_]*(?:private|secret|master|passphrase|sign_key|enc_key)[a-z_]*[\"']?\s*(?::[^=\n]*)?[:=]\s*\(?\s*"
    r"(?:bytes\.fromhex\()?[bB]?[\"']([0-9a-fA-F]{32,66})[\"']"
)
# Published by standards or peers for tests, or made up for the stub device: nobody's secret.
PUBLISHED = {"3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8", "4117e877f5fa0a0188891283e4b617d5"}


def key_like(text: str) -> list[str]:
    """What looks like a private key, a master key or a shared secret in a text."""
    named = [found.lower() for found in NAMED.findall(text)]
    return [found for found in named if found not in PUBLISHED and set(found) != {"0"}] + PEM.findall(text)


@pytest.mark.requirement("MP-16")
def test_the_scan_finds_planted_keys(provider: Provider) -> None:
    private, public = provider.sm2_generate()
    for text in (
        f'PRIVATE = "{private.hex().upper()}"',
        f'PRIVATE = "00{private.hex()}"',
        f"app_secret: str = '{private.hex()[:32]}'",
        f'{{"private_key": "{private.hex()}"}}',
        f'MASTER_KEY = bytes.fromhex("{private.hex()}")',
        f'secret = (\n    "{private.hex()}"\n)',
        pem.private_to_pem(provider, private, public),
        pem.private_to_pem(provider, private, public, "x" * 8),
    ):
        assert key_like(text), text
    assert not key_like(f'PUBLIC = "{public.hex()}" digest = "{private.hex()}"')


@pytest.mark.requirement("MP-16")
def test_no_private_key_is_in_the_repository() -> None:
    binary = (".csv", ".ttf", ".gz", ".png", ".xlsx", ".pdf", ".ico", ".woff2")
    found = {name: keys for name in tracked() if not name.endswith(binary) and name != "tests/crypto/test_rules.py"
             and (keys := key_like((ROOT / name).read_text("utf-8", "replace")))}  # fmt: skip
    assert found == {}


@pytest.mark.requirement("MP-16")
def test_keys_reach_no_log_argument_or_environment(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    master = MasterKey.create_file(tmp_path / "master", "口令口令")
    ring = KeyRing.create(tmp_path / "ring", master)
    ring.ensure(["column", "sign-sm2"])
    sealer = Sealer(ring, master.provider)
    blob = sealer.seal("column", b"plain text", "p")
    ring.rotate("column")
    assert sealer.open("column", blob, "p") == b"plain text"
    secrets = [master._secret(), *(key.material for key in ring.living() if isinstance(key.material, bytes))]
    seen = caplog.text + repr(master) + repr(ring) + repr(ring.living()) + repr(sealer.status()) + (tmp_path / "ring").read_text()
    process = Path("/proc/self")
    raw = (process / "environ").read_bytes() + (process / "cmdline").read_bytes() + seen.encode()
    for secret in secrets:
        assert secret not in raw and secret.hex().encode() not in raw
