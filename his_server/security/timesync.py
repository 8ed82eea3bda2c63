"""Whether this host's clock is kept by time synchronisation (COMPLIANCE DB-31): records of several hosts must agree."""

from __future__ import annotations

import ctypes
from typing import Any

UNSYNCHRONISED = 0x40
MOST_MS = 1000
"""The estimated error that is still good."""


class _Timex(ctypes.Structure):
    _fields_ = [("modes", ctypes.c_uint), ("offset", ctypes.c_long), ("freq", ctypes.c_long), ("maxerror", ctypes.c_long),
                ("esterror", ctypes.c_long), ("status", ctypes.c_int), ("rest", ctypes.c_byte * 256)]


def read() -> tuple[int, int]:
    """Status bits and estimated error (µs) as the kernel has them. :raises OSError: it doesn't tell."""
    found = _Timex()
    if ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(found)) < 0:
        raise OSError(ctypes.get_errno(), "adjtimex")
    return int(found.status), int(found.esterror)


def state() -> dict[str, Any]:
    """For the health page: ``synchronised`` (None when the system doesn't tell) and the estimated error in ms."""
    try:
        status, error = read()
    except (OSError, AttributeError):
        return {"synchronised": None, "error_ms": None}
    error_ms = error // 1000
    return {"synchronised": not status & UNSYNCHRONISED and error_ms < MOST_MS, "error_ms": error_ms}
