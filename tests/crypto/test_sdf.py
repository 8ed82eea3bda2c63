"""The GM/T 0018 provider against a stub device that counts calls and fails where it is told."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crypto import CryptoError, DeviceKey, DeviceLost, KeyRing, MasterKey, Provider, Sealer, get_provider
from crypto import selftest as known
from crypto.files import write_private
from crypto.sdf import SdfProvider
from crypto.selftest import run_selftest
from tests.crypto.conftest import PIN, Stub

pytestmark = pytest.mark.requirement("MP-17")
KEY, IV, NONCE = bytes(range(16)), bytes(range(16, 32)), bytes(range(12))
SIGN = DeviceKey(1)


def test_the_device_passes_the_vectors(sdf: SdfProvider) -> None:
    assert set(run_selftest(sdf, device_index=1)["checks"].values()) == {"ok"}
    assert sdf.sm2_public(SIGN) == known.SM2_PUBLIC
    status = sdf.status()
    assert status["healthy"] and status["device"] == "stub device" and status["provider"] == "sdf"


def test_the_device_agrees_with_software(sdf: SdfProvider, provider: Provider) -> None:
    for size in (0, 1, 16, 255, 16384, 16385, 50_000):
        data = provider.random(size)
        assert sdf.sm3(data) == provider.sm3(data)
        assert sdf.hmac_sm3(KEY * 5, data) == provider.hmac_sm3(KEY * 5, data)
        assert sdf.sm4_cbc_encrypt(KEY, IV, data) == provider.sm4_cbc_encrypt(KEY, IV, data)
        assert sdf.sm4_cbc_decrypt(KEY, IV, provider.sm4_cbc_encrypt(KEY, IV, data)) == data
        assert sdf.sm4_ctr(KEY, IV, data) == provider.sm4_ctr(KEY, IV, data)
        assert sdf.sm4_ecb_decrypt(KEY, provider.sm4_ecb_encrypt(KEY, data)) == data
        blob = provider.sm4_gcm_encrypt(KEY, NONCE, data, b"aad")
        assert sdf.sm4_gcm_encrypt(KEY, NONCE, data, b"aad") == blob
        assert sdf.sm4_gcm_decrypt(KEY, NONCE, blob, b"aad") == data
    for uid in (b"1234567812345678", b"", b"alice"):
        signature = sdf.sm2_sign(SIGN, b"data", uid)
        assert provider.sm2_verify(known.SM2_PUBLIC, b"data", signature, uid)
        assert sdf.sm2_verify(known.SM2_PUBLIC, b"data", provider.sm2_sign(known.SM2_PRIVATE, b"data", uid), uid)
    enc = sdf.sm2_encryption_public(SIGN)
    assert sdf.sm2_decrypt(SIGN, provider.sm2_encrypt(enc, b"secret")) == b"secret"
    private, public = sdf.sm2_generate()
    assert provider.sm2_decrypt(private, sdf.sm2_encrypt(public, b"x")) == b"x"


OPERATIONS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "sign": ("SDF_InternalSign_ECC", lambda p: p.sm2_sign(SIGN, b"x")),
    "public": ("SDF_ExportSignPublicKey_ECC", lambda p: p.sm2_public(SIGN)),
    "encrypt": ("SDF_ExternalEncrypt_ECC", lambda p: p.sm2_encrypt(known.SM2_PUBLIC, b"x")),
    "decrypt": ("SDF_InternalDecrypt_ECC", lambda p: p.sm2_decrypt(SIGN, known.SM2_CIPHERTEXT)),
    "generate": ("SDF_GenerateKeyPair_ECC", lambda p: p.sm2_generate()),
    "sm3": ("SDF_HashUpdate", lambda p: p.sm3(b"x")),
    "sm3 init": ("SDF_HashInit", lambda p: p.sm3(b"x")),
    "sm3 final": ("SDF_HashFinal", lambda p: p.sm3(b"x")),
    "hmac": ("SDF_HashFinal", lambda p: p.hmac_sm3(KEY, b"x")),
    "gcm": ("SDF_Encrypt", lambda p: p.sm4_gcm_encrypt(KEY, NONCE, b"x")),
    "gcm open": (
        "SDF_Encrypt",
        lambda p: p.sm4_gcm_decrypt(known.SM4_KEY, known.GCM_NONCE, known.GCM_BLOB, known.GCM_AAD),
    ),
    "cbc": ("SDF_Encrypt", lambda p: p.sm4_cbc_encrypt(KEY, IV, b"x")),
    "ctr": ("SDF_Encrypt", lambda p: p.sm4_ctr(KEY, IV, b"x")),
    "ecb": ("SDF_Encrypt", lambda p: p.sm4_ecb_encrypt(KEY, b"x")),
    "ecb open": ("SDF_Decrypt", lambda p: p.sm4_ecb_decrypt(KEY, bytes(16), False)),
    "import": ("SDF_ImportKeyWithISK_ECC", lambda p: p.sm4_ctr(KEY, IV, b"x")),
    "access right": ("SDF_GetPrivateKeyAccessRight", lambda p: p.sm2_sign(SIGN, b"x")),
    "random": ("SDF_GenerateRandom", lambda p: p.random(16)),
    "session key": ("SDF_GenerateKeyWithIPK_ECC", lambda p: p.generate_session_key(1)),
}  # fmt: skip
DEVICE_CODES = (0x01000001, 0x01000003, 0x01000004, 0x01000007, 0x01000018, 0xFFFFFFFF)


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_goes_through_the_device_and_fails_closed(stub: Stub, name: str) -> None:
    function, call = OPERATIONS[name]
    alarms: list[tuple[str, int]] = []
    device = get_provider("sdf", library=stub.path, pins={1: PIN}, alarm=lambda *alarm: alarms.append(alarm))
    before = stub.count(function)
    if name == "decrypt":
        # The device's encryption key isn't the standard's: refused as data, without an alarm.
        with pytest.raises(CryptoError, match="SM2 decryption refused"):
            call(device)
        assert alarms == []
    else:
        call(device)
    assert stub.count(function) > before
    for code in DEVICE_CODES:
        device.close()  # type: ignore[attr-defined]
        stub.fail(function, 1, code)
        # A fresh provider object forgets wrapped keys, so that imports happen again.
        device._wrapped.clear()  # type: ignore[attr-defined]
        with pytest.raises(CryptoError):
            call(device)
        assert alarms.pop() == (function, code)
        assert alarms == []
    if name != "decrypt":
        call(device)  # and it recovers when the device is back
    device.close()  # type: ignore[attr-defined]


def test_a_lost_device_refuses_everything_and_recovers(sdf: SdfProvider, stub: Stub) -> None:
    signature = sdf.sm2_sign(SIGN, b"x")
    stub.lost(True)
    for name, (_, call) in OPERATIONS.items():
        with pytest.raises(CryptoError):
            call(sdf)
            pytest.fail(f"{name} answered without a device")
    assert sdf.sm2_verify(known.SM2_PUBLIC, b"x", signature) is False
    status = sdf.status()
    assert status["healthy"] is False and "failed" in status["failure"]
    with pytest.raises(CryptoError):
        get_provider("sdf", library=stub.path, pins={1: PIN})
    stub.lost(False)
    assert sdf.sm2_verify(known.SM2_PUBLIC, b"x", signature) is True
    assert sdf.status()["healthy"] is True


def test_sealing_stops_with_the_device(sdf: SdfProvider, stub: Stub, tmp_path: Path) -> None:
    master = MasterKey.create_file(tmp_path / "master", provider=sdf, device_index=1)
    ring = KeyRing.create(tmp_path / "ring", master, refresh=0)
    ring.ensure(["column", "index", "audit"])
    ring.adopt("sign-sm2", DeviceKey(2), sdf.sm2_public(DeviceKey(2)))
    sealer = Sealer(ring, sdf)
    blob, mac = sealer.seal("column", b"x", "p"), sealer.mac("audit", b"x")
    reopened = KeyRing.open(tmp_path / "ring", MasterKey.from_file(tmp_path / "master", provider=sdf), refresh=0)
    assert Sealer(reopened, sdf).open("column", blob, "p") == b"x"
    key = reopened.active("sign-sm2")
    assert key.material == DeviceKey(2) and sdf.sm2_verify(key.public, b"x", sdf.sm2_sign(key.material, b"x"))
    assert reopened.status()["purposes"]["sign-sm2"]["device"] is True
    with pytest.raises(CryptoError):
        master.split(2, 3)
    stub.lost(True)
    for call in (lambda: sealer.seal("column", b"x", "p"), lambda: sealer.open("column", blob, "p"),
                 lambda: sealer.mac("audit", b"x"), lambda: sealer.blind_index("index", "x"),
                 lambda: ring.rotate("column"), lambda: KeyRing.open(tmp_path / "ring", master),
                 lambda: sealer.check_mac("audit", b"x", mac)):  # fmt: skip
        with pytest.raises(DeviceLost):  # "unavailable", never "wrong"
            call()
    stub.lost(False)
    assert sealer.open("column", blob, "p") == b"x"


def test_a_ring_takes_its_sm2_pairs_from_the_device(stub: Stub, provider: Provider, tmp_path: Path) -> None:
    device = SdfProvider(
        stub.path, pins={1: PIN, 2: PIN}, slots={"sign-sm2": 2}, encryption_slots={"login-sm2": 2}
    )
    master = MasterKey.create_file(tmp_path / "master", provider=device, device_index=1)
    ring = KeyRing.create(tmp_path / "ring", master)
    ring.ensure(["column", "sign-sm2", "login-sm2"])
    sign, login = ring.active("sign-sm2"), ring.active("login-sm2")
    assert sign.material == login.material == DeviceKey(2) and sign.public != login.public
    assert provider.sm2_verify(sign.public, b"x", device.sm2_sign(sign.material, b"x"))
    assert device.sm2_decrypt(login.material, provider.sm2_encrypt(login.public, b"password")) == b"password"
    with pytest.raises(CryptoError, match="no key pair"):
        ring.ensure(["other-sm2"])
    assert [key.purpose for key in ring.living("other-sm2")] == []
    device.close()


def test_no_software_stands_in(sdf: SdfProvider, stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every operation counts in the device, and none reaches the software implementations."""

    def forbidden(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("software cryptography was used")

    monkeypatch.setattr("crypto.software.Cipher", forbidden)
    monkeypatch.setattr("crypto.libcrypto.Libcrypto.__init__", forbidden)
    monkeypatch.setattr("os.urandom", forbidden)
    monkeypatch.setattr("hmac.digest", forbidden)
    for name, (function, call) in OPERATIONS.items():
        if name in ("decrypt", "import", "access right"):
            continue
        before = stub.count(function)
        call(sdf)
        assert stub.count(function) > before, name


def test_wrong_pin_unknown_index_and_software_keys(stub: Stub, sdf: SdfProvider, provider: Provider) -> None:
    wrong = get_provider("sdf", library=stub.path, pins={1: b"guess"})
    with pytest.raises(CryptoError):
        wrong.sm2_sign(SIGN, b"x")
    with pytest.raises(CryptoError):
        sdf.sm2_sign(DeviceKey(9), b"x")
    with pytest.raises(CryptoError):
        get_provider("sdf", library=stub.path, pins={1: PIN}, key_index=9)
    private, _ = provider.sm2_generate()
    for call in (lambda: sdf.sm2_sign(private, b"x"), lambda: sdf.sm2_public(private),
                 lambda: sdf.sm2_sign(DeviceKey(1, b"x"), b"x"), lambda: provider.sm2_sign(SIGN, b"x"),
                 lambda: sdf.sm4_ctr(SIGN, IV, b"x"), lambda: provider.sm4_ctr(DeviceKey(1, b"x"), IV, b"x"),
                 lambda: sdf.hmac_sm3(SIGN, b"x"), lambda: sdf.sm4_ctr(KEY + b"x", IV, b"x"),
                 lambda: sdf.sm2_encrypt(known.SM2_PUBLIC, bytes(137)), lambda: sdf.random(-1)):  # fmt: skip
        with pytest.raises(CryptoError):
            call()
    wrong.close()  # type: ignore[attr-defined]


def test_pin_file(stub: Stub, tmp_path: Path) -> None:
    write_private(tmp_path / "pins", b'{"1": "12345678"}')
    device = get_provider("sdf", library=stub.path, pin_file=tmp_path / "pins")
    assert device.sm2_verify(known.SM2_PUBLIC, b"x", device.sm2_sign(SIGN, b"x"))
    device.close()  # type: ignore[attr-defined]
    (tmp_path / "pins").chmod(0o644)
    with pytest.raises(CryptoError):
        get_provider("sdf", library=stub.path, pin_file=tmp_path / "pins")
    write_private(tmp_path / "pins", b"[1]")
    with pytest.raises(CryptoError):
        get_provider("sdf", library=stub.path, pin_file=tmp_path / "pins")


def test_a_library_without_the_functions_is_refused() -> None:
    with pytest.raises(CryptoError):
        get_provider("sdf", library="libc.so.6")


def test_session_keys_stay_in_the_device(sdf: SdfProvider) -> None:
    key = sdf.generate_session_key(1)
    blob = sdf.sm4_gcm_encrypt(key, NONCE, b"x")
    assert sdf.sm4_gcm_decrypt(key, NONCE, blob) == b"x" and len(key.wrapped) == 96 + 16
    broken = DeviceKey(1, key.wrapped[:-1] + bytes((key.wrapped[-1] ^ 1,)))
    with pytest.raises(CryptoError):
        sdf.sm4_gcm_decrypt(broken, NONCE, blob)


def test_keys_are_imported_once_per_session_and_evicted(sdf: SdfProvider, stub: Stub, provider: Provider) -> None:
    for _ in range(10):
        sdf.sm4_ctr(KEY, IV, b"x")
    assert stub.count("SDF_ImportKeyWithISK_ECC") == 1
    for number in range(100):
        key = number.to_bytes(16, "big")
        assert sdf.sm4_ctr(key, IV, b"x" * 20) == provider.sm4_ctr(key, IV, b"x" * 20)
    assert stub.count("SDF_DestroyKey") >= 100 - 33


def test_threads_share_a_bounded_pool(stub: Stub, provider: Provider) -> None:
    device = get_provider("sdf", library=stub.path, pins={1: PIN}, pool=3)
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(15):
                data = bytes((number, turn)) * 40
                assert device.sm4_gcm_decrypt(KEY, NONCE, provider.sm4_gcm_encrypt(KEY, NONCE, data)) == data
                assert device.sm2_verify(known.SM2_PUBLIC, data, device.sm2_sign(SIGN, data))
                assert device.sm3(data) == provider.sm3(data)
        except BaseException as failed:
            failures.append(failed)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == [] and 1 <= stub.lib.stub_sessions() <= 3
    device.close()  # type: ignore[attr-defined]
    assert stub.lib.stub_sessions() == 0 and stub.lib.stub_devices() == 0


def test_a_forked_child_opens_its_own_sessions(sdf: SdfProvider, stub: Stub) -> None:
    """The stub refuses handles of another process, as drivers do."""
    sdf.sm4_ctr(KEY, IV, b"x")
    opened = stub.count("SDF_OpenDevice")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            answers: list[bool] = []
            threads = [
                threading.Thread(target=lambda: answers.append(len(sdf.sm3(b"x")) == 32)) for _ in range(6)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            good = answers == [True] * 6 and sdf.sm2_verify(known.SM2_PUBLIC, b"x", sdf.sm2_sign(SIGN, b"x"))
            code = 0 if good and stub.count("SDF_OpenDevice") == opened + 1 else 2
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert sdf.sm3(b"abc") and stub.count("SDF_OpenDevice") == opened


def test_a_failure_while_others_work_hurts_only_itself(stub: Stub) -> None:
    device = get_provider("sdf", library=stub.path, pins={1: PIN})
    errors: list[BaseException] = []
    refused: list[CryptoError] = []

    def work() -> None:
        for _ in range(40):
            try:
                assert len(device.sm3(b"x")) == 32
            except CryptoError as failed:
                refused.append(failed)
            except BaseException as failed:
                errors.append(failed)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    stub.fail("SDF_HashFinal", 5)
    for thread in threads:
        thread.join()
    assert errors == [] and len(refused) <= 1
    assert len(device.sm3(b"x")) == 32
    device.close()  # type: ignore[attr-defined]
    assert stub.lib.stub_sessions() == 0
