# mypy: disable-error-code="no-untyped-call,no-any-return"
# SQLAlchemy leaves its compilers and dialects untyped.
"""Reading the server's dictionary: DM8's ALL_* views, as in Oracle, and SYSCOLUMNS for what they don't
tell."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from sqlalchemy import exc, text
from sqlalchemy import types as sqltypes
from sqlalchemy.engine import Connection, reflection
from sqlalchemy.engine.default import DefaultDialect

from dialects.dameng.types import REFLECTED

_CONSTRAINTS = """
SELECT c.CONSTRAINT_NAME AS "name", c.CONSTRAINT_TYPE AS "kind", k.COLUMN_NAME AS "column_name",
       r.OWNER AS "parent_owner", r.TABLE_NAME AS "parent_table", p.COLUMN_NAME AS "parent_column",
       c.DELETE_RULE AS "delete_rule", c.INDEX_NAME AS "index_name"
FROM ALL_CONSTRAINTS c
JOIN ALL_CONS_COLUMNS k ON k.OWNER = c.OWNER AND k.CONSTRAINT_NAME = c.CONSTRAINT_NAME
     AND k.TABLE_NAME = c.TABLE_NAME
LEFT JOIN ALL_CONSTRAINTS r ON r.OWNER = c.R_OWNER AND r.CONSTRAINT_NAME = c.R_CONSTRAINT_NAME
LEFT JOIN ALL_CONS_COLUMNS p ON p.OWNER = r.OWNER AND p.CONSTRAINT_NAME = r.CONSTRAINT_NAME
     AND p.TABLE_NAME = r.TABLE_NAME AND p.POSITION = k.POSITION
WHERE c.OWNER = :owner AND c.TABLE_NAME = :name AND c.CONSTRAINT_TYPE IN ('P', 'U', 'R')
ORDER BY c.CONSTRAINT_NAME, k.POSITION
"""
_COLUMNS = """
SELECT COLUMN_NAME AS "name", DATA_TYPE AS "type", DATA_LENGTH AS "bytes", CHAR_LENGTH AS "characters",
       DATA_PRECISION AS "precision", DATA_SCALE AS "scale", NULLABLE AS "nullable", DATA_DEFAULT AS "default"
FROM ALL_TAB_COLUMNS WHERE OWNER = :owner AND TABLE_NAME = :name ORDER BY COLUMN_ID
"""
_IDENTITY = """
SELECT c.NAME AS "name" FROM SYSCOLUMNS c
JOIN SYSOBJECTS t ON t.ID = c.ID AND t.NAME = :name AND t.SUBTYPE$ IN ('UTAB', 'STAB')
JOIN SYSOBJECTS s ON s.ID = t.SCHID AND s.TYPE$ = 'SCH' AND s.NAME = :owner
WHERE MOD(c.INFO2, 2) = 1
"""
_INDEXES = """
SELECT i.INDEX_NAME AS "name", i.UNIQUENESS AS "uniqueness", c.COLUMN_NAME AS "column_name"
FROM ALL_INDEXES i
JOIN ALL_IND_COLUMNS c ON c.INDEX_OWNER = i.OWNER AND c.INDEX_NAME = i.INDEX_NAME
WHERE i.TABLE_OWNER = :owner AND i.TABLE_NAME = :name AND i.INDEX_TYPE <> 'CLUSTER' AND i.INDEX_TYPE <>
'VIRTUAL' ORDER BY i.INDEX_NAME, c.COLUMN_POSITION
"""


class DamengReflection(DefaultDialect):
    """What Inspector and Alembic's autogenerate ask."""

    def _lower(self, name: Any) -> Any:
        return self.normalize_name(name)

    def _owner(self, schema: str | None) -> Any:
        return self.denormalize_name(schema or self.default_schema_name)

    def _rows(
        self, connection: Connection, statement: str, schema: str | None, name: str | None = None
    ) -> list[Any]:
        parameters = {"owner": self._owner(schema)}
        if name is not None:
            parameters["name"] = self.denormalize_name(name)
        return list(connection.execute(text(statement), parameters))

    def _names(self, rows: Iterable[Any]) -> list[str]:
        return [self._lower(row[0]) for row in rows]

    def _require(self, connection: Connection, name: str, schema: str | None, **kw: Any) -> None:
        if not self.has_table(connection, name, schema, **kw):
            raise exc.NoSuchTableError(f"{schema}.{name}" if schema else name)

    def _get_default_schema_name(self, connection: Connection) -> str:
        name = connection.scalar(text("SELECT SYS_CONTEXT('USERENV', 'CURRENT_SCHEMA') FROM DUAL"))
        return self._lower(name)

    @reflection.cache
    def has_table(
        self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> bool:
        statement = """SELECT 1 FROM ALL_TABLES WHERE OWNER = :owner AND TABLE_NAME = :name
            UNION ALL SELECT 1 FROM ALL_VIEWS WHERE OWNER = :owner AND VIEW_NAME = :name"""
        return bool(self._rows(connection, statement, schema, table_name))

    @reflection.cache
    def has_sequence(
        self, connection: Connection, sequence_name: str, schema: str | None = None, **kw: Any
    ) -> bool:
        statement = "SELECT 1 FROM ALL_SEQUENCES WHERE SEQUENCE_OWNER = :owner AND SEQUENCE_NAME = :name"
        return bool(self._rows(connection, statement, schema, sequence_name))

    @reflection.cache
    def has_index(
        self, connection: Connection, table_name: str, index_name: str, schema: str | None = None, **kw: Any
    ) -> bool:
        if not self.has_table(connection, table_name, schema, **kw):
            return False
        indexes = self.get_indexes(connection, table_name, schema, **kw)
        return any(index["name"] == index_name for index in indexes)

    @reflection.cache
    def get_schema_names(self, connection: Connection, **kw: Any) -> list[str]:
        return self._names(
            connection.execute(text("SELECT NAME FROM SYSOBJECTS WHERE TYPE$ = 'SCH' ORDER BY NAME"))
        )

    @reflection.cache
    def get_table_names(self, connection: Connection, schema: str | None = None, **kw: Any) -> list[str]:
        statement = (
            "SELECT TABLE_NAME FROM ALL_TABLES WHERE OWNER = :owner AND TEMPORARY = 'N' ORDER BY TABLE_NAME"
        )
        return self._names(self._rows(connection, statement, schema))

    @reflection.cache
    def get_temp_table_names(self, connection: Connection, schema: str | None = None, **kw: Any) -> list[str]:
        statement = (
            "SELECT TABLE_NAME FROM ALL_TABLES WHERE OWNER = :owner AND TEMPORARY = 'Y' ORDER BY TABLE_NAME"
        )
        return self._names(self._rows(connection, statement, schema))

    @reflection.cache
    def get_view_names(self, connection: Connection, schema: str | None = None, **kw: Any) -> list[str]:
        statement = "SELECT VIEW_NAME FROM ALL_VIEWS WHERE OWNER = :owner ORDER BY VIEW_NAME"
        return self._names(self._rows(connection, statement, schema))

    @reflection.cache
    def get_view_definition(
        self, connection: Connection, view_name: str, schema: str | None = None, **kw: Any
    ) -> str:
        statement = "SELECT TEXT FROM ALL_VIEWS WHERE OWNER = :owner AND VIEW_NAME = :name"
        rows = self._rows(connection, statement, schema, view_name)
        if not rows:
            raise exc.NoSuchTableError(f"{schema}.{view_name}" if schema else view_name)
        value = rows[0][0]
        return str(value.read() if hasattr(value, "read") else value)

    @reflection.cache
    def get_sequence_names(self, connection: Connection, schema: str | None = None, **kw: Any) -> list[str]:
        statement = (
            "SELECT SEQUENCE_NAME FROM ALL_SEQUENCES WHERE SEQUENCE_OWNER = :owner ORDER BY SEQUENCE_NAME"
        )
        return self._names(self._rows(connection, statement, schema))

    @reflection.cache
    def get_columns(
        self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> Any:
        self._require(connection, table_name, schema, **kw)
        comments_query = """SELECT COLUMN_NAME, COMMENTS FROM ALL_COL_COMMENTS
            WHERE OWNER = :owner AND TABLE_NAME = :name AND COMMENTS IS NOT NULL"""
        comments = {row[0]: row[1] for row in self._rows(connection, comments_query, schema, table_name)}
        identities = {row[0] for row in self._rows(connection, _IDENTITY, schema, table_name)}
        columns = []
        for row in self._rows(connection, _COLUMNS, schema, table_name):
            column: dict[str, Any] = {
                "name": self._lower(row.name),
                "type": _reflected_type(row),
                "nullable": row.nullable == "Y",
                "default": None if row.name in identities else _clean_default(row.default),
                "autoincrement": row.name in identities,
                "comment": comments.get(row.name) or None,
            }
            columns.append(column)
        return columns

    def _constraints(
        self, connection: Connection, table_name: str, schema: str | None, **kw: Any
    ) -> dict[tuple[str, str], list[Any]]:
        """Rows of the keys and unique constraints, by kind and name."""
        self._require(connection, table_name, schema, **kw)
        found: dict[tuple[str, str], list[Any]] = {}
        for row in self._rows(connection, _CONSTRAINTS, schema, table_name):
            found.setdefault((row.kind, row.name), []).append(row)
        return found

    @reflection.cache
    def get_pk_constraint(
        self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> Any:
        for (kind, name), rows in self._constraints(connection, table_name, schema, **kw).items():
            if kind == "P":
                columns = [self._lower(row.column_name) for row in rows]
                return {"name": self._lower(name), "constrained_columns": columns}
        return {"name": None, "constrained_columns": []}

    @reflection.cache
    def get_foreign_keys(
        self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> Any:
        keys = []
        for (kind, name), rows in self._constraints(connection, table_name, schema, **kw).items():
            if kind != "R":
                continue
            parent_schema = self._lower(rows[0].parent_owner)
            rule = rows[0].delete_rule
            keys.append(
                {
                    "name": self._lower(name),
                    "constrained_columns": [self._lower(row.column_name) for row in rows],
                    "referred_schema": None
                    if schema is None and parent_schema == self.default_schema_name
                    else parent_schema,
                    "referred_table": self._lower(rows[0].parent_table),
                    "referred_columns": [self._lower(row.parent_column) for row in rows],
                    "options": {"ondelete": rule} if rule and rule != "NO ACTION" else {},
                }
            )
        return keys

    @reflection.cache
    def get_unique_constraints(
        self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> Any:
        return [
            {
                "name": self._lower(name),
                "column_names": [self._lower(row.column_name) for row in rows],
            }
            for (kind, name), rows in self._constraints(connection, table_name, schema, **kw).items()
            if kind == "U"
        ]

    @reflection.cache
    def get_check_constraints(
        self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> Any:
        self._require(connection, table_name, schema, **kw)
        statement = """SELECT CONSTRAINT_NAME, SEARCH_CONDITION FROM ALL_CONSTRAINTS
            WHERE OWNER = :owner AND TABLE_NAME = :name AND CONSTRAINT_TYPE = 'C' ORDER BY CONSTRAINT_NAME"""
        found = []
        for name, condition in self._rows(connection, statement, schema, table_name):
            sqltext = condition.read() if hasattr(condition, "read") else condition
            if sqltext and not re.fullmatch(r'"?\w+"? IS NOT NULL', sqltext):
                found.append({"name": self._lower(name), "sqltext": sqltext})
        return found

    @reflection.cache
    def get_indexes(
        self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> Any:
        """The indexes that aren't a key's or a unique constraint's own."""
        constraints = self._constraints(connection, table_name, schema, **kw)
        own = {rows[0].index_name or name for (kind, name), rows in constraints.items() if kind in "PU"}
        own |= {name for (kind, name) in constraints if kind in "PU"}
        indexes: dict[str, dict[str, Any]] = {}
        for row in self._rows(connection, _INDEXES, schema, table_name):
            if row.name in own:
                continue
            index = indexes.setdefault(
                row.name,
                {
                    "name": self._lower(row.name),
                    "column_names": [],
                    "unique": row.uniqueness == "UNIQUE",
                    "dialect_options": {},
                },
            )
            index["column_names"].append(self._lower(row.column_name))
        return list(indexes.values())

    @reflection.cache
    def get_table_comment(
        self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> Any:
        self._require(connection, table_name, schema, **kw)
        statement = "SELECT COMMENTS FROM ALL_TAB_COMMENTS WHERE OWNER = :owner AND TABLE_NAME = :name"
        rows = self._rows(connection, statement, schema, table_name)
        return {"text": (rows[0][0] or None) if rows else None}


def _reflected_type(row: Any) -> Any:
    name = re.sub(r"\s*\([^)]*\)", "", row.type.upper()).strip()
    kind = REFLECTED.get(name)
    if kind is None:
        return sqltypes.NULLTYPE
    if issubclass(kind, sqltypes.VARCHAR | sqltypes.CHAR):
        return kind(length=int(row.characters or row.bytes))
    if issubclass(kind, sqltypes.VARBINARY | sqltypes.BINARY):
        return kind(length=int(row.bytes))
    if issubclass(kind, sqltypes.NUMERIC | sqltypes.DECIMAL) and row.precision:
        return kind(precision=int(row.precision), scale=int(row.scale or 0))
    if issubclass(kind, sqltypes.TIMESTAMP):
        return kind(timezone="ZONE" in name)
    return kind()


def _clean_default(value: Any) -> str | None:
    raw = value.read() if hasattr(value, "read") else value
    stripped = raw.strip() if raw else ""
    return stripped or None
