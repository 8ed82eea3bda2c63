"""The key ring: one key per purpose, with ids, validity, rotation and destruction, wrapped by a master key.

The ring is one JSON file of mode 0600. Several processes may use it: writers hold a file lock and replace the file
atomically; readers look at most once per `refresh` seconds whether it changed, and at once for an unknown key id.
The whole document is sealed by the master key, so a removed or added entry is noticed, and a process never goes
back to an older generation than it has seen.
"""

from __future__ import annotations

import json
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from crypto.errors import CryptoError
from crypto.files import locked, overwrite_and_remove, read_private, write_private
from crypto.master import MasterKey
from crypto.provider import DeviceKey, KeyLike
from crypto.sm2 import check_public

__all__ = ["Key", "KeyRing", "MasterKey", "kind_of"]

Kind = Literal["symmetric", "sm2"]
_FORMAT = "his-keyring-1"


@dataclass(frozen=True)
class Key:
    """One key. material: 32 bytes (symmetric: the root of its purpose; sm2: the private key) or a DeviceKey.

    public: 64 bytes for sm2, else empty. not_after is None while the key is the active one.
    """

    kid: str
    purpose: str
    kind: Kind
    material: KeyLike = field(repr=False)
    public: bytes
    not_before: datetime
    not_after: datetime | None


@dataclass(frozen=True)
class _Snapshot:
    generation: int
    stamp: tuple[int, int, int]
    keys: dict[str, Key]
    active: dict[str, Key]
    raw: dict[str, dict[str, Any]]
    derived: dict[Any, Any] = field(default_factory=dict, repr=False)


def kind_of(purpose: str) -> Kind:
    """The kind that a purpose's name declares: names that end in "-sm2" hold SM2 pairs, all others are symmetric."""
    return "sm2" if purpose.endswith("-sm2") else "symmetric"


def _now() -> datetime:
    return datetime.now(UTC)


class KeyRing:
    """Use `create` or `open`. Thread-safe (readers swap immutable snapshots) and safe after fork."""

    def __init__(self, path: Path, master: MasterKey, clock: Callable[[], datetime], refresh: float) -> None:
        self.path, self.master, self._clock, self._refresh = path, master, clock, refresh
        self._snapshot = _Snapshot(0, (0, 0, 0), {}, {}, {})
        self._checked = float("-inf")
        self._loading = threading.Lock()
        _rings.add(self)

    @classmethod
    def create(
        cls,
        path: Path | str,
        master: MasterKey,
        clock: Callable[[], datetime] = _now,
        refresh: float = 1.0,
    ) -> KeyRing:
        """A new empty ring; CryptoError when the file exists."""
        ring = cls(Path(path), master, clock, refresh)
        with locked(ring.path):
            if ring.path.exists():
                raise CryptoError(f"{path} exists already")
            ring._store({}, 1)
        ring._load()
        return ring

    @classmethod
    def open(
        cls,
        path: Path | str,
        master: MasterKey,
        clock: Callable[[], datetime] = _now,
        refresh: float = 1.0,
    ) -> KeyRing:
        """Open an existing ring; CryptoError when missing, altered, or wrapped by another master key."""
        ring = cls(Path(path), master, clock, refresh)
        ring._load()
        return ring

    # Reading

    def active(self, purpose: str) -> Key:
        """The key that new data of this purpose is made with."""
        key = self._current().active.get(purpose) or self._load().active.get(purpose)
        if key is None:
            raise CryptoError(f"no active key for {purpose}")
        return key

    def get(self, kid: str, purpose: str) -> Key:
        """The key of that id, active or retired; unknown, destroyed or of another purpose is refused."""
        key = self._current().keys.get(kid)
        if key is None:
            # Another process may just have made it.
            key = self._load().keys.get(kid) if self._changed() else None
        if key is None or key.purpose != purpose:
            raise CryptoError("unknown key id")
        return key

    def living(self, purpose: str | None = None) -> list[Key]:
        """All living keys (of one purpose), newest first."""
        found = [key for key in self._current().keys.values() if purpose in (None, key.purpose)]
        return sorted(found, key=lambda key: (key.not_before, key.not_after is None), reverse=True)

    def cache(self) -> dict[Any, Any]:
        """Room for values derived from the ring's keys; a new one when the ring changes, so that what came from a
        destroyed key dies with it."""
        return self._current().derived

    def status(self) -> dict[str, Any]:
        """For the health page: per purpose the active key id, its age in days, and how many retired keys live."""
        now, snapshot = self._clock(), self._current()
        return {
            "generation": snapshot.generation,
            "master": repr(self.master),
            "purposes": {
                purpose: {
                    "kid": key.kid,
                    "kind": key.kind,
                    "age_days": (now - key.not_before).days,
                    "retired": sum(other.purpose == purpose for other in snapshot.keys.values()) - 1,
                    "device": isinstance(key.material, DeviceKey),
                }
                for purpose, key in sorted(snapshot.active.items())
            },
        }

    # Writing

    def ensure(self, purposes: Iterable[str] | Mapping[str, Kind]) -> None:
        """Make a first key for every purpose that has none. A mapping declares kinds, else see kind_of."""
        wanted = dict(purposes) if isinstance(purposes, Mapping) else {name: kind_of(name) for name in purposes}
        current = self._current().active
        if any(purpose in current and current[purpose].kind != kind for purpose, kind in wanted.items()):
            raise CryptoError("a purpose can't change its kind")
        if all(purpose in current for purpose in wanted):
            return

        def change(entries: dict[str, dict[str, Any]]) -> None:
            present = {entry["purpose"] for entry in entries.values() if entry["not_after"] is None}
            for purpose, kind in wanted.items():
                if purpose not in present:
                    self._add(entries, purpose, kind)

        self._update(change)

    def rotate(self, purpose: str) -> Key:
        """A new active key; the old one only opens from now on."""
        kind = self.active(purpose).kind

        def change(entries: dict[str, dict[str, Any]]) -> None:
            self._retire(entries, purpose)
            self._add(entries, purpose, kind)

        self._update(change)
        return self.active(purpose)

    def adopt(self, purpose: str, private: KeyLike, public: bytes) -> Key:
        """Make an existing SM2 pair (made elsewhere, or a device's: DeviceKey) the active key of an sm2 purpose."""
        point = check_public(public)
        if isinstance(private, bytes) and self.master.provider.sm2_public(private) != point:
            raise CryptoError("the two halves don't belong together")

        def change(entries: dict[str, dict[str, Any]]) -> None:
            self._retire(entries, purpose)
            self._add(entries, purpose, "sm2", (private, point))

        self._update(change)
        return self.active(purpose)

    def destroy(self, kid: str) -> None:
        """Erase a retired key for good: what it sealed can't be opened any more. A tombstone keeps the id."""

        def change(entries: dict[str, dict[str, Any]]) -> None:
            entry = entries.get(kid)
            if entry is None or entry["not_after"] is None or entry["destroyed"]:
                raise CryptoError("only a retired key can be destroyed")
            entry.update(wrapped="", destroyed=self._clock().isoformat())

        self._update(change)

    def destroy_all(self) -> None:
        """Zeroise: overwrite and remove the ring file, forget all keys in this process."""
        with locked(self.path):
            overwrite_and_remove(self.path)
        self._snapshot = _Snapshot(self._snapshot.generation, (0, 0, 0), {}, {}, {})

    def rewrap(self, master: MasterKey) -> None:
        """Move the ring under another master key (change of master key)."""
        with locked(self.path):
            entries = self._load().raw
            for kid, entry in entries.items():
                if entry["wrapped"]:
                    plain = self.master.unwrap(bytes.fromhex(entry["wrapped"]), self._label(kid, entry))
                    entry["wrapped"] = master.wrap(plain, self._label(kid, entry)).hex()
            self.master = master
            self._store(entries, self._snapshot.generation + 1)
        self._load()

    # Inside

    def _current(self) -> _Snapshot:
        now = time.monotonic()
        if now - self._checked >= self._refresh:
            if self._changed():
                self._load()
            self._checked = now
        return self._snapshot

    def _stamp(self) -> tuple[int, int, int]:
        try:
            about = self.path.stat()
        except OSError:
            raise CryptoError(f"key ring {self.path} is gone") from None
        return about.st_ino, about.st_mtime_ns, about.st_size

    def _changed(self) -> bool:
        return self._stamp() != self._snapshot.stamp

    def _label(self, kid: str, entry: Mapping[str, Any]) -> bytes:
        # A length before each part: no two entries share a label.
        parts = (kid, entry["purpose"], entry["kind"], entry["public"], entry["not_before"])
        return b"".join(len(part).to_bytes(2, "big") + part.encode() for part in parts)

    def _add(
        self,
        entries: dict[str, dict[str, Any]],
        purpose: str,
        kind: Kind,
        pair: tuple[KeyLike, bytes] | None = None,
    ) -> None:
        if not 1 <= len(purpose.encode()) <= 64 or kind not in ("symmetric", "sm2"):
            raise CryptoError("purpose refused")
        provider = self.master.provider
        if pair is None and kind == "sm2":
            # A device names its internal pair; software makes one.
            from_device = getattr(provider, "ring_pair", None)
            pair = from_device(purpose) if from_device else provider.sm2_generate()
        material, public = pair or (provider.random(32), b"")
        while (kid := provider.random(4).hex()) in entries:
            continue
        entry = {
            "purpose": purpose,
            "kind": kind,
            "public": public.hex(),
            "not_before": self._clock().isoformat(),
            "not_after": None,
            "destroyed": None,
            "device": isinstance(material, DeviceKey),
        }
        plain = material if isinstance(material, bytes) else material.index.to_bytes(4, "big") + material.wrapped
        entry["wrapped"] = self.master.wrap(plain, self._label(kid, entry)).hex()
        entries[kid] = entry

    def _retire(self, entries: dict[str, dict[str, Any]], purpose: str) -> None:
        for entry in entries.values():
            if entry["purpose"] == purpose and entry["not_after"] is None:
                entry["not_after"] = self._clock().isoformat()

    def _update(self, change: Callable[[dict[str, dict[str, Any]]], None]) -> None:
        with locked(self.path):
            snapshot = self._load()
            entries = json.loads(json.dumps(snapshot.raw))
            change(entries)
            self._store(entries, snapshot.generation + 1)
        self._load()

    def _store(self, entries: dict[str, dict[str, Any]], generation: int) -> None:
        body = {"format": _FORMAT, "generation": generation, "keys": entries}
        seal = self.master.wrap(self._digest(body), b"ring seal").hex()
        write_private(self.path, json.dumps({**body, "seal": seal}, indent=1).encode())

    def _digest(self, body: Mapping[str, Any]) -> bytes:
        return self.master.provider.sm3(json.dumps(body, sort_keys=True).encode())

    def _load(self) -> _Snapshot:
        # One thread at a time: of two that read while the file is replaced, the slower one holds the older text, and
        # would take the newer snapshot for a ring that went back.
        with self._loading:
            return self._read()

    def _read(self) -> _Snapshot:
        stamp = self._stamp()
        refused = CryptoError(f"key ring {self.path} was altered or belongs to another master key")
        try:
            document = json.loads(read_private(self.path))
            seal = bytes.fromhex(document.pop("seal"))
            generation = document["generation"]
            if document["format"] != _FORMAT or self.master.unwrap(seal, b"ring seal") != self._digest(document):
                raise refused
            keys: dict[str, Key] = {}
            active: dict[str, Key] = {}
            for kid, entry in document["keys"].items():
                if entry["destroyed"]:
                    continue
                key = self._key(kid, entry)
                keys[kid] = key
                if key.not_after is None:
                    active[key.purpose] = key
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise refused from None
        if generation < self._snapshot.generation:
            raise CryptoError(f"key ring {self.path} went back to an older generation")
        self._snapshot = _Snapshot(generation, stamp, keys, active, document["keys"])
        return self._snapshot

    def _key(self, kid: str, entry: Mapping[str, Any]) -> Key:
        plain = self.master.unwrap(bytes.fromhex(entry["wrapped"]), self._label(kid, entry))
        material = DeviceKey(int.from_bytes(plain[:4], "big"), plain[4:]) if entry["device"] else plain
        not_after = datetime.fromisoformat(entry["not_after"]) if entry["not_after"] else None
        return Key(
            kid,
            entry["purpose"],
            entry["kind"],
            material,
            bytes.fromhex(entry["public"]),
            datetime.fromisoformat(entry["not_before"]),
            not_after,
        )


_rings: weakref.WeakSet[KeyRing] = weakref.WeakSet()


def _after_fork() -> None:
    """A child forked while a thread was reading would wait for that thread for ever."""
    for ring in list(_rings):
        ring._loading = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
