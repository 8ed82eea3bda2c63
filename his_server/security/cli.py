"""``his-server audit`` and ``his-server integrity``."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import click
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from crypto import CryptoError, pem
from dialects.privileges import append_only
from his_server.actor import SYSTEM
from his_server.cli.context import house
from his_server.clock import local
from his_server.db import Database
from his_server.errors import AppError
from his_server.module import Finding
from his_server.security import archive as archives
from his_server.security import audit as trail
from his_server.security import grants, seals, signed
from his_server.security import settings as security_settings
from his_server.security import syslog as central
from his_server.security.integrity import holds
from his_server.settings import SettingsError

APPEND_ONLY = ("security_audit", "security_seal", "security_seal_checkpoint", "security_signature")
OPERATOR = replace(SYSTEM, login="console", name="服务器控制台", channel="console")


def the_database() -> Database:
    """The database, with all modules loaded."""
    found = house()
    found.everything  # noqa: B018  # ledgers of all modules declare their chains
    return found.database


def report(findings: list[Finding], what: str) -> None:
    """Print findings; exit with 1 when there are any."""
    for finding in findings:
        click.echo(f"  {finding.check}  {finding.where}: {finding.message}")
    if findings:
        click.echo(f"不通过：{what}有 {len(findings)} 处异常")
        raise SystemExit(1)
    click.echo(f"通过：{what}完整")


@click.group()
def audit() -> None:
    """审计记录：校验、封存、归档"""


@audit.command()
def verify() -> None:
    """校验审计记录、封存链、检查点和外部锚；有异常时逐条列出并以 1 退出"""
    database = the_database()
    with database.begin(write=False) as session:
        findings = seals.verify(session)
    trail.record_apart(database, OPERATOR, "audit.verify", "audit", "", {"findings": len(findings)},
                       success=not findings)
    report(findings, "审计记录")


@audit.command()
def seal() -> None:
    """立即封存新的审计记录并签发检查点"""
    database = the_database()
    count = seals.seal_all(database)
    seals.checkpoint_now(database)
    click.echo(f"已封存 {count} 条")


@audit.command()
@click.option("--folder", type=click.Path(path_type=Path), required=True, help="归档文件夹")
@click.option("--days", type=int, default=None, help="保留天数（不少于 180）")
def archive(folder: Path, days: int | None) -> None:
    """把超过保留期的审计记录移到加密归档文件"""
    found = house()
    try:
        configured = security_settings.of(found.settings)
        path = archives.archive(the_database(), folder, days if days is not None else configured.audit_days)
    except SettingsError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"已归档：{path}" if path else "没有超过保留期的记录")


@audit.command()
@click.option("--after", type=click.IntRange(min=0), default=0, show_default=True, help="从这个封存序号之后开始")
def syslog(after: int) -> None:
    """把审计记录按 RFC 5424 逐行写到标准输出，供本机采集器取用；最后的序号写到标准错误"""
    last = after
    with the_database().begin(write=False) as session:
        for place, line in central.lines(session, after):
            click.echo(line)
            last = place
    click.echo(f"seq {last}", err=True)


@audit.command()
@click.argument("path", type=click.Path(path_type=Path, exists=True))
def show(path: Path) -> None:
    """读出一个归档文件，每行一条 JSON"""
    import json

    for row in archives.read(the_database(), path):
        click.echo(json.dumps(row, ensure_ascii=False))


@audit.command()
@click.argument("account")
def privileges(account: str) -> None:
    """打印收回应用数据库账户修改、删除审计表权限的语句（由数据库管理员执行；归档改用维护账户）"""
    dialect = house().database.url.get_backend_name()
    try:
        lines = append_only(dialect, APPEND_ONLY, account)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    click.echo("\n".join(f"{line};" for line in lines))


@click.group()
def integrity() -> None:
    """受保护数据：校验、恢复后认可"""


@integrity.command(name="verify")
def verify_protected() -> None:
    """校验账户、角色、授权和各登记的账目；有异常时逐条列出并以 1 退出"""
    database = the_database()
    with database.begin(write=False) as session:
        findings = [*grants.verify(session), *seals.verify_all(session)]
    trail.record_apart(database, OPERATOR, "integrity.verify", "integrity", "", {"findings": len(findings)},
                       success=not findings)
    report(findings, "受保护数据")


@integrity.command()
@click.option("--reason", required=True, help="原因，记入审计")
@click.confirmation_option(prompt="将按现状重新保护全部账户与授权，确认已核对？")
def accept(reason: str) -> None:
    """恢复备份后，经核对按现状重新保护账户与授权（记入审计）"""
    database = the_database()
    with database.begin() as session:
        grants.accept(session, OPERATOR, reason)
    click.echo("已重新保护")


@click.group()
def partner() -> None:
    """外部系统的签名密钥：登记、停用、列出"""


@partner.command(name="add")
@click.argument("key_id")
@click.option("--name", required=True, help="外部系统名称")
@click.option("--public", "public_file", type=click.Path(path_type=Path, exists=True), required=True,
              help="对方的 SM2 公钥（PEM）")
@click.option("--permission", "permissions", multiple=True, required=True, help="可用的接口权限（可重复）")
@click.option("--days", default=365, show_default=True, type=click.IntRange(1, 3650), help="有效天数")
def partner_add(key_id: str, name: str, public_file: Path, permissions: tuple[str, ...], days: int) -> None:
    """登记对方公钥，并显示交给对方的我方密钥编号和公钥"""
    database = the_database()
    try:
        public = pem.public_from_pem(public_file.read_bytes())
        with database.begin() as session:
            now = database.clock.now()
            signed.register(session, OPERATOR, key_id=key_id, name=name, public=public, permissions=permissions,
                            not_before=now, not_after=now + timedelta(days=days))
    except CryptoError as error:
        raise click.ClickException(f"公钥文件有误：{error}") from error
    except AppError as error:
        raise click.ClickException("；".join([error.message, *(e.message for e in error.errors)])) from error
    except IntegrityError as error:
        raise click.ClickException("这个密钥编号已经登记过") from error
    ours = signed.our_key(database)
    click.echo(f"已登记。我方密钥编号 {ours.kid}，公钥 {ours.public.hex()}")


@partner.command(name="revoke")
@click.argument("key_id")
def partner_revoke(key_id: str) -> None:
    """停用一个密钥编号"""
    try:
        with the_database().begin() as session:
            signed.revoke(session, OPERATOR, key_id)
    except AppError as error:
        raise click.ClickException(error.message) from error
    click.echo("已停用")


@partner.command(name="list")
def partner_list() -> None:
    """列出登记的密钥编号"""
    database = the_database()
    with database.begin(write=False) as session:
        for row in session.scalars(select(signed.PartnerKey).order_by(signed.PartnerKey.key_id)):
            sound = "" if holds(database.sealer, row) else "  记录被改动！"
            click.echo(f"{row.key_id}  {row.name}  {row.state}  {local(row.not_after):%Y-%m-%d}  {row.permissions}{sound}")
