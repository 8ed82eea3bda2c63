"""``backup`` and ``restore``."""

from __future__ import annotations

from pathlib import Path

import click

from crypto import CryptoError, pem
from crypto.files import read_private, write_private
from his_server import backup as backups
from his_server.backup import envelope
from his_server.cli.checks import find
from his_server.cli.context import House, become_owner, house
from his_server.clock import local
from his_server.security import audit
from his_server.security.cli import OPERATOR

FILE = click.Path(path_type=Path, dir_okay=False)
SUFFIX = ".hisbackup"


@click.group()
def backup() -> None:
    """备份：全部数据和密钥文件封存为一个文件，可逐表核对"""


@backup.command("create")
@click.option("--to", "folder", type=click.Path(path_type=Path, file_okay=False), required=True, help="存放备份的文件夹")
@click.option("--keep", type=click.IntRange(1), help="只保留最近几份，更早的删除（新备份核对通过之后）")
@click.option("--without-recovery-key", is_flag=True, help="没有恢复公钥也备份：原服务器的密钥毁了就打不开")
def create(folder: Path, keep: int | None, without_recovery_key: bool) -> None:
    """做一份备份并立即核对（业务照常进行）"""
    found = _loaded()
    database, settings = found.database, found.settings
    recovery = None
    try:
        if settings.backup_recovery_key is not None:
            recovery = envelope.recovery_public(settings.backup_recovery_key)
        elif not without_recovery_key:
            raise click.ClickException("没有设置恢复公钥（backup_recovery_key）：服务器毁坏时备份将无法打开。请先执行 "
                                       "his-server backup recovery-key；确要不用它，加 --without-recovery-key")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        target = folder / f"his-{local(database.clock.now()):%Y%m%d-%H%M%S}{SUFFIX}"
        keys = {name: path for name, path in {"ring.json": settings.key_ring_path, "master.key": settings.master_key_path}.items()
                if path.exists()}
        done = backups.create(database, target, keys, recovery)
        read = backups.verify(database.sealer.provider, envelope.key_by_ring(database.sealer, target), target)
    except (CryptoError, OSError, backups.Refused) as error:
        audit.record_apart(database, OPERATOR, "backup.create", "backup", str(folder)[-80:], {"error": str(error)[:200]},
                           success=False)
        raise click.ClickException(f"备份没有完成：{error}") from error
    audit.record_apart(database, OPERATOR, "backup.create", "backup", target.name, {"rows": done.rows, "bytes": done.size},
                       success=True)
    click.echo(f"已备份并核对：{target}，{len(done.tables)} 张表，{done.rows} 行，{done.size / 1e6:.1f} MB，"
               f"用时 {done.seconds:.1f} 秒，核对 {read.seconds:.1f} 秒")
    for old in sorted(folder.glob(f"his-*{SUFFIX}"))[:-keep] if keep else []:
        old.unlink()
        click.echo(f"已删除较早的备份 {old.name}")


@backup.command("verify")
@click.argument("path", type=FILE)
@click.option("--recovery-key", type=FILE, help="用离线恢复私钥打开（PEM，权限 0600）；不给则用本机密钥环")
@click.option("--passphrase-file", type=FILE, help="恢复私钥的口令文件（权限 0600）；不给则询问")
@click.option("--tables", is_flag=True, help="逐表列出行数、摘要和合计")
def verify(path: Path, recovery_key: Path | None, passphrase_file: Path | None, tables: bool) -> None:
    """核对一份备份能否打开、是否完整"""
    private = _private(recovery_key, passphrase_file)
    found = _loaded()
    try:
        contents = backups.verify(found.database.sealer.provider, _key(found, path, private), path)
    except (CryptoError, OSError, backups.Refused) as error:
        raise click.ClickException(str(error)) from error
    for name, table in contents.tables.items() if tables else []:
        totals = "，".join(f"{column} 合计 {value}" for column, value in table["totals"].items())
        click.echo(f"  {name}  {table['rows']} 行  {table['sm3'][:16]}  {totals}")
    click.echo(f"通过：{contents.about['created']} 的备份，程序 {contents.about['version']}，{len(contents.tables)} 张表，"
               f"{contents.rows} 行，核对用时 {contents.seconds:.1f} 秒")


@backup.command("recovery-key")
@click.option("--private", type=FILE, required=True, help="私钥写到哪里：可移动介质，离线保管，不要留在服务器上")
@click.option("--public", type=FILE, required=True, help="公钥写到哪里，如 /etc/his-server/recovery.pem")
@click.option("--passphrase-file", type=FILE, help="私钥口令的文件（权限 0600）；不给则询问")
def recovery_key(private: Path, public: Path, passphrase_file: Path | None) -> None:
    """产生离线恢复密钥：公钥留在服务器用于备份，私钥加口令后离线保管"""
    passphrase = _passphrase(passphrase_file, confirm=True)
    if len(passphrase) < 12:
        raise click.ClickException("恢复私钥的口令至少 12 个字符")
    try:
        make_recovery_key(private, public, passphrase)
    except (CryptoError, OSError) as error:
        raise click.ClickException(f"没有产生：{error}") from error
    click.echo(f"公钥 {public}；私钥 {private}：请移到离线介质，分人保管介质与口令，"
               f"并在设置里写 backup_recovery_key = \"{public}\"")


def make_recovery_key(private: Path, public: Path, passphrase: str) -> None:
    """A new pair: the private half encrypted under the passphrase, neither file overwritten. :raises CryptoError: one exists."""
    from crypto import get_provider

    provider = get_provider("openssl")
    if public.exists():
        raise CryptoError(f"{public} 已存在")
    secret, open_half = provider.sm2_generate()
    write_private(private, pem.private_to_pem(provider, secret, open_half, passphrase).encode(), replace=False)
    public.write_text(pem.public_to_pem(open_half), "ascii")
    public.chmod(0o644)


@click.command()
@click.argument("path", type=FILE)
@click.option("--recovery-key", type=FILE, help="用离线恢复私钥打开（PEM，权限 0600）；不给则用本机密钥环")
@click.option("--passphrase-file", type=FILE, help="恢复私钥的口令文件（权限 0600）；不给则询问")
@click.option("--keys-only", is_flag=True, help="只取出备份里的密钥环和主密钥（新服务器的第一步，须用恢复私钥）")
def restore(path: Path, recovery_key: Path | None, passphrase_file: Path | None, keys_only: bool) -> None:
    """把备份恢复到设置所指的空数据库：先核对整份备份，再写入，再逐表核对

    新服务器：先 restore --keys-only --recovery-key …，再 restore。不覆盖任何已有的数据和密钥。
    """
    if keys_only:
        _restore_keys(path, recovery_key, passphrase_file)
        return
    private = _private(recovery_key, passphrase_file)
    found = _loaded()
    try:
        contents = backups.restore(found.database, _key(found, path, private), path, click.echo)
    except (CryptoError, OSError, backups.Refused) as error:
        raise click.ClickException(str(error)) from error
    findings = find(found.database, found.everything.checks)
    audit.record_apart(found.database, OPERATOR, "backup.restore", "backup", path.name,
                       {"rows": contents.rows, "findings": len(findings)}, success=not findings)
    click.echo(f"恢复完成，与备份一致：{len(contents.tables)} 张表，{contents.rows} 行")
    for finding in findings:
        click.echo(f"  账不平：{finding.check} {finding.where}: {finding.message}")
    if findings:
        raise SystemExit(1)


def _restore_keys(path: Path, recovery_key: Path | None, passphrase_file: Path | None) -> None:
    private = _private(recovery_key, passphrase_file)
    if private is None:
        raise click.ClickException("取出密钥须用离线恢复私钥：--recovery-key")
    from crypto import get_provider

    found = house()
    found.everything  # noqa: B018  # all tables are known from here on; their totals are counted
    settings = found.settings
    become_owner(settings.data_dir)
    provider = get_provider("openssl")
    targets = {"ring.json": settings.key_ring_path, "master.key": settings.master_key_path}
    for target in targets.values():
        if target.exists():
            raise click.ClickException(f"{target} 已存在，不覆盖。若是新装的服务器且没有数据，请先把它移走")
    try:
        contents = backups.verify(provider, envelope.key_by_recovery(provider, private, path), path)
        for name, target in targets.items():
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_private(target, contents.keys[name], replace=False)
    except (CryptoError, OSError, KeyError, backups.Refused) as error:
        raise click.ClickException(f"没有取出：{error}") from error
    click.echo(f"密钥环和主密钥已写到 {targets['ring.json'].parent}")


def _loaded() -> House:
    found = house()
    found.everything  # noqa: B018  # all tables are known from here on
    found.database  # noqa: B018  # opens the ring; root becomes the data's owner before any file is made
    return found


def _key(found: House, path: Path, private: bytes | None) -> bytes:
    sealer = found.database.sealer
    return envelope.key_by_ring(sealer, path) if private is None else envelope.key_by_recovery(sealer.provider, private, path)


def _private(recovery_key: Path | None, passphrase_file: Path | None) -> bytes | None:
    """The offline private key, None where none is named: read first, with the caller's rights, because the medium is root's and
    not the service account's, which we become. :raises click.ClickException: file or passphrase are wrong."""
    if recovery_key is None:
        return None
    from crypto import get_provider

    try:
        return pem.private_from_pem(get_provider("openssl"), read_private(recovery_key), _passphrase(passphrase_file))
    except CryptoError as error:
        raise click.ClickException(f"恢复私钥或它的口令不能用：{error}") from error


def _passphrase(file: Path | None, confirm: bool = False) -> str:
    if file is not None:
        return read_private(file).decode().strip()
    return str(click.prompt("恢复私钥的口令", hide_input=True, confirmation_prompt=confirm))
