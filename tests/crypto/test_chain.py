"""The chain finds what is done behind our back: edit, insert, delete, swap, rollback, truncation; sealed sets."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto import CryptoError, Provider, Sealer, chain
from crypto import selftest as known
from crypto.chain import GENESIS, ChainRow, Checkpoint, Finding
from tests.crypto.conftest import NOW

pytestmark = pytest.mark.requirement("MP-14")
COUNT = 12


def mac_for(sealer: Sealer) -> chain.MacFor:
    return lambda kid, data: sealer.mac("audit", data, kid)


def build(sealer: Sealer, count: int = COUNT, start: tuple[int, bytes] = (0, GENESIS), note: str = "") -> list[ChainRow]:
    rows, (seq, mac) = [], start
    kid = sealer.ring.active("audit").kid
    for number in range(seq + 1, seq + count + 1):
        content = chain.encode_fields({"id": number, "what": f"登录{note}", "amount": Decimal("1.50"), "at": NOW})
        mac = chain.link(mac_for(sealer), kid, mac, number, content)
        rows.append(ChainRow(number, content, kid, mac))
    return rows


def kinds(sealer: Sealer, rows: list[ChainRow], **known_things: Any) -> list[tuple[str, int]]:
    return [(finding.kind, finding.seq) for finding in chain.verify_chain(mac_for(sealer), rows, **known_things)]


def test_a_whole_chain_is_clean_across_rotation_and_archive(sealer: Sealer) -> None:
    rows = build(sealer)
    sealer.ring.rotate("audit")
    rows += build(sealer, 5, (rows[-1].seq, rows[-1].mac))
    assert kinds(sealer, rows, head=(17, rows[-1].mac)) == []
    assert kinds(sealer, rows[6:], start=(6, rows[5].mac)) == []
    assert kinds(sealer, []) == []


CHANGES: dict[str, tuple[Callable[[list[ChainRow]], Any], list[tuple[str, int]]]] = {
    "edit": (lambda r: r.__setitem__(4, replace(r[4], content=r[4].content + b"x")), [("altered", 5)]),
    "edit the mac": (lambda r: r.__setitem__(4, replace(r[4], mac=bytes(32))), [("altered", 5), ("altered", 6)]),
    "edit the key id": (lambda r: r.__setitem__(4, replace(r[4], kid="00000000")), [("altered", 5)]),
    "delete in the middle": (lambda r: r.pop(4), [("missing", 5)]),
    "delete the first": (lambda r: r.pop(0), [("missing", 1)]),
    "delete two": (lambda r: (r.pop(4), r.pop(4)), [("missing", 5)]),
    "insert a copy": (lambda r: r.insert(4, r[3]), [("duplicate", 4)]),
    "insert and renumber": (
        lambda r: r.__setitem__(slice(4, None), [replace(row, seq=row.seq + 1) for row in [r[3], *r[4:]]]),
        [("altered", seq) for seq in range(5, 14)],
    ),
    "swap two contents": (
        lambda r: r.__setitem__(slice(4, 6), [replace(r[4], content=r[5].content), replace(r[5], content=r[4].content)]),
        [("altered", 5), ("altered", 6)],
    ),
    "swap two rows whole": (
        lambda r: r.__setitem__(slice(4, 6), [replace(r[5], seq=5), replace(r[4], seq=6)]),
        [("altered", 5), ("altered", 6), ("altered", 7)],
    ),
    "swap their order": (lambda r: r.__setitem__(slice(4, 6), [r[5], r[4]]), [("missing", 5), ("order", 5)]),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_each_kind_of_tampering_is_found_and_placed(sealer: Sealer, name: str) -> None:
    rows = build(sealer)
    change, expected = CHANGES[name]
    change(rows)
    assert kinds(sealer, rows) == expected


def marks(sealer: Sealer, provider: Provider, rows: list[ChainRow], at: list[int]) -> list[Checkpoint]:
    found: list[Checkpoint] = []
    for number, seq in enumerate(at):
        row = rows[seq - 1]
        previous = found[-1] if found else None
        at_time = NOW + timedelta(hours=number)
        found.append(
            chain.checkpoint(provider, known.SM2_PRIVATE, "sign-1", "audit", row.seq, row.mac, at_time, previous)
        )
    return found


def public_of(key_id: str) -> bytes | None:
    return known.SM2_PUBLIC if key_id == "sign-1" else None


def test_truncation_and_rollback(sealer: Sealer, provider: Provider, tmp_path: Path) -> None:
    rows = build(sealer)
    stored = marks(sealer, provider, rows, [4, 8, 12])
    for item in stored:
        chain.append_anchor(tmp_path / "anchor", item)
    anchored = chain.read_anchor(tmp_path / "anchor", "audit")
    assert anchored == stored and chain.read_anchor(tmp_path / "anchor", "other") == []
    assert kinds(sealer, rows, checkpoints=anchored) == []
    assert chain.verify_checkpoints(provider, public_of, "audit", anchored) == []
    # Tail cut off: every row left is still good, only the checkpoint tells.
    assert kinds(sealer, rows[:9]) == []
    assert kinds(sealer, rows[:9], checkpoints=anchored) == [("truncated", 10)]
    assert kinds(sealer, [], checkpoints=anchored) == [("truncated", 1)]
    assert kinds(sealer, rows[:11], head=(12, rows[-1].mac)) == [("truncated", 12)]
    # Rolled back and grown again with our own keys (e.g. an old backup restored, then used).
    other = rows[:6] + build(sealer, 6, (6, rows[5].mac), "später")
    assert kinds(sealer, other) == []
    assert ("rolled-back", 8) in kinds(sealer, other, checkpoints=anchored)
    # The whole database rolled back, checkpoints too: the anchor contradicts.
    expected = Finding("rolled-back", 12, "checkpoint 3 is anchored but not stored as such")
    assert chain.compare_anchor(stored[:2], anchored) == [expected]
    assert chain.compare_anchor(stored, anchored) == []


def test_checkpoints_cannot_be_forged(sealer: Sealer, provider: Provider) -> None:
    rows = build(sealer)
    good = marks(sealer, provider, rows, [4, 8, 12])
    changed: dict[str, Any] = {"seq": 5, "mac": "00" * 32, "at": "2020-01-01", "number": 7, "previous": "x",
                               "key_id": "sign-2", "chain": "y", "signature": "AAAA"}  # fmt: skip
    for name, value in changed.items():
        broken = [good[0], replace(good[1], **{name: value}), good[2]]
        assert chain.verify_checkpoints(provider, public_of, "audit", broken), name
    assert chain.verify_checkpoints(provider, public_of, "audit", [good[0], good[2]])
    assert chain.verify_checkpoints(provider, public_of, "audit", good[1:])
    assert chain.verify_checkpoints(provider, public_of, "other", good)
    assert chain.verify_checkpoints(provider, public_of, "audit", [replace(good[0], signature="?")])
    with pytest.raises(CryptoError):
        chain.checkpoint(provider, known.SM2_PRIVATE, "sign-1", "audit", 3, GENESIS, NOW, good[0])
    with pytest.raises(CryptoError):
        chain.checkpoint(provider, known.SM2_PRIVATE, "sign-1", "other", 30, GENESIS, NOW, good[0])


@pytest.mark.parametrize("line", ["x", "[]", "{}", "null", '{"chain": 1}', "[" * 50_000])
def test_a_broken_anchor_is_refused(tmp_path: Path, line: str, sealer: Sealer, provider: Provider) -> None:
    (tmp_path / "anchor").write_text(line + "\n")
    with pytest.raises(CryptoError):
        chain.read_anchor(tmp_path / "anchor", "audit")
    item = marks(sealer, provider, build(sealer), [4])[0]
    (tmp_path / "anchor").write_text(json.dumps(asdict(item) | {"seq": "4"}) + "\n")
    with pytest.raises(CryptoError):
        chain.read_anchor(tmp_path / "anchor", "audit")
    with pytest.raises(CryptoError):
        chain.read_anchor(tmp_path / "missing", "audit")


fields = st.dictionaries(
    st.text(max_size=5),
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8), st.binary(max_size=8),
              st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-10**9, max_value=10**9)),
    max_size=5,
)  # fmt: skip


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(
        type(one[name]) is type(other[name]) and one[name] == other[name] for name in one
    )


@settings(max_examples=150, deadline=None)
@given(one=fields, other=fields)
def test_two_different_rows_never_encode_alike(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert (chain.encode_fields(one) == chain.encode_fields(other)) is _same(one, other)


def test_encoding_by_value() -> None:
    encode = chain.encode_fields
    assert encode({"a": Decimal("1.5")}) == encode({"a": Decimal("1.50")}) != encode({"a": Decimal("15")})
    assert encode({"a": Decimal("100")}) == encode({"a": Decimal("1E2")})
    assert encode({"a": Decimal("0.00")}) == encode({"a": Decimal(0)})
    assert encode({"a": Decimal("-0")}) == encode({"a": Decimal(0)})
    assert encode({"a": NOW}) == encode({"a": NOW.astimezone(timezone(timedelta(hours=8)))})
    assert encode({"a": 1, "b": 2}) == encode({"b": 2, "a": 1})
    assert len({encode({"a": value}) for value in (1, "1", True, Decimal(1), b"1", None, "")}) == 7
    for bad in (datetime(2026, 1, 1), Decimal("NaN"), Decimal("Infinity")):
        with pytest.raises(CryptoError):
            encode({"a": bad})


@pytest.mark.requirement("MP-07", "MP-08")
def test_row_macs_and_sealed_sets(sealer: Sealer) -> None:
    kid, mac = sealer.ring.active("audit").kid, mac_for(sealer)
    rows = {f"{role}/{right}": chain.row_mac(mac, kid, "role_right", f"{role}/{right}", {"scope": "own"})
            for role in ("nurse", "cashier") for right in ("view", "refund")}  # fmt: skip
    sealed = chain.set_mac(mac, kid, "role_right", 3, rows.items())
    assert sealed == chain.set_mac(mac, kid, "role_right", 3, reversed(rows.items()))
    # Edit, move to another key, another table.
    assert chain.row_mac(mac, kid, "role_right", "nurse/view", {"scope": "all"}) != rows["nurse/view"]
    assert chain.row_mac(mac, kid, "role_right", "nurse/refund", {"scope": "own"}) != rows["nurse/view"]
    assert chain.row_mac(mac, kid, "user_right", "nurse/view", {"scope": "own"}) != rows["nurse/view"]
    # Insert, delete, swap between users, old version put back.
    more = {**rows, "nurse/grant": rows["nurse/view"]}
    fewer = {key: value for key, value in rows.items() if key != "nurse/view"}
    swapped = {**rows, "nurse/view": rows["cashier/view"], "cashier/view": rows["nurse/view"]}
    for other in (more, fewer, swapped, {}):
        assert chain.set_mac(mac, kid, "role_right", 3, other.items()) != sealed
    assert chain.set_mac(mac, kid, "role_right", 2, rows.items()) != sealed
