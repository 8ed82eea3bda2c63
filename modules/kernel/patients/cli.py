"""``his-server regions migrate``: addresses in reformed regions (M1.4)."""

from __future__ import annotations

import click

from his_server.actor import SYSTEM
from his_server.cli.context import house
from modules.kernel.patients import service


@click.group()
def regions() -> None:
    """行政区划"""


@regions.command()
@click.option("--dry-run", is_flag=True, help="只统计，不修改")
def migrate(dry_run: bool) -> None:
    """把现住址、户口、单位地址中已撤并的区划转到现行区划，保留原代码"""
    with house().database.begin() as session:
        session.info["actor"] = SYSTEM
        report = service.migrate_regions(session, SYSTEM, dry_run=dry_run)
    for entry in report.moved:
        click.echo(f"{entry.field}: {entry.code} {entry.name} → {entry.present_code} {entry.present_name}: {entry.persons} 人")
    for field, code, persons in report.unknown:
        click.echo(f"{field}: {code} 不在区划表中：{persons} 人，未改动")
    click.echo(f"{'将转换' if dry_run else '已转换'} {report.persons} 处地址")
