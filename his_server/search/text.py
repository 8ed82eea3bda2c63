"""Text made comparable: what is indexed and what is typed go through the same `normalise`."""

from __future__ import annotations

import re
import unicodedata

KEY_LENGTH = 64
"""Longest stored key in characters; longer text is compared by its first 64 characters."""

_MIDDLE_DOTS = str.maketrans(dict.fromkeys("·•‧∙⋅・･᛫"))
_HAN = re.compile(
    "[\u2e80-\u2fdf\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_LETTERS = re.compile(r"[a-z]+\Z")
_DIGITS = re.compile(r"[0-9]+\Z")
_ID_NUMBER = re.compile(r"(?:[0-9]{15}|[0-9]{17}[0-9x])\Z")
_CODE = re.compile(r"[\x21-\x7e]+\Z")


def normalise(query: str) -> str:
    """Return the text in the one form that keys are stored in.

    Compatibility forms become plain ones (NFKC: full width → half width, Kangxi radicals and compatibility
    ideographs → the unified character, ㎎ → mg), letters become lower case, ü becomes v as typed on a
    keyboard, and what separates rather than names is dropped: white space, the middle dot of minority and
    foreign names in all its code points, control and format characters (bidi marks, zero-width joiners),
    variation selectors. The result is at most KEY_LENGTH characters. (M7.4, XC-10)
    """
    before, text = None, query
    # Lower case, composition and what is dropped act on each other (a + joiner + combining macron → ā): until stable.
    while text != before:
        before = text
        text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower())
        text = "".join(c for c in text.translate(_MIDDLE_DOTS).replace("ü", "v") if not _separates(c))
    return text[:KEY_LENGTH]


def _separates(char: str) -> bool:
    return (char.isspace() or unicodedata.category(char) in ("Cc", "Cf", "Cs")
            or 0xFE00 <= ord(char) <= 0xFE0F or 0xE0100 <= ord(char) <= 0xE01EF)


def is_han(char: str) -> bool:
    """True for a Han character of any block, extensions included."""
    return _HAN.match(char) is not None


def classify(query: str) -> set[str]:
    """Return what a query can be: kinds of key (name, pinyin, initials, wubi, code, alias) and, for the
    caller who also searches exact identifiers, 'number' (any business number or card), 'phone' and
    'id_number'.

    An empty query can be nothing: the set is empty.
    """
    text = normalise(query)
    if not text:
        return set()
    kinds = {"name", "alias"}
    if _LETTERS.match(text):
        return kinds | {"pinyin", "initials", "wubi", "code"}
    if _CODE.match(text):
        kinds.add("code")
        if any(c.isalpha() for c in text) and any(c.isdigit() for c in text):
            # Names such as "维生素B12" have initials with digits in them: wssb12.
            kinds |= {"pinyin", "initials", "number"}
        if _DIGITS.match(text):
            kinds.add("number")
            # Phones are typed in part from the left, so any beginning of one counts from three digits on.
            if (len(text) in range(3, 12) and text[0] == "1") or (len(text) in range(7, 13) and text[0] == "0"):
                kinds.add("phone")
        if _ID_NUMBER.match(text):
            kinds |= {"id_number", "number"}
    return kinds
