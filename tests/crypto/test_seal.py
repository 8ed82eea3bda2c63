"""Sealed columns, cookies and files; blind indexes; keyed integrity."""

from __future__ import annotations

import io
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crypto import CryptoError, KeyRing, Provider, Sealer, get_provider, sealfile
from tests.crypto.test_refusal import flips

PLACE = "person/id_number/4711"


@pytest.mark.requirement("MP-03", "MP-12")
def test_a_blob_opens_only_where_it_was_sealed(sealer: Sealer) -> None:
    blob = sealer.seal("column", "张三".encode(), PLACE)
    assert sealer.open("column", blob, PLACE).decode() == "张三"
    assert len(blob) == 33 + 6 and "张三".encode() not in blob
    for place in ("person/id_number/4712", "person/phone/4711", "", PLACE + "1", PLACE.upper()):
        with pytest.raises(CryptoError):
            sealer.open("column", blob, place)
    with pytest.raises(CryptoError):
        sealer.open("cookie", blob, PLACE)
    # Purpose and place can't be shifted into each other.
    with pytest.raises(CryptoError):
        sealer.open("export", sealer.seal("column", b"x", "ab"), "ab")


@pytest.mark.requirement("MP-03")
def test_every_flip_of_a_blob_gives_one_and_the_same_error(sealer: Sealer) -> None:
    blob = sealer.seal("cookie", b'{"session": 1}', "cookie")
    texts = set()
    for broken in (*flips(blob), None, "x" * 50, 7):
        with pytest.raises(CryptoError) as refused:
            sealer.open("cookie", broken, "cookie")  # type: ignore[arg-type]
        texts.add(str(refused.value))
    assert texts == {"sealed data refused"}


def test_open_many_and_empty(sealer: Sealer) -> None:
    items = [(sealer.seal("column", str(number).encode(), str(number)), str(number)) for number in range(20)]
    assert sealer.open_many("column", items) == [str(number).encode() for number in range(20)]
    assert sealer.open("column", sealer.seal("column", b"", "p"), "p") == b""
    with pytest.raises(CryptoError):
        sealer.open_many("column", [items[0], (items[1][0], "0")])
    assert sealer.open_many("column", []) == []


def test_open_many_across_a_rotation_and_every_flipped_byte(sealer: Sealer) -> None:
    items = [(sealer.seal("column", b"before", "a"), "a")]
    sealer.ring.rotate("column")
    items += [(sealer.seal("column", b"after", "b"), "b"), items[0], (sealer.seal("column", b"", "c"), "c")]
    assert sealer.open_many("column", items) == [b"before", b"after", b"before", b""]
    texts = set()
    for broken in (*flips(items[1][0]), items[1][0][:32], b"", None, "x" * 50, 7):
        with pytest.raises(CryptoError) as refused:
            sealer.open_many("column", [items[0], (broken, "b"), items[3]])  # type: ignore[list-item]
        texts.add(str(refused.value))
    assert texts == {"sealed data refused"}


def test_every_provider_opens_many_alike(sealer: Sealer) -> None:
    key, oracle = bytes(range(16)), get_provider("reference", oracle=True)
    items = [(bytes((n,)) * 12, sealer.provider.sm4_gcm_encrypt(key, bytes((n,)) * 12, bytes(n), b"aad"), b"aad")
             for n in range(3)]
    for provider in (sealer.provider, oracle):
        assert provider.sm4_gcm_decrypt_many(key, items) == [bytes(n) for n in range(3)]
        for bad in ((items[0][0], items[1][1], b"aad"), (items[0][0], items[0][1], b"AAD"), (b"short", items[0][1], b"aad"),
                    (items[0][0], b"short", b"aad")):
            with pytest.raises(CryptoError):
                provider.sm4_gcm_decrypt_many(key, [items[0], bad])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=400), place=st.text(max_size=40), junk=st.binary(max_size=80))
def test_anything_round_trips_and_junk_is_refused(sealer: Sealer, data: bytes, place: str, junk: bytes) -> None:
    assert sealer.open("column", sealer.seal("column", data, place), place) == data
    with pytest.raises(CryptoError):
        sealer.open("column", junk, place)


@pytest.mark.requirement("MP-13")
def test_the_blind_index_is_keyed_and_apart(sealer: Sealer, provider: Provider, ring: KeyRing) -> None:
    number = "320602199001011234"
    index = sealer.blind_index("index", number)
    assert index == sealer.blind_index("index", number) and len(index) == 64
    assert index[:8] == ring.active("index").kid
    assert index != sealer.blind_index("index", number[:-1] + "5")
    plain = provider.sm3(number.encode()).hex()
    assert plain not in index and index[8:] not in plain
    keyed_with_the_sealing_key = provider.hmac_sm3(ring.active("column").material, number.encode()).hex()
    assert index[8:] != keyed_with_the_sealing_key[:56]
    assert index[8:] != sealer.mac("index", number.encode()).hex()[:56]
    assert index[8:] != sealer.blind_index("cookie", number)[8:]


@pytest.mark.requirement("MP-07", "MP-14")
def test_macs(sealer: Sealer, ring: KeyRing) -> None:
    mac = sealer.mac("audit", b"row")
    assert len(mac) == 32 and sealer.check_mac("audit", b"row", mac)
    assert not sealer.check_mac("audit", b"rox", mac) and not sealer.check_mac("column", b"row", mac)
    for broken in flips(mac):
        assert not sealer.check_mac("audit", b"row", broken)
    assert not sealer.check_mac("audit", b"row", None)  # type: ignore[arg-type]
    old = ring.active("audit").kid
    ring.rotate("audit")
    assert sealer.check_mac("audit", b"row", mac) and sealer.check_mac("audit", b"row", mac, old)
    assert not sealer.check_mac("audit", b"row", mac, ring.active("audit").kid)
    assert not sealer.check_mac("audit", b"row", mac, "00000000")
    assert sealer.mac_function("audit", old)(b"row") == mac


def test_an_sm2_purpose_does_not_seal(sealer: Sealer) -> None:
    for call in (lambda: sealer.seal("sign-sm2", b"x", "p"), lambda: sealer.mac("sign-sm2", b"x"),
                 lambda: sealer.blind_index("sign-sm2", "x")):  # fmt: skip
        with pytest.raises(CryptoError):
            call()


SIZES = [0, 1, 1023, 1024, 1025, 2048, 5000]


def _sealed(provider: Provider, sealer: Sealer, data: bytes, chunk: int = 1024) -> bytes:
    key, front = sealer._file_key(sealer.ring.active("export").kid, "export")
    out = io.BytesIO()
    assert sealfile.seal(provider, key, front, "f", io.BytesIO(data), out, chunk) == len(data)
    return out.getvalue()


def _opened(sealer: Sealer, blob: bytes, place: str = "f", purpose: str = "export") -> bytes:
    out = io.BytesIO()
    sealer.open_file(purpose, io.BytesIO(blob), out, place)
    return out.getvalue()


@pytest.mark.requirement("MP-12")
@pytest.mark.parametrize("size", SIZES)
def test_files_round_trip(provider: Provider, sealer: Sealer, size: int) -> None:
    data = provider.random(size)
    blob = _sealed(provider, sealer, data)
    assert _opened(sealer, blob) == data
    for place, purpose in (("g", "export"), ("f", "column")):
        with pytest.raises(CryptoError):
            _opened(sealer, blob, place, purpose)


@pytest.mark.requirement("MP-14")
def test_files_reveal_truncation_reordering_and_more(provider: Provider, sealer: Sealer) -> None:
    data = provider.random(4096)
    blob = _sealed(provider, sealer, data)
    head, step = 28, 1024 + 16
    chunks = [blob[head + at * step : head + (at + 1) * step] for at in range(4)]
    other = _sealed(provider, sealer, data)
    bad = [
        blob[:head] + b"".join(chunks[:3]),
        blob[:head] + b"".join([chunks[1], chunks[0], *chunks[2:]]),
        blob[:head] + b"".join([*chunks[:2], chunks[3]]),
        blob[:head] + b"".join([*chunks, chunks[3]]),
        blob[:head] + b"".join([chunks[0], *chunks]),
        other[:head] + blob[head:],
        blob[:head] + other[head : head + step] + blob[head + step :],
        blob[:head],
        blob[: head - 1],
        blob + b"\0",
        b"",
        blob[:-1],
    ]
    places = (*range(head), head, head + step, len(blob) - 1)
    bad += [blob[:at] + bytes((blob[at] ^ 1,)) + blob[at + 1 :] for at in places]
    for broken in bad:
        with pytest.raises(CryptoError, match="sealed file refused"):
            _opened(sealer, broken)


class _Endless(io.RawIOBase):
    """`size` zero bytes, a few at a time, never all in memory."""

    def __init__(self, size: int) -> None:
        self.left = size

    def read(self, size: int = -1) -> bytes:  # type: ignore[override]
        count = min(self.left, size, 100_000)
        self.left -= count
        return bytes(count)


class _Nowhere(io.RawIOBase):
    def write(self, data: Any) -> int:
        return len(data)


def test_files_need_little_memory(sealer: Sealer, tmp_path: Path) -> None:
    size = 48 << 20
    tracemalloc.start()
    try:
        sealer.seal_file("export", _Endless(size), tmp_path / "big", "f")  # type: ignore[arg-type]
        assert sealer.open_file("export", tmp_path / "big", _Nowhere(), "f") == size  # type: ignore[arg-type]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20


def test_a_target_path_appears_only_when_all_held(sealer: Sealer, tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"x" * 600_000)
    sealer.seal_file("export", tmp_path / "plain", tmp_path / "sealed", "f")
    assert (tmp_path / "sealed").stat().st_mode & 0o777 == 0o600
    (tmp_path / "sealed").write_bytes((tmp_path / "sealed").read_bytes()[:-1])
    with pytest.raises(CryptoError):
        sealer.open_file("export", tmp_path / "sealed", tmp_path / "out", "f")
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".lock" and "ring" not in path.name) == [
        "plain", "sealed",
    ]  # fmt: skip


def test_status_names_provider_and_keys(sealer: Sealer) -> None:
    status = sealer.status()
    assert status["provider"]["healthy"] and status["ring"]["purposes"]["column"]["kid"]
