"""``ports``: where this installation listens, and from where its administrators may work: the list that an assessor compares with
what the host really has open.

Implements: DB-20.
"""

from __future__ import annotations

import click

from his_server import running
from his_server.cli.context import house
from his_server.security import settings as security_settings
from his_server.settings import SettingsError


@click.command()
def ports() -> None:
    """列出声明的监听端口与服务，以及管理员来源网段（与 ss -lntup 核对）"""
    settings = house().settings
    masters = running.masters(settings)
    for master in masters:
        click.echo(f"tcp {master.bind}  Web 服务：页面与接口，只供网关（进程 {master.pid}，版本 {master.version}）")
    if not masters:
        click.echo("Web 服务没有运行（监听地址由 his-server run --bind 或 /etc/his-server/web.env 给出）")
    if settings.simulators:
        click.echo(f"tcp {settings.simulators.rpartition('/')[2]}  外部系统模拟器：只供演示与测试，不得在生产启用")
    click.echo("后台任务、命令行：不监听任何端口；数据库、网关：不属于本程序，由各自的管理员出示")
    try:
        networks = security_settings.of(settings).admin_networks
    except SettingsError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"管理员来源网段：{'、'.join(networks) or '没有限制（[module.security] admin_networks）'}")
