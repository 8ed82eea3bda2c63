"""Reports of the discipline office: who prescribes what, with consent; who of the staff looked at whose file."""

from modules.discipline.reports import colleagues
from modules.discipline.reports.colleagues import STAFF_FILES
from modules.discipline.reports.statistics import SOURCE, STATISTICS

SOURCES = (SOURCE, colleagues.SOURCE)

__all__ = ["SOURCES", "STAFF_FILES", "STATISTICS"]
