"""``his-server keys``: the commands of :mod:`crypto.cli` with the house's own ring and provider as defaults, and what
needs the database: rotation with audit, re-sealing, the program's manifest."""

from __future__ import annotations

import json
from pathlib import Path

import click

from crypto import CryptoError
from crypto.cli import keys as plain
from crypto.files import read_private
from his_server import __version__, startup
from his_server.cli.context import become_owner, house
from his_server.keys import PURPOSES, SM2_PURPOSES
from his_server.keys import provider_options as options_of
from his_server.security import audit, reseal
from his_server.security.cli import OPERATOR

FILE = click.Path(path_type=Path, dir_okay=False)
ON_THE_RING = ("init", "rotate", "status", "split", "combine", "destroy")
"""Commands on files that belong to the service's account: where root gives them, they are done as that account."""


@click.group("keys")
@click.option("--provider", help="密码提供者：openssl、sdf（默认按设置）")
@click.option("--provider-options", type=FILE, help="提供者选项（JSON 文件，权限 0600）")
@click.pass_context
def keys(context: click.Context, provider: str | None, provider_options: Path | None) -> None:
    """密钥管理：主密钥、密钥环、轮换、重新加密、程序清单、内部 CA、自检"""
    settings = house().settings
    meta = context.find_root().meta
    meta["crypto.ring"], meta["crypto.master"] = settings.key_ring_path, settings.master_key_path
    meta["crypto.provider"] = provider or settings.crypto_provider
    try:
        if provider_options:
            meta["crypto.options"] = dict(json.loads(read_private(provider_options)))
        elif provider is None:
            meta["crypto.options"] = options_of(settings)
    except (CryptoError, ValueError, TypeError) as error:  # SettingsError is a ValueError
        raise click.ClickException(f"提供者选项不可用：{error}") from error
    if context.invoked_subcommand in ON_THE_RING and settings.data_dir.is_dir():
        become_owner(settings.data_dir)


for _command in plain.commands.values():
    keys.add_command(_command)


@keys.command("rotate")
@click.argument("purpose", type=click.Choice((*PURPOSES, *SM2_PURPOSES)))
def rotate(purpose: str) -> None:
    """为一种用途换新密钥；旧密钥保留用于解密和校验"""
    database = house().database
    try:
        key = database.sealer.ring.rotate(purpose)
    except CryptoError as error:
        raise click.ClickException(f"没有换成：{error}") from error
    audit.record_apart(database, OPERATOR, "key.rotate", "key", key.kid, {"purpose": purpose}, success=True)
    click.echo(f"{purpose} 的新密钥为 {key.kid}；运行中的进程在 1 秒内改用，旧数据照常可读")
    if purpose in reseal.PURPOSES:
        click.echo("请运行 his-server keys reseal，把旧数据改用新密钥")


@keys.command("reseal")
@click.option("--table", "tables", multiple=True, help="只处理这些表（可重复）")
@click.option("--batch", default=500, show_default=True, type=click.IntRange(1, 10_000), help="每个事务的行数")
@click.option("--check", is_flag=True, help="只统计仍用旧密钥的行，不改动；有则以 1 退出")
def reseal_command(tables: tuple[str, ...], batch: int, check: bool) -> None:
    """把加密字段和检索索引改用现行密钥（可随时中断、重复运行，不影响使用）"""
    found = house()
    found.everything  # noqa: B018  # all tables are known from here on
    database = found.database
    known = {attribute.table for attribute in reseal.attributes()}
    if strange := set(tables) - known:
        raise click.ClickException(f"没有加密字段的表：{'、'.join(sorted(strange))}")
    left = 0
    for attribute in reseal.attributes():
        if tables and attribute.table not in tables:
            continue
        if check:
            stale = reseal.stale(database, attribute)
            left += stale
            click.echo(f"{attribute.table}.{attribute.name}：{stale} 行仍用旧密钥")
            continue
        done = reseal.run(database, attribute, batch)
        left += done.failed
        click.echo(f"{attribute.table}.{attribute.name}：{done.changed} 行已改用新密钥"
                   + (f"，{done.failed} 行打不开" if done.failed else ""))
    if not check:
        audit.record_apart(database, OPERATOR, "key.reseal", "key", "", {"tables": sorted(tables), "failed": left},
                           success=not left)
    if left:
        raise SystemExit(1)


_destroy = plain.commands["destroy"]


@keys.command("destroy", params=list(_destroy.params), help=_destroy.help)
@click.pass_context
def destroy(context: click.Context, **options: object) -> None:
    """Refuses a retired key that rows of ours still need; everything else is crypto.cli's."""
    found = house()
    if (kid := options["kid"]) and options["ring"] == found.settings.key_ring_path:
        found.everything  # noqa: B018  # all tables are known from here on
        purpose = next((key.purpose for key in found.database.sealer.ring.living() if key.kid == kid), "")
        if purpose in reseal.PURPOSES and any(reseal.stale(found.database, a) for a in reseal.attributes()):
            raise click.ClickException("仍有数据使用旧密钥，销毁后将无法读取：请先运行 his-server keys reseal")
    context.forward(_destroy)
    if kid and options["ring"] == found.settings.key_ring_path:
        audit.record_apart(found.database, OPERATOR, "key.destroy", "key", kid, success=True)


@keys.group("manifest")
def manifest() -> None:
    """程序清单：全部程序文件的 SM3，用 SM2 签名，启动时核对"""


@manifest.command("create")
@click.option("--out", type=FILE, help="清单文件；不给则按设置，或放在程序旁")
def manifest_create(out: Path | None) -> None:
    """为已安装的程序签一份清单"""
    found = house()
    target = out or found.settings.manifest or startup.PROGRAM / "manifest.json"
    database = found.database
    count = startup.sign_program(found.settings, database.sealer, target, __version__, database.clock.now())
    audit.record_apart(database, OPERATOR, "program.sign", "manifest", str(target)[-80:], {"files": count}, success=True)
    click.echo(f"已签名 {count} 个文件：{target}")


@manifest.command("verify")
def manifest_verify() -> None:
    """核对程序文件；有改动时逐条列出并以 1 退出"""
    found = house()
    path = startup.manifest_of(found.settings)
    if path is None:
        raise click.ClickException("没有程序清单：请先 his-server keys manifest create，或在设置里指定 manifest")
    try:
        differences = startup.compare(found.settings, found.database.sealer, path)
    except CryptoError as error:
        raise click.ClickException(f"程序清单缺失、被改动或签名不符：{error}") from error
    for item in differences:
        click.echo(f"  {item.kind}  {item.path}")
    if differences:
        click.echo(f"不通过：{len(differences)} 处改动")
        raise SystemExit(1)
    click.echo("通过：程序文件与签名清单一致")
