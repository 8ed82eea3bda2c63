"""``his-server import KIND FILE``."""

from __future__ import annotations

from pathlib import Path

import click

from his_server.actor import SYSTEM
from his_server.cli.context import house
from his_server.errors import Invalid
from modules.kernel.masterdata.importing import import_file


@click.command("import")
@click.argument("kind")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def import_(kind: str, file: Path) -> None:
    """从 xlsx 或 CSV 导入目录：先检查全部行，再全部导入或全部不导入；可重复执行

    KIND：dictionaries departments wards staff charge_items drugs diagnoses item_sets persons regions postcodes frequencies
    """
    try:
        with house().database.begin() as session:
            session.info["actor"] = SYSTEM
            report = import_file(session, SYSTEM, kind, file)
    except Invalid as error:
        for item in error.errors:
            click.echo(item.message, err=True)
        raise click.ClickException(error.message) from error
    click.echo(f"共 {report.rows} 行：新增 {report.added}，修改 {report.changed}，未变 {report.same}")
