"""The command group `keys`, mounted by the server's command line. Imports only crypto and click.

Secrets are never arguments: passphrases and shares are asked for, or read from a file of mode 0600.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from crypto import pem
from crypto.ca import CertificateAuthority
from crypto.errors import CryptoError
from crypto.files import overwrite_and_remove, read_private, write_private
from crypto.keyring import KeyRing
from crypto.master import MasterKey
from crypto.provider import Provider, get_provider
from crypto.selftest import run_selftest

F = TypeVar("F", bound=Callable[..., Any])
FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)


def _fails(function: F) -> F:
    """CryptoError, and a file that can't be read or written, as a one-line message and exit code 1."""

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except CryptoError as refused:
            raise click.ClickException(str(refused)) from None
        except OSError as failed:
            said = f"不能读写 {failed.filename}：{failed.strerror}。文件和文件夹须属于运行本服务的账户"
            raise click.ClickException(said) from None

    return run  # type: ignore[return-value]


def _provider(context: click.Context) -> Provider:
    options = context.find_root().meta
    name, settings = options.get("crypto.provider", "openssl"), options.get("crypto.options", {})
    return get_provider(name, **settings)


def _show(value: Any) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, indent=1, default=str))


def _passphrase(file: Path | None, ask: bool, confirm: bool = False) -> str | None:
    if file:
        return read_private(file).decode().strip()
    if ask:
        return str(click.prompt("口令", hide_input=True, confirmation_prompt=confirm))
    return None


def _secret_options(function: F) -> F:
    function = click.option("--ask", is_flag=True, help="询问主密钥口令")(function)
    return click.option("--passphrase-file", type=FILE, help="存放口令的文件（权限 0600）")(function)


def _configured(name: str) -> Callable[[], Any]:
    """The default that a product's own command line has put down; without one the option must be given."""
    return lambda: click.get_current_context().find_root().meta.get(name)


ring_option = click.option("--ring", type=FILE, required=True, default=_configured("crypto.ring"), help="密钥环文件")
master_option = click.option("--master", type=FILE, required=True, default=_configured("crypto.master"),
                             help="主密钥文件")  # fmt: skip


@click.group("keys")
@click.option("--provider", default="openssl", show_default=True, help="密码提供者：openssl、sdf")
@click.option("--provider-options", type=FILE, help="提供者选项（JSON 文件，权限 0600）")
@click.pass_context
@_fails
def keys(context: click.Context, provider: str, provider_options: Path | None) -> None:
    """密钥管理：主密钥、密钥环、内部 CA、自检。"""
    meta = context.find_root().meta
    meta["crypto.provider"] = provider
    if provider_options:
        try:
            meta["crypto.options"] = dict(json.loads(read_private(provider_options)))
        except (ValueError, TypeError):
            raise CryptoError(f"{provider_options} is not a JSON object") from None


@keys.command()
@ring_option
@master_option
@click.option("--purpose", "purposes", multiple=True, required=True, help="用途（可重复；以 -sm2 结尾的是 SM2 密钥对）")
@click.option("--device-index", type=int, help="主密钥由密码机产生，用此内部密钥对加密保存")
@_secret_options
@click.pass_context
@_fails
def init(
    context: click.Context,
    ring: Path,
    master: Path,
    purposes: tuple[str, ...],
    device_index: int | None,
    passphrase_file: Path | None,
    ask: bool,
) -> None:
    """新建主密钥和密钥环。"""
    passphrase = _passphrase(passphrase_file, ask, confirm=True)
    key = MasterKey.create_file(master, passphrase, _provider(context), device_index)
    found = KeyRing.create(ring, key)
    found.ensure(purposes)
    _show(found.status())


def _open(context: click.Context, ring: Path, master: Path, passphrase_file: Path | None, ask: bool) -> KeyRing:
    passphrase = _passphrase(passphrase_file, ask)
    return KeyRing.open(ring, MasterKey.from_file(master, passphrase, _provider(context)))


@keys.command()
@ring_option
@master_option
@click.argument("purpose")
@_secret_options
@click.pass_context
@_fails
def rotate(
    context: click.Context, ring: Path, master: Path, purpose: str, passphrase_file: Path | None, ask: bool
) -> None:
    """为一种用途换新密钥；旧密钥保留用于解密。"""
    key = _open(context, ring, master, passphrase_file, ask).rotate(purpose)
    _show({"purpose": purpose, "kid": key.kid})


@keys.command()
@ring_option
@master_option
@_secret_options
@click.pass_context
@_fails
def status(context: click.Context, ring: Path, master: Path, passphrase_file: Path | None, ask: bool) -> None:
    """显示提供者和密钥环状态（不含密钥）。"""
    found = _open(context, ring, master, passphrase_file, ask)
    living = [
        {"kid": key.kid, "purpose": key.purpose, "from": key.not_before, "until": key.not_after}
        for key in found.living()
    ]
    _show({"provider": found.master.provider.status(), "ring": found.status(), "keys": living})


@keys.command()
@master_option
@click.option("--need", "k", type=int, required=True, help="恢复所需份数")
@click.option("--shares", "n", type=int, required=True, help="总份数")
@click.option("--out", type=FOLDER, required=True, help="存放份额文件的文件夹（每份交一名保管人）")
@_secret_options
@click.pass_context
@_fails
def split(
    context: click.Context, master: Path, k: int, n: int, out: Path, passphrase_file: Path | None, ask: bool
) -> None:
    """把主密钥分割为 n 份，任意 k 份可恢复。"""
    passphrase = _passphrase(passphrase_file, ask)
    shares = MasterKey.from_file(master, passphrase, _provider(context)).split(k, n)
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number, share in enumerate(shares, 1):
        write_private(out / f"share-{number}.txt", (share + "\n").encode(), replace=False)
    click.echo(f"{n} 份已写入 {out}，任意 {k} 份可恢复")


@keys.command()
@master_option
@click.argument("shares", type=FILE, nargs=-1, required=True)
@_secret_options
@click.pass_context
@_fails
def combine(
    context: click.Context, master: Path, shares: tuple[Path, ...], passphrase_file: Path | None, ask: bool
) -> None:
    """由份额文件恢复主密钥到新文件。"""
    texts = [read_private(share).decode("utf-8", "replace") for share in shares]
    passphrase = _passphrase(passphrase_file, ask, confirm=True)
    MasterKey.combine(texts, _provider(context)).save(master, passphrase)
    click.echo(f"主密钥已恢复到 {master}")


@keys.command()
@ring_option
@master_option
@click.option("--kid", help="只销毁这一个已停用的密钥；不给则销毁整个密钥环和主密钥文件")
@click.option("--yes", is_flag=True, help="不再询问")
@_secret_options
@click.pass_context
@_fails
def destroy(
    context: click.Context,
    ring: Path,
    master: Path,
    kid: str | None,
    yes: bool,
    passphrase_file: Path | None,
    ask: bool,
) -> None:
    """销毁密钥。用它加密的数据将永远无法恢复。"""
    found = _open(context, ring, master, passphrase_file, ask)
    if not yes:
        click.confirm("销毁后无法恢复，确定吗？", abort=True)
    if kid:
        found.destroy(kid)
        click.echo(f"密钥 {kid} 已销毁")
        return
    found.destroy_all()
    overwrite_and_remove(master)
    click.echo("密钥环和主密钥文件已销毁")


@keys.command()
@click.option("--full", is_flag=True, help="含 SM4 一百万轮")
@click.option("--device-index", type=int, help="用密码机内部密钥测试")
@click.pass_context
@_fails
def selftest(context: click.Context, full: bool, device_index: int | None) -> None:
    """用标准中的示例数据检查密码算法。"""
    _show(run_selftest(_provider(context), full, device_index))


@keys.group()
def ca() -> None:
    """内部 CA（演示、测试和内网用；电子签名请用持证的电子认证机构）。"""


def _authority(context: click.Context, folder: Path, passphrase_file: Path | None, ask: bool) -> CertificateAuthority:
    return CertificateAuthority.open(folder, _provider(context), _passphrase(passphrase_file, ask))


@ca.command("create")
@click.argument("folder", type=FOLDER)
@click.option("--name", required=True, help="CA 名称（CN）")
@_secret_options
@click.pass_context
@_fails
def ca_create(context: click.Context, folder: Path, name: str, passphrase_file: Path | None, ask: bool) -> None:
    """新建根证书。"""
    passphrase = _passphrase(passphrase_file, ask, confirm=True)
    made = CertificateAuthority.create(
        folder, _provider(context), {"C": "CN", "CN": name}, datetime.now(UTC), passphrase
    )
    click.echo(f"{made.folder / 'ca.pem'}")


@ca.command("issue")
@click.argument("folder", type=FOLDER)
@click.option("--cn", required=True, help="姓名或系统名")
@click.option("--serial-number", default="", help="工号等")
@click.option("--public", "public_file", type=FILE, help="申请人的公钥文件（PEM）；不给则同时产生私钥")
@click.option("--out", type=FILE, required=True, help="证书文件；产生的私钥写到同名 .key")
@click.option("--days", default=365, show_default=True)
@_secret_options
@click.pass_context
@_fails
def ca_issue(
    context: click.Context,
    folder: Path,
    cn: str,
    serial_number: str,
    public_file: Path | None,
    out: Path,
    days: int,
    passphrase_file: Path | None,
    ask: bool,
) -> None:
    """签发证书。"""
    authority = _authority(context, folder, passphrase_file, ask)
    if public_file:
        public = pem.public_from_pem(public_file.read_bytes())
    else:
        private, public = authority.provider.sm2_generate()
        text = pem.private_to_pem(authority.provider, private, public)
        write_private(out.with_suffix(".key"), text.encode(), replace=False)
    name = {"C": "CN", "CN": cn, **({"SERIALNUMBER": serial_number} if serial_number else {})}
    certificate = authority.issue(name, public, datetime.now(UTC), days)
    out.write_text(pem.encode("CERTIFICATE", certificate.der), "ascii")
    _show({"serial": f"{certificate.serial:x}", "until": certificate.not_after})


@ca.command("revoke")
@click.argument("folder", type=FOLDER)
@click.argument("serial")
@_secret_options
@click.pass_context
@_fails
def ca_revoke(context: click.Context, folder: Path, serial: str, passphrase_file: Path | None, ask: bool) -> None:
    """吊销证书（序列号为十六进制）并发布吊销列表。"""
    try:
        number = int(serial, 16)
    except ValueError:
        raise CryptoError("serial is not hexadecimal") from None
    crl = _authority(context, folder, passphrase_file, ask).revoke(number, datetime.now(UTC))
    _show({"revoked": len(crl.revoked), "next_update": crl.next_update})
