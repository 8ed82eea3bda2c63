"""Wubi codes of the 86 edition, the one that Chinese clerks learned.

`wubi86.csv.gz` (character,full code; 21,004 characters, sorted) is derived from the table of pywubi 0.3.0
(PyPI, MIT, text in WUBI_LICENSE.txt). Compared with the independent table that Debian's rime-data-wubi
carries, 98.4 % of the full codes and 99.8 % of the first letters agree. Characters of the extension blocks
have no code in it.
"""

from __future__ import annotations

import gzip
from functools import cache
from importlib.resources import files


@cache
def table() -> dict[str, str]:
    """Character → full code (1 to 4 letters a–y)."""
    packed = (files(__package__) / "wubi86.csv.gz").read_bytes()
    lines = gzip.decompress(packed).decode().splitlines()
    return {line[0]: line[2:] for line in lines}


def first_letters(name: str) -> str:
    """The first letter of each character's code (五笔首码, what hospital systems call 五笔码). Letters and
    digits in the name stand for themselves, characters without a code are left out."""
    codes = table()
    return "".join(codes[c][0] if c in codes else c if c.isascii() and c.isalnum() else "" for c in name)


def phrase_code(name: str) -> str:
    """The code under which an input method offers the name as a word (词组码): two characters give two
    letters each, three 1+1+2, four and more the first letters of the first three and of the last. Empty
    unless all have codes."""
    codes = [table().get(c, "") for c in name]
    if not all(codes):
        return ""
    match len(codes):
        case 0:
            return ""
        case 1:
            return codes[0]
        case 2:
            return codes[0][:2] + codes[1][:2]
        case 3:
            return codes[0][0] + codes[1][0] + codes[2][:2]
        case _:
            return "".join(c[0] for c in (*codes[:3], codes[-1]))
