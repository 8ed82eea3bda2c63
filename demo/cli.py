"""``his-server demo``: makes the demo hospital."""

from __future__ import annotations

import time
from dataclasses import replace

import click

from demo.build import PASSWORD, SCALES, build, is_empty
from his_server.app import bind_ports
from his_server.cli.context import house
from his_server.db import migrate as migrations


@click.command()
@click.option("--scale", type=click.Choice(tuple(SCALES)), default="small", show_default=True, help="规模")
@click.option("--seed", default=6, show_default=True, help="随机种子：同一种子得到同样的医院")
@click.option("--if-empty", is_flag=True, help="已有数据时什么也不做")
def demo(scale: str, seed: int, if_empty: bool) -> None:
    """建立演示医院：目录、人员、病人和一个月的业务"""
    found = house()
    hospital, database = found.everything, found.database
    if not found.settings.demo:
        raise click.ClickException("这不是演示环境：请先设置 HIS_DEMO=1（演示账户口令是公开的，不能用于真实医院）")
    migrations.prepare(database)
    if not is_empty(database):
        if not if_empty:
            raise click.ClickException("数据库里已有病人，演示医院只能建在空库上")
        return
    settings = replace(found.settings, simulators="")  # the month's peers answer in this process: nobody serves them yet
    bind_ports(database, hospital, settings)
    started = time.monotonic()
    build(database, hospital, settings, SCALES[scale], seed, lambda text: click.echo(f"  {text}"))
    accounts = "、".join(("cashier01", "doctor01", "pharmacist01", "finance01", "catalogue01", "registrar01", "technician01",
                         "sysadmin", "secadmin", "auditadmin"))
    click.echo(f"演示医院已建成，用时 {time.monotonic() - started:.0f} 秒。账户 {accounts}，口令 {PASSWORD}")
