# mypy: disable-error-code="no-untyped-call,no-any-return"
# SQLAlchemy leaves its compilers and dialects untyped.
"""DM8's SQL: SELECT, DML and types. Sources: DM8 SQL manual; where the manual is silent, see docs/dameng.md
[?]."""

from __future__ import annotations

import copy
from typing import Any

from sqlalchemy import exc, sql
from sqlalchemy import types as sqltypes
from sqlalchemy.sql import compiler, crud, elements, expression, operators

from dialects.dameng.dml import Merge

_PREDICATE_OPERATORS = {
    operators.eq, operators.ne, operators.lt, operators.le, operators.gt, operators.ge, operators.is_,
    operators.is_not, operators.in_op, operators.not_in_op, operators.like_op, operators.not_like_op,
    operators.ilike_op, operators.not_ilike_op, operators.between_op, operators.not_between_op,
    operators.contains_op, operators.startswith_op, operators.endswith_op, operators.is_distinct_from,
    operators.is_not_distinct_from, operators.regexp_match_op, operators.not_regexp_match_op,
    operators.not_contains_op, operators.not_startswith_op, operators.not_endswith_op,
}  # fmt: skip

_NOT_TEXT = (sqltypes.Integer, sqltypes.Numeric, sqltypes.DateTime, sqltypes.Date)


def _untyped(element: Any) -> bool:
    """True for a parameter that would be text where its context doesn't say what it is."""
    return isinstance(element, elements.BindParameter) and element.type._type_affinity in _NOT_TEXT


def is_predicate(element: Any) -> bool:
    """True if `element` is written as a condition, which DM8 takes in WHERE and CASE, but not as a value."""
    if isinstance(element, elements.Grouping):
        return is_predicate(element.element)
    if isinstance(element, elements.BooleanClauseList | elements.AsBoolean | expression.Exists):
        return True
    if isinstance(element, elements.BinaryExpression):
        return element.operator in _PREDICATE_OPERATORS or bool(
            getattr(element.operator, "is_comparison", False)
        )
    if isinstance(element, elements.UnaryExpression):
        return element.operator in (operators.inv, operators.exists)
    return False


class DamengCompiler(compiler.SQLCompiler):
    """SELECT, INSERT, UPDATE, DELETE and MERGE."""

    dameng_returning = 0  # number of RETURNING … INTO parameters, the last ones of the statement

    def default_from(self) -> str:
        return " FROM DUAL"

    # ---- conditions and values

    def visit_label(self, label: Any, *args: Any, **kw: Any) -> str:
        if (
            kw.get("within_columns_clause")
            and not kw.get("within_label_clause")
            and is_predicate(label.element)
            and kw.get("render_label_as_label") is not label
        ):
            # DM8 has no boolean values in a select list
            value = copy.copy(label)
            value.element = sql.case((label.element, sql.literal_column("1")), else_=sql.literal_column("0"))
            kw["result_map_targets"] = (*kw.get("result_map_targets", ()), label, label.element)
            label = value
        elif kw.get("within_columns_clause") and _untyped(label.element) and kw.get("render_label_as_label") is not label:
            value = copy.copy(label)
            value.element = sql.cast(label.element, label.element.type)
            kw["result_map_targets"] = (*kw.get("result_map_targets", ()), label, label.element)
            label = value
        return super().visit_label(label, *args, **kw)

    def visit_case(self, clause: Any, **kw: Any) -> str:
        # A parameter as a result has no type from its context, and would be text: say what it is
        value = f"CASE {self.process(clause.value, **kw)} " if clause.value is not None else "CASE "
        for condition, result in clause.whens:
            value += f"WHEN {self.process(condition, **kw)} THEN {self._typed(result, **kw)} "
        if clause.else_ is not None:
            value += f"ELSE {self._typed(clause.else_, **kw)} "
        return value + "END"

    def _typed(self, value: Any, **kw: Any) -> str:
        text = self.process(value, **kw)
        if _untyped(value):
            return f"CAST({text} AS {self.dialect.type_compiler_instance.process(value.type)})"
        return text

    def visit_true(self, expr: Any, **kw: Any) -> str:
        return "1"

    def visit_false(self, expr: Any, **kw: Any) -> str:
        return "0"

    def visit_is__binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        if isinstance(binary.right, elements.True_ | elements.False_):
            return f"{self.process(binary.left, **kw)} = {self.process(binary.right, **kw)}"
        return self._generate_generic_binary(binary, " IS ", **kw)

    def visit_is_not_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        if isinstance(binary.right, elements.True_ | elements.False_):
            left = self.process(binary.left, **kw)
            return f"({left} <> {self.process(binary.right, **kw)} OR {left} IS NULL)"
        return self._generate_generic_binary(binary, " IS NOT ", **kw)

    def visit_is_distinct_from_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        return f"DECODE({self.process(binary.left, **kw)}, {self.process(binary.right, **kw)}, 0, 1) = 1"

    def visit_is_not_distinct_from_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        return f"DECODE({self.process(binary.left, **kw)}, {self.process(binary.right, **kw)}, 0, 1) = 0"

    def visit_mod_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        return f"MOD({self.process(binary.left, **kw)}, {self.process(binary.right, **kw)})"

    def visit_truediv_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        # INT / INT is an integer on DM8, but a parameter of the server can change that
        left, right = self.process(binary.left, **kw), self.process(binary.right, **kw)
        if binary.right.type._type_affinity is sqltypes.Integer:
            right = f"CAST({right} AS DECIMAL(38, 10))"
        return f"{left} / {right}"

    def visit_floordiv_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        return f"FLOOR({self.process(binary.left, **kw)} / {self.process(binary.right, **kw)})"

    def visit_regexp_match_op_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        flags = binary.modifiers["flags"]
        tail = "" if flags is None else f", {self.render_literal_value(flags, sqltypes.STRINGTYPE)}"
        return f"REGEXP_LIKE({self.process(binary.left, **kw)}, {self.process(binary.right, **kw)}{tail})"

    def visit_not_regexp_match_op_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        return f"NOT {self.visit_regexp_match_op_binary(binary, operator, **kw)}"

    def visit_regexp_replace_op_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        string, pattern = self.process(binary.left, **kw), self.process(binary.right, **kw)
        flags = binary.modifiers["flags"]
        tail = "" if flags is None else f", 1, 0, {self.render_literal_value(flags, sqltypes.STRINGTYPE)}"
        return f"REGEXP_REPLACE({string}, {pattern}{tail})"

    def visit_now_func(self, fn: Any, **kw: Any) -> str:
        return "CURRENT_TIMESTAMP(6)"

    def visit_char_length_func(self, fn: Any, **kw: Any) -> str:
        return "CHAR_LENGTH" + self.function_argspec(fn, **kw)

    def visit_aggregate_strings_func(self, fn: Any, **kw: Any) -> str:
        # One function for all lengths; the order within is undefined without an aggregate ORDER BY
        return f"LISTAGG{self.function_argspec(fn, **kw)}"

    def visit_sequence(self, sequence: Any, **kw: Any) -> str:
        return f"{self.preparer.format_sequence(sequence)}.NEXTVAL"

    def visit_empty_set_expr(self, element_types: Any, **kw: Any) -> str:
        nothing = ", ".join("1" for _ in element_types) or "1"
        return f"SELECT {nothing} FROM DUAL WHERE 1 <> 1"

    # ---- the select's tail

    def limit_clause(self, select: Any, **kw: Any) -> str:
        text = ""
        if select._limit_clause is not None:
            text = f"\n LIMIT {self.process(select._limit_clause, **kw)}"
            if select._offset_clause is not None:
                text += f" OFFSET {self.process(select._offset_clause, **kw)}"
        elif select._offset_clause is not None:
            text = f"\n OFFSET {self.process(select._offset_clause, **kw)} ROWS"
        return text

    def for_update_clause(self, select: Any, **kw: Any) -> str:
        if self.is_subquery():
            return ""
        if select._distinct or select._group_by_clauses:
            raise exc.CompileError("DM8 has no FOR UPDATE with DISTINCT or GROUP BY")
        argument = select._for_update_arg
        text = " FOR UPDATE"  # there is no shared row lock: FOR SHARE takes the stronger one
        if argument.of:
            text += " OF " + ", ".join(self.process(column, **kw) for column in argument.of)
        if argument.nowait:
            text += " NOWAIT"
        elif argument.skip_locked:
            text += " SKIP LOCKED"
        return text

    def get_cte_preamble(self, recursive: bool) -> str:
        return (
            "WITH"  # a recursive one is known by itself, as in Oracle and as the vendor's dialect writes it
        )

    def get_render_as_alias_suffix(self, alias_name_text: str) -> str:
        return f" {alias_name_text}"

    # ---- DML

    def returning_clause(
        self, stmt: Any, returning_cols: Any, *, populate_result_map: bool, **kw: Any
    ) -> str:
        columns, binds = [], []
        if self.has_out_parameters:
            raise exc.CompileError("explicit outparam() and RETURNING can't be in one statement")
        wanted: list[Any] = list(expression._select_iterables(returning_cols))
        for number, column in enumerate(wanted):
            impl = column.type.dialect_impl(self.dialect)
            rendered = impl.column_expression(column) if impl._has_column_expression else column
            out = sql.outparam(f"ret_{number}", type_=column.type)
            self.binds[out.key] = out
            binds.append(self.bindparam_string(self._truncate_bindparam(out)))
            value = rendered
            if is_predicate(getattr(rendered, "element", rendered)):
                inner = getattr(rendered, "element", rendered)
                value = sql.case((inner, sql.literal_column("1")), else_=sql.literal_column("0"))
            columns.append(self.process(value, within_columns_clause=False))
            if populate_result_map:
                name = getattr(rendered, "name", rendered._anon_name_label)
                targets = (column, getattr(column, "name", None), getattr(column, "key", None))
                self._add_to_result_map(name, name, targets, column.type)
        self.dameng_returning = len(columns)
        return f"RETURNING {', '.join(columns)} INTO {', '.join(binds)}"

    def visit_insert(
        self, insert_stmt: Any, visited_bindparam: Any = None, visiting_cte: Any = None, **kw: Any
    ) -> str:
        if isinstance(insert_stmt, Merge):
            return self._merge(insert_stmt, **kw)
        text = super().visit_insert(
            insert_stmt, visited_bindparam=visited_bindparam, visiting_cte=visiting_cte, **kw
        )
        if " () VALUES ()" in text:  # DM8 has no INSERT without a column
            first = self.preparer.format_column(next(iter(insert_stmt.table.columns)))
            text = text.replace(" () VALUES ()", f" ({first}) VALUES (DEFAULT)", 1)
        return text

    def _merge(self, statement: Any, **kw: Any) -> str:
        """MERGE with the INSERT's values in place: a parameter has the type of the column that it meets."""
        state = statement._compile_state_factory(statement, self, **kw)
        self.isinsert = True
        self.dml_compile_state = self.compile_state = state
        entry: Any = {"correlate_froms": set(), "asfrom_froms": set(), "selectable": statement}
        self.stack.append(entry)
        params = crud._get_crud_params(
            self, statement, state, True, visited_bindparam=None, **kw
        ).single_params
        self.stack.pop()
        target = self.preparer.format_table(statement.table)
        written: dict[str, tuple[str, str]] = {column.key: (name, value) for column, name, value, _ in params}
        missing = [key for key in (*statement.merge_keys, *statement.merge_updates) if key not in written]
        if missing or not statement.merge_keys:
            raise exc.CompileError(
                f"MERGE into {statement.table.name} has no value for {missing or 'its key'}"
            )
        condition = " AND ".join(
            f"{target}.{name} = {value}" for name, value in (written[key] for key in statement.merge_keys)
        )
        text = f"MERGE INTO {target} USING DUAL ON ({condition})"
        if statement.merge_updates:
            sets = (
                f"{target}.{name} = {value}"
                for name, value in (written[key] for key in statement.merge_updates)
            )
            text += f" WHEN MATCHED THEN UPDATE SET {', '.join(sets)}"
        names, values = zip(*written.values(), strict=True)
        return f"{text} WHEN NOT MATCHED THEN INSERT ({', '.join(names)}) VALUES ({', '.join(values)})"


class DamengTypeCompiler(compiler.GenericTypeCompiler):
    """Types in DDL and CAST."""

    def visit_boolean(self, type_: Any, **kw: Any) -> str:
        return "BIT"

    visit_BOOLEAN = visit_BIT = visit_boolean

    def visit_TINYINT(self, type_: Any, **kw: Any) -> str:
        return "TINYINT"

    def visit_VARCHAR(self, type_: Any, **kw: Any) -> str:
        # n alone would be bytes; DM8 has no VARCHAR of any length, 8188 is its greatest
        if type_.length is None and kw.get("type_expression") is not None:
            raise exc.CompileError("VARCHAR needs a length on DM8; use Text for text of any length")
        return "VARCHAR(8188)" if type_.length is None else f"VARCHAR({type_.length} CHAR)"

    visit_NVARCHAR = visit_VARCHAR

    def visit_CHAR(self, type_: Any, **kw: Any) -> str:
        # dmPython 2.6.1 reads past its buffer for a CHAR in RETURNING … INTO (padding of zero bytes, or a
        # crash)
        return f"VARCHAR({type_.length or 1} CHAR)"

    visit_NCHAR = visit_CHAR

    def visit_text(self, type_: Any, **kw: Any) -> str:
        return "CLOB"

    visit_unicode_text = visit_TEXT = visit_CLOB = visit_JSON = visit_text

    def visit_large_binary(self, type_: Any, **kw: Any) -> str:
        return "BLOB"

    def visit_VARBINARY(self, type_: Any, **kw: Any) -> str:
        return "VARBINARY(8188)" if type_.length is None else f"VARBINARY({type_.length})"

    def visit_numeric(self, type_: Any, **kw: Any) -> str:
        return self.visit_NUMERIC(type_, **kw)

    def visit_NUMERIC(self, type_: Any, **kw: Any) -> str:
        if type_.precision is None:
            return "NUMBER"  # any precision and scale; DECIMAL alone would have none after the point
        return f"DECIMAL({type_.precision}, {type_.scale or 0})"

    visit_DECIMAL = visit_NUMERIC

    def visit_float(self, type_: Any, **kw: Any) -> str:
        return "DOUBLE"

    visit_FLOAT = visit_DOUBLE = visit_DOUBLE_PRECISION = visit_double = visit_float

    def visit_datetime(self, type_: Any, **kw: Any) -> str:
        return "TIMESTAMP(6)"

    visit_DATETIME = visit_datetime

    def visit_TIMESTAMP(self, type_: Any, **kw: Any) -> str:
        return "TIMESTAMP(6)"

    def visit_TIME(self, type_: Any, **kw: Any) -> str:
        return "TIME(6)"

    def visit_uuid(self, type_: Any, **kw: Any) -> str:
        return "VARCHAR(32 CHAR)"

    visit_UUID = visit_uuid
