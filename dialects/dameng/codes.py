"""DM8's and dmPython's error codes, by what they mean for us.

Sources: DM8 manual, appendix "错误码汇编"; observed with dmPython 2.6.1 (marked X). A code marked ? is from
the manual only and hasn't been provoked.
"""

from __future__ import annotations

UNIQUE = frozenset({-6602, -6612})  # unique constraint; unique index  (X: reaches Python as IntegrityError)
VIOLATED_CHECK = frozenset({-6604})
VIOLATED_FOREIGN_KEY = frozenset({-6607, -6608})  # ? no parent row; child rows left
VIOLATED_NOT_NULL = frozenset({-6609})  # ?
LOCK_TIMEOUT = frozenset({-6407, -6509})
DEADLOCK = frozenset({-6403})  # ?
SESSION_LIMIT = frozenset({-6001})
BAD_LOGIN = frozenset({-2501})
SYNTAX = frozenset({-2007})
NO_SUCH_TABLE = frozenset({-2106})

# X: -2 "InValid handle" follows the first error; -70019 first execute after a drop; -70025 commit or
# rollback after it; -70028 can't reach the server; -70065, -70066 connection switched (dm_svc.conf), the
# transaction is lost.
DISCONNECT = frozenset({-2, -70019, -70025, -70028, -70065, -70066, -70101})

_NOT_CONNECTED = ("not connected", "connection is closed", "connection was closed")


def error_code(error: BaseException) -> int | None:
    """The server's or driver's code (negative) that a dmPython exception carries, or None."""
    details = error.args[0] if error.args else None
    code = getattr(details, "code", None)
    if isinstance(code, int):
        return code
    return details if isinstance(details, int) else None


def says_not_connected(error: BaseException) -> bool:
    """True for the driver's own complaint (without code) that the connection has been closed."""
    text = str(error).lower()
    return any(phrase in text for phrase in _NOT_CONNECTED)
