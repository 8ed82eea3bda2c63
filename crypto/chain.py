"""Tamper evidence for rows: a chain of HMAC-SM3, SM2-signed checkpoints, an outside anchor, and sealed sets.

Pure functions over iterables; the platform supplies rows, keys and storage. What is found (COMPLIANCE MP-07, MP-14):
an edited row (its MAC), an inserted or deleted row (sequence and MAC), swapped rows (sequence is in the MAC),
a rolled-back or truncated table (it ends before, or differs at, an anchored checkpoint). Rows after the last
checkpoint that the anchor holds can be cut off unnoticed unless the caller knows the head, so checkpoint often.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from crypto.errors import CryptoError
from crypto.files import sync_folder
from crypto.provider import KeyLike, Provider
from crypto.sm2 import DEFAULT_UID

GENESIS = bytes(32)
MacFor = Callable[[str, bytes], bytes]
"""(key id, data) → 32-byte HMAC-SM3; raises CryptoError for an unknown key id. Sealer.mac fits via a lambda."""

Field = str | int | bytes | bool | Decimal | datetime | None


@dataclass(frozen=True)
class ChainRow:
    """A stored row: its place (1, 2, 3 …), its content as bytes (encode_fields), the key id and the stored MAC."""

    seq: int
    content: bytes
    kid: str
    mac: bytes


@dataclass(frozen=True)
class Finding:
    """What is wrong where. kind: altered, missing, duplicate, order, truncated, rolled-back, checkpoint."""

    kind: str
    seq: int
    detail: str = ""


@dataclass(frozen=True)
class Checkpoint:
    """The head of a chain at some time, SM2-signed. `previous` is the digest of the checkpoint before ("" first)."""

    chain: str
    number: int
    seq: int
    mac: str
    at: str
    previous: str
    key_id: str
    signature: str

    def text(self) -> bytes:
        """The signed bytes."""
        fields = {name: value for name, value in asdict(self).items() if name != "signature"}
        return json.dumps(fields, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()

    def digest(self) -> str:
        """SM3 over text and signature, hex: what the next checkpoint names as previous."""
        return hashlib.new("sm3", self.text() + self.signature.encode()).hexdigest()


def encode_fields(fields: Mapping[str, Field]) -> bytes:
    """One unambiguous byte string for named values: sorted names, a type letter and a length before each part.

    Decimals are compared by value (1.5 and 1.50 are the same), times must be aware and are taken in UTC.
    """
    parts: list[bytes] = []
    for name in sorted(fields):
        parts.append(_part(b"n", name.encode()))
        parts.append(_encode(fields[name]))
    return b"".join(parts)


def _part(letter: bytes, body: bytes) -> bytes:
    return letter + len(body).to_bytes(4, "big") + body


def _encode(value: Field) -> bytes:
    if value is None:
        return _part(b"0", b"")
    if isinstance(value, bool):
        return _part(b"b", b"1" if value else b"0")
    if isinstance(value, int):
        return _part(b"i", str(value).encode())
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise CryptoError("a number that isn't finite can't be sealed")
        text = format(value.normalize(), "f")
        return _part(b"d", b"0" if value == 0 else text.encode())
    if isinstance(value, bytes):
        return _part(b"y", value)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise CryptoError("a time without zone can't be sealed")
        return _part(b"t", f"{value.timestamp():.6f}".encode())
    return _part(b"s", value.encode())


def link(mac_for: MacFor, kid: str, previous: bytes, seq: int, content: bytes) -> bytes:
    """The MAC of row `seq` after a row with MAC `previous` (GENESIS before row 1)."""
    return mac_for(kid, b"his chain row" + previous + seq.to_bytes(8, "big") + content)


def checkpoint(
    provider: Provider,
    private: KeyLike,
    key_id: str,
    chain: str,
    seq: int,
    mac: bytes,
    now: datetime,
    previous: Checkpoint | None,
) -> Checkpoint:
    """Sign the head (seq, mac) of a chain; previous is the last checkpoint of the same chain, if any."""
    if previous and (previous.chain != chain or seq < previous.seq):
        raise CryptoError("a checkpoint can't go back")
    bare = Checkpoint(
        chain,
        previous.number + 1 if previous else 1,
        seq,
        mac.hex(),
        now.isoformat(),
        previous.digest() if previous else "",
        key_id,
        "",
    )
    signature = base64.b64encode(provider.sm2_sign(private, bare.text())).decode()
    return Checkpoint(**{**asdict(bare), "signature": signature})


def check_signature(provider: Provider, public_of: Callable[[str], bytes | None], item: Checkpoint) -> bool:
    """Whether a checkpoint's signature holds under the key that public_of gives for its key id."""
    public = public_of(item.key_id)
    try:
        signature = base64.b64decode(item.signature, validate=True)
    except (binascii.Error, ValueError):
        return False
    return public is not None and provider.sm2_verify(public, item.text(), signature, DEFAULT_UID)


def verify_chain(
    mac_for: MacFor,
    rows: Iterable[ChainRow],
    checkpoints: Iterable[Checkpoint] = (),
    start: tuple[int, bytes] = (0, GENESIS),
    head: tuple[int, bytes] | None = None,
) -> list[Finding]:
    """Walk rows in stored order at bounded memory and name everything that is wrong.

    start: (seq, mac) before the first row given, for archived beginnings. checkpoints: already verified ones
    (verify_checkpoints), stored and anchored together. head: (seq, mac) that the chain must end with, if known.
    After a finding the stored MAC is believed, so one bad row is one finding.
    """
    findings: list[Finding] = []
    wanted: dict[int, set[str]] = {}
    for item in checkpoints:
        wanted.setdefault(item.seq, set()).add(item.mac)
    if head:
        wanted.setdefault(head[0], set()).add(head[1].hex())
    seq, mac = start
    for row in rows:
        if row.seq <= seq:
            findings.append(Finding("duplicate" if row.seq == seq else "order", row.seq))
            continue
        if row.seq > seq + 1:
            findings.append(Finding("missing", seq + 1, f"{row.seq - seq - 1} rows"))
        elif not _holds(mac_for, mac, row):
            findings.append(Finding("altered", row.seq))
        seq, mac = row.seq, row.mac
        if any(value != mac.hex() for value in wanted.get(seq, ())):
            findings.append(Finding("rolled-back", seq, "differs from a checkpoint"))
    last = max(wanted, default=0)
    if last > seq:
        findings.append(Finding("truncated", seq + 1, f"a checkpoint names row {last}"))
    return findings


def _holds(mac_for: MacFor, previous: bytes, row: ChainRow) -> bool:
    try:
        return hmac.compare_digest(link(mac_for, row.kid, previous, row.seq, row.content), row.mac)
    except CryptoError:
        return False


def verify_checkpoints(
    provider: Provider, public_of: Callable[[str], bytes | None], chain: str, items: Iterable[Checkpoint]
) -> list[Finding]:
    """Findings over the checkpoints of one chain in order: signatures, numbers, links, never backwards."""
    findings: list[Finding] = []
    previous: Checkpoint | None = None
    for item in items:
        expected = (previous.number + 1, previous.digest()) if previous else (1, "")
        if not check_signature(provider, public_of, item):
            findings.append(Finding("checkpoint", item.seq, f"signature of number {item.number}"))
        elif item.chain != chain or (item.number, item.previous) != expected:
            findings.append(Finding("checkpoint", item.seq, f"number {item.number} doesn't follow"))
        elif previous and item.seq < previous.seq:
            findings.append(Finding("checkpoint", item.seq, f"number {item.number} goes back"))
        previous = item
    return findings


def append_anchor(path: Path, item: Checkpoint) -> None:
    """Add a checkpoint to the anchor file: append-only lines, on another disk or host than the database."""
    line = json.dumps(asdict(item), sort_keys=True, ensure_ascii=False) + "\n"
    with path.open("a", encoding="utf-8") as file:
        file.write(line)
        file.flush()
    sync_folder(path.parent)


def read_anchor(path: Path, chain: str) -> list[Checkpoint]:
    """The checkpoints of one chain in the anchor file; CryptoError for a line that isn't one."""
    found = []
    try:
        for line in path.read_text("utf-8").splitlines():
            item = Checkpoint(**json.loads(line))
            if not (isinstance(item.seq, int) and isinstance(item.number, int) and isinstance(item.mac, str)):
                raise CryptoError(f"{path} is not an anchor file")
            if item.chain == chain:
                found.append(item)
    except (ValueError, TypeError, RecursionError, OSError):
        raise CryptoError(f"{path} is not an anchor file") from None
    return found


def compare_anchor(stored: Iterable[Checkpoint], anchored: Iterable[Checkpoint]) -> list[Finding]:
    """Findings where our stored checkpoints lack or contradict the anchored ones (table rolled back as a whole)."""
    own = {item.number: item for item in stored}
    return [
        Finding("rolled-back", item.seq, f"checkpoint {item.number} is anchored but not stored as such")
        for item in anchored
        if own.get(item.number) != item
    ]


def row_mac(mac_for: MacFor, kid: str, table: str, key: str, fields: Mapping[str, Field]) -> bytes:
    """The MAC of a single row that isn't part of a chain (a permission, an amount): bound to its table and key."""
    return mac_for(kid, b"his row" + encode_fields({"table": table, "key": key, "row": encode_fields(fields)}))


def set_mac(mac_for: MacFor, kid: str, table: str, version: int, rows: Iterable[tuple[str, bytes]]) -> bytes:
    """One MAC over all (key, row MAC) of a table in any order; raise `version` with each change.

    Row MACs alone don't show a deleted row or an old row put back; this does, if (version, MAC) is in the chain.
    """
    state = hashlib.new("sm3")
    count = 0
    for key, mac in sorted(rows):
        state.update(encode_fields({"key": key, "mac": mac}))
        count += 1
    text = encode_fields({"table": table, "version": version, "count": count, "rows": state.digest()})
    return mac_for(kid, b"his set" + text)
