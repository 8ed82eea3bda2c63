"""Settings of the security module: ``[module.security]``."""

from __future__ import annotations

from dataclasses import dataclass

from his_server.security.archive import check_days


@dataclass(frozen=True)
class SecuritySettings:
    """``audit_days``: how long audit rows stay in the database, at least 180 (DB-18)."""

    audit_days: int = 365

    def __post_init__(self) -> None:
        check_days(self.audit_days)
