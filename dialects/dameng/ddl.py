# mypy: disable-error-code="no-untyped-call,no-any-return"
# SQLAlchemy leaves its compilers and dialects untyped.
"""DM8's DDL and names."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import Column, Identity, Index, Sequence, Table, TextClause, UniqueConstraint, exc
from sqlalchemy import types as sqltypes
from sqlalchemy.sql import compiler

from dialects.dameng.reserved import RESERVED_WORDS

# Greatest VARCHAR of a table's column in bytes, by the page size chosen at dminit (DM8 SQL manual, data
# types)
COLUMN_BYTES = {4096: 1900, 8192: 3900, 16384: 8000, 32768: 8188}
_BYTES_PER_CHARACTER = 4
_FIXED_BYTES = {"Integer": 8, "Numeric": 21, "DateTime": 9, "Date": 3, "Time": 6, "Boolean": 1}
_WORDS = re.compile(r"'(?:[^']|\'\')*'|\"[^\"]*\"|[A-Za-z_]\w*")  # a string, a quoted name, a bare word
_LOB_BYTES = 43  # what stays in the row of a LOB that lies elsewhere


def row_bytes(table: Table) -> int:
    """The greatest length in bytes that a row of `table` can have within its page, LOBs outside."""
    return sum(_column_bytes(column) for column in table.columns)


def _column_bytes(column: Column[Any]) -> int:
    kind: Any = column.type
    while isinstance(kind, sqltypes.TypeDecorator):
        kind = kind.impl_instance
    if isinstance(kind, sqltypes.Text | sqltypes.LargeBinary | sqltypes.JSON):
        return _LOB_BYTES
    if isinstance(kind, sqltypes.String):
        return 2 + (kind.length or 0) * _BYTES_PER_CHARACTER
    for name, size in _FIXED_BYTES.items():
        if isinstance(kind, getattr(sqltypes, name)):
            return size
    return 32


class DamengIdentifierPreparer(compiler.IdentifierPreparer):
    """Names: unquoted ones are upper-cased by the server, so lower case here is upper case there."""

    reserved_words = set(RESERVED_WORDS)
    illegal_initial_characters = {str(digit) for digit in range(10)} | {"_", "$"}

    def format_savepoint(self, savepoint: Any, name: str | None = None) -> str:
        return super().format_savepoint(savepoint, name or savepoint.ident.lstrip("_"))


class DamengDDLCompiler(compiler.DDLCompiler):
    """CREATE, ALTER and DROP, refusing before the server what it would refuse with a bare number."""

    def get_column_specification(self, column: Column[Any], **kw: Any) -> str:
        text = self.preparer.format_column(column)
        text += " " + self.dialect.type_compiler_instance.process(column.type, type_expression=column)
        self._check_length(column)
        if column.computed is not None:
            return f"{text} {self.process(column.computed)}"
        if column.identity is not None or self._autoincrements(column):
            identity = column.identity or Identity()
            text += f" IDENTITY({identity.start or 1}, {identity.increment or 1})"
        else:
            default = self.get_column_default_string(column)
            if default is not None:
                text += f" DEFAULT {default}"
        return text if column.nullable else f"{text} NOT NULL"

    def _autoincrements(self, column: Column[Any]) -> bool:
        return (
            column.table is not None
            and column is column.table._autoincrement_column
            and (column.default is None or (isinstance(column.default, Sequence) and column.default.optional))
            and column.server_default is None
        )

    def _check_length(self, column: Column[Any]) -> None:
        limit = COLUMN_BYTES.get(getattr(self.dialect, "page_size", 32768), 8188)
        kind: Any = column.type
        while isinstance(kind, sqltypes.TypeDecorator):
            kind = kind.impl_instance
        if isinstance(kind, sqltypes.Text | sqltypes.Enum) or not isinstance(kind, sqltypes.String):
            return
        if (kind.length or 0) > limit:
            raise exc.CompileError(
                f"{column}: VARCHAR({kind.length} CHAR) is more than the {limit} bytes that a column may have "
                "with this server's page size; use Text, or dminit PAGE_SIZE=32"
            )

    def post_create_table(self, table: Table) -> str:
        # Without it, a row of more than half a page is refused when it is written (-2665), not when it's
        # declared
        page = getattr(self.dialect, "page_size", 32768)
        return " STORAGE(USING LONG ROW)" if row_bytes(table) > page // 2 - 100 else ""

    def visit_create_table(self, create: Any, **kw: Any) -> str:
        _refuse_duplicate_indexes(create.element)
        return super().visit_create_table(create, **kw)

    def visit_create_index(
        self, create: Any, include_schema: Any = False, include_table_schema: Any = True, **kw: Any
    ) -> str:
        index = create.element
        if index.table is not None:
            _refuse_duplicate_indexes(index.table)
        self._verify_index_table(index)
        unique = "UNIQUE " if index.unique else ""
        name = self._prepared_index_name(index, include_schema=False)
        table = self.preparer.format_table(index.table)
        columns = ", ".join(
            self.sql_compiler.process(expression, include_table=False, literal_binds=True)
            for expression in index.expressions
        )
        return f"CREATE {unique}INDEX {name} ON {table} ({columns})"

    def visit_check_constraint(self, constraint: Any, **kw: Any) -> str:
        return self._check(super().visit_check_constraint(constraint, **kw), constraint)

    def visit_column_check_constraint(self, constraint: Any, **kw: Any) -> str:
        return self._check(super().visit_column_check_constraint(constraint, **kw), constraint)

    def _check(self, text: str, constraint: Any) -> str:
        """A CHECK given as text, in which a column named by a reserved word (first, next, …) must be quoted too."""
        if not isinstance(constraint.sqltext, TextClause):
            return text
        table = constraint.parent.table if isinstance(constraint.parent, Column) else constraint.parent
        reserved = {column.name for column in table.columns if column.name in self.preparer.reserved_words}
        head, check, body = text.partition("CHECK (")
        quote = self.preparer.quote
        return head + check + _WORDS.sub(lambda word: quote(word[0]) if word[0] in reserved else word[0], body)

    def visit_computed_column(self, generated: Any, **kw: Any) -> str:
        expression = self.sql_compiler.process(generated.sqltext, include_table=False, literal_binds=True)
        if generated.persisted:
            raise exc.CompileError("DM8's computed columns are virtual; leave out persisted=True")
        return f"AS ({expression})"

    def visit_drop_table_comment(self, drop: Any, **kw: Any) -> str:
        return f"COMMENT ON TABLE {self.preparer.format_table(drop.element)} IS ''"

    def define_constraint_cascades(self, constraint: Any) -> str:
        text = f" ON DELETE {constraint.ondelete}" if constraint.ondelete is not None else ""
        return text + (f" ON UPDATE {constraint.onupdate}" if constraint.onupdate is not None else "")

    def get_identity_options(self, identity_options: Any) -> str:
        text: str = super().get_identity_options(identity_options)
        return (
            text.replace("NO MINVALUE", "NOMINVALUE")
            .replace("NO MAXVALUE", "NOMAXVALUE")
            .replace("NO CYCLE", "NOCYCLE")
        )


def _refuse_duplicate_indexes(table: Table) -> None:
    """Raise CompileError for two indexes on the same columns, keys and unique constraints included
    (-3236)."""
    seen: dict[tuple[str, ...], str] = {}
    lists: list[tuple[tuple[str, ...], str]] = [
        (tuple(column.name for column in constraint.columns), str(constraint.name or "a unique constraint"))
        for constraint in table.constraints
        if isinstance(constraint, UniqueConstraint)
    ]
    if table.primary_key.columns:
        lists.insert(0, (tuple(column.name for column in table.primary_key.columns), "the primary key"))
    for index in sorted(table.indexes, key=lambda each: str(each.name)):
        if all(isinstance(expression, Column) for expression in index.expressions):
            lists.append((_index_columns(index), str(index.name)))
    for columns, name in lists:
        if seen.get(columns, name) != name:
            raise exc.CompileError(
                f"{table.name}: {name} and {seen[columns]} are on the same columns ({', '.join(columns)}); "
                "DM8 allows one index per list of columns (-3236)"
            )
        seen[columns] = name


def _index_columns(index: Index) -> tuple[str, ...]:
    return tuple(column.name for column in index.columns)
