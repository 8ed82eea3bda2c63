"""Agreement both ways with independent implementations: gmssl, the openssl command line, sm-crypto-v2 under Node.

The ordinary run takes a sample; `long` takes 1,000 random cases per algorithm and implementation.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from crypto import Provider, codecs, pem
from tests.crypto.conftest import HERE, NodeRun, unavailable

SAMPLES = [
    pytest.param(40, id="sample"),
    pytest.param(1000, marks=[pytest.mark.long, pytest.mark.timeout(900)], id="1000"),
]
sizes = pytest.mark.parametrize("count", SAMPLES)


def _data(provider: Provider, number: int) -> bytes:
    """Lengths 1 … 200, every one met, with the block borders among them."""
    return provider.random(1 + number * 37 % 200)


def _uid(number: int) -> bytes:
    return b"1234567812345678" if number % 3 else f"user-{number}@his".encode()


@pytest.mark.requirement("MP-01", "MP-02")
@sizes
def test_sm2_signatures_with_gmssl(provider: Provider, oracle: Provider, count: int) -> None:
    for number in range(count):
        private, public = provider.sm2_generate()
        data, uid = _data(provider, number), _uid(number)
        assert oracle.sm2_verify(public, data, provider.sm2_sign(private, data, uid), uid)
        theirs = oracle.sm2_sign(private, data, uid)
        assert provider.sm2_verify(public, data, theirs, uid)
        assert not provider.sm2_verify(public, data, theirs, uid + b"x")


@pytest.mark.requirement("MP-01")
@sizes
def test_sm2_encryption_with_gmssl(provider: Provider, oracle: Provider, count: int) -> None:
    for number in range(count):
        private, public = provider.sm2_generate()
        data = _data(provider, number)
        assert oracle.sm2_decrypt(private, provider.sm2_encrypt(public, data)) == data
        assert provider.sm2_decrypt(private, oracle.sm2_encrypt(public, data)) == data


@pytest.mark.requirement("MP-01", "MP-03")
@sizes
def test_sm3_and_sm4_with_gmssl(provider: Provider, oracle: Provider, count: int) -> None:
    for number in range(count):
        key, iv, data = provider.random(16), provider.random(16), _data(provider, number)
        assert provider.sm3(data) == oracle.sm3(data)
        assert provider.hmac_sm3(key + iv, data) == oracle.hmac_sm3(key + iv, data)
        assert provider.sm4_cbc_encrypt(key, iv, data) == oracle.sm4_cbc_encrypt(key, iv, data)
        assert provider.sm4_ctr(key, iv, data) == oracle.sm4_ctr(key, iv, data)
        blob = oracle.sm4_gcm_encrypt(key, iv[:12], data, iv)
        assert provider.sm4_gcm_encrypt(key, iv[:12], data, iv) == blob
        assert provider.sm4_gcm_decrypt(key, iv[:12], blob, iv) == data
        assert provider.sm4_ecb_decrypt(key, oracle.sm4_ecb_encrypt(key, data)) == data


def test_pbkdf2_with_gmssl(provider: Provider, oracle: Provider) -> None:
    for rounds, length in ((1, 32), (7, 16), (20, 48)):
        ours = provider.pbkdf2_sm3(b"pass", b"salt", rounds, length)
        assert ours == oracle.pbkdf2_sm3(b"pass", b"salt", rounds, length)


@pytest.mark.requirement("MP-01", "MP-02")
@sizes
def test_sm2_with_sm_crypto(provider: Provider, node: NodeRun, count: int) -> None:
    pairs = [provider.sm2_generate() for _ in range(count)]
    cases: list[dict[str, Any]] = []
    for number, (private, public) in enumerate(pairs):
        data, uid = _data(provider, number), _uid(number)
        common = {"data": data.hex(), "private": private.hex(), "public": public.hex(), "uid": uid.decode()}
        cases += [
            {"op": "sign", **common},
            {"op": "verify", **common, "signature": provider.sm2_sign(private, data, uid).hex()},
            {"op": "verify", **common, "signature": provider.sm2_sign(private, data, uid + b"x").hex()},
            {"op": "encrypt", **common},
            {"op": "decrypt", **common, "blob": provider.sm2_encrypt(public, data).hex()},
        ]
    answers = node(HERE / "node" / "agree.mjs", cases)
    for number, (private, public) in enumerate(pairs):
        case = cases[number * 5]
        signature, good, bad, blob, text = answers[number * 5 : number * 5 + 5]
        data, uid = bytes.fromhex(case["data"]), case["uid"].encode()
        assert provider.sm2_verify(public, data, bytes.fromhex(signature), uid)
        assert good is True and bad is False
        assert provider.sm2_decrypt(private, bytes.fromhex(blob)) == data
        assert text == case["data"]


@pytest.mark.requirement("MP-01", "MP-03")
@sizes
def test_sm3_and_sm4_with_sm_crypto(provider: Provider, node: NodeRun, count: int) -> None:
    cases, expected = [], []
    for number in range(count):
        key, iv, data = provider.random(16), provider.random(16), _data(provider, number)
        common = {"data": data.hex(), "key": key.hex(), "iv": iv.hex(), "nonce": iv[:12].hex(), "aad": iv.hex()}
        cases += [{"op": op, **common} for op in ("sm3", "hmac", "cbc", "gcm")]
        expected += [
            provider.sm3(data).hex(),
            provider.hmac_sm3(key, data).hex(),
            provider.sm4_cbc_encrypt(key, iv, data).hex(),
            provider.sm4_gcm_encrypt(key, iv[:12], data, iv).hex(),
        ]
    assert node(HERE / "node" / "agree.mjs", cases) == expected


def _openssl(*args: str, folder: Path, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    program = shutil.which("openssl")
    if program is None:
        unavailable("the openssl command")
    return subprocess.run([str(program), *args], cwd=folder, input=data, capture_output=True)


@pytest.mark.requirement("MP-01", "MP-02")
@sizes
def test_sm2_with_the_openssl_command(provider: Provider, tmp_path: Path, count: int) -> None:
    private, public = provider.sm2_generate()
    (tmp_path / "k.pem").write_text(pem.private_to_pem(provider, private, public))
    (tmp_path / "p.pem").write_text(pem.public_to_pem(public))
    distid = ["-rawin", "-digest", "sm3", "-pkeyopt"]
    for number in range(count if count == 1000 else 10):
        data, uid = _data(provider, number), _uid(number)
        (tmp_path / "data").write_bytes(data)
        (tmp_path / "ours.sig").write_bytes(codecs.signature_to_der(provider.sm2_sign(private, data, uid)))
        common = ["pkeyutl", "-in", "data", *distid, f"distid:{uid.decode()}"]
        verified = _openssl(*common, "-verify", "-pubin", "-inkey", "p.pem", "-sigfile", "ours.sig", folder=tmp_path)
        assert verified.returncode == 0, verified.stderr
        signed = _openssl(*common, "-sign", "-inkey", "k.pem", folder=tmp_path)
        assert provider.sm2_verify(public, data, codecs.signature_from_der(signed.stdout), uid)
        blob = _openssl("pkeyutl", "-encrypt", "-pubin", "-inkey", "p.pem", folder=tmp_path, data=data).stdout
        assert provider.sm2_decrypt(private, codecs.ciphertext_from("asn1", blob)) == data
        ours = codecs.ciphertext_to("asn1", provider.sm2_encrypt(public, data))
        opened = _openssl("pkeyutl", "-decrypt", "-inkey", "k.pem", folder=tmp_path, data=ours)
        assert opened.stdout == data


@pytest.mark.requirement("MP-01")
@sizes
def test_sm3_and_sm4_with_the_openssl_command(provider: Provider, tmp_path: Path, count: int) -> None:
    texts = {f"f{number}": _data(provider, number) for number in range(count)}
    for name, data in texts.items():
        (tmp_path / name).write_bytes(data)
    lines = _openssl("dgst", "-sm3", "-r", *texts, folder=tmp_path).stdout.decode().splitlines()
    assert [line.split()[0] for line in lines] == [provider.sm3(data).hex() for data in texts.values()]
    key, iv = provider.random(16), provider.random(16)
    for name, data in list(texts.items())[: count if count == 1000 else 10]:
        for mode, ours in (("cbc", provider.sm4_cbc_encrypt(key, iv, data)), ("ctr", provider.sm4_ctr(key, iv, data))):
            done = _openssl(
                "enc", f"-sm4-{mode}", "-K", key.hex(), "-iv", iv.hex(), "-in", name, folder=tmp_path
            )
            assert done.stdout == ours
    mac = ["dgst", "-sm3", "-mac", "HMAC", "-macopt", f"hexkey:{key.hex()}", "-r", *texts]
    lines = _openssl(*mac, folder=tmp_path).stdout.decode().splitlines()
    assert [line.split()[0] for line in lines] == [provider.hmac_sm3(key, data).hex() for data in texts.values()]
