"""``init``, ``migrate`` and ``migration``: the tables, the roles, the first administrators."""

from __future__ import annotations

import base64
import json
import secrets
import string
from pathlib import Path

import click
from sqlalchemy import func, select

from crypto import CryptoError
from crypto.files import write_private
from his_server.actor import SYSTEM
from his_server.cli.context import House, become_owner, house
from his_server.db import migrate as migrations
from his_server.keys import open_sealer, seal_database_url

ADMINISTRATORS = (("sysadmin", "系统管理员"), ("secadmin", "安全管理员"), ("auditadmin", "审计管理员"))


@click.command()
@click.option("--quiet", is_flag=True, help="已初始化时不输出")
@click.option("--administrators", help="三名管理员的登录名和姓名（JSON，由 his-server setup 给出）", hidden=True)
@click.option("--seal-database", is_flag=True, help="从标准输入读数据库地址并加密保存（由 his-server setup 给出）", hidden=True)
@click.option("--accounts-to", type=click.Path(path_type=Path, dir_okay=False), help="初始口令写入此文件（权限 0600），不显示")
@click.option("--code-tables", is_flag=True, help="装入国家标准代码表，已有内容的不动（setup 总是装入）")
def init(quiet: bool, administrators: str | None, seal_database: bool, accounts_to: Path | None, code_tables: bool) -> None:
    """建表、建立标准角色和三名管理员（可重复执行）"""
    found = house()
    found.hospital, found.everything  # noqa: B018  # all tables are known from here on
    if seal_database:
        become_owner(found.settings.data_dir)
        seal_database_url(found.settings, open_sealer(found.settings), click.get_text_stream("stdin").readline().strip())
    migrations.prepare(found.database)
    if accounts_to is not None:
        try:
            write_private(accounts_to, b"", replace=False)  # before any password is made that couldn't be told
        except (CryptoError, OSError) as error:
            raise click.ClickException(f"初始口令文件 {accounts_to} 不能写：{error}") from error
    people = [tuple(entry) for entry in json.loads(administrators)] if administrators else None
    made = first_accounts(found, people)
    if code_tables:
        first_data(found)
    if made and accounts_to is not None:
        write_private(accounts_to, "".join(f"{login}\t{password}\t{secret}\n" for login, password, secret in made).encode())
        click.echo(f"已建立三名管理员，初始口令和动态口令种子写在 {accounts_to}：分别交给本人后删除，首次登录须修改")
    elif made:
        click.echo("已建立三名管理员，初始口令只显示这一次，首次登录须修改：")
        for login, password, secret in made:
            click.echo(f"  {login:<12} {password}" + (f"    动态口令种子（SM3）{secret}" if secret else ""))
    elif not quiet:
        click.echo("数据库已是最新，账户已存在。")


def first_data(found: House) -> None:
    """What the modules bring to a new installation, each in a unit of work of its own."""
    for module in found.everything.modules:
        if module.first_data is not None:
            with found.database.begin() as session:
                session.info["actor"] = SYSTEM
                module.first_data(session, SYSTEM)


def first_accounts(found: House, people: list[tuple[str, ...]] | None = None) -> list[tuple[str, str, str]]:
    """Standard roles, and the three administrators where nobody has an account yet: login, password, and the base32
    secret of their one-time codes, without which an administrator can't sign in (empty in the demo).

    ``people``: login and name of the system, security and audit administrator, in this order.
    """
    from his_server.security import accounts, bootstrap, create_user
    from his_server.security.models import User

    with found.database.begin() as session:
        session.info["actor"] = SYSTEM
        bootstrap(session, found.everything)
        if session.scalar(select(func.count()).select_from(User)):
            return []
        made = []
        for (role, title), given in zip(ADMINISTRATORS, people or [()] * len(ADMINISTRATORS), strict=True):
            login, name = given or (role, title)
            password = _first_password()
            user = create_user(session, SYSTEM, login=login, name=name, password=password, roles=(role,),
                               rounds=found.settings.password_rounds)
            secret = b"" if found.settings.demo else accounts.enrol_totp(session, SYSTEM, user.id)
            made.append((login, password, base64.b32encode(secret).decode().rstrip("=")))
    return made


def _first_password() -> str:
    """Sixteen characters of all four classes, without look-alikes."""
    letters = "".join(set(string.ascii_letters) - set("lIO"))
    kinds = (letters.lower().replace("o", ""), "ABCDEFGHJKLMNPQRSTUVWXYZ", "23456789", "#%+-=@")
    drawn = [secrets.choice(kind) for kind in kinds] + [secrets.choice("".join(kinds)) for _ in range(12)]
    secrets.SystemRandom().shuffle(drawn)
    return "".join(drawn)


@click.command()
@click.option("--sql", "dialect", type=click.Choice(sorted(migrations.DIALECT_URLS)), help="只输出 SQL，供管理员审阅")
@click.option("--check", is_flag=True, help="只检查数据库是否为最新版本")
@click.option("--contract", is_flag=True, help="收缩：去掉只有上一版本还需要的内容，之后不能再退回上一版本")
def migrate(dialect: str | None, check: bool, contract: bool) -> None:
    """升级数据库结构到本版本（只扩展，上一版本的进程可继续运行）"""
    if dialect:
        migrations.print_sql(dialect)
        return
    found = house()
    if check:
        at, left = migrations.current(found.database), migrations.pending(found.database)
        if any(phase == "expand" for _, phase in left):
            raise click.ClickException(f"数据库版本 {at or '无'}，程序需要 {migrations.head() or '无'}："
                                       "请执行 his-server migrate")
        click.echo(f"数据库为最新版本 {at or '（无）'}"
                   + ("，上一版本停用后可执行 his-server migrate --contract" if left else ""))
        return
    migrations.prepare(found.database, contract=contract)
    click.echo(f"数据库版本：{migrations.current(found.database) or '（无）'}")


@click.command()
@click.argument("name")
def migration(name: str) -> None:
    """开发者：比较模型与数据库，生成一个升级脚本"""
    click.echo(migrations.make(name))
