"""SQLAlchemy dialect for Dameng DM8, and helpers for SQL that runs on SQLite, PostgreSQL and Dameng alike."""

from __future__ import annotations

from sqlalchemy.dialects import registry

# As the entry points in setup.cfg do, for a checkout that was installed before they were there
registry.register("dm", "dialects.dameng", "DamengDialect")
registry.register("dm.dmpython", "dialects.dameng", "DamengDialect")
