"""DM8's SQL to PostgreSQL's, through a parser (sqlglot); what DM8's manual doesn't allow is refused.

Unquoted names become upper case, as on a DM8 with CASE_SENSITIVE=Y.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import lru_cache

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.tokens import Token, TokenType

from tests.dameng_standin import wire

logging.getLogger("sqlglot").setLevel(logging.ERROR)

SYNTAX, BAD_TYPE, LOCK_IN_SUBQUERY, EMPTY = -2007, -2685, -4596, -2007
_MAX_VARCHAR = 8188
_UNSUPPORTED = (
    exp.ILike,
    exp.Array,
    exp.OnConflict,
    exp.JSONExtract,
    exp.JSONExtractScalar,
    exp.Lateral,
    exp.Interval,
)
_PREDICATES = (exp.Boolean, exp.Predicate, exp.And, exp.Or, exp.Not, exp.Exists, exp.In, exp.Between)


class Refused(Exception):
    """What the server answers instead of executing: a code and a message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Statement:
    """A translated statement, shared by all who prepare its text. `local` names what the stand-in does itself, with
    `words` to do it on."""

    sql: str
    kind: int = wire.KIND_OTHER
    ddl: bool = False
    parameters: int = 0
    returned: int = 0
    local: str = ""
    words: list[str] = field(default_factory=list)
    tree: exp.Expression | None = None


@lru_cache(maxsize=4000)
def translate(sql: str) -> Statement:
    """Parse and translate one statement. Raises Refused for what isn't DM8's SQL or isn't known here."""
    sql = sql.strip().rstrip(";").strip()
    try:
        tokens = sqlglot.tokenize(sql)
    except SqlglotError as error:
        raise Refused(SYNTAX, f"语法分析出错: {error}") from error
    if not tokens:
        raise Refused(EMPTY, "语法分析出错: 空语句")
    local = _local(sql, tokens)
    if local is not None:
        return local
    sql, returned, count = _prepare_text(sql, tokens)
    sql = _alter(sql)
    try:
        trees = sqlglot.parse(sql)
    except SqlglotError as error:
        raise Refused(SYNTAX, f"第 1 行附近出现错误: 语法分析出错 {str(error)[:200]}") from error
    if len(trees) != 1 or trees[0] is None or isinstance(trees[0], exp.Command):
        raise Refused(SYNTAX, f"语法分析出错: {sql[:200]}")
    tree = trees[0]
    _refuse(tree)
    tree = _rewrite(tree)
    kind = wire.KIND_OTHER
    for cls, code in ((exp.Query, wire.KIND_SELECT), (exp.Insert, wire.KIND_INSERT), (exp.Delete, wire.KIND_DELETE),
                      (exp.Update, wire.KIND_UPDATE), (exp.Merge, wire.KIND_UPDATE)):  # fmt: skip
        if isinstance(tree, cls):
            kind = code
            break
    ddl = isinstance(tree, exp.Create | exp.Drop | exp.Alter | exp.Comment | exp.TruncateTable)
    if kind == wire.KIND_OTHER and not ddl:
        raise Refused(SYNTAX, f"语法分析出错: {sql[:200]}")
    text = tree.sql(dialect="postgres")
    return Statement(text, kind, ddl, count - returned, returned, tree=tree)


def _local(sql: str, tokens: list[Token]) -> Statement | None:
    words = [token.text.upper() for token in tokens]
    name = _name(tokens[-1])
    match words:
        case ["COMMIT", *_]:
            return Statement(sql, local="commit")
        case ["ROLLBACK", "TO", *_]:
            return Statement(sql, local="rollback_to", words=[name])
        case ["ROLLBACK", *_]:
            return Statement(sql, local="rollback")
        case ["SAVEPOINT", _]:
            return Statement(sql, local="savepoint", words=[name])
        case ["RELEASE", "SAVEPOINT", _]:
            return Statement(sql, local="release", words=[name])
        case ["SET", "SCHEMA", _]:
            return Statement(sql, local="schema", words=[name])
        case ["SET", "IDENTITY_INSERT", *_, "ON" | "OFF" as switch]:
            return Statement(sql, local="identity", words=[_name(tokens[-2]), switch])
        case ["SET", "SESSION", "CHARACTERISTICS", "AS", "ISOLATION", "LEVEL", *level]:
            return Statement(sql, local="isolation", words=[" ".join(level)])
    return None


def _name(token: Token) -> str:
    return token.text if token.token_type == TokenType.IDENTIFIER else token.text.upper()


def _prepare_text(sql: str, tokens: list[Token]) -> tuple[str, int, int]:
    """Number the parameters, and cut RETURNING's INTO and a table's STORAGE, which the parser doesn't
    know."""
    pieces, at, count, returned = [], 0, 0, 0
    cut: int | None = None
    depth, returning = 0, False
    for position, token in enumerate(tokens):
        if token.token_type == TokenType.L_PAREN:
            depth += 1
        elif token.token_type == TokenType.R_PAREN:
            depth -= 1
        word = token.text.upper()
        if depth == 0 and token.token_type != TokenType.STRING:
            if token.token_type == TokenType.RETURNING:
                returning = True
            elif word == "INTO" and returning and cut is None:
                rest = tokens[position + 1 :]
                outs = [each for each in rest if each.token_type != TokenType.COMMA]
                if any(each.token_type != TokenType.PLACEHOLDER for each in outs):
                    raise Refused(SYNTAX, "语法分析出错: INTO")
                returned, cut = len(outs), token.start
            elif word == "STORAGE" and cut is None:
                cut = token.start
        if word == "DATEADD" and cut is None:  # other products' DATEADD has other arguments
            pieces += [sql[at : token.start], "DM_DATEADD"]
            at = token.end + 1
        if token.token_type == TokenType.PLACEHOLDER:
            count += 1
            if cut is None:
                pieces += [sql[at : token.start], f":p{count}"]
                at = token.end + 1
    if returning and not returned:
        raise Refused(SYNTAX, "语法分析出错: RETURNING 缺少 INTO")
    pieces.append(sql[at:cut] if cut is not None else sql[at:])
    return "".join(pieces), returned, count


def _alter(sql: str) -> str:
    """DM8's forms of ALTER TABLE as the parser knows them."""
    tokens = sqlglot.tokenize(sql)
    words = [token.text.upper() for token in tokens]
    if words[:2] != ["ALTER", "TABLE"]:
        return sql
    if "MODIFY" in words:
        at = words.index("MODIFY")
        column, kind = tokens[at + 1], sql[tokens[at + 2].start :]
        return (
            f"{sql[: tokens[at].start]}ALTER COLUMN {sql[column.start : column.end + 1]} SET DATA TYPE {kind}"
        )
    if words[-2:] == ["SET", "NULL"]:
        return sql[: tokens[-2].start] + "DROP NOT NULL"
    return sql


def _refuse(tree: exp.Expression) -> None:
    for node in tree.walk():
        if isinstance(node, _UNSUPPORTED):
            raise Refused(SYNTAX, f"语法分析出错: {node.key}")
        if isinstance(node, exp.Select):
            for item in node.expressions:
                value = item.unalias()
                while isinstance(value, exp.Paren):
                    value = value.this
                if isinstance(value, _PREDICATES):
                    raise Refused(SYNTAX, "语法分析出错: 查询项中不能有条件表达式")
            if node.args.get("locks"):
                if node.args.get("distinct") or node.args.get("group"):
                    raise Refused(LOCK_IN_SUBQUERY, "FOR UPDATE 不能与 DISTINCT、GROUP BY 一起使用")
                if node.parent is not None:
                    raise Refused(LOCK_IN_SUBQUERY, "FOR UPDATE 不能用于子查询")
        if isinstance(node, exp.Boolean):
            raise Refused(SYNTAX, "语法分析出错: TRUE/FALSE")
        if isinstance(node, exp.DataType) and node.this == exp.DataType.Type.VARCHAR and node.expressions:
            length = int(node.expressions[0].this.this)
            if length > _MAX_VARCHAR:
                raise Refused(-6121, f"VARCHAR 长度 {length} 超出范围")


def _rewrite(tree: exp.Expression) -> exp.Expression:
    for lock in tree.find_all(exp.Lock):
        tables = [
            exp.Table(this=each.args["db"].copy()) if each.args.get("db") else each
            for each in lock.expressions
        ]
        lock.set("expressions", tables)
    for with_ in tree.find_all(exp.With):
        with_.set("recursive", True)  # PostgreSQL wants the word where DM8 finds out
    for merge in tree.find_all(exp.Merge):
        for when in merge.args["whens"].expressions:
            if isinstance(when.args["then"], exp.Update):
                for pair in when.args["then"].expressions:
                    pair.this.set("table", None)
    for column in list(tree.find_all(exp.Column)):
        if column.name.upper() == "DEFAULT" and not column.this.quoted and not column.table:
            column.replace(exp.Var(this="DEFAULT"))
    for identifier in list(tree.find_all(exp.Identifier)):
        if not identifier.quoted:
            identifier.set("this", identifier.this.upper())
            identifier.set("quoted", True)
    for node in reversed(list(tree.dfs())):  # the innermost first
        new = _rewrite_node(node)
        if new is not node:
            node.replace(new)
    return tree


def _rewrite_node(node: exp.Expression) -> exp.Expression:
    if isinstance(node, exp.Placeholder):
        return exp.Parameter(this=exp.Literal.number(int(str(node.this)[1:])))
    if isinstance(node, exp.Column) and node.name in ("NEXTVAL", "CURRVAL") and node.table:
        sequence = f'"{node.args["db"].name}"."{node.table}"' if node.args.get("db") else f'"{node.table}"'
        return exp.Anonymous(this=node.name.lower(), expressions=[exp.Literal.string(sequence)])
    if isinstance(node, exp.Column) and node.name == "USER" and not node.table:
        return exp.Anonymous(this="current_schema")
    if isinstance(node, exp.Var) and node.name.upper() in ("NOMINVALUE", "NOMAXVALUE", "NOCYCLE"):
        return exp.Var(this=f"NO {node.name[2:]}")
    if isinstance(node, exp.GeneratedAsIdentityColumnConstraint):
        node.set("this", False)
        return node
    if isinstance(node, exp.DataType):
        return _rewrite_type(node)
    if isinstance(node, exp.CurrentTimestamp):
        return exp.Anonymous(this="sys.now_local")
    if isinstance(node, exp.Anonymous):
        return _rewrite_function(node)
    if (
        isinstance(node, exp.Trunc)
        and node.args.get("decimals") is not None
        and node.args["decimals"].is_string
    ):
        call = exp.Anonymous(this="date_trunc", expressions=[exp.Literal.string("month"), node.this])
        return exp.cast(call, "date")
    if isinstance(node, exp.DateTrunc | exp.TimestampTrunc):
        unit = "month" if node.unit.name.upper() in ("MM", "MONTH") else "day"
        return exp.cast(
            exp.Anonymous(this="date_trunc", expressions=[exp.Literal.string(unit), node.this]), "date"
        )
    return node


def _rewrite_type(node: exp.DataType) -> exp.Expression:
    kinds = exp.DataType.Type
    domain = {
        kinds.BIT: "sys.bit",
        kinds.TEXT: "sys.clob",
        kinds.BLOB: "sys.blob",
        kinds.LONGBLOB: "sys.blob",
    }.get(node.this)
    if node.this == kinds.VARBINARY and not node.expressions:
        domain = "sys.blob"  # how the parser reads BLOB
    if domain is not None:
        return exp.DataType(this=kinds.USERDEFINED, kind=domain, udt=True)
    for parameter in node.find_all(exp.DataTypeParam):
        parameter.set("expression", None)
    return node


def _rewrite_function(node: exp.Anonymous) -> exp.Expression:
    name, arguments = node.name.upper(), node.expressions
    if name == "SYS_CONTEXT":
        return exp.Anonymous(this="current_schema")
    if name == "LENGTHB":
        return exp.Anonymous(this="sys.octets", expressions=arguments)
    if name == "DM_DATEADD":
        return _plus(arguments[1], arguments[2], arguments[0].name)
    return node


def _plus(count: exp.Expression, moment: exp.Expression, unit: str) -> exp.Expression:
    interval = exp.Interval(this=exp.Literal.string(f"1 {unit.strip().lower()}"))
    return exp.paren(exp.Add(this=moment, expression=exp.Mul(this=exp.paren(count), expression=interval)))
