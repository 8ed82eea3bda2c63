"""What is done with persons: recorded, changed, merged, recognised from a card."""

from modules.kernel.patients.service.identifiers import (
           EXCLUSIVE,
           KINDS,
           add_identifier,
           end_identifier,
           holder,
)
from modules.kernel.patients.service.merging import family, merge, survivor, survivors, unmerge
from modules.kernel.patients.service.migration import MigrationReport, migrate_regions
from modules.kernel.patients.service.recognising import Recognised, recognise
from modules.kernel.patients.service.records import OUTPATIENT_NO, create_person, get, unmask, update_person

__all__ = ["EXCLUSIVE", "KINDS", "OUTPATIENT_NO", "MigrationReport", "Recognised", "add_identifier", "create_person",
           "end_identifier", "family", "get", "holder", "merge", "migrate_regions", "recognise", "survivor", "survivors",
           "unmask", "unmerge", "update_person"]
