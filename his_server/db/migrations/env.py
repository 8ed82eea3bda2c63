"""Alembic's environment: all loaded modules' models, online and offline, on SQLite, PostgreSQL and Dameng."""

from __future__ import annotations

from typing import Any

from alembic import context
from sqlalchemy import TypeDecorator

from his_server import registry
from his_server.db import Base, migrate

registry.load()
config = context.config


def render_item(kind: str, item: Any, autogen: Any) -> str | bool:
    """Our column types by their own names, so that a migration means the same on every database."""
    if kind == "type" and isinstance(item, TypeDecorator) and type(item).__module__ == "his_server.db.types":
        autogen.imports.add("from his_server.db import types")
        return f"types.{type(item).__name__}()"
    return False


OPTIONS: dict[str, Any] = {
    "target_metadata": Base.metadata, "render_item": render_item, "compare_type": migrate.compare_type,
    "transaction_per_migration": True,
}


def offline() -> None:
    """Write the statements for a dialect, without a database."""
    context.configure(url=config.attributes["url"], literal_binds=True, **OPTIONS)
    with context.begin_transaction():
        context.run_migrations()


def online() -> None:
    """Migrate ``config.attributes["database"]``; on SQLite behind its writer queue."""
    database = config.attributes["database"]
    with database.writer(), database.engine.connect() as connection:
        batch = connection.dialect.name == "sqlite"
        driver = connection.connection.driver_connection
        if batch:  # ALTER on SQLite makes a new table and drops the old one, whose rows others refer to
            driver.execute("PRAGMA foreign_keys=OFF")
        context.configure(connection=connection, render_as_batch=batch, **OPTIONS)
        with context.begin_transaction():
            context.run_migrations()
        if batch:
            driver.execute("PRAGMA foreign_keys=ON")


if context.is_offline_mode():
    offline()
else:
    online()
