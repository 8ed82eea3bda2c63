"""Cryptography as ratios to the raw library call in the same run, and to gmssl; run by `make bench`.

Ours and the floor alternate, processor time is measured, and the best of several rounds counts: what other
processes do on the machine hardly matters.
"""

from __future__ import annotations

import ctypes
import hashlib
import hmac
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import SM4
from sqlalchemy import LargeBinary, String, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from crypto import KeyRing, MasterKey, Sealer, codecs, get_provider, sm2
from crypto import selftest as known
from crypto.openssl import OpenSSLProvider

pytestmark = [pytest.mark.bench, pytest.mark.timeout(300)]
P = OpenSSLProvider()
KEY, NONCE = bytes(range(16)), bytes(range(12))
MIB = bytes(1 << 20)


def seconds(call: Callable[[], Any], count: int) -> float:
    """Time of one call, averaged over `count`."""
    start = time.process_time()
    for _ in range(count):
        call()
    return (time.process_time() - start) / count


def ratio(name: str, ours: Callable[[], Any], floor: Callable[[], Any], count: int, rounds: int = 9) -> float:
    """Speed of ours relative to the floor (1 = as fast)."""
    ours(), floor()
    pairs = [(seconds(ours, count), seconds(floor, count)) for _ in range(rounds)]
    own, raw = min(pair[0] for pair in pairs), min(pair[1] for pair in pairs)
    print(f"  {name:<44} {own * 1e6:10.1f} µs  floor {raw * 1e6:10.1f} µs  ratio {raw / own:6.2f}")
    return raw / own


def _raw(operation: str) -> tuple[Callable[[], int], bytes]:
    """The bare libcrypto call: key loaded, context initialised, digest ready, nothing checked or converted."""
    lib = P._lib
    private = lib.load_private(known.SM2_PRIVATE)
    context = lib.call["EVP_PKEY_CTX_new"](private.handle, None)
    assert lib.call[f"EVP_PKEY_{operation}_init"](context) == 1
    digest = sm2.digest(known.SM2_PUBLIC, known.SM2_MESSAGE, sm2.DEFAULT_UID)
    der = codecs.signature_to_der(known.SM2_SIGNATURE)
    out = ctypes.create_string_buffer(80)
    if operation == "sign":
        call: Callable[[], int] = lambda: lib.call["EVP_PKEY_sign"](  # noqa: E731
            context, out, ctypes.byref(ctypes.c_size_t(80)), digest, 32
        )
    else:
        call = lambda: lib.call["EVP_PKEY_verify"](context, der, len(der), digest, 32)  # noqa: E731
    assert call() == 1
    call.keep = private  # type: ignore[attr-defined]
    return call, der


def test_sm2_sign_against_the_raw_call() -> None:
    raw, _ = _raw("sign")
    assert ratio("SM2 sign", lambda: P.sm2_sign(known.SM2_PRIVATE, known.SM2_MESSAGE), raw, 60) >= 0.7


def test_sm2_verify_against_the_raw_call() -> None:
    raw, _ = _raw("verify")
    verify = lambda: P.sm2_verify(known.SM2_PUBLIC, known.SM2_MESSAGE, known.SM2_SIGNATURE)  # noqa: E731
    assert ratio("SM2 verify", verify, raw, 60) >= 0.7


def _raw_gcm(data: bytes) -> bytes:
    context = Cipher(SM4(KEY), modes.GCM(NONCE)).encryptor()
    return context.update(data) + context.finalize()


def test_gcm_of_a_mebibyte_against_the_raw_call() -> None:
    assert ratio("SM4-GCM 1 MiB", lambda: P.sm4_gcm_encrypt(KEY, NONCE, MIB), lambda: _raw_gcm(MIB), 3) >= 0.9


def test_gcm_of_a_field() -> None:
    data = b"320602199001011234"
    assert ratio("SM4-GCM 18 bytes", lambda: P.sm4_gcm_encrypt(KEY, NONCE, data), lambda: _raw_gcm(data), 2000) >= 0.5


def test_hashes_against_hashlib() -> None:
    assert ratio("SM3 1 MiB", lambda: P.sm3(MIB), lambda: hashlib.new("sm3", MIB).digest(), 5) >= 0.9
    raw = lambda: hmac.digest(KEY * 2, KEY * 4, "sm3")  # noqa: E731
    assert ratio("HMAC-SM3 64 bytes", lambda: P.hmac_sm3(KEY * 2, KEY * 4), raw, 2000) >= 0.5


def test_against_gmssl() -> None:
    oracle = get_provider("reference", oracle=True)
    private, public, message = known.SM2_PRIVATE, known.SM2_PUBLIC, known.SM2_MESSAGE
    blob = P.sm2_encrypt(public, message)
    small = bytes(4096)
    for name, call in {
        "SM2 sign": lambda p: p.sm2_sign(private, message),
        "SM2 verify": lambda p: p.sm2_verify(public, message, known.SM2_SIGNATURE),
        "SM2 encrypt": lambda p: p.sm2_encrypt(public, message),
        "SM2 decrypt": lambda p: p.sm2_decrypt(private, blob),
        "SM3 4 KiB": lambda p: p.sm3(small),
        "SM4-CBC 4 KiB": lambda p: p.sm4_cbc_encrypt(KEY, KEY, small),
    }.items():
        gain = ratio(f"{name} against gmssl", lambda call=call: call(P), lambda call=call: call(oracle), 3, 4)
        assert gain > (10 if name.startswith("SM2") else 50)


class Base(DeclarativeBase):
    """The benchmark's own tables."""


class Person(Base):
    """As wide as a person in a list: twelve columns, the identity number plain and sealed."""

    __tablename__ = "person"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50))
    sex: Mapped[str] = mapped_column(String(1))
    birth: Mapped[str] = mapped_column(String(10))
    card: Mapped[str] = mapped_column(String(20))
    number: Mapped[str] = mapped_column(String(20))
    address: Mapped[str] = mapped_column(String(100))
    kin: Mapped[str] = mapped_column(String(50))
    pinyin: Mapped[str] = mapped_column(String(50))
    made: Mapped[str] = mapped_column(String(30))
    plain: Mapped[str] = mapped_column(String(20))
    sealed: Mapped[bytes] = mapped_column(LargeBinary)


def test_reading_a_sealed_column_of_1000_rows(tmp_path: Path) -> None:
    master = MasterKey.generate(P)
    ring = KeyRing.create(tmp_path / "ring", master)
    ring.ensure(["column"])
    sealer = Sealer(ring, P)
    engine = create_engine(f"sqlite:///{tmp_path / 'db'}")
    Base.metadata.create_all(engine)
    number = "320602199001011234"
    with Session(engine) as session:
        session.add_all(
            Person(
                id=row, name="张三", sex="1", birth="1990-01-01", card=f"C{row}", number=f"{row:08}", address="某路 1 号",
                kin="李四", pinyin="zs", made="2026-01-01", plain=number,
                sealed=sealer.seal("column", number.encode(), f"person.number:{row}"),
            )
            for row in range(1000)
        )  # fmt: skip
        session.commit()

    def read(sealed: bool) -> int:
        with Session(engine) as session:
            rows = session.scalars(select(Person)).all()
            if sealed:
                opened = sealer.open_many("column", [(row.sealed, f"person.number:{row.id}") for row in rows])
                texts = [text.decode() for text in opened]
            else:
                texts = [row.plain for row in rows]
            return sum(text == number for text in texts)

    assert read(True) == read(False) == 1000
    assert ratio("1000 rows with a sealed column", lambda: read(True), lambda: read(False), 4, 15) >= 0.5
    engine.dispose()
