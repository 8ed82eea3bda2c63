"""The standards' vectors, through every provider's own entry points (facts/crypto.md, COMPLIANCE section 10)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cryptography
import pytest

from crypto import CryptoError, Provider, ccm, get_provider, sm2
from crypto import selftest as known
from crypto.reference import ReferenceProvider
from crypto.selftest import run_selftest


@pytest.mark.requirement("MP-01", "X1")
def test_the_default_provider_passes_and_names_itself(provider: Provider) -> None:
    report = run_selftest(provider)
    assert set(report["checks"].values()) == {"ok"} and len(report["checks"]) >= 20
    assert report["library"].startswith("/") and "libcrypto" in report["library"]
    assert report["version"]


@pytest.mark.requirement("MP-01")
def test_the_reference_passes_the_same_vectors(oracle: Provider) -> None:
    assert set(run_selftest(oracle)["checks"].values()) == {"ok"}


@pytest.mark.requirement("MP-01")
def test_fixed_k_gives_the_standards_signature(oracle: ReferenceProvider, provider: Provider) -> None:
    made = oracle.sm2_sign(known.SM2_PRIVATE, known.SM2_MESSAGE, k=known.SM2_K)
    assert made == known.SM2_SIGNATURE
    assert provider.sm2_verify(known.SM2_PUBLIC, known.SM2_MESSAGE, made)


@pytest.mark.requirement("MP-01")
def test_fixed_k_gives_the_standards_ciphertext(
    oracle: Provider, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gmssl.func.random_hex", lambda size: f"{known.SM2_K:064x}")
    made = oracle.sm2_encrypt(known.SM2_PUBLIC, known.SM2_PLAINTEXT)
    assert made == known.SM2_CIPHERTEXT
    assert provider.sm2_decrypt(known.SM2_PRIVATE, made) == known.SM2_PLAINTEXT


def test_z_and_digest() -> None:
    assert sm2.za(known.SM2_PUBLIC, sm2.DEFAULT_UID) == known.SM2_Z
    assert sm2.digest(known.SM2_PUBLIC, known.SM2_MESSAGE, sm2.DEFAULT_UID) == known.SM2_E


def test_ccm_opens_what_it_sealed_and_nothing_else(provider: Provider) -> None:
    args: tuple[Any, ...] = (provider, known.SM4_KEY, known.GCM_NONCE)
    assert ccm.decrypt(*args, known.CCM_BLOB, known.GCM_AAD) == known.GCM_PLAIN
    for at in range(len(known.CCM_BLOB)):
        broken = bytearray(known.CCM_BLOB)
        broken[at] ^= 1
        with pytest.raises(CryptoError):
            ccm.decrypt(*args, bytes(broken), known.GCM_AAD)


class _Lying:
    """A provider that answers one operation wrongly."""

    def __init__(self, real: Provider, name: str) -> None:
        self._real, self._name = real, name

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if name != self._name:
            return found

        def wrong(*args: Any, **kwargs: Any) -> Any:
            result = found(*args, **kwargs)
            if isinstance(result, bool):
                return not result
            return bytes((result[0] ^ 1,)) + result[1:] if isinstance(result, bytes) else result

        return wrong


@pytest.mark.requirement("MP-01")
@pytest.mark.parametrize(
    "name",
    ["sm3", "sm3_stream", "hmac_sm3", "pbkdf2_sm3", "sm4_ecb_encrypt", "sm4_ecb_decrypt", "sm4_gcm_encrypt",
     "sm4_gcm_decrypt", "sm4_cbc_decrypt", "sm2_verify", "sm2_sign", "sm2_decrypt", "sm2_public"],
)  # fmt: skip
def test_the_selftest_notices_a_provider_that_is_wrong(provider: Provider, name: str) -> None:
    with pytest.raises(CryptoError, match="self-test failed"):
        run_selftest(_Lying(provider, name))  # type: ignore[arg-type]


def test_the_selftest_reports_a_missing_algorithm(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(data: bytes) -> bytes:
        raise ValueError("unsupported hash type sm3")

    monkeypatch.setattr(provider, "sm3", missing)
    with pytest.raises(CryptoError, match="unsupported hash type"):
        run_selftest(provider)


def test_the_selftest_notices_a_stuck_generator(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider, "random", lambda size: bytes(range(size)))
    with pytest.raises(CryptoError, match="random"):
        run_selftest(provider)


@pytest.mark.long
@pytest.mark.requirement("MP-01")
def test_a_million_sm4_rounds(provider: Provider) -> None:
    assert run_selftest(provider, full=True)["checks"]["SM4 1,000,000 rounds"] == "ok"


def test_no_fallback_between_providers(tmp_path: Any) -> None:
    with pytest.raises(CryptoError):
        get_provider("software")
    with pytest.raises(CryptoError):
        get_provider("openssl", library=str(tmp_path / "libcrypto.so"))
    with pytest.raises(CryptoError):
        get_provider("openssl", library="libc.so.6")
    with pytest.raises(CryptoError):
        get_provider("sdf", library=str(tmp_path / "libsdf.so"))


def test_the_reference_only_verifies_unless_told(provider: Provider) -> None:
    reference = get_provider("reference")
    assert reference.sm2_verify(known.SM2_PUBLIC, known.SM2_MESSAGE, known.SM2_SIGNATURE)
    assert reference.sm3(b"abc") == provider.sm3(b"abc")
    calls: list[Any] = [
        lambda: reference.sm2_sign(known.SM2_PRIVATE, b"x"),
        lambda: reference.sm2_generate(),
        lambda: reference.sm2_decrypt(known.SM2_PRIVATE, known.SM2_CIPHERTEXT),
        lambda: reference.sm2_encrypt(known.SM2_PUBLIC, b"x"),
        lambda: reference.sm4_ecb_encrypt(known.SM4_KEY, b"x"),
        lambda: reference.hmac_sm3(known.SM4_KEY, b"x"),
        lambda: reference.random(16),
    ]
    for call in calls:
        with pytest.raises(CryptoError):
            call()


@pytest.mark.parametrize(
    ("number", "affected"),
    [(0x30200050, True), (0x30200060, False), (0x30300040, True), (0x30300050, False), (0x30400020, True),
     (0x30400030, False), (0x30500030, True), (0x30500040, False), (0x30000130, False), (0x1010117F, False),
     (0x30600000, False), (0x40000000, False)],
)  # fmt: skip
def test_the_arm_timing_report_by_version(
    provider: Any, monkeypatch: pytest.MonkeyPatch, number: int, affected: bool
) -> None:
    monkeypatch.setattr(provider._lib, "number", number)
    assert bool(provider._lib.timing_report("aarch64")) is affected
    assert provider._lib.timing_report("x86_64") == ""


def test_the_timing_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crypto.libcrypto.Libcrypto.timing_report", lambda self, machine=None: "known report")
    warned = get_provider("openssl", timing_policy="warn").status()
    assert warned["warnings"] == ["known report"] and warned["timing_policy"] == "warn"
    with pytest.raises(CryptoError, match="known report"):
        get_provider("openssl", timing_policy="refuse")
    with pytest.raises(CryptoError):
        get_provider("openssl", timing_policy="ignore")


OTHERS = sorted(str(path) for path in Path(cryptography.__file__).parents[1].glob("*/libcrypto*.so*"))


@pytest.mark.requirement("MP-01")
@pytest.mark.parametrize("library", OTHERS or [None])
def test_other_builds_of_libcrypto(library: str | None, provider: Provider) -> None:
    """Builds that came with other packages (database drivers), usually newer than the system's."""
    if library is None:
        pytest.skip("no other libcrypto is installed")
    other = get_provider("openssl", library=library)
    assert set(run_selftest(other)["checks"].values()) == {"ok"} and Path(other.library).samefile(library)
    private, public = other.sm2_generate()
    assert provider.sm2_verify(public, b"x", other.sm2_sign(private, b"x"))
    assert other.sm2_decrypt(private, provider.sm2_encrypt(public, b"x")) == b"x"
