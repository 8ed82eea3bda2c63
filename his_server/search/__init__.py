"""Search shared by every screen: name, part of a name, pinyin, initials, wubi, code, alias (M7.4).

An owner (a person, a drug, a department) gets rows in its search table when it is saved; a screen's search
box is one query on that table, an index range whatever was typed. Knows nothing of hospitals.

    persons_search = make_search_table("person_search", Person.__table__)
    store_keys(session, persons_search, person.id, search_keys(person.name, person=True))
    ids = session.scalars(match(session, persons_search, "zxm")).all()

Sources: readings from pypinyin (MIT) and own surname tables (`readings`); wubi 86 codes from pywubi's table
(MIT, WUBI_LICENSE.txt; see `wubi`).
"""

from .keys import KINDS, SearchKey, search_keys
from .table import key_rows, make_search_table, match, matching, starts_with, store_keys
from .text import KEY_LENGTH, classify, is_han, normalise

__all__ = ["KEY_LENGTH", "KINDS", "SearchKey", "classify", "is_han", "key_rows", "make_search_table", "match", "matching",
           "normalise", "search_keys", "starts_with", "store_keys"]
