"""``his-server signatures``: the hospital's seal, export and offline verification of signed documents (MP-15)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import click

from crypto import CryptoError, get_provider, pem, x509
from his_server.errors import AppError
from his_server.keys import DOCUMENT
from his_server.security import audit, proof, signatures
from his_server.security.cli import OPERATOR, report, the_database

FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.group("signatures")
def signed_documents() -> None:
    """电子签名：公钥与证书、导出、离线核验、全面检查"""


@signed_documents.command()
def key() -> None:
    """显示文书签名公钥（PEM），用它向电子认证机构申请证书"""
    active = the_database().sealer.ring.active(DOCUMENT)
    click.echo(f"密钥编号 {active.kid}", err=True)
    click.echo(pem.public_to_pem(active.public), nl=False)


@signed_documents.command()
@click.argument("certificate", type=FILE)
def install(certificate: Path) -> None:
    """登记文书签名公钥的证书（PEM）；导出的签名带上它"""
    try:
        with the_database().begin() as session:
            found = signatures.install_certificate(session, OPERATOR, certificate.read_text("ascii"))
    except AppError as error:
        raise click.ClickException("；".join(e.message for e in error.errors) or error.message) from error
    except UnicodeDecodeError as error:
        raise click.ClickException("不是 PEM 文件") from error
    click.echo(f"已登记：{found.name('CN')}，有效期至 {found.not_after:%Y-%m-%d}")


@signed_documents.command()
@click.argument("kind")
@click.argument("document_id", type=int)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="文件（JSON，含个人信息）")
def export(kind: str, document_id: int, out: Path) -> None:
    """导出一份文书的全部签名：种类（prescription、refund_approval、red_receipt、drug_return）和内部编号"""
    database = the_database()
    if kind not in signatures.KINDS:
        raise click.ClickException(f"没有这种文书；可用：{'、'.join(sorted(signatures.KINDS))}")
    with database.begin() as session:
        found = proof.export(session, kind, document_id)
        if not found:
            raise click.ClickException("这份文书没有签名，请核对种类和编号")
        audit.record(session, OPERATOR, "signature.export", kind, document_id, {"signatures": len(found)})
    out.touch(mode=0o600)
    out.write_text(json.dumps(found, ensure_ascii=False, indent=1), "utf-8")
    click.echo(f"已导出 {len(found)} 个签名：{out}")


@signed_documents.command()
@click.argument("files", type=FILE, nargs=-1, required=True)
@click.option("--root", "roots", type=FILE, multiple=True, help="信任的根证书（PEM，可重复）")
@click.option("--crl", "lists", type=FILE, multiple=True, help="吊销列表（可重复）")
@click.option("--intermediate", "intermediates", type=FILE, multiple=True, help="中间证书（PEM，可重复）")
@click.option("--public", "publics", type=FILE, multiple=True, help="信任的公钥（PEM，没有证书时）")
def verify(files: Sequence[Path], roots: Sequence[Path], lists: Sequence[Path], intermediates: Sequence[Path],
           publics: Sequence[Path]) -> None:
    """离线核验导出的签名（不用数据库和密钥）；有一个不通过即以 1 退出"""
    provider = get_provider("openssl")
    try:
        trust = {"roots": _certificates(roots), "intermediates": _certificates(intermediates),
                 "lists": [x509.parse_crl(path.read_bytes()) for path in lists],
                 "publics": [pem.public_from_pem(path.read_bytes()) for path in publics]}
    except CryptoError as error:
        raise click.ClickException("根证书、吊销列表或公钥文件有误") from error
    bad = 0
    for path in files:
        try:
            objects = json.loads(path.read_text("utf-8"))
        except (ValueError, RecursionError):
            objects = None
        for number, one in enumerate(objects if isinstance(objects, list) and objects else [None], 1):
            verdict = proof.verify(provider, one, **trust)
            bad += not verdict.good
            click.echo(f"{path.name} 第 {number} 个签名：{'通过' if verdict.good else '不通过'}")
            for text in verdict.refused:
                click.echo(f"  ✗ {text}")
            if verdict.good:
                click.echo("  " + json.dumps(verdict.facts, ensure_ascii=False, sort_keys=True))
                for text in verdict.unproved:
                    click.echo(f"  注意：{text}")
    if bad:
        raise SystemExit(1)


def _certificates(paths: Sequence[Path]) -> list[x509.Certificate]:
    return [x509.parse(der) for path in paths for der in pem.decode_all("CERTIFICATE", path.read_bytes())]


@signed_documents.command()
@click.option("--days", type=click.IntRange(1, 36500), default=None, help="只查最近几天（默认全部）")
def check(days: int | None) -> None:
    """验证库中全部签名，并比对文书现在的内容；有异常时逐条列出并以 1 退出"""
    database = the_database()
    since = None if days is None else database.clock.now() - timedelta(days=days)
    with database.begin(write=False) as session:
        findings = list(signatures.check(session, since))
    audit.record_apart(database, OPERATOR, "signature.check", "signature", "", {"findings": len(findings)},
                       success=not findings)
    report(findings, "电子签名")
