"""The simulated centre's catalogues. A code says its own level, so that a whole catalogue needs no table:

a drug's is X (Z for herbs) and 21 characters, a service's 15 digits, a material's C and 19 digits; the last two digits of
each are chrgitm_lv. The real ones are longer lists with the same form (COMPLIANCE YB-04).
"""

from __future__ import annotations

import hashlib
import re

LEVELS = ("01", "02", "03")
FORMS = {"101": re.compile(r"[XZ][A-Z0-9]{19,22}"), "102": re.compile(r"[TZ][A-Z0-9]{9,22}"),
         "103": re.compile(r"[XZ][A-Z0-9]{19,22}"),
         "201": re.compile(r"\d{15}(-\d{9})?"), "301": re.compile(r"C\d{19,26}")}


def code_of(list_type: str, own: str, level: str) -> str:
    """The simulated national code of what the hospital calls ``own``."""
    digest = hashlib.new("sm3", f"{list_type}:{own}".encode()).hexdigest()
    digits = str(int(digest, 16))
    return {"101": f"X{digest[:19].upper()}{level}", "102": f"Z{digest[:19].upper()}{level}",
            "103": f"Z{digest[:19].upper()}{level}", "201": f"{digits[:13]}{level}",
            "301": f"C{digits[:17]}{level}"}[list_type]


def list_of(code: str) -> str | None:
    """The catalogue that a code belongs to by its form; None: no code of ours."""
    return next((kind for kind in ("201", "301", "101", "102") if FORMS[kind].fullmatch(code)), None)


def level_of(code: str) -> str:
    """chrgitm_lv of a code."""
    return code[-2:] if code[-2:] in LEVELS else "03"
