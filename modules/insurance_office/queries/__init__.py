"""Reads of the insurance office."""

from modules.insurance_office.queries.failures import failures
from modules.insurance_office.queries.ledger import rows_of
from modules.insurance_office.queries.mappings import entries, mappings
from modules.insurance_office.queries.statements import (
    days_missing,
    differences,
    drifted,
    statement,
    statements,
)

__all__ = ["days_missing", "differences", "drifted", "entries", "failures", "mappings", "rows_of", "statement",
           "statements"]
