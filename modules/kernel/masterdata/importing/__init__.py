"""``his-server import``: a hospital's own catalogues from xlsx or CSV; all rows checked first, all in or none."""

from modules.kernel.masterdata.importing.kinds import KINDS
from modules.kernel.masterdata.importing.run import OTHERS, ImportReport, import_file, import_rows
from modules.kernel.masterdata.importing.standard import standard_tables
from modules.kernel.masterdata.importing.table import CellError, read_table

__all__ = ["KINDS", "OTHERS", "CellError", "ImportReport", "import_file", "import_rows", "read_table", "standard_tables"]
