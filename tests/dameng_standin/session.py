"""One session of the stand-in: a connection of the driver, executing on one connection to PostgreSQL."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from psycopg import pq
from sqlglot import exp

from tests.dameng_standin import wire
from tests.dameng_standin.translate import Refused, Statement, translate

_TEXT = 25
_OK = (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK)
# PostgreSQL's types to the wire's
_KINDS = {
    16: (wire.BIT, 1), 21: (wire.SMALLINT, 2), 23: (wire.INT, 4), 20: (wire.BIGINT, 8), 1700: (wire.DECIMAL, 38),
    700: (wire.REAL, 4), 701: (wire.DOUBLE, 8), 1042: (wire.CHAR, 8188), 1043: (wire.VARCHAR, 8188),
    25: (wire.VARCHAR, 8188), 19: (wire.VARCHAR, 128), 17: (wire.VARBINARY, 8188), 1114: (wire.DATETIME, 26),
    1082: (wire.DATE, 10), 1083: (wire.TIME, 15), 705: (wire.VARCHAR, 8188), 26: (wire.BIGINT, 8),
}  # fmt: skip
_ERRORS = {
    "23505": (-6602, "违反唯一性约束[{constraint_name}]"), "23514": (-6604, "违反CHECK约束[{constraint_name}]"),
    "23503": (-6607, "违反引用约束[{constraint_name}]"), "23502": (-6609, "违反列[{column_name}]非空约束"),
    "42P01": (-2106, "无效的表或视图名: {message}"), "42703": (-2111, "无效的列名: {message}"),
    "42P07": (-2124, "对象已存在: {message}"), "55P03": (-6407, "锁超时"), "40P01": (-6403, "死锁"),
    "22001": (-6169, "列长度超出定义"), "22012": (-6103, "除0错误"), "22003": (-6102, "数据溢出: {message}"),
    "42601": (-2007, "语法分析出错: {message}"), "40001": (-7065, "串行化事务被打断"),
    "3B001": (-7121, "无效的保存点"), "42883": (-2207, "无效的方法名: {message}"),
}  # fmt: skip
_FIELDS = {"constraint_name": pq.DiagnosticField.CONSTRAINT_NAME, "column_name": pq.DiagnosticField.COLUMN_NAME,
           "message": pq.DiagnosticField.MESSAGE_PRIMARY}  # fmt: skip


@dataclass
class Prepared:
    """What the driver holds a handle of."""

    statement: Statement
    name: bytes = b""
    parameters: list[wire.Kind] = field(default_factory=list)
    columns: list[wire.Kind] = field(default_factory=list)
    rows: list[list[bytes | None]] = field(default_factory=list)


class Session:
    """Transactions as on DM8: an error undoes its statement only, and DDL commits."""

    def __init__(self, conninfo: str, schema: str, lock_seconds: int = 1) -> None:
        self.pg = pq.PGconn.connect(conninfo.encode())
        if self.pg.status != pq.ConnStatus.OK:
            raise Refused(-6001, self.pg.get_error_message())
        self.schema = schema
        self.names = count(1)
        self.open = False
        self.level = 1
        self.identity_insert: set[str] = set()
        self.relations: dict[tuple[int, int], int] = {}
        self.prepared: dict[str, Prepared] = {}  # by their text, until somebody here changes a table
        self.lobs: dict[int, bytearray] = {}  # both what the driver put and what it will read
        self._run(
            "SET client_min_messages = error; SET datestyle = 'ISO'; SET timezone = 'UTC'; SET bytea_output = 'hex'"
        )
        self._run(f"SET lock_timeout = '{lock_seconds}s'; SET deadlock_timeout = '50ms'")
        self.use_schema(schema)
        found = self._query(
            "SELECT oid, typname FROM pg_type WHERE typtype = 'd' AND typnamespace = 'sys'::regnamespace"
        )
        numbers = {"bit": 16, "clob": -25, "blob": -17}
        self.domains = {int(oid or 0): numbers[str(name)] for oid, name in found}

    # ---- transactions

    def use_schema(self, name: str) -> None:
        self._run(f'CREATE SCHEMA IF NOT EXISTS "{name}"')
        self._run(f'SET search_path = "{name}", sys')
        self.schema = name
        self.prepared.clear()

    def begin(self) -> None:
        if not self.open:
            level = {0: "READ COMMITTED", 3: "SERIALIZABLE"}.get(self.level, "READ COMMITTED")
            self._run(f"BEGIN ISOLATION LEVEL {level}")
            self.open = True

    def commit(self) -> None:
        if self.open:
            self.open = False
            self._run("COMMIT")

    def rollback(self) -> None:
        if self.open:
            self.open = False
            self._run("ROLLBACK")

    def close(self) -> None:
        self.pg.finish()

    # ---- statements

    def prepare(self, sql: str) -> Prepared:
        """Translate and prepare. Raises Refused, after which the transaction goes on."""
        statement = translate(sql)
        prepared = Prepared(statement)
        if statement.local:
            return prepared
        self._check_identity(statement)
        self._check_index(statement)
        if statement.ddl:
            return prepared
        self.begin()
        if known := self.prepared.get(statement.sql):
            return replace(known, statement=statement, rows=[])
        prepared.name = f"s{next(self.names)}".encode()
        self._run("SAVEPOINT standin")
        try:
            self._prepare_typed(prepared.name, statement)
            described = self.pg.describe_prepared(prepared.name)
            self._check(described)
        except Refused:
            self._run("ROLLBACK TO SAVEPOINT standin")
            raise
        finally:
            self._run("RELEASE SAVEPOINT standin")
        prepared.parameters = [self._parameter(described.param_type(at)) for at in range(described.nparams)]
        columns = [
            _kind(self._declared(described, at), described.fmod(at), (described.fname(at) or b"").decode())
            for at in range(described.nfields)
        ]
        if statement.returned:
            outs = [wire.Kind(kind.code, kind.precision, kind.scale, out=True) for kind in columns]
            prepared.parameters += outs
            prepared.columns = []
        else:
            prepared.columns = columns
        self.prepared[statement.sql] = prepared
        return prepared

    def _prepare_typed(self, name: bytes, statement: Statement) -> None:
        """Prepare; a parameter without a type from its context is text, as it is on DM8."""
        types = [0] * statement.parameters
        while True:
            result = self.pg.prepare(name, statement.sql.encode(), types or None)
            state = result.error_field(pq.DiagnosticField.SQLSTATE) if result.status not in _OK else None
            unknown = (
                re.search(rb"parameter \$(\d+)", result.error_message or b"") if state == b"42P18" else None
            )
            if unknown is None or types[int(unknown[1]) - 1]:
                self._check(result)
                return
            types[int(unknown[1]) - 1] = _TEXT
            self._run("ROLLBACK TO SAVEPOINT standin")

    def _parameter(self, oid: int) -> wire.Kind:
        return _kind(self.domains.get(oid, oid), -1)

    def _declared(self, described: Any, at: int) -> int:
        """The type of the table's column that a result's column is, which tells a BIT from a SMALLINT, CLOB
        from VARCHAR."""
        table, number = described.ftable(at), described.ftablecol(at)
        if not table:
            return int(described.ftype(at))
        key = (table, number)
        if key not in self.relations:
            found = self._query(
                f"SELECT atttypid FROM pg_attribute WHERE attrelid = {table} AND attnum = {number}"
            )
            declared = int(found[0][0] or 0)
            self.relations[key] = self.domains.get(declared, int(described.ftype(at)))
        return self.relations[key]

    def execute(
        self, prepared: Prepared, batch: list[list[bytes | None]]
    ) -> tuple[int, list[list[list[bytes | None]]]]:
        """Run for each row of parameters. Returns the row count and, per out parameter, the values
        returned."""
        statement = prepared.statement
        if statement.local:
            self._local(statement)
            return 0, []
        if statement.ddl:
            self.commit()
            self._run(statement.sql)
            self.relations.clear()
            self.prepared.clear()
            return 0, []
        self.begin()
        self._run("SAVEPOINT standin")
        total = 0
        returned: list[list[Any]] = [[] for _ in range(statement.returned)]
        try:
            for row in batch:
                result = self.pg.exec_prepared(prepared.name, row)
                self._check(result)
                if statement.kind == wire.KIND_SELECT:
                    prepared.rows = self._rows(result, prepared.columns)
                    total = len(prepared.rows)
                else:
                    total += int(result.command_tuples or 0)
                    for values in (
                        self._rows(result, prepared.parameters[-statement.returned :])
                        if statement.returned
                        else []
                    ):
                        for at, value in enumerate(values):
                            returned[at].append(value)
        except Refused:
            self._run("ROLLBACK TO SAVEPOINT standin")
            raise
        finally:
            self._run("RELEASE SAVEPOINT standin")
        return total, returned

    def put_lob(self, identity: int, data: bytes) -> int:
        """Keep the bytes of a long parameter; -1 begins a new one."""
        if identity not in self.lobs:
            identity = len(self.lobs) + 1
            self.lobs[identity] = bytearray()
        self.lobs[identity] += data
        return identity

    def _value(self, kind: wire.Kind, raw: str) -> bytes:
        if kind.code in (wire.CLOB, wire.BLOB) and len(raw) > wire.INLINE_LOB // 4:
            data = raw.encode() if kind.code == wire.CLOB else bytes.fromhex(raw.removeprefix("\\x"))
            if len(data) > wire.INLINE_LOB:
                return wire.remote_lob(self.put_lob(-1, data), len(data))
        return wire.encode(kind, raw)

    def _rows(self, result: Any, kinds: list[wire.Kind]) -> list[list[bytes | None]]:
        rows = []
        for at in range(result.ntuples):
            row: list[bytes | None] = []
            for position, kind in enumerate(kinds):
                raw = result.get_value(at, position)
                row.append(None if raw is None else self._value(kind, raw.decode()))
            rows.append(row)
        return rows

    def _local(self, statement: Statement) -> None:
        words = statement.words
        match statement.local:
            case "commit":
                self.commit()
            case "rollback":
                self.rollback()
            case "savepoint":
                self.begin()
                self._run(f'SAVEPOINT "u_{words[0]}"')
            case "rollback_to":
                self._run(f'ROLLBACK TO SAVEPOINT "u_{words[0]}"')
            case "release":
                self._run(f'RELEASE SAVEPOINT "u_{words[0]}"')
            case "schema":
                self.use_schema(words[0])
            case "identity":
                (self.identity_insert.add if words[1] == "ON" else self.identity_insert.discard)(words[0])
            case "isolation":
                self.level = {"SERIALIZABLE": 3, "READ UNCOMMITTED": 0}.get(words[0], 1)

    # ---- what DM8 refuses and PostgreSQL doesn't

    def _check_identity(self, statement: Statement) -> None:
        tree = statement.tree
        if not isinstance(tree, exp.Insert) or not isinstance(tree.this, exp.Schema):
            return
        table = tree.this.this.name
        given = {each.name for each in tree.this.expressions}
        found = self._query(
            "SELECT a.attname FROM pg_attribute a WHERE a.attidentity <> '' AND a.attrelid = to_regclass("
            f"'{_quoted(tree.this.this)}')"
        )
        if found and found[0][0] in given and table not in self.identity_insert:
            values = (
                tree.expression.expressions[0].expressions if isinstance(tree.expression, exp.Values) else []
            )
            position = [each.name for each in tree.this.expressions].index(str(found[0][0]))
            if position < len(values) and values[position].sql().upper() == "DEFAULT":
                return
            raise Refused(
                -2723, f"仅当指定列列表，且SET IDENTITY_INSERT为ON时，才能对自增列[{found[0][0]}]赋值"
            )

    def _check_index(self, statement: Statement) -> None:
        tree = statement.tree
        if not isinstance(tree, exp.Create) or tree.kind != "INDEX" or tree.this.args.get("params") is None:
            return
        columns = ",".join(
            each.sql().strip('"').split('"')[0] for each in tree.this.args["params"].args["columns"]
        )
        found = self._query(
            "SELECT string_agg(a.attname, ',' ORDER BY p.place) FROM pg_index x CROSS JOIN LATERAL "
            "unnest(x.indkey::int2[]) WITH ORDINALITY AS p(num, place) JOIN pg_attribute a ON a.attrelid = x.indrelid "
            f"AND a.attnum = p.num WHERE x.indrelid = to_regclass('{_quoted(tree.this.args['table'])}') GROUP BY x.indexrelid"
        )
        if any(row[0] == columns for row in found):
            raise Refused(-3236, f"此列列表[{columns}]已索引")

    # ---- PostgreSQL

    def _query(self, sql: str) -> list[list[str | None]]:
        result = self._run(sql)
        return [
            [
                None if (value := result.get_value(row, at)) is None else value.decode()
                for at in range(result.nfields)
            ]
            for row in range(result.ntuples)
        ]

    def _run(self, sql: str) -> Any:
        result = self.pg.exec_(sql.encode())
        self._check(result)
        return result

    @staticmethod
    def _check(result: Any) -> None:
        if result.status in _OK:
            return
        state = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
        fields = {name: (result.error_field(which) or b"").decode() for name, which in _FIELDS.items()}
        code, message = _ERRORS.get(state, (-7000, f"{state} {{message}}"))
        raise Refused(code, message.format(**fields))


def _quoted(table: exp.Expression) -> str:
    return table.sql(dialect="postgres").replace("'", "''")


def _kind(oid: int, modifier: int, name: str = "") -> wire.Kind:
    if oid == -25:
        return wire.Kind(wire.CLOB, 2147483647, 0, name)
    if oid == -17:
        return wire.Kind(wire.BLOB, 2147483647, 0, name)
    if oid not in _KINDS:
        raise Refused(-7000, f"替身服务器不支持类型 {oid}")
    code, precision = _KINDS[oid]
    scale = 6 if code in (wire.DATETIME, wire.TIME) else 0
    if code == wire.DECIMAL and modifier > 0:
        precision, scale = (modifier - 4) >> 16, (modifier - 4) & 0xFFFF
    elif code in (wire.VARCHAR, wire.CHAR) and modifier > 0:
        precision = (modifier - 4) * 4
    elif code == wire.DECIMAL:
        precision, scale = 0, 0
    return wire.Kind(code, precision, scale, name)


def unpack_batch(kinds: int, body: bytes, rows: int, lobs: dict[int, bytearray]) -> list[list[bytes | None]]:
    """The parameters of EXECUTE: descriptions first, then row by row a length and the value; none for out
    ones."""
    described = [struct.unpack_from("<biii", body, 13 * at) for at in range(kinds)]
    at, batch = 13 * kinds, []
    for _ in range(max(rows, 1)):
        row: list[bytes | None] = []
        for direction, code, _precision, _scale in described:
            if direction == 1:
                continue
            (length,) = struct.unpack_from("<H", body, at)
            at += 2
            if length == wire.NULL_LENGTH:
                row.append(None)
                continue
            if length == wire.LONG_LENGTH:
                (length,) = struct.unpack_from("<i", body, at)
                at += 4
            if length == wire.LOB_LENGTH_MARK:
                (identity,) = struct.unpack_from("<q", body, at)
                raw, length = bytes(lobs[identity]), wire.LOCATOR
            else:
                raw = body[at : at + length]
            at += length
            row.append(wire.decode(code, raw).encode())
        batch.append(row)
    return batch
