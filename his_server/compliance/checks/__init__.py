"""The checks, a file for each theme. Importing this package declares them all."""

from his_server.compliance.checks import (
    access,
    accounts,
    audit,
    crypto_algorithms,
    crypto_integrity,
    crypto_storage,
    patients,
    platform,
    program,
    sessions,
)

__all__ = [
    "access",
    "accounts",
    "audit",
    "crypto_algorithms",
    "crypto_integrity",
    "crypto_storage",
    "patients",
    "platform",
    "program",
    "sessions",
]
