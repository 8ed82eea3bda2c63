"""What one name can be found by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice, product
from math import prod
from typing import Literal, NamedTuple, get_args

from . import wubi
from .readings import syllables
from .text import KEY_LENGTH, normalise

Kind = Literal["name", "part", "pinyin", "initials", "wubi", "code", "alias"]
KINDS: tuple[str, ...] = get_args(Kind)

READINGS_CAP = 12
"""Most pinyin and most initials keys of one name: a name of five characters with five readings each has
3125."""


class SearchKey(NamedTuple):
    """One way to find an owner. `part` is the rest of a name, alias or (things only) initials from a later
    character on, so that a substring is found as the prefix of a part."""

    kind: Kind
    key: str


def search_keys(name: str, *, person: bool, code: str | None = None, aliases: Sequence[str] = ()) -> list[SearchKey]:
    """All keys under which an owner is found, each once, normalised, the likeliest reading of each kind
    first.

    `person`: the name is a person's, its surname read as one (单 shan), every other reading's initials are
    indexed too. For things (drugs, items, departments) the initials are indexed from every character on,
    because clerks know a product by the middle of its name. Aliases (trade names, former names) are indexed
    like names, under 'alias'. Raises ValueError for a name that is empty after normalisation. (M7.4)
    """
    text = normalise(name)
    if not text:
        raise ValueError("a name without any visible character has no search keys")
    keys: dict[SearchKey, None] = {}
    if code is not None and normalise(code):
        keys[SearchKey("code", normalise(code))] = None
    _add(keys, "name", text, person)
    for alias in aliases:
        plain = normalise(alias)
        if plain and plain != text:
            _add(keys, "alias", plain, person)
    return list(keys)


def _add(keys: dict[SearchKey, None], kind: Kind, text: str, person: bool) -> None:
    keys[SearchKey(kind, text)] = None
    for start in range(1, len(text)):
        keys[SearchKey("part", text[start:])] = None
    sounds = [s for s in syllables(text, person=person) if s]
    if sounds and not text.isascii():
        initials = [tuple(dict.fromkeys(r[0] for r in s)) for s in sounds]
        for i, variant in enumerate(_variants(initials)):
            whole = "".join(variant)
            keys[SearchKey("initials", whole)] = None
            if i == 0 and not person:
                for start in range(1, len(whole) - 1):
                    keys[SearchKey("part", whole[start:])] = None
        for variant in _variants(sounds):
            keys[SearchKey("pinyin", "".join(variant)[:KEY_LENGTH])] = None
            if "lv" in variant or "nv" in variant:
                # Passports write 吕 as LYU, many keyboards take lu; v stays the main form.
                for other in ("yu", "u"):
                    spelt = ((s[0] + other if s in ("lv", "nv") else s) for s in variant)
                    keys[SearchKey("pinyin", "".join(spelt)[:KEY_LENGTH])] = None
        for letters in (wubi.first_letters(text), wubi.phrase_code(text)):
            if letters:
                keys[SearchKey("wubi", letters)] = None


def _variants(choices: Sequence[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    """Combinations of readings, the likeliest first, READINGS_CAP at most: all if they are few, otherwise the
    likeliest one and those that differ from it in a single character."""
    if prod(map(len, choices)) <= READINGS_CAP:
        yield from product(*choices)
        return

    def single() -> Iterator[tuple[str, ...]]:
        likely = tuple(c[0] for c in choices)
        yield likely
        for i, options in enumerate(choices):
            for option in options[1:]:
                yield (*likely[:i], option, *likely[i + 1:])

    yield from islice(single(), READINGS_CAP)
