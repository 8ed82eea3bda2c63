"""Database: engines, unit of work, column types, keys, numbering, history."""

from his_server.db.base import Base, Keyed, SealedText
from his_server.db.database import Database, after_commit, now, of, today
from his_server.db.later import insert_later
from his_server.db.releases import SchemaRevision
from his_server.db.types import Instant, Money, Price, Quantity
from his_server.db.unique import unless_taken

__all__ = ["Base", "Database", "Instant", "Keyed", "Money", "Price", "Quantity", "SchemaRevision", "SealedText",
           "after_commit", "insert_later", "now", "of", "today", "unless_taken"]
