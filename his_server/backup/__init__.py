"""Backup and restore: every table, from one snapshot, into one sealed file that is the same for every database.

The file is a line of JSON (which keys open it) and a sealed stream (SM4-GCM in authenticated chunks): the tables' rows in key
order, then per table the number of rows, an SM3 digest over them, and the sums of its money and quantities. The same figures are
counted again by the database that a backup was restored to. Nothing is written anywhere before the whole file was read and found
true, and only an empty database is ever written to.

Implements: DB-25, X1.
"""

from his_server.backup.reading import Contents, Refused, restore, verify
from his_server.backup.writing import Summary, create

__all__ = ["Contents", "Refused", "Summary", "create", "restore", "verify"]
