"""Making, emptying and dropping the PostgreSQL database of a test process."""

from __future__ import annotations

from sqlalchemy import create_engine, text
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.pool import NullPool

from his_server.db import Base


def create_postgres(server_url: str, name: str) -> str:
    """Create an empty database on the server; returns its URL."""
    _on_server(server_url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)', f'CREATE DATABASE "{name}"')
    return make_url(server_url).set(database=name).render_as_string(hide_password=False)


def copy_postgres(server_url: str, original: str, name: str) -> str:
    """A copy of a database to which nobody is connected; returns its URL."""
    _on_server(server_url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)', f'CREATE DATABASE "{name}" TEMPLATE "{original}"')
    return make_url(server_url).set(database=name).render_as_string(hide_password=False)


def drop_postgres(server_url: str, url: str) -> None:
    """Drop the database, whoever is still connected."""
    _on_server(server_url, f'DROP DATABASE IF EXISTS "{make_url(url).database}" WITH (FORCE)')


def _on_server(server_url: str, *statements: str) -> None:
    engine = create_engine(server_url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))


def empty_postgres(url: str, *, upper_in: str = "") -> None:
    """End what other connections left open, then delete all rows; only tables that have rows are touched.

    ``upper_in``: the schema in which the stand-in for Dameng keeps them, by names in upper case.
    """
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                                " WHERE datname = current_database() AND pid <> pg_backend_pid()"))
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        if upper_in:
            connection.execute(text(f'SET LOCAL search_path = "{upper_in}", sys'))
        for name in _filled(connection, bool(upper_in)):
            connection.execute(text(f'DELETE FROM "{name}"'))


def _filled(connection: Connection, upper: bool) -> list[str]:
    names = [name.upper() if upper else name for name in Base.metadata.tables]
    columns = ", ".join(f'EXISTS (SELECT 1 FROM "{name}")' for name in names)
    row = connection.execute(text(f"SELECT {columns}")).one()
    return [name for name, filled in zip(names, row, strict=True) if filled]
