"""``init``, ``migrate`` and ``migration``: the tables, the roles, the first administrators."""

from __future__ import annotations

import base64
import secrets
import string

import click
from sqlalchemy import func, select

from his_server.actor import SYSTEM
from his_server.cli.context import House, house
from his_server.db import migrate as migrations

ADMINISTRATORS = (("sysadmin", "系统管理员"), ("secadmin", "安全管理员"), ("auditadmin", "审计管理员"))


@click.command()
@click.option("--quiet", is_flag=True, help="已初始化时不输出")
def init(quiet: bool) -> None:
    """建表、建立标准角色和三名管理员（可重复执行）"""
    found = house()
    found.hospital, found.everything  # noqa: B018  # all tables are known from here on
    migrations.prepare(found.database)
    made = first_accounts(found)
    if made:
        click.echo("已建立三名管理员，初始口令只显示这一次，首次登录须修改：")
        for login, password, secret in made:
            click.echo(f"  {login:<12} {password}" + (f"    动态口令种子（SM3）{secret}" if secret else ""))
    elif not quiet:
        click.echo("数据库已是最新，账户已存在。")


def first_accounts(found: House) -> list[tuple[str, str, str]]:
    """Standard roles, and the three administrators where nobody has an account yet: login, password, and the base32
    secret of their one-time codes, without which an administrator can't sign in (empty in the demo)."""
    from his_server.security import accounts, bootstrap, create_user
    from his_server.security.models import User

    with found.database.begin() as session:
        session.info["actor"] = SYSTEM
        bootstrap(session, found.everything)
        if session.scalar(select(func.count()).select_from(User)):
            return []
        made = []
        for login, title in ADMINISTRATORS:
            password = _first_password()
            user = create_user(session, SYSTEM, login=login, name=title, password=password, roles=(login,),
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
def migrate(dialect: str | None, check: bool) -> None:
    """升级数据库结构到本版本"""
    if dialect:
        migrations.print_sql(dialect)
        return
    found = house()
    if check:
        at, head = migrations.current(found.database), migrations.head()
        if at != head:
            raise click.ClickException(f"数据库版本 {at or '无'}，程序需要 {head or '无'}：请执行 his-server migrate")
        click.echo(f"数据库为最新版本 {at or '（无）'}")
        return
    migrations.prepare(found.database)
    click.echo(f"数据库版本：{migrations.current(found.database) or '（无）'}")


@click.command()
@click.argument("name")
def migration(name: str) -> None:
    """开发者：比较模型与数据库，生成一个升级脚本"""
    click.echo(migrations.make(name))
