"""What the server does with our writes: keys, RETURNING, MERGE, codes of refusals, text and numbers (XC-06, XC-07)."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    text,
    update,
)

from dialects.dameng.check.asking import Place, Question, Wrong, code_of, need, refused, together, told
from dialects.dameng.codes import SYNTAX
from dialects.errors import (
    constraint_name,
    is_check_violation,
    is_foreign_key_violation,
    is_not_null_violation,
    is_unique_violation,
)

KEYS, REFUSALS, VALUES = "主键与返回值", "约束与错误码", "文本与数值"
_RARE = "𠮷"  # four bytes in UTF-8, GB 18030-2022 level 2 and above


def _key() -> Column[Any]:
    return Column("id", Integer, primary_key=True, autoincrement=False)


def _do(place: Place, *statements: Any) -> None:
    with place.engine.begin() as connection:
        for statement in statements:
            connection.execute(statement)


def _identity(place: Place) -> str:
    with place.scratch(Column("id", Integer, primary_key=True), Column("name", String(10))) as table:
        with place.engine.begin() as connection:
            first = connection.execute(insert(table).values(name="甲").returning(table.c.id)).scalar_one()
            both = connection.execute(insert(table).returning(table.c.id), [{"name": "乙"}, {"name": "丙"}]).scalars().all()
            connection.execute(insert(table).values(id=900, name="丁"))
            connection.execute(insert(table))
        need(len({first, *both}) == 3, f"自增列返回 {first}、{both}，应当各不相同")
        code = code_of(refused(lambda: _do(place, text(f"INSERT INTO {table.name} (id) VALUES (901)"))) or Wrong())
    return f"自增列逐行和成批返回新值；INSERT … VALUES (DEFAULT) 可用；不先打开 IDENTITY_INSERT 而给值：代码 {code}"


def _returning(place: Place) -> str:
    with place.scratch(_key(), Column("name", String(10))) as table, place.engine.begin() as connection:
        connection.execute(insert(table), [{"id": n, "name": "x"} for n in (1, 2, 3)])
        changed = connection.execute(update(table).where(table.c.id < 3).values(name="y")
                                     .returning(table.c.id, table.c.name)).all()
        gone = connection.execute(delete(table).where(table.c.id > 1).returning(table.c.id)).scalars().all()
        none = connection.execute(update(table).where(table.c.id == 9).values(name="z").returning(table.c.id)).all()
    need(sorted(map(tuple, changed)) == [(1, "y"), (2, "y")] and sorted(gone) == [2, 3] and none == [],
         f"UPDATE/DELETE … RETURNING 多行返回 {changed}、{gone}、{none}")
    return "UPDATE 和 DELETE … RETURNING … INTO 能返回多行和零行"


def _rowcount(place: Place) -> str:
    with place.scratch(_key(), Column("name", String(10))) as table, place.engine.begin() as connection:
        connection.execute(insert(table), [{"id": n, "name": "x"} for n in (1, 2)])
        same = connection.execute(update(table).values(name="x")).rowcount
        none = connection.execute(update(table).where(table.c.id == 9).values(name="y")).rowcount
    need((same, none) == (2, 0), f"UPDATE 的行数是 {same}、{none}，应当是 2、0：防并发的更新靠它")
    return "UPDATE 的行数按匹配的行计，未匹配为 0"


def _merge(place: Place) -> str:
    from dialects.portable import upsert

    with place.scratch(_key(), Column("name", String(10))) as table, place.engine.begin() as connection:
        for name in ("甲", "乙"):
            upsert(connection, table, [{"id": 1, "name": name}], ["id"])
        kept = connection.execute(select(table.c.id, table.c.name)).all()
    need([tuple(row) for row in kept] == [(1, "乙")], f"MERGE 之后是 {kept}")
    return "MERGE … USING DUAL 可在 ON 中带参数"


def _merge_twice(place: Place) -> str:
    from dialects.portable import upsert

    with place.scratch(_key(), Column("name", String(10))) as table:
        def act(name: str) -> None:
            with place.engine.begin() as connection:
                upsert(connection, table, [{"id": 1, "name": name}], ["id"])

        errors = [error for error in together(lambda: act("甲"), lambda: act("乙")) if error is not None]
        strange = [error for error in errors if not is_unique_violation(error)]
        need(not strange, f"两个会话同时 MERGE 同一新键，报错不是唯一性冲突：{told(strange[0]) if strange else ''}")
        with place.engine.connect() as connection:
            rows = connection.scalar(select(func.count()).select_from(table))
    need(rows == 1, f"两个会话同时 MERGE 同一新键，得到 {rows} 行")
    return "一行" + ("，后到的会话报唯一性冲突，由程序重试" if errors else "，后到的会话改为更新")


def _violations(place: Place) -> str:
    metadata = MetaData()
    said = []
    with place.scratch(_key(), metadata=metadata) as parent, place.scratch(
            _key(), Column("code", String(10), nullable=False), Column("size", Integer),
            Column("parent_id", ForeignKey(parent.c.id)), CheckConstraint("size >= 0", name="his_check_size"),
            Index("his_check_code", "code", unique=True), metadata=metadata) as table:
        _do(place, insert(parent).values(id=1), insert(table).values(id=1, code="A", size=1, parent_id=1))
        cases = (("唯一索引", is_unique_violation, insert(table).values(id=2, code="A")),
                 ("主键", is_unique_violation, insert(table).values(id=1, code="B")),
                 ("外键（无父行）", is_foreign_key_violation, insert(table).values(id=3, code="C", parent_id=9)),
                 ("外键（有子行）", is_foreign_key_violation, delete(parent)),
                 ("非空", is_not_null_violation, insert(table).values(id=4, code=None)),
                 ("检查", is_check_violation, insert(table).values(id=5, code="E", size=-1)))
        wrong = []
        for what, known, statement in cases:
            error = refused(lambda statement=statement: _do(place, statement))  # type: ignore[misc]
            said.append(f"{what} {code_of(error) if error else '未拒绝'}"
                        f"{f' [{constraint_name(error)}]' if error and constraint_name(error) else ''}")
            if error is None or not known(error):
                wrong.append(f"{what}：{told(error) if error else '没有被拒绝'}")
    need(not wrong, "错误码与程序所知不同，请把本报告发回：" + "；".join(wrong))
    return "代码和约束名：" + "，".join(said)


def _statement_only(place: Place) -> str:
    with place.scratch(_key()) as table:
        with place.engine.begin() as connection:
            connection.execute(insert(table).values(id=1))
            error = refused(lambda: connection.execute(insert(table).values(id=1)))
            connection.execute(insert(table).values(id=2))
        with place.engine.connect() as connection:
            rows = connection.scalar(select(func.count()).select_from(table))
    need(error is not None and rows == 2, f"出错的语句之外也被撤销了（剩 {rows} 行）")
    return "出错只撤销该语句，事务继续"


def _savepoints(place: Place) -> str:
    with place.scratch(_key()) as table:
        with place.engine.begin() as connection:
            connection.execute(insert(table).values(id=1))
            with connection.begin_nested():
                connection.execute(insert(table).values(id=2))
            inner = connection.begin_nested()
            connection.execute(insert(table).values(id=3))
            inner.rollback()
        with place.engine.connect() as connection:
            ids = sorted(connection.scalars(select(table.c.id)))
            connection.exec_driver_sql("SAVEPOINT his_check")
            error = refused(lambda: connection.exec_driver_sql("RELEASE SAVEPOINT his_check"))
    need(ids == [1, 2], f"保存点之后剩 {ids}，应当是 [1, 2]")
    if error is not None:
        need(code_of(error) in SYNTAX, f"RELEASE SAVEPOINT 的报错不是语法错误：{told(error)}")
    return "保存点可回退；RELEASE SAVEPOINT " + ("不支持，程序已容忍" if error else "可用")


def _longest(place: Place) -> str:
    with place.scratch(_key(), Column("name", String(2000))) as table:
        long = _RARE * 2000
        _do(place, insert(table).values(id=1, name=long))
        with place.engine.connect() as connection:
            found = connection.scalar(select(table.c.name))
    need(found == long, f"2000 个四字节字存取后是 {len(found or '')} 个")
    return "VARCHAR(2000 CHAR) 存取 2000 个四字节字（𠮷）无损"


def _lobs(place: Place) -> str:
    with place.scratch(_key(), Column("note", Text), Column("scan", LargeBinary)) as table:
        note, scan = "病程记录𠮷" * 20_000, bytes(range(256)) * 400
        _do(place, insert(table).values(id=1, note=note, scan=scan), insert(table).values(id=2, note="", scan=b""))
        with place.engine.connect() as connection:
            rows = connection.execute(select(table.c.note, table.c.scan).order_by(table.c.id)).all()
            sorting = refused(lambda: connection.execute(text(f"SELECT id FROM {table.name} ORDER BY note")).all())
    need(tuple(rows[0]) == (note, scan), f"CLOB/BLOB 存取后长度是 {len(rows[0][0] or '')}、{len(rows[0][1] or b'')}")
    return (f"CLOB 10 万字、BLOB 10 万字节存取无损；空的读回 {rows[1][0]!r}、{rows[1][1]!r}；"
            f"按 CLOB 排序：{'报 ' + str(code_of(sorting)) if sorting else '允许'}")


def _long_row(place: Place) -> str:
    columns = [Column(f"c{number}", String(1500)) for number in range(6)]
    with place.scratch(_key(), *columns) as table:
        values = {column.name: _RARE * 1500 for column in columns}
        _do(place, insert(table).values(id=1, **values))
        with place.engine.connect() as connection:
            row = connection.execute(select(*table.c[1:])).one()
    need(all(value == _RARE * 1500 for value in row), "超过半页的行存取有损")
    return "超过半页的行（约 36 KB）在 STORAGE(USING LONG ROW) 的表中存取无损"


def _numbers(place: Place) -> str:
    with place.scratch(_key(), Column("money", Numeric(18, 2)), Column("amount", Numeric(18, 4)),
                       Column("at", DateTime), Column("good", Boolean)) as table:
        at = datetime(2026, 11, 25, 23, 59, 59, 123456)
        rows = [{"id": n, "money": Decimal("0.10"), "amount": Decimal("0.3333"), "at": at, "good": n % 2 == 0}
                for n in range(1, 31)]
        with place.engine.begin() as connection:
            connection.execute(insert(table), rows)
            money, amount = connection.execute(select(func.sum(table.c.money), func.sum(table.c.amount))).one()
            found = connection.execute(select(table.c.at, table.c.good).order_by(table.c.id)).first()
            good = connection.scalar(select(func.count()).select_from(table).where(table.c.good))
            big = Decimal("9999999999999999.99")
            connection.execute(update(table).where(table.c.id == 1).values(money=big))
            kept = connection.scalar(select(table.c.money).where(table.c.id == 1))
    need((money, amount) == (Decimal("3.00"), Decimal("9.9990")), f"小数求和不精确：{money}、{amount}")
    need(found is not None and tuple(found) == (at, False) and good == 15, f"时间或布尔值存取不符：{found}、{good}")
    need(kept == big, f"十八位金额存取后是 {kept}")
    return "金额、数量精确到分和四位小数；时间精确到微秒；布尔可作条件"


def _blanks(place: Place) -> str:
    with place.scratch(_key(), Column("name", String(10))) as table:
        _do(place, insert(table).values(id=1, name="甲 "))
        with place.engine.connect() as connection:
            equal = connection.scalar(select(func.count()).select_from(table).where(table.c.name == "甲"))
            kept = connection.scalar(select(table.c.name))
    need(kept == "甲 ", f"尾部空格没有保留：{kept!r}")
    return "尾部空格保留；比较时" + ("忽略尾部空格" if equal else "不忽略尾部空格")


def _duplicate_index(place: Place) -> str:
    with place.scratch(_key(), Column("name", String(10)), Index("his_check_first", "name")) as table:
        error = refused(lambda: _do(place, text(f"CREATE INDEX his_check_second ON {table.name} (name)")))
    return f"{'拒绝，代码 ' + str(code_of(error)) if error else '允许'}（程序本来就不建）"


def _ddl_commits(place: Place) -> str:
    with place.scratch(_key()) as table, place.engine.connect() as connection:
        connection.execute(insert(table).values(id=1))
        other = Table(f"{table.name}_ddl", MetaData(), _key())
        other.create(connection)
        connection.rollback()
        rows = connection.scalar(select(func.count()).select_from(table))
        other.drop(connection)
    return "DDL " + ("自动提交此前的写入" if rows else "不提交此前的写入") + "（迁移脚本两种都能用）"


WRITING = (
    Question("identity", KEYS, "自增列、DEFAULT 与 IDENTITY_INSERT", "must", _identity),
    Question("returning", KEYS, "UPDATE、DELETE … RETURNING 多行", "must", _returning),
    Question("rowcount", KEYS, "UPDATE 的行数", "must", _rowcount),
    Question("merge", KEYS, "MERGE … USING DUAL", "must", _merge),
    Question("merge_race", KEYS, "两个会话同时 MERGE 同一新键", "must", _merge_twice),
    Question("violations", REFUSALS, "唯一、外键、非空、检查的错误码", "must", _violations),
    Question("statement_only", REFUSALS, "出错只撤销该语句", "must", _statement_only),
    Question("savepoint", REFUSALS, "保存点", "must", _savepoints),
    Question("second_index", REFUSALS, "同一列的第二个索引", "fact", _duplicate_index),
    Question("ddl_commits", REFUSALS, "DDL 与事务", "fact", _ddl_commits),
    Question("longest_text", VALUES, "最长的列放四字节字", "must", _longest),
    Question("lobs", VALUES, "CLOB、BLOB", "must", _lobs),
    Question("long_row", VALUES, "超过半页的行", "must", _long_row),
    Question("numbers", VALUES, "金额、时间、布尔", "must", _numbers),
    Question("trailing_blanks", VALUES, "尾部空格", "must", _blanks),
)
