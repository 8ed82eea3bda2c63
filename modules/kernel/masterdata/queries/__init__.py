"""Reads of master data: what every code box searches, what its keepers look at."""

from modules.kernel.masterdata.queries.keeping import changes, kept, set_versions
from modules.kernel.masterdata.queries.searching import (
    charge_items,
    departments,
    diagnoses,
    dictionary,
    drugs,
    frequencies,
    item_sets,
    postcodes,
    regions,
    staff,
    wards,
)

__all__ = ["changes", "charge_items", "departments", "diagnoses", "dictionary", "drugs", "frequencies", "item_sets",
           "kept", "postcodes", "regions", "set_versions", "staff", "wards"]
