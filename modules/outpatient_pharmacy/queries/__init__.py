"""Reads of the pharmacies' screens."""

from modules.outpatient_pharmacy.queries.counter import (
    bounced,
    counts,
    dispensed,
    find,
    prescription,
    queue,
    queue_state,
    stores,
    trace_code,
)

__all__ = ["bounced", "counts", "dispensed", "find", "prescription", "queue", "queue_state", "stores",
           "trace_code"]
