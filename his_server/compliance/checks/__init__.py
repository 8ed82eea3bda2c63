"""The checks, a file for each theme. Importing this package declares them all."""

from his_server.compliance.checks import (
    access,
    accounts,
    audit,
    codes,
    crypto_algorithms,
    crypto_integrity,
    crypto_storage,
    inputs,
    ledgers,
    orders,
    patients,
    platform,
    prescribing,
    program,
    recovery,
    sessions,
)

__all__ = [
    "access",
    "accounts",
    "audit",
    "codes",
    "crypto_algorithms",
    "crypto_integrity",
    "crypto_storage",
    "inputs",
    "ledgers",
    "orders",
    "patients",
    "platform",
    "prescribing",
    "program",
    "recovery",
    "sessions",
]
