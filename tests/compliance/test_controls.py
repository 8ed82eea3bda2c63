"""Each check of the compliance suite holds on the sound product and fails on a broken one: its negative control.

One line a control: what is broken, and how. The product's own code is broken from within (a guard that always says yes,
an audit row that isn't written), its database tampered with, or what the suite is given replaced.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from his_server.compliance.client import Visitor
from his_server.compliance.frame import BAD, GOOD, PARTLY, Result
from tests.compliance.breaking import Break, Patch, few_paths, few_roles, few_samples
from tests.compliance.conftest import House
from tests.compliance.controls import CONTROLS

SOUND = {GOOD, PARTLY}


@contextlib.contextmanager
def unharmed(house: House) -> Iterator[None]:
    """Afterwards what was planted is gone and the target knows what it knew. (The database itself isn't put back: the
    product would notice.)"""
    known = dict(house.target.__dict__)
    known.update({name: value.copy() for name, value in known.items() if isinstance(value, dict | list | set)})
    with house.undo:
        yield
    lasting = ("_given", "made", "secrets", "markers", "patient")  # what is in the database: its numbers can't come twice
    known |= {name: house.target.__dict__[name] for name in lasting if name in house.target.__dict__}
    known["kept"]["members"] = house.target.kept.get("members", 1)  # their numbers are on file
    house.target.__dict__.clear()
    house.target.__dict__.update(known)


def bad(result: Result) -> list[str]:
    """What a check saw that isn't as it must be."""
    return [f"{seen.asked}：{seen.saw}" for seen in result.evidence.seen if seen.ok is False and seen.vital]


SMALLER: dict[str, Break] = {"DB-09": few_roles, "DB-21": few_paths, "MP-18": few_samples}
"""What is made smaller for a check on the sound product too, so that it doesn't take minutes."""


LONG = {
    "HS",
    "RX",
    "GR",
    "YB",
    "FN",
    "TC",
    "XC",
    "RU",
    "MR",
    "DB-02",
    "DB-04",
    "DB-06",
    "DB-08",
    "DB-09",
    "DB-12",
    "DB-15",
    "DB-17",
    "DB-21",
    "DB-22",
    "DB-25",
    "DB-30",
    "MP-01",
    "MP-04",
    "MP-05",
    "MP-07",
    "MP-08",
    "MP-11",
    "MP-14",
    "MP-15",
    "MP-16",
    "MP-17",
    "MP-18",
    "MP-19",
    "PR-01",
    "PR-06",
    "PR-07",
    "PR-09",
    "PR-12",
}
"""Groups and checks whose controls are long: together they take minutes. What they ask the product is proved by an ordinary test
with the same mark elsewhere, as far as it can be proved in one process."""


@dataclass
class Sound:
    """Verdicts on the unbroken house, each asked for once."""

    known: dict[str, Result]

    def of(self, house: House, id: str) -> Result:
        if id not in self.known:
            patch = Patch()
            try:
                if id in SMALLER:
                    SMALLER[id](house, patch)
                self.known[id] = house.run(id)
            finally:
                patch.undo()
                house.target.__dict__.pop("roles", None)
                house.target.__dict__.pop("openapi", None)
        return self.known[id]


def parameters() -> Iterator[Any]:
    """The controls, each a proof of its requirement; what takes long runs in ``make test-long`` only."""
    for id, what, act in CONTROLS:
        marks = [pytest.mark.requirement(id)]
        if id in LONG or id[:2] in LONG:
            marks.append(pytest.mark.long)
        yield pytest.param(id, what, act, marks=marks, id=f"{id}-{what}".replace(" ", "-"))


@pytest.mark.parametrize(("id", "what", "act"), list(parameters()))
def test_a_check_holds_on_the_sound_product_and_fails_on_a_broken_one(
    house: House, baseline: dict[str, Result], monkeypatch: Patch, id: str, what: str, act: Break
) -> None:
    sound = Sound(baseline).of(house, id)
    assert sound.verdict in SOUND and bad(sound) == [], (sound.verdict, sound.reason, bad(sound))
    with unharmed(house):
        changes = act(house, monkeypatch) or {}
        broken = house.run(id, **changes)
        monkeypatch.undo()
    assert broken.verdict == BAD and bad(broken), f"{what}: {broken.verdict} {broken.reason}"


def test_a_code_that_an_assessor_has_just_used_is_no_obstacle(house: House) -> None:
    """Whoever signed in a moment ago, by hand or in an earlier run, has used the codes that the suite would give first."""
    given = replace(house.target.accounts["auditadmin"])
    for _ in range(2):
        Visitor(house.target.send).sign_in(replace(given))
