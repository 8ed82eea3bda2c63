"""``his-server compliance``: run the suite against an installed product; judge a report offline."""

from __future__ import annotations

import base64
import json
import logging
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from crypto import CryptoError, Provider, get_provider, pem
from crypto.files import read_private, write_private
from his_server.clock import HOSPITAL_ZONE
from his_server.compliance.client import Account, Http
from his_server.compliance.frame import PROFILES, NotRun, catalogue, chosen

FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False, exists=True)


@click.group()
def compliance() -> None:
    """合规检查：对已安装、正在运行的产品从外部检查（密评、等保、信创、RUSP、行业）"""


@compliance.command()
@click.option("--profile", type=click.Choice([*PROFILES, "all"]), default="all", show_default=True, help="检查哪一类")
@click.option("--base", required=True, help="产品地址，如 https://his.example.cn 或 http://127.0.0.1:8000")
@click.option("--ca", type=FILE, help="信任的根证书（PEM），自签证书时用")
@click.option(
    "--database",
    "url",
    help="独立数据库账户的连接地址（不是应用自己的账户）；也可用环境变量 COMPLIANCE_DATABASE",
    envvar="COMPLIANCE_DATABASE",
)
@click.option(
    "--empty-database",
    "empty",
    default="",
    help="恢复演练用的空数据库地址（内嵌库不必给）；也可用环境变量 COMPLIANCE_EMPTY_DATABASE",
    envvar="COMPLIANCE_EMPTY_DATABASE",
)
@click.option("--compare", "other", type=FILE, help="在另一种数据库上运行所得的 report.json（数据库可移植，XC-05）")
@click.option("--trace", "trace", type=FILE, help="随源码的追溯矩阵 docs/trace.md（功能完备，RU-02）")
@click.option("--app-dir", type=FOLDER, help="程序目录")
@click.option("--data-dir", type=FOLDER, help="数据目录")
@click.option("--log-dir", type=FOLDER, help="日志目录")
@click.option("--accounts", "accounts_file", type=FILE, help="三名管理员的账户文件（TOML，权限 0600）")
@click.option("--command", "line", default="his-server", show_default=True, help="已安装的命令；空为没有")
@click.option("--hospital-code", default="H32060200006", show_default=True, help="医院代码（与产品设置一致）")
@click.option("--allow-disturbing", is_flag=True, help="允许改动数据库和文件再还原、轮换密钥、杀进程（只用于测试环境）")
@click.option("--only", multiple=True, help="只做这些编号（可重复）")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("compliance-report"),
    show_default=True,
    help="报告文件夹",
)
@click.option(
    "--key",
    "key_file",
    type=FILE,
    default=Path("compliance-key.pem"),
    show_default=True,
    help="检查机构签报告的 SM2 私钥；没有则生成",
)
def run(
    profile: str,
    base: str,
    ca: Path | None,
    url: str | None,
    empty: str,
    other: Path | None,
    trace: Path | None,
    app_dir: Path | None,
    data_dir: Path | None,
    log_dir: Path | None,
    accounts_file: Path | None,
    line: str,
    hospital_code: str,
    allow_disturbing: bool,
    only: tuple[str, ...],
    out: Path,
    key_file: Path,
) -> None:
    """运行检查，写出 HTML、PDF 和签名的 JSON 报告；有“不符合”时以 1 退出"""
    from his_server.compliance import report
    from his_server.compliance.checks.platform import stack_of
    from his_server.compliance.frame import BAD
    from his_server.compliance.run import count
    from his_server.compliance.run import run as run_checks
    from his_server.compliance.tables import Tables
    from his_server.compliance.target import Target, command_of

    logging.getLogger("his.compliance").setLevel(logging.CRITICAL)  # the reason stands in the report
    if strange := set(only) - set(catalogue()):
        raise click.ClickException(f"没有这样的检查编号：{'、'.join(sorted(strange))}")
    entries = [entry for entry in chosen("all" if only else profile) if not only or entry.id in only]
    provider = get_provider("openssl")
    try:
        key = signing_key(provider, key_file)
        target = Target(
            Http(base, str(ca) if ca else None),
            base,
            tables=Tables(url) if url else None,
            app_dir=app_dir,
            data_dir=data_dir,
            log_dir=log_dir,
            accounts=read_accounts(accounts_file) if accounts_file else {},
            command=command_of(line) if line else None,
            disturb=allow_disturbing,
            empty=empty,
            other=read_report(other) if other else {},
            hospital_code=hospital_code,
            trace=trace,
        )
    except (NotRun, CryptoError, ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    if target.tables is not None and target.tables.url.password:
        target.secrets.add(str(target.tables.url.password))
    began = datetime.now(HOSPITAL_ZONE)
    results = run_checks(target, entries, click.echo)
    content = report.document(
        results,
        profile=profile,
        stack=stack_of(target),
        began=began,
        ended=datetime.now(HOSPITAL_ZONE),
        secrets=sorted(target.secrets, key=len, reverse=True),
        mark=target.mark,
    )
    written = report.write(out, content, provider, key)
    click.echo(f"合计 {len(results)} 项：{count(results)}")
    click.echo(f"报告：{written}（另有 report.html、report.pdf）；核验：his-server compliance verify {written}")
    if any(result.verdict == BAD for result in results):
        raise SystemExit(1)


def read_report(path: Path) -> dict[str, Any]:
    """An earlier report. :raises ValueError: it was altered, or is none."""
    from his_server.compliance import report

    wrong, _ = report.verify(path, get_provider("openssl"), None)
    if wrong:
        raise ValueError(f"{path} 不是完整的报告：{'、'.join(wrong[:3])}")
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def read_accounts(path: Path) -> dict[str, Account]:
    """The accounts file: ``[role]`` with login, password and, where there is one, totp (base32).

    :raises ValueError: it isn't such a file. :raises CryptoError: others may read it.
    """
    found = tomllib.loads(read_private(path).decode("utf-8"))
    try:
        return {
            role: Account(
                one["login"],
                one["password"],
                base64.b32decode((text := one.get("totp", "").replace(" ", "").upper()) + "=" * (-len(text) % 8)),
            )
            for role, one in found.items()
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}：每个账户要有 login 和 password") from error


def signing_key(provider: Provider, path: Path) -> bytes:
    """The key that signs the report; made where there is none. :raises CryptoError: the file holds no such key."""
    if not path.exists():
        private, public = provider.sm2_generate()
        write_private(path, pem.private_to_pem(provider, private, public).encode(), replace=False)
        path.with_suffix(".pub.pem").write_text(pem.public_to_pem(public), "ascii")
        click.echo(f"已生成签名密钥 {path}，公钥 {path.with_suffix('.pub.pem')}（请另行留存，用于核验）")
    return pem.private_from_pem(provider, read_private(path))


@compliance.command()
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--public", "public_file", type=FILE, help="检查机构的公钥（PEM）；不给则只核验完整性，不核验是谁签的")
def verify(path: Path, public_file: Path | None) -> None:
    """离线核验一份报告（JSON，连同旁边的 HTML、PDF）；不通过以 1 退出"""
    from his_server.compliance import report

    provider = get_provider("openssl")
    try:
        public = pem.public_from_pem(public_file.read_bytes()) if public_file else None
    except (CryptoError, OSError) as error:
        raise click.ClickException("公钥文件有误") from error
    wrong, signer = report.verify(path, provider, public)
    for text in wrong:
        click.echo(f"  ✗ {text}")
    if wrong:
        click.echo("不通过")
        raise SystemExit(1)
    assert signer is not None
    click.echo(
        f"通过：内容与签名一致；签名公钥 SM3 指纹 {provider.sm3(signer).hex()}"
        + ("" if public else "（没有给出公钥，未核验签名者是谁）")
    )


@compliance.command(name="list")
@click.option("--profile", type=click.Choice([*PROFILES, "all"]), default="all", show_default=True)
def list_checks(profile: str) -> None:
    """列出全部检查项：编号、方式、依据、名称，以及不能由机器执行的原因"""
    import his_server.compliance.checks  # noqa: F401  # declares them
    from his_server.compliance.frame import CHECKS

    for entry in chosen(profile):
        how = f"需要 {'、'.join(CHECKS[entry.id].needs) or '无'}" if entry.id in CHECKS else entry.rest
        click.echo(f"{entry.id}  {entry.mode}  {entry.clause}  {entry.title}  [{how}]")


@compliance.command(name="personal-data")
def personal_data() -> None:
    """打印个人信息目录（Markdown）：含义、字段、目的、依据、保存期"""
    from his_server.compliance.checks.inputs import personal_data as read

    click.echo("| 信息 | 字段 | 目的 | 依据（由医院核对） | 保存期 |\n|---|---|---|---|---|")
    for item in read()["item"]:
        click.echo(f"| {item['what']} | {'、'.join(item['columns'])} | {item['why']} | {item['basis']} | {item['kept']} |")
