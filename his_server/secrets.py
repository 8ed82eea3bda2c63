"""Secrets that a peer gave us (a signature key, an app secret): in the settings file sealed only (DESIGN section 10).

``his-server secret MODULE NAME`` prints the sealed text for ``[module.MODULE] NAME = "sealed:…"``. It opens with this
hospital's key ring only, and in its own place only.
"""

from __future__ import annotations

import base64
import binascii

import click

from crypto import CryptoError, Sealer
from his_server.settings import SettingsError

PREFIX = "sealed:"


def _place(module: str, name: str) -> str:
    return f"setting.{module}.{name}"


def seal(sealer: Sealer, module: str, name: str, secret: str) -> str:
    """The text that may stand in the settings file."""
    return PREFIX + base64.b64encode(sealer.seal("column", secret.encode(), _place(module, name))).decode()


def opened(sealer: Sealer, module: str, name: str, text: str) -> str:
    """A secret setting in clear; "" stays "". :raises SettingsError: it isn't sealed, or not by this hospital's keys."""
    if not text:
        return ""
    if not text.startswith(PREFIX):
        raise SettingsError(f"[module.{module}] {name} 不能用明文，请运行 his-server secret {module} {name} 加密后填入")
    try:
        return sealer.open("column", base64.b64decode(text[len(PREFIX):], validate=True), _place(module, name)).decode()
    except (CryptoError, binascii.Error, UnicodeDecodeError) as error:
        raise SettingsError(f"[module.{module}] {name} 无法解密：不是用本院密钥加密的，或抄写有误，请重新加密") from error


@click.command("secret")
@click.argument("module")
@click.argument("name")
def secret(module: str, name: str) -> None:
    """加密对方给的密钥、口令，供写入设置文件"""
    from his_server.cli.context import house

    text = click.prompt("密钥（不显示）", hide_input=True, confirmation_prompt="再输一遍")
    click.echo(f'[module.{module}]\n{name} = "{seal(house().database.sealer, module, name, text)}"')
