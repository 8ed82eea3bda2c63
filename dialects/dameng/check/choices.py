"""What was chosen at dminit and for the account: these can't be changed later, so they are refused now (XC-06)."""

from __future__ import annotations

from sqlalchemy import Column, Integer, String, insert

from dialects.dameng.check.asking import NotAsked, Place, Question, need, refused

INIT = "初始化参数"
ACCOUNT = "账户与权限"
_ADMINISTRATORS = frozenset({"SYSDBA", "SYSAUDITOR", "SYSSSO", "SYSDBO", "SYS"})
_POWERFUL_ROLES = frozenset({"DBA", "DB_AUDIT_ADMIN", "DB_POLICY_ADMIN", "DB_OBJECT_ADMIN"})


def _setting(place: Place, name: str) -> str:
    return str(place.value(f"SELECT PARA_VALUE FROM V$DM_INI WHERE PARA_NAME = '{name}'",
                           f"SELECT VALUE FROM V$PARAMETER WHERE NAME = '{name}'"))


def _version(place: Place) -> str:
    with place.engine.connect() as connection:
        driver = getattr(connection.connection.dbapi_connection, "server_version", None)
    try:
        banner = "；".join(str(line) for line in place.values("SELECT BANNER FROM V$VERSION"))
    except NotAsked:
        banner = "V$VERSION 不可读"
    major = place.engine.dialect.server_version_info or ()
    need(not major or int(major[0]) >= 8, f"服务器版本 {driver} 低于 DM8，本系统只支持 DM8")
    return f"{driver}（{banner}）"


def _page(place: Place) -> str:
    size = int(place.value("SELECT PAGE() FROM DUAL", "SELECT SF_GET_PAGE_SIZE() FROM DUAL"))
    need(size == 32768, f"PAGE_SIZE 是 {size // 1024}K。8K 页的列只能放 3900 字节、行只能占半页，建库后不能改："
                        "请用 PAGE_SIZE=32 重新初始化")
    return "PAGE_SIZE=32"


def _charset(place: Place) -> str:
    size = int(place.value("SELECT LENGTHB('汉') FROM DUAL", "SELECT OCTET_LENGTH('汉') FROM DUAL"))
    need(size == 3, f"一个汉字占 {size} 字节，字符集不是 UTF-8，建库后不能改：请用 CHARSET=1 重新初始化")
    return "CHARSET=1（UTF-8）：一个汉字占 3 字节"


def _case(place: Place) -> str:
    same = int(place.value("SELECT CASE WHEN 'a' = 'A' THEN 1 ELSE 0 END FROM DUAL"))
    need(same == 0, "'a' 与 'A' 被当成相同，建库后不能改：请用 CASE_SENSITIVE=Y 重新初始化")
    return "CASE_SENSITIVE=Y：大小写不同即不同"


def _empty(place: Place) -> str:
    null = int(place.value("SELECT CASE WHEN '' IS NULL THEN 1 ELSE 0 END FROM DUAL"))
    need(null == 0, "空串被当成 NULL（COMPATIBLE_MODE=2 的行为），必填的文本会存不进去：请用 COMPATIBLE_MODE=0")
    return "空串不是 NULL"


def _compatible(place: Place) -> str:
    try:
        mode = _setting(place, "COMPATIBLE_MODE")
    except NotAsked:
        return "参数对本账户不可读（最小权限下正常）；它影响的行为见“空串与 NULL”等各项"
    need(mode == "0", f"COMPATIBLE_MODE={mode}，会改变空串、除法和函数的含义：请改为 0 并重启实例")
    return "COMPATIBLE_MODE=0"


def _length(place: Place) -> str:
    with place.scratch(Column("id", Integer, primary_key=True, autoincrement=False), Column("name", String(4))) as table:
        longest = "汉" * 4
        with place.engine.begin() as connection:
            connection.execute(insert(table).values(id=1, name=longest))
        over = refused(lambda: _insert(place, table, longest + "字"))
        need(over is not None, "VARCHAR(4 CHAR) 放进了 5 个字，长度约束不起作用")
    try:
        mode = _setting(place, "LENGTH_IN_CHAR")
    except NotAsked:
        mode = "不可读"
    return f"LENGTH_IN_CHAR={mode}（两种都可以：建表语句写明 CHAR）；VARCHAR(4 CHAR) 恰好放 4 个汉字"


def _insert(place: Place, table: object, name: str) -> None:
    with place.engine.begin() as connection:
        connection.execute(insert(table).values(id=2, name=name))  # type: ignore[arg-type]


def _user(place: Place) -> str:
    name = str(place.value("SELECT USER FROM DUAL", "SELECT USER() FROM DUAL")).upper()
    need(name not in _ADMINISTRATORS, f"正在使用管理账户 {name}。应用账户绝不能是它：请按 docs/dameng.md 建专用账户")
    return f"账户 {name}"


def _roles(place: Place) -> str:
    roles = {str(name).upper() for name in place.values("SELECT GRANTED_ROLE FROM USER_ROLE_PRIVS")}
    too_much = sorted(roles & _POWERFUL_ROLES)
    need(not too_much, f"账户有管理角色 {'、'.join(too_much)}：请收回（REVOKE）")
    return "角色：" + ("、".join(sorted(roles)) or "无")


def _privileges(place: Place) -> str:
    held = {str(name).upper() for name in place.values("SELECT PRIVILEGE FROM USER_SYS_PRIVS")}
    too_much = sorted(name for name in held if " ANY " in f" {name} " or name.startswith(("ALTER DATABASE", "DROP USER",
                                                                                         "CREATE USER", "ALTER USER")))
    need(not too_much, f"账户权限过大：{'、'.join(too_much[:8])}。最小权限即可，请收回")
    return "系统权限：" + ("、".join(sorted(held)) or "无（由角色给出）")


CHOICES = (
    Question("version", INIT, "服务器版本", "must", _version),
    Question("page_size", INIT, "页大小 PAGE_SIZE", "must", _page),
    Question("charset", INIT, "字符集 CHARSET", "must", _charset),
    Question("case_sensitive", INIT, "大小写敏感 CASE_SENSITIVE", "must", _case),
    Question("empty_text", INIT, "空串与 NULL", "must", _empty),
    Question("compatible_mode", INIT, "兼容模式 COMPATIBLE_MODE", "must", _compatible),
    Question("length_in_char", INIT, "字符长度 LENGTH_IN_CHAR", "must", _length),
    Question("account", ACCOUNT, "不使用管理账户", "must", _user),
    Question("roles", ACCOUNT, "没有管理角色", "must", _roles),
    Question("privileges", ACCOUNT, "没有多余的系统权限", "must", _privileges),
)
