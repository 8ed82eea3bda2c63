"""Alembic on DM8: how its operations are written there. Imported by the dialect."""

from __future__ import annotations

from typing import Any

from alembic.ddl.base import (
    AddColumn,
    AlterColumn,
    ColumnComment,
    ColumnDefault,
    ColumnName,
    ColumnNullable,
    ColumnType,
    DropColumn,
    RenameTable,
    format_column_name,
    format_server_default,
    format_table_name,
    format_type,
)
from alembic.ddl.impl import DefaultImpl
from sqlalchemy.ext.compiler import compiles


class DamengImpl(DefaultImpl):
    """DDL commits by itself, so a migration that fails half way stays half done: migrations are small."""

    __dialect__ = "dm"
    transactional_ddl = False
    # what the dictionary calls our types
    type_synonyms = (
        *DefaultImpl.type_synonyms,
        {"CLOB", "TEXT"},
        {"BIT", "BOOLEAN"},
        {"DECIMAL", "NUMERIC", "NUMBER", "DEC"},
        {"TIMESTAMP", "DATETIME"},
        {"DOUBLE", "FLOAT", "DOUBLE PRECISION"},
        {"INTEGER", "INT"},
    )

    def compare_server_default(
        self,
        inspector_column: Any,
        metadata_column: Any,
        rendered_metadata_default: Any,
        rendered_inspector_default: Any,
    ) -> bool:
        def bare(value: str | None) -> str:
            text = (value or "").strip()
            while text.startswith("(") and text.endswith(")"):
                text = text[1:-1].strip()
            return text.strip("'").upper()

        return bare(rendered_inspector_default) != bare(rendered_metadata_default)


def _alter(compiler: Any, element: AlterColumn) -> str:
    return f"ALTER TABLE {format_table_name(compiler, element.table_name, element.schema)}"


@compiles(RenameTable, "dm")
def _rename_table(element: RenameTable, compiler: Any, **kw: Any) -> str:
    table = format_table_name(compiler, element.table_name, element.schema)
    return f"ALTER TABLE {table} RENAME TO {format_table_name(compiler, element.new_table_name, None)}"


@compiles(AddColumn, "dm")
def _add_column(element: AddColumn, compiler: Any, **kw: Any) -> str:
    table = format_table_name(compiler, element.table_name, element.schema)
    return f"ALTER TABLE {table} ADD {compiler.get_column_specification(element.column)}"


@compiles(DropColumn, "dm")
def _drop_column(element: DropColumn, compiler: Any, **kw: Any) -> str:
    table = format_table_name(compiler, element.table_name, element.schema)
    return f"ALTER TABLE {table} DROP COLUMN {format_column_name(compiler, element.column.name)}"


@compiles(ColumnName, "dm")
def _rename_column(element: ColumnName, compiler: Any, **kw: Any) -> str:
    old, new = (
        format_column_name(compiler, element.column_name),
        format_column_name(compiler, element.newname),
    )
    return f"{_alter(compiler, element)} RENAME COLUMN {old} TO {new}"


@compiles(ColumnType, "dm")
def _column_type(element: ColumnType, compiler: Any, **kw: Any) -> str:
    column = format_column_name(compiler, element.column_name)
    return f"{_alter(compiler, element)} MODIFY {column} {format_type(compiler, element.type_)}"


@compiles(ColumnNullable, "dm")
def _column_nullable(element: ColumnNullable, compiler: Any, **kw: Any) -> str:
    column = format_column_name(compiler, element.column_name)
    return (
        f"{_alter(compiler, element)} ALTER COLUMN {column} SET {'NULL' if element.nullable else 'NOT NULL'}"
    )


@compiles(ColumnDefault, "dm")
def _column_default(element: ColumnDefault, compiler: Any, **kw: Any) -> str:
    column = format_column_name(compiler, element.column_name)
    if element.default is None:
        return f"{_alter(compiler, element)} ALTER COLUMN {column} DROP DEFAULT"
    default = format_server_default(compiler, element.default)
    return f"{_alter(compiler, element)} ALTER COLUMN {column} SET DEFAULT {default}"


@compiles(ColumnComment, "dm")
def _column_comment(element: ColumnComment, compiler: Any, **kw: Any) -> str:
    table = format_table_name(compiler, element.table_name, element.schema)
    column = format_column_name(compiler, element.column_name)
    comment = (element.comment or "").replace("'", "''")
    return f"COMMENT ON COLUMN {table}.{column} IS '{comment}'"
