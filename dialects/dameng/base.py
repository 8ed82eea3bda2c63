# mypy: disable-error-code="no-untyped-call,no-any-return"
# SQLAlchemy leaves its compilers and dialects untyped.
"""The dialect: connecting, executing, transactions, errors."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

from sqlalchemy import exc, text
from sqlalchemy.engine import URL, Connection
from sqlalchemy.engine import cursor as cursors
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.sql.compiler import SQLCompiler

from dialects.dameng.codes import DISCONNECT, SYNTAX, error_code, says_not_connected
from dialects.dameng.compiler import DamengCompiler, DamengTypeCompiler
from dialects.dameng.ddl import DamengDDLCompiler, DamengIdentifierPreparer
from dialects.dameng.reflection import DamengReflection
from dialects.dameng.types import COLSPECS

_DEFAULT_PORT = 5236
_UTF8 = 1  # the driver's code of UTF-8; its default is GB18030, whatever the locale
_INTEGER_ARGUMENTS = ("login_timeout", "connection_timeout", "lang_id", "local_code", "rwseparate_percent")
_BOOLEAN_ARGUMENTS = ("compress_msg", "use_stmt_pool", "rwseparate")
_TEXT_ARGUMENTS = ("app_name", "ssl_path", "ssl_pwd", "dmsvc_path", "schema")
_ISOLATION = {"READ UNCOMMITTED": 0, "READ COMMITTED": 1, "SERIALIZABLE": 3}


class DamengExecutionContext(DefaultExecutionContext):
    """One statement's execution: identity columns given by hand, and RETURNING … INTO."""

    dialect: DamengDialect
    _identity_table: str | None = None
    returned: list[tuple[Any, ...]] | None = None

    @property
    def returning_parameters(self) -> int:
        """How many of the last parameters are to be filled by RETURNING … INTO."""
        return getattr(self.compiled, "dameng_returning", 0)

    def fire_sequence(self, seq: Any, type_: Any) -> Any:
        statement = f"SELECT {self.identifier_preparer.format_sequence(seq)}.NEXTVAL FROM DUAL"
        return self._execute_scalar(statement, type_)

    def pre_exec(self) -> None:
        if not self.isinsert or not isinstance(self.compiled, SQLCompiler):
            return
        state = self.compiled.compile_state
        table = getattr(state, "dml_table", None)
        column = getattr(table, "_autoincrement_column", None)
        if column is None or not self.dialect.has_identity(column):
            return
        multi = getattr(state, "_dict_parameters", None) or {}
        if column.key in self.compiled_parameters[0] or column.key in multi or column in multi:
            # -2723 otherwise: the server numbers identity columns itself unless told not to
            self._identity_table = self.identifier_preparer.format_table(table)
            self._order(self.cursor, f"SET IDENTITY_INSERT {self._identity_table} ON")

    def post_exec(self) -> None:
        if self.returned is not None:
            assert isinstance(self.compiled, SQLCompiler)
            names: Any = [(entry.keyname, None) for entry in self.compiled._result_columns]
            self.cursor_fetch_strategy = cursors.FullyBufferedCursorFetchStrategy(
                self.cursor,
                names,
                initial_buffer=self.returned,
            )
            self._rowcount = len(self.returned)
        elif self.isinsert or self.isupdate or self.isdelete:
            self._rowcount = self.cursor.rowcount
        self._end_identity_insert()

    def handle_dbapi_exception(self, e: BaseException) -> None:
        if self._identity_table is not None and not self.dialect.is_disconnect(e, None, None):
            self._end_identity_insert()

    def _end_identity_insert(self) -> None:
        if self._identity_table is not None:
            table, self._identity_table = self._identity_table, None
            other = self._dbapi_connection.cursor()
            self._order(other, f"SET IDENTITY_INSERT {table} OFF")
            other.close()

    def _order(self, cursor: Any, statement: str) -> None:
        # without our context, which would look for RETURNING's values; errors are wrapped as of any statement
        self.root_connection._cursor_execute(cursor, statement, ())

    def get_lastrowid(self) -> int:
        raise NotImplementedError("the driver's lastrowid is a physical address, not the identity value")


class DamengDialect(DamengReflection):
    """DM8 through dmPython: `dm+dmpython://user:password@host:5236/SCHEMA`.

    Options in the URL's query: `service` (a name in dm_svc.conf, instead of the host) with `dmsvc_path` (its
    folder), `login_timeout` (milliseconds), `app_name`, `ssl_path`, and the driver's other arguments of
    connect().
    """

    name = "dm"
    driver = "dmpython"
    default_paramstyle = "qmark"
    positional = True
    max_identifier_length = 128
    supports_statement_cache = True

    statement_compiler = DamengCompiler
    ddl_compiler = DamengDDLCompiler
    type_compiler_cls = DamengTypeCompiler
    preparer = DamengIdentifierPreparer
    execution_ctx_cls = DamengExecutionContext
    colspecs = COLSPECS

    requires_name_normalize = True
    supports_native_boolean = False
    supports_native_decimal = True
    supports_native_enum = False
    supports_alter = True
    supports_comments = True
    supports_sequences = True
    sequences_optional = True
    preexecute_autoincrement_sequences = False
    supports_identity_columns = True
    supports_default_values = False
    supports_default_metavalue = True
    supports_empty_insert = False
    supports_multivalues_insert = True
    supports_sane_rowcount = True
    supports_sane_multi_rowcount = True
    supports_sane_rowcount_returning = True
    supports_is_distinct_from = True
    supports_simple_order_by_label = True
    supports_right_nested_joins = True
    cte_follows_insert = True
    div_is_floordiv = True
    tuple_in_values = False
    postfetch_lastrowid = False
    use_insertmanyvalues = False
    insert_returning = True
    update_returning = True
    delete_returning = True
    insert_executemany_returning = True
    insert_executemany_returning_sort_by_parameter_order = True
    update_executemany_returning = True
    delete_executemany_returning = True
    favor_returning_over_lastrowid = True

    page_size = 32768  # of the server, once connected; until then what we ask hospitals for

    def __init__(self, json_serializer: Any = None, json_deserializer: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._json_serializer = json_serializer  # SQLAlchemy 2.0 expects both of a dialect with JSON
        self._json_deserializer = json_deserializer
        # Alembic finds our operations only once they're imported; importing it with every helper would be
        # waste
        from dialects.dameng import alembic_impl  # noqa: F401

    @classmethod
    def import_dbapi(cls) -> ModuleType:
        import dmPython

        module: ModuleType = dmPython
        return module

    # ---- connecting

    def create_connect_args(self, url: URL) -> tuple[Sequence[str], dict[str, Any]]:
        """The driver's arguments. Raises ArgumentError for what would make it fail later or silently do
        otherwise."""
        given = dict(url.query)
        arguments: dict[str, Any] = {"user": url.username, "password": url.password}
        arguments.update({"autoCommit": False, "local_code": _UTF8})
        service = given.pop("service", None)
        if service is not None:
            if url.host:
                raise exc.ArgumentError(
                    "a Dameng URL names either a host or a service of dm_svc.conf, not both"
                )
            arguments["server"] = service
        else:
            if not url.host:
                raise exc.ArgumentError("a Dameng URL needs a host or ?service=NAME (see dm_svc.conf)")
            arguments.update(host=url.host, port=url.port or _DEFAULT_PORT)
        if url.database:
            arguments["schema"] = url.database
        for name, value in given.items():
            if not isinstance(value, str):
                raise exc.ArgumentError(f"{name} is given twice; several servers are named in dm_svc.conf")
            if name in _INTEGER_ARGUMENTS:
                arguments[name] = int(value)
            elif name in _BOOLEAN_ARGUMENTS:
                arguments[name] = value.lower() in ("1", "true", "on", "yes")
            elif name in _TEXT_ARGUMENTS:
                arguments[name] = value
            else:
                raise exc.ArgumentError(f"unknown option {name!r} in a Dameng URL")
        return (), {name: value for name, value in arguments.items() if value is not None}

    def initialize(self, connection: Connection) -> None:
        super().initialize(connection)
        size = connection.scalar(text("SELECT PAGE() FROM DUAL"))
        self.page_size = int(size or self.page_size)

    def _get_server_version_info(self, connection: Connection) -> tuple[int, ...]:
        raw = getattr(connection.connection.dbapi_connection, "server_version", "") or ""
        digits = "".join(character if character.isdigit() else " " for character in str(raw)).split()
        return tuple(int(part) for part in digits[:4])

    def do_ping(self, dbapi_connection: Any) -> bool:
        # Not the driver's ping(): it raises SystemError
        cursor = dbapi_connection.cursor()
        try:
            cursor.execute("SELECT 1 FROM DUAL")
            cursor.fetchone()
        finally:
            cursor.close()
        return True

    def is_disconnect(self, e: BaseException, connection: Any, cursor: Any) -> bool:
        """True after an error that leaves the connection useless; the first is -70019, the next -2 or
        -70025."""
        return error_code(e) in DISCONNECT or says_not_connected(e)

    # ---- executing

    def do_execute(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        wanted = context.returning_parameters if isinstance(context, DamengExecutionContext) else 0
        if not wanted:
            cursor.execute(statement, list(parameters))
            return
        cursor.output_stream = 1
        filled = cursor.execute(statement, list(parameters))
        context.returned = _rows(filled, wanted, cursor.rowcount)

    def do_execute_no_params(self, cursor: Any, statement: str, context: Any = None) -> None:
        cursor.execute(statement)

    def do_executemany(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        wanted = context.returning_parameters if isinstance(context, DamengExecutionContext) else 0
        batch = [list(row) for row in parameters]
        if not batch[0]:  # the driver would run a statement without parameters once only
            for _ in batch:
                cursor.execute(statement)
            return
        if not wanted:
            cursor.executemany(statement, batch)
            return
        cursor.output_stream = 1
        filled = cursor.executemany(statement, batch)
        context.returned = _rows(filled, wanted, cursor.rowcount)

    def has_identity(self, column: Any) -> bool:
        """True if the server numbers `column` (IDENTITY), False if a default or nothing does."""
        return column.identity is not None or (
            column.default is None
            and column.server_default is None
            and column.autoincrement in (True, "auto")
        )

    # ---- transactions

    def get_isolation_level_values(self, dbapi_conn: Any) -> list[Any]:
        return [*_ISOLATION, "AUTOCOMMIT"]

    def set_isolation_level(self, dbapi_connection: Any, level: str) -> None:
        if level == "AUTOCOMMIT":
            dbapi_connection.autoCommit = True
            return
        dbapi_connection.autoCommit = False
        dbapi_connection.rollback()  # the level can't change within a transaction
        dbapi_connection.txn_isolation = _ISOLATION[level]

    def get_isolation_level(self, dbapi_connection: Any) -> Any:
        if dbapi_connection.autoCommit:
            return "AUTOCOMMIT"
        level = int(dbapi_connection.txn_isolation)
        return next((name for name, number in _ISOLATION.items() if number == level), "READ COMMITTED")

    def do_release_savepoint(self, connection: Connection, name: str) -> None:
        # Versions without RELEASE SAVEPOINT call it a syntax error, which undoes nothing: the savepoint then
        # lives until the transaction ends.
        cursor = connection.connection.cursor()
        assert self.dbapi is not None
        try:
            cursor.execute(f"RELEASE SAVEPOINT {self.identifier_preparer.quote(name.lstrip('_'))}")
        except self.dbapi.Error as error:
            if error_code(error) not in SYNTAX:
                raise
        finally:
            cursor.close()

    def do_begin_twophase(self, connection: Connection, xid: Any) -> None:
        raise NotImplementedError("DM8 has no two-phase commit through dmPython")


def _rows(filled: Any, wanted: int, rowcount: int) -> list[tuple[Any, ...]]:
    """The rows of RETURNING … INTO: the driver fills the last parameters, each with a list of all rows'
    values."""
    if rowcount == 0 or filled is None:
        return []
    columns = [value if isinstance(value, list) else [value] for value in list(filled)[-wanted:]]
    return [tuple(row) for row in zip(*columns, strict=True)]
