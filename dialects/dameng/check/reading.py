"""What the server does with our queries, locks, dictionary and connections (XC-07)."""

from __future__ import annotations

import threading
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    Column,
    Date,
    DateTime,
    ForeignKey,
    Integer,
    MetaData,
    Numeric,
    String,
    case,
    exists,
    func,
    insert,
    inspect,
    literal,
    select,
    text,
    union_all,
    update,
)

from dialects.dameng.check.asking import (
    WAIT_SECONDS,
    NotAsked,
    Place,
    Question,
    code_of,
    need,
    refused,
    together,
    told,
)
from dialects.errors import is_deadlock, is_lock_timeout
from dialects.expressions import ascii_lower, day_trunc, month_trunc

QUERIES, LOCKS, OTHERS = "查询", "锁与隔离", "数据字典与连接"
_DRILLS = {
    "encrypted": ("加密登录与 SSL", "在 URL 中加 ssl_path、ssl_pwd 后再运行一次本命令；服务端须先启用 SSL"),
    "switch_over": ("主备切换", "按 docs/dameng.md“切换演练”：收费脚本运行中切换主备，之后 his-server balance 应当全平"),
    "dsc": ("DSC 故障切换", "有 DSC 集群时，收费脚本运行中停一个节点，做法同主备切换"),
}


def _key() -> Column[Any]:
    return Column("id", Integer, primary_key=True, autoincrement=False)


def _paging(place: Place) -> str:
    with place.scratch(_key()) as table, place.engine.begin() as connection:
        connection.execute(insert(table), [{"id": n} for n in range(1, 8)])
        order = select(table.c.id).order_by(table.c.id)
        page = connection.scalars(order.limit(2).offset(3)).all()
        rest = connection.scalars(order.offset(5)).all()
        few = connection.scalars(select(order.limit(3).subquery("few").c.id)).all()
    need((page, rest, sorted(few)) == ([4, 5], [6, 7], [1, 2, 3]), f"分页得到 {page}、{rest}、{few}")
    return "LIMIT ? OFFSET ?、OFFSET … ROWS、子查询中的 LIMIT 都可用"


def _conditions(place: Place) -> str:
    with place.scratch(_key(), Column("size", Integer)) as table, place.engine.begin() as connection:
        connection.execute(insert(table), [{"id": 1, "size": 5}, {"id": 2, "size": None}])
        rows = connection.execute(select(
            (table.c.size > 3).label("big"), exists().where(table.c.id == 2).label("there"),
            case((table.c.size > 3, 1), else_=0) + table.c.id).order_by(table.c.id)).all()
        distinct = connection.scalars(select(table.c.id).where(table.c.size.is_distinct_from(5))).all()
        alike = connection.scalars(select(table.c.id).where(table.c.size.is_not_distinct_from(None))).all()
        none = connection.scalars(select(table.c.id).where(table.c.id.in_([]))).all()
    need(bool(rows[0][0]) and bool(rows[0][1]) and [row[2] for row in rows] == [2, 2], f"条件作为值得到 {rows}")
    need((distinct, alike, none) == ([2], [2], []), f"DECODE 与空集得到 {distinct}、{alike}、{none}")
    return "CASE WHEN 作值、EXISTS、DECODE 比较 NULL、空的 IN 都对"


def _functions(place: Place) -> str:
    with (place.scratch(_key(), Column("name", String(20)), Column("at", DateTime)) as table,
          place.engine.begin() as connection):
        connection.execute(insert(table).values(id=1, name="ABCéÀ张", at=datetime(2026, 1, 31, 18, 30)))
        lower = connection.scalar(select(ascii_lower(table.c.name)))
        day, month = connection.execute(select(day_trunc(table.c.at), month_trunc(table.c.at))).one()
        length = connection.scalar(select(func.char_length(table.c.name)))
        grouped = connection.execute(select(day_trunc(table.c.at), func.count()).group_by(day_trunc(table.c.at))).all()
    need(lower == "abcéÀ张", f"TRANSLATE 得到 {lower}")
    need((_day(day), _day(month)) == (date(2026, 2, 1), date(2026, 2, 1)), f"DATEADD、TRUNC 得到 {day}、{month}")
    need(length == 6 and grouped[0][1] == 1, f"CHAR_LENGTH 或按日分组得到 {length}、{grouped}")
    return "TRANSLATE、DATEADD(HOUR)、TRUNC(日期, 'MM')、CHAR_LENGTH、按日分组都对"


def _day(value: Any) -> date:
    return value.date() if isinstance(value, datetime) else value


def _division(place: Place) -> str:
    with (place.scratch(_key(), Column("size", Integer), Column("price", Numeric(18, 4))) as table,
          place.engine.begin() as connection):
        connection.execute(insert(table).values(id=1, size=7, price=Decimal("1.0000")))
        row = connection.execute(select(table.c.size / 2, table.c.size // 2, table.c.size % 4, table.c.price * 3)).one()
    need((float(row[0]), int(row[1]), int(row[2]), Decimal(row[3])) == (3.5, 3, 3, Decimal("3.0000")), f"算术得到 {row}")
    return "7/2=3.5，7//2=3，7%4=3，小数乘法精确"


def _recursive(place: Place) -> str:
    with place.scratch(_key(), Column("parent_id", Integer)) as table, place.engine.begin() as connection:
        connection.execute(insert(table), [{"id": 1, "parent_id": None}, {"id": 2, "parent_id": 1}, {"id": 3, "parent_id": 2}])
        tree = select(table.c.id, literal(0).label("depth")).where(table.c.id == 1).cte("tree", recursive=True)
        tree = tree.union_all(select(table.c.id, tree.c.depth + 1).where(table.c.parent_id == tree.c.id))
        depths = {int(row.id): int(row.depth) for row in connection.execute(select(tree.c.id, tree.c.depth))}
        numbered = connection.execute(select(table.c.id, func.row_number().over(order_by=table.c.id.desc()))).all()
        both = union_all(select(table.c.id.label("i")), select(table.c.id)).order_by("i").limit(2)
        least = connection.scalars(both).all()
    need(depths == {1: 0, 2: 1, 3: 2}, f"递归查询得到 {depths}")
    need(sorted(map(tuple, numbered)) == [(1, 3), (2, 2), (3, 1)] and least == [1, 1], f"窗口或合并得到 {numbered}、{least}")
    return "递归 WITH（不写 RECURSIVE）、窗口函数、UNION ALL 后分页都可用"


def _patterns(place: Place) -> str:
    with place.scratch(_key(), Column("name", String(20))) as table, place.engine.begin() as connection:
        connection.execute(insert(table), [{"id": 1, "name": "50%糖"}, {"id": 2, "name": "500糖"}, {"id": 3, "name": "a_b"}])
        found = connection.scalars(select(table.c.id).where(table.c.name.startswith("50%", autoescape=True))).all()
        under = connection.scalars(select(table.c.id).where(table.c.name.contains("_", autoescape=True))).all()
    need((found, under) == ([1], [3]), f"LIKE … ESCAPE 得到 {found}、{under}")
    return "LIKE … ESCAPE 对 % 和 _ 正确"


def _skip_locked(place: Place) -> str:
    with place.scratch(_key()) as table:
        with place.engine.begin() as connection:
            connection.execute(insert(table), [{"id": n} for n in (1, 2, 3)])
        with place.engine.connect() as holder, place.engine.connect() as other:
            holder.execute(select(table).where(table.c.id == 1).with_for_update())
            free: list[int] = []
            error = together(lambda: free.extend(
                other.scalars(select(table.c.id).where(table.c.id.in_([1, 2])).with_for_update(skip_locked=True))))[0]
            other.rollback()
            busy = together(lambda: other.execute(select(table).where(table.c.id == 1).with_for_update(nowait=True)).all())[0]
            other.rollback()
            limited = refused(lambda: other.execute(
                select(table.c.id).where(table.c.id > 1).limit(1).with_for_update(skip_locked=True)).all())
            other.rollback()
    need(error is None and free == [2], f"SKIP LOCKED 得到 {free}{'，' + told(error) if error else ''}")
    need(busy is not None and is_lock_timeout(busy), f"NOWAIT 遇锁应报锁忙，实际：{told(busy) if busy else '没有报错'}")
    return (f"SKIP LOCKED 跳过被锁的行；NOWAIT 遇锁代码 {code_of(busy) if busy else ''}；"
            f"与 LIMIT 同用：{'报 ' + str(code_of(limited)) if limited else '允许'}（程序不这样用）")


def _deadlock(place: Place) -> str:
    with place.scratch(_key(), Column("size", Integer)) as table:
        with place.engine.begin() as connection:
            connection.execute(insert(table), [{"id": 1, "size": 0}, {"id": 2, "size": 0}])
        gate = threading.Barrier(2)

        def cross(first: int, second: int) -> None:
            with place.engine.begin() as connection:
                connection.execute(update(table).where(table.c.id == first).values(size=first))
                gate.wait(WAIT_SECONDS)
                connection.execute(update(table).where(table.c.id == second).values(size=second))

        errors = [error for error in together(lambda: cross(1, 2), lambda: cross(2, 1)) if error is not None]
    need(len(errors) == 1, f"互锁的两个事务中有 {len(errors)} 个被选为牺牲者，应当恰好一个")
    need(is_deadlock(errors[0]), f"死锁的代码是 {code_of(errors[0])}（{told(errors[0])}），与程序所知不同，请把本报告发回")
    return f"死锁被发现，一方成功，代码 {code_of(errors[0])}"


def _isolation(place: Place) -> str:
    with place.scratch(_key()) as table:
        with place.engine.connect() as writer, place.engine.connect() as reader:
            level = reader.get_isolation_level()
            writer.execute(insert(table).values(id=1))
            seen = []
            error = together(lambda: seen.append(reader.scalar(select(func.count()).select_from(table))))[0]
            need(error is None and seen == [0], f"读到了别人未提交的行，或读要等写：{seen}")
            writer.commit()
            after = reader.scalar(select(func.count()).select_from(table))
        with place.engine.connect().execution_options(isolation_level="SERIALIZABLE") as strict:
            strict_level = strict.get_isolation_level()
    need(level == "READ COMMITTED" and after == 1, f"默认隔离级别是 {level}，提交后读到 {after} 行")
    return f"默认 READ COMMITTED：读不等写，也不见未提交的行；可设为 {strict_level}"


def _claims(place: Place) -> str:
    """The outbox's way of taking work: two sessions never take the same row."""
    with place.scratch(_key(), Column("taken", Integer)) as table:
        with place.engine.begin() as connection:
            connection.execute(insert(table), [{"id": n, "taken": 0} for n in range(40)])
        won: list[int] = []

        def take() -> None:
            for number in range(40):
                with place.engine.begin() as connection:
                    if connection.execute(update(table).where(table.c.id == number, table.c.taken == 0)
                                          .values(taken=1)).rowcount:
                        won.append(number)

        errors = [error for error in together(take, take, take) if error is not None]
    need(not errors and sorted(won) == list(range(40)),
         f"三个会话争抢 40 行得到 {len(won)} 次{told(errors[0]) if errors else ''}")
    return "三个会话争抢 40 行，每行恰好一个得到"


def _dictionary(place: Place) -> str:
    metadata = MetaData()
    with place.scratch(Column("id", Integer, primary_key=True), metadata=metadata) as parent, place.scratch(
            _key(), Column("name", String(30), nullable=False, index=True, comment="名称"), Column("born", Date),
            Column("price", Numeric(18, 4)), Column("parent_id", ForeignKey(parent.c.id, ondelete="CASCADE")),
            metadata=metadata) as table:
        seen = inspect(place.engine)
        columns = {column["name"]: column for column in seen.get_columns(table.name)}
        number = seen.get_columns(parent.name)[0]
        keys = seen.get_foreign_keys(table.name)
        indexes = [index["column_names"] for index in seen.get_indexes(table.name)]
        primary = seen.get_pk_constraint(table.name)["constrained_columns"]
    name = columns["name"]
    need(getattr(name["type"], "length", None) == 30 and name["nullable"] is False and name.get("comment") == "名称",
         f"列的长度、非空或注释读成 {name}")
    need(getattr(columns["price"]["type"], "scale", None) == 4, f"小数位读成 {columns['price']}")
    need(bool(number.get("identity") or number.get("autoincrement") is True), f"自增列没有认出：{number}")
    need(len(keys) == 1 and keys[0]["options"].get("ondelete") == "CASCADE", f"外键读成 {keys}")
    need(["name"] in indexes and primary == ["id"], f"索引、主键读成 {indexes}、{primary}")
    return "长度、精度、注释、自增、外键规则、索引、主键都读得出（迁移靠它）"


def _limits(place: Place) -> str:
    try:
        most = place.value("SELECT PARA_VALUE FROM V$DM_INI WHERE PARA_NAME = 'MAX_SESSIONS'",
                           "SELECT VALUE FROM V$PARAMETER WHERE NAME = 'MAX_SESSIONS'")
    except NotAsked:
        raise NotAsked("MAX_SESSIONS 对本账户不可读：请管理员确认它大于各进程连接池之和（每进程 20）") from None
    return f"MAX_SESSIONS={most}，须大于各进程连接池之和（每进程 20）"


def _read_only(place: Place) -> str:
    with place.scratch(_key()) as table, place.engine.connect() as connection:
        error = refused(lambda: connection.execute(text("SET TRANSACTION READ ONLY")))
        if error is not None:
            return f"SET TRANSACTION READ ONLY：报 {code_of(error)}（程序自己拒绝只读单元中的写入）"
        written = refused(lambda: connection.execute(insert(table).values(id=1)))
        connection.rollback()
    return "SET TRANSACTION READ ONLY " + ("能拒绝写入" if written else "不能拒绝写入") + "（程序自己也拒绝）"


def _drill(what: str) -> Any:
    def ask(_place: Place) -> str:
        raise NotAsked(f"须人工演练：{_DRILLS[what][1]}")
    return ask


READING = (
    Question("paging", QUERIES, "分页", "must", _paging),
    Question("conditions", QUERIES, "条件作为值、NULL 比较", "must", _conditions),
    Question("functions", QUERIES, "文本与日期函数", "must", _functions),
    Question("arithmetic", QUERIES, "除法与乘法", "must", _division),
    Question("recursive", QUERIES, "递归查询与窗口函数", "must", _recursive),
    Question("patterns", QUERIES, "LIKE 的转义", "must", _patterns),
    Question("skip_locked", LOCKS, "SKIP LOCKED 与 NOWAIT", "must", _skip_locked),
    Question("deadlock", LOCKS, "死锁", "must", _deadlock),
    Question("isolation", LOCKS, "隔离级别", "must", _isolation),
    Question("claims", LOCKS, "带条件的更新不会两次成功", "must", _claims),
    Question("read_only", LOCKS, "只读事务", "fact", _read_only),
    Question("dictionary", OTHERS, "数据字典", "must", _dictionary),
    Question("sessions", OTHERS, "会话数上限", "fact", _limits),
    *(Question(name, OTHERS, title, "fact", _drill(name)) for name, (title, _) in _DRILLS.items()),
)
