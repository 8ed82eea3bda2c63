"""SM2 certificates: parsing, chains, validity at signing time, revocation; the internal CA; the openssl command."""

from __future__ import annotations

import shutil
import subprocess
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from crypto import CryptoError, Provider, ca, pem, x509
from crypto.ca import CertificateAuthority
from tests.crypto.conftest import NOW, unavailable
from tests.crypto.test_refusal import flips

pytestmark = pytest.mark.requirement("MP-15")
DAY = timedelta(days=1)


@pytest.fixture
def authority(tmp_path: Path, provider: Provider) -> CertificateAuthority:
    name = {"C": "CN", "O": "市医院", "CN": "内部 CA"}
    return CertificateAuthority.create(tmp_path / "ca", provider, name, NOW, "口令")


@pytest.fixture
def pair(provider: Provider) -> tuple[bytes, bytes]:
    return provider.sm2_generate()


def issue(authority: CertificateAuthority, public: bytes, cn: str = "张三", days: int = 30) -> x509.Certificate:
    return authority.issue({"C": "CN", "CN": cn, "SERIALNUMBER": "1001"}, public, NOW, days)


def test_issue_and_verify(authority: CertificateAuthority, pair: tuple[bytes, bytes], provider: Provider) -> None:
    leaf = issue(authority, pair[1])
    assert leaf.public == pair[1] and leaf.name("CN") == "张三" and leaf.name("SERIALNUMBER") == "1001"
    assert leaf.usage == {"digital_signature", "non_repudiation"} and not leaf.is_ca
    assert leaf.not_before == NOW.replace(microsecond=0) and leaf.authority_key == authority.certificate.subject_key
    chain = x509.verify_chain(provider, leaf, [], [authority.certificate], NOW + DAY)
    assert [item.name("CN") for item in chain] == ["张三", "内部 CA"]
    assert x509.parse(pem.encode("CERTIFICATE", leaf.der)) == leaf


@pytest.mark.parametrize(("at", "good"), [(-DAY, False), (DAY, True), (29 * DAY, True), (31 * DAY, False)])
def test_validity_counts_at_signing_time(
    authority: CertificateAuthority, pair: tuple[bytes, bytes], provider: Provider, at: timedelta, good: bool
) -> None:
    leaf = issue(authority, pair[1])
    if good:
        x509.verify_chain(provider, leaf, [], [authority.certificate], NOW + at)
    else:
        with pytest.raises(CryptoError, match="not valid"):
            x509.verify_chain(provider, leaf, [], [authority.certificate], NOW + at)


def test_revocation_counts_from_its_time(
    authority: CertificateAuthority, pair: tuple[bytes, bytes], provider: Provider
) -> None:
    leaf = issue(authority, pair[1])
    other = issue(authority, pair[1], "李四")
    crl = authority.revoke(leaf.serial, NOW + 5 * DAY)
    roots = [authority.certificate]
    x509.verify_chain(provider, leaf, [], roots, NOW + 4 * DAY, [crl])
    x509.verify_chain(provider, other, [], roots, NOW + 6 * DAY, [crl], need_crl=True)
    with pytest.raises(CryptoError, match="revoked"):
        x509.verify_chain(provider, leaf, [], roots, NOW + 6 * DAY, [crl])
    with pytest.raises(CryptoError, match="no current revocation list"):
        x509.verify_chain(provider, other, [], roots, NOW + 20 * DAY, [crl], need_crl=True)
    with pytest.raises(CryptoError, match="no current revocation list"):
        x509.verify_chain(provider, other, [], roots, NOW + DAY, need_crl=True)
    with pytest.raises(CryptoError):
        authority.revoke(leaf.serial, NOW)
    with pytest.raises(CryptoError):
        authority.revoke(12345, NOW)


def test_a_foreign_revocation_list_says_nothing(
    authority: CertificateAuthority, pair: tuple[bytes, bytes], provider: Provider, tmp_path: Path
) -> None:
    leaf = issue(authority, pair[1])
    forged = ca.build_crl(
        provider, pair[0], authority.certificate.subject_der, {leaf.serial: NOW}, 9, NOW, NOW + DAY
    )
    x509.verify_chain(provider, leaf, [], [authority.certificate], NOW + DAY, [forged])


def test_wrong_chains(
    authority: CertificateAuthority, pair: tuple[bytes, bytes], provider: Provider, tmp_path: Path
) -> None:
    leaf = issue(authority, pair[1])
    same_name = CertificateAuthority.create(
        tmp_path / "ca2", provider, {"C": "CN", "O": "市医院", "CN": "内部 CA"}, NOW
    )
    at = NOW + DAY
    with pytest.raises(CryptoError, match="no chain"):
        x509.verify_chain(provider, leaf, [], [same_name.certificate], at)
    with pytest.raises(CryptoError, match="no chain"):
        x509.verify_chain(provider, leaf, [authority.certificate], [same_name.certificate], at)
    with pytest.raises(CryptoError, match="not for this use"):
        x509.verify_chain(provider, leaf, [], [authority.certificate], at, usage="key_encipherment")
    # A leaf can't act as a CA.
    public = provider.sm2_generate()[1]
    child = ca.build_certificate(
        provider, pair[0], leaf.subject_der, pair[1], ca.encode_name({"CN": "X"}), public, 7, NOW, NOW + DAY,
        ["digital_signature"],
    )  # fmt: skip
    with pytest.raises(CryptoError, match="no chain"):
        x509.verify_chain(provider, child, [leaf], [authority.certificate], at - timedelta(hours=1))


def _sub_ca(
    provider: Provider, authority: CertificateAuthority, path_length: int | None
) -> tuple[bytes, bytes, x509.Certificate]:
    private, public = provider.sm2_generate()
    root = authority.certificate
    made = ca.build_certificate(
        provider, authority._key, root.subject_der, root.public, ca.encode_name({"CN": "分 CA"}), public, 5, NOW,
        NOW + 300 * DAY, ["cert_sign", "crl_sign"], ca=True, path_length=path_length,
    )  # fmt: skip
    return private, public, made


def test_path_length(authority: CertificateAuthority, provider: Provider) -> None:
    # The root was made with path length 0: an intermediate below it is refused.
    private, public, sub = _sub_ca(provider, authority, None)
    leaf = ca.build_certificate(
        provider, private, sub.subject_der, public, ca.encode_name({"CN": "叶"}), public, 8, NOW, NOW + DAY,
        ["digital_signature"],
    )  # fmt: skip
    with pytest.raises(CryptoError, match="no chain"):
        x509.verify_chain(provider, leaf, [sub], [authority.certificate], NOW)
    assert len(x509.verify_chain(provider, leaf, [], [sub], NOW)) == 2


def test_every_flip_of_a_certificate_is_refused(
    authority: CertificateAuthority, pair: tuple[bytes, bytes], provider: Provider
) -> None:
    leaf = issue(authority, pair[1])
    for broken in flips(leaf.der):
        with pytest.raises(CryptoError):
            x509.verify_chain(provider, x509.parse(broken), [], [authority.certificate], NOW + DAY)
    crl = authority.publish(NOW)
    for broken in flips(crl.der):
        try:
            assert not x509.signed_by(provider, x509.parse_crl(broken), authority.certificate)
        except CryptoError:
            continue


def test_unknown_critical_extensions_are_refused(
    authority: CertificateAuthority, pair: tuple[bytes, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    leaf = issue(authority, pair[1])
    monkeypatch.setattr(x509, "_UNDERSTOOD", {x509.KEY_USAGE})
    with pytest.raises(CryptoError):
        x509.parse(leaf.der)


def test_far_dates(provider: Provider, pair: tuple[bytes, bytes]) -> None:
    name = ca.encode_name({"CN": "x"})
    start, end = datetime(1999, 1, 1, tzinfo=NOW.tzinfo), datetime(2060, 1, 1, tzinfo=NOW.tzinfo)
    made = ca.build_certificate(provider, pair[0], name, pair[1], name, pair[1], 1, start, end, ["cert_sign"], ca=True)
    assert (made.not_before, made.not_after) == (start, end)


def test_the_folder_reopens_and_guards_its_key(authority: CertificateAuthority, provider: Provider) -> None:
    assert CertificateAuthority.open(authority.folder, provider, "口令").certificate == authority.certificate
    for wrong in (None, "x"):
        with pytest.raises(CryptoError):
            CertificateAuthority.open(authority.folder, provider, wrong)
    with pytest.raises(CryptoError):
        CertificateAuthority.create(authority.folder, provider, {"CN": "x"}, NOW)
    with pytest.raises(CryptoError):
        ca.encode_name({"XX": "y"})
    assert (authority.folder / "ca.key").stat().st_mode & 0o777 == 0o600
    assert authority.folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.requirement("MP-02")
def test_the_openssl_command_agrees(
    authority: CertificateAuthority, pair: tuple[bytes, bytes], provider: Provider, tmp_path: Path
) -> None:
    program = shutil.which("openssl")
    if program is None:
        unavailable("the openssl command")

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([str(program), *args], cwd=tmp_path, capture_output=True, text=True)

    leaf = authority.issue({"C": "CN", "CN": "张三"}, pair[1], datetime.now(NOW.tzinfo), 30)
    (tmp_path / "leaf.pem").write_text(pem.encode("CERTIFICATE", leaf.der))
    checked = run("verify", "-vfyopt", "distid:1234567812345678", "-CAfile", "ca/ca.pem", "leaf.pem")
    assert checked.returncode == 0, checked.stderr
    assert f"{leaf.serial:X}" in run("x509", "-in", "leaf.pem", "-noout", "-serial").stdout
    assert "SM2-with-SM3" in run("crl", "-in", "ca/crl.pem", "-noout", "-text").stdout

    # And the other way: a key and certificate made by openssl.
    assert run("genpkey", "-algorithm", "SM2", "-out", "k.pem").returncode == 0
    made = run(
        "req", "-x509", "-new", "-key", "k.pem", "-sm3", "-sigopt", "distid:1234567812345678",
        "-subj", "/C=CN/CN=theirs", "-days", "30", "-out", "t.pem",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    theirs = x509.parse((tmp_path / "t.pem").read_bytes())
    assert theirs.name("CN") == "theirs" and theirs.is_ca
    assert x509.verify_chain(provider, theirs, [], [theirs], theirs.not_before + DAY) == [theirs]
    private = pem.private_from_pem(provider, (tmp_path / "k.pem").read_text())
    assert provider.sm2_public(private) == theirs.public
    assert x509.signed_by(provider, theirs, theirs)
