"""The registry of all interfaces: what their manifests say (A2, DESIGN section 7)."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

import interfaces
from interfaces.hub.rules import View

DIRECTIONS = ("outbound", "inbound", "both")
QUALITIES = ("simulated", "tested", "proven")
"""simulated: proved against our own stand-in; tested: against the peer's test line; proven: in use."""


class ManifestError(ValueError):
    """A manifest lacks something, or says what the hub doesn't know."""


@dataclass(frozen=True)
class Manifest:
    """What an interface declares of itself. ``package`` is its folder; ``sensitive`` names fields that are always masked."""

    package: str
    id: str
    name: str
    owner: str
    direction: str
    transport: str
    version: str
    timeout_seconds: int
    lost_answer: str
    quality: str
    rate_per_second: int = 0
    """At most so many calls a second and process; 0 is without a limit."""
    sensitive: tuple[str, ...] = ()
    secret: tuple[str, ...] = ()
    """Fields that are never stored, not even sealed."""
    operations: tuple[tuple[str, str], ...] = ()
    """Transactions that the log page names in Chinese: code → title (table ``[operations]``)."""

    @property
    def whole(self) -> View:
        """Bodies as they are kept sealed."""
        return View(frozenset(self.secret))

    @property
    def masked(self) -> View:
        """Bodies as the log page shows them."""
        return View(frozenset(self.secret), frozenset(self.sensitive), mask=True)


def read(path: Path) -> Manifest:
    """One manifest. :raises ManifestError: with the file's name and what is wrong."""
    given = tomllib.loads(path.read_text(encoding="utf-8"))
    given |= {name: tuple(given.get(name, ())) for name in ("sensitive", "secret")}
    given["operations"] = tuple((str(code), str(title)) for code, title in given.get("operations", {}).items())
    names = {field.name for field in fields(Manifest)} - {"package"}
    if strange := set(given) - names:
        raise ManifestError(f"{path}: unknown {', '.join(sorted(strange))}")
    try:
        found = Manifest(path.parent.name, **given)
    except TypeError as error:
        raise ManifestError(f"{path}: {error}") from error
    for value, known in ((found.direction, DIRECTIONS), (found.quality, QUALITIES), (found.lost_answer, ("retry", "ask"))):
        if value not in known:
            raise ManifestError(f"{path}: {value!r} is none of {', '.join(known)}")
    return found


@cache
def all_manifests() -> dict[str, Manifest]:
    """Every interface's manifest by package name, in the order of their ids."""
    found = [read(path) for folder in interfaces.__path__ for path in Path(folder).glob("*/manifest.toml")]
    return {manifest.package: manifest for manifest in sorted(found, key=lambda m: (m.id, m.package))}
