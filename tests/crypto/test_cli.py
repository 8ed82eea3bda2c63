"""The command group `keys`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from crypto import KeyRing, MasterKey, Provider, Sealer, pem, x509
from crypto.cli import keys
from crypto.files import write_private
from tests.crypto.conftest import Stub


def run(*args: str | Path, text: str = "") -> Result:
    return CliRunner().invoke(keys, [str(arg) for arg in args], input=text)


def good(*args: str | Path, text: str = "") -> Result:
    result = run(*args, text=text)
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture
def where(tmp_path: Path) -> list[str | Path]:
    return ["--ring", tmp_path / "ring", "--master", tmp_path / "master"]


@pytest.mark.usefixtures("quick_passphrases")
@pytest.mark.requirement("MP-16")
def test_the_life_of_a_ring(tmp_path: Path, where: list[str | Path], provider: Provider) -> None:
    good("init", *where, "--purpose", "column", "--purpose", "sign-sm2", "--ask", text="口令\n口令\n")
    write_private(tmp_path / "pass", "口令\n".encode())
    secret = ["--passphrase-file", tmp_path / "pass"]
    ring = KeyRing.open(tmp_path / "ring", MasterKey.from_file(tmp_path / "master", "口令"))
    sealer = Sealer(ring, provider)
    blob = sealer.seal("column", b"x", "p")
    assert json.loads(good("rotate", *where, "column", *secret).output)["kid"] != sealer.kid_of(blob)
    shown = good("status", *where, *secret).output
    assert json.loads(shown)["ring"]["purposes"]["column"]["retired"] == 1
    good("split", "--master", tmp_path / "master", "--need", "2", "--shares", "3", "--out", tmp_path / "out", *secret)
    shares = sorted((tmp_path / "out").iterdir())
    assert len(shares) == 3 and all(path.stat().st_mode & 0o777 == 0o600 for path in shares)
    good("combine", "--master", tmp_path / "again", shares[0], shares[2])
    reopened = KeyRing.open(tmp_path / "ring", MasterKey.from_file(tmp_path / "again"), refresh=0)
    assert Sealer(reopened, provider).open("column", blob, "p") == b"x"
    good("destroy", *where, "--kid", sealer.kid_of(blob), "--yes", *secret)
    assert Sealer(reopened, provider).ring.status()["purposes"]["column"]["retired"] == 0
    assert run("destroy", *where, *secret, text="n\n").exit_code == 1 and (tmp_path / "ring").exists()
    good("destroy", *where, "--yes", *secret)
    assert not (tmp_path / "ring").exists() and not (tmp_path / "master").exists()


def test_failures_are_one_line_and_exit_1(tmp_path: Path, where: list[str | Path]) -> None:
    for args in (["status", *where], ["rotate", *where, "column"], ["combine", "--master", tmp_path / "m", tmp_path / "none"],
                 ["--provider", "software", "selftest"], ["ca", "revoke", tmp_path / "ca", "1"],
                 ["--provider-options", tmp_path / "none", "selftest"]):  # fmt: skip
        result = run(*args)
        assert result.exit_code == 1 and result.output.startswith("Error: ") and result.output.count("\n") == 1
    assert "Traceback" not in run("ca", "revoke", tmp_path, "xyz").output


def test_selftest_and_ca(tmp_path: Path, provider: Provider) -> None:
    assert set(json.loads(good("selftest").output)["checks"].values()) == {"ok"}
    folder = tmp_path / "ca"
    good("ca", "create", folder, "--name", "演示 CA")
    made = json.loads(good("ca", "issue", folder, "--cn", "张三", "--serial-number", "1001", "--out", tmp_path / "z.pem").output)
    leaf = x509.parse((tmp_path / "z.pem").read_bytes())
    private = pem.private_from_pem(provider, (tmp_path / "z.key").read_bytes())
    assert provider.sm2_public(private) == leaf.public and f"{leaf.serial:x}" == made["serial"]
    (tmp_path / "p.pem").write_text(pem.public_to_pem(leaf.public))
    good("ca", "issue", folder, "--cn", "李四", "--public", tmp_path / "p.pem", "--out", tmp_path / "l.pem")
    assert not (tmp_path / "l.key").exists()
    good("ca", "revoke", folder, made["serial"])
    crl = x509.parse_crl((folder / "crl.pem").read_bytes())
    assert list(crl.revoked) == [leaf.serial]


@pytest.mark.requirement("MP-17")
def test_a_device_by_options_file(tmp_path: Path, where: list[str | Path], stub: Stub) -> None:
    write_private(tmp_path / "pins", b'{"1": "12345678"}')
    options = {"library": stub.path, "pin_file": str(tmp_path / "pins")}
    write_private(tmp_path / "options", json.dumps(options).encode())
    device = ["--provider", "sdf", "--provider-options", tmp_path / "options"]
    good(*device, "init", *where, "--purpose", "column", "--device-index", "1")
    assert json.loads((tmp_path / "master").read_text())["kind"] == "device"
    assert json.loads(good(*device, "status", *where).output)["provider"]["provider"] == "sdf"
    assert stub.count("SDF_GenerateKeyWithIPK_ECC") == 1
    assert json.loads(good(*device, "selftest", "--device-index", "1").output)["provider"] == "sdf"
    stub.lost(True)
    assert run(*device, "status", *where).exit_code == 1
