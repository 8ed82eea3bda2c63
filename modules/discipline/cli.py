"""``his-server anonymize``: visits, drugs and fees without persons, for tests, teaching and research.

Implements: PR-12

Only what is named here leaves, everything else stays: no name, number, address, free text, doctor, exact day or exact
amount. Persons and visits bear pseudonyms under a key that is made for this run and thrown away, so that two exports can't
be joined and nobody can go back. Combinations of sex, age, city, month and department that fewer than k persons share are
left out, and so is whoever's file is protected (level 4, 5, 封存).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from crypto import Provider
from his_server.security import audit
from his_server.security.cli import OPERATOR, the_database
from modules.discipline import queries, rules

FILES = {
    "就诊.csv": ("visit", "person", "sex", "age_band", "city", "month", "department", "kind", "diagnoses"),
    "用药.csv": ("visit", "code", "name", "spec", "quantity", "unit", "days"),
    "费用.csv": ("visit", "category", "amount"),
}
"""File → its columns: all that leaves."""
LETTERS = str.maketrans("0123456789", "ghijklmnop")
DAY = click.DateTime(["%Y-%m-%d"])


@click.command()
@click.option("--out", "folder", type=click.Path(path_type=Path, file_okay=False), required=True, help="导出文件夹（须为空）")
@click.option("--from", "first", type=DAY, required=True, help="就诊日期起")
@click.option("--to", "last", type=DAY, required=True, help="就诊日期止（含）")
@click.option("--k", default=5, show_default=True, type=click.IntRange(2, 100), help="每组至少多少人（k 匿名），不足的组不导出")
@click.option("--reason", required=True, help="用途，记入审计")
def anonymize(folder: Path, first: datetime, last: datetime, k: int, reason: str) -> None:
    """导出去标识化的就诊、用药、费用数据，供测试、教学与研究"""
    if last < first:
        raise click.ClickException("截止日期不能早于起始日期")
    if folder.exists() and any(folder.iterdir()):
        raise click.ClickException(f"{folder} 不是空文件夹，请换一个")
    database = the_database()
    provider = database.sealer.provider
    key = provider.random(32)
    with database.begin() as session:
        session.info["actor"] = OPERATOR
        visits, drugs, fees, hidden = queries.without_persons(session, first.date(), last.date(), _namer(provider, key))
        sizes = rules.alike(visits)
        kept = [row for row in visits if sizes[tuple(row[name] for name in rules.QUASI)] >= k]
        ids = {row["visit"] for row in kept}
        tables = (kept, [row for row in drugs if row["visit"] in ids], [row for row in fees if row["visit"] in ids])
        digests = _write(folder, provider, tables)
        told = {"from": first.date().isoformat(), "to": last.date().isoformat(), "k": k, "rows": len(kept),
                "left_out": len(visits) - len(kept), "protected": hidden, "sm3": digests}
        (folder / "manifest.json").write_text(json.dumps(told, ensure_ascii=False, indent=1), "utf-8")
        audit.record(session, OPERATOR, "research.export", "research", first.date().isoformat(), {**told, "reason": reason})
    click.echo(f"导出 {len(kept)} 次就诊到 {folder}；{told['left_out']} 次因同组不足 {k} 人未导出，{hidden} 次因病人受保护未导出")
    click.echo("假名密钥已丢弃：不能还原到人，也不能与另一次导出关联。诊断与用药组合仍可能特殊，交付前由数据管理部门核对")


def _namer(provider: Provider, key: bytes) -> Any:
    """Pseudonyms: HMAC-SM3, cut to 80 bits, in letters alone so that none looks like anybody's number."""
    return lambda kind, number: provider.hmac_sm3(key, f"{kind}{number}".encode()).hex()[:20].translate(LETTERS)


def _write(folder: Path, provider: Provider, tables: Sequence[list[dict[str, Any]]]) -> dict[str, str]:
    """The files, sorted by pseudonym so that their order tells nothing; their SM3."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    digests = {}
    for (name, columns), rows in zip(FILES.items(), tables, strict=True):
        path = folder / name
        with path.open("w", encoding="utf-8-sig", newline="") as file:
            out = csv.DictWriter(file, columns)
            out.writeheader()
            out.writerows(sorted(rows, key=lambda row: [str(row[column]) for column in columns]))
        path.chmod(0o600)
        digests[name] = provider.sm3(path.read_bytes()).hex()
    return digests
