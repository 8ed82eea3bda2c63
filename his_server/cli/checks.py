"""``balance``: all declared invariants of the hospital's ledgers."""

from __future__ import annotations

import click

from his_server.cli.context import house
from his_server.db import Database
from his_server.module import Check, Finding


def find(database: Database, checks: tuple[Check, ...]) -> list[Finding]:
    """Run the checks in one read-only unit of work, so that all see the same instant where the database can."""
    with database.begin(write=False) as session:
        return [finding for check in checks for finding in check.run(session)]


@click.command()
@click.option("--check", "names", multiple=True, help="只运行指定的检查")
def balance(names: tuple[str, ...]) -> None:
    """核对所有账：不平时逐行列出并以 1 退出"""
    found = house()
    checks = tuple(check for check in found.everything.checks if not names or check.name in names)
    if strange := set(names) - {check.name for check in checks}:
        raise click.ClickException(f"没有这样的检查：{'、'.join(sorted(strange))}")
    failed = 0
    for check in checks:
        findings = find(found.database, (check,))
        click.echo(f"{'不平' if findings else '平'}  {check.name}  {check.title}")
        for finding in findings:
            click.echo(f"      {finding.where}: {finding.message}")
        failed += len(findings)
    click.echo(f"共 {len(checks)} 项检查，{failed} 处不平")
    if failed:
        raise SystemExit(1)
