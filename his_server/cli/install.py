"""``setup``: everything that a new installation must be told, asked once; what would be unsafe is refused.

Interactive, or from a TOML file with ``--answers`` (mode 0600: it names the database's password). Writes the settings file, seals
the database's address beside the key ring, makes keys, tables and the three administrators, and the gateway's configuration.

Implements: X1.
"""

from __future__ import annotations

import grp
import json
import os
import re
import subprocess
import tomllib
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from crypto import CryptoError
from crypto.files import read_private
from his_server.cli.backup import make_recovery_key
from his_server.running import own_command
from his_server.settings import DEFAULT_FILE, Settings

KNOWN_ACCOUNTS = {"dm": {"SYSDBA", "SYSAUDITOR", "SYSSSO", "SYS"}, "postgresql": {"postgres"}}
"""The databases' own administrators: the product must not work as one of them."""
WEAK = re.compile(r"(?i)^(sysdba\d*|postgres|password|admin|root|dameng|12345.*|)$")


class Unsafe(Exception):
    """An answer that must not be accepted; the text is Chinese and says what to do."""


@dataclass
class Answers:
    """What setup must know. Paths are absolute."""

    hospital: str = ""
    hospital_code: str = ""
    database_url: str = ""
    system_administrator: str = ""
    security_administrator: str = ""
    audit_administrator: str = ""
    server_name: str = ""
    tls_certificate: str = ""
    tls_key: str = ""
    recovery_private: str = ""
    recovery_passphrase: str = field(default="", repr=False)
    accounts_to: str = ""


QUESTIONS = {
    "hospital": ("医院名称", False),
    "hospital_code": ("医院代码（定点医疗机构编码，H 开头）", False),
    "database_url": ("数据库地址（回车为内置 SQLite；达梦 dm+dmpython://账户:口令@主机:5236；PostgreSQL "
                     "postgresql+psycopg://账户:口令@主机/库）", True),
    "system_administrator": ("系统管理员：登录名 姓名（例如 zhangsan 张三）", False),
    "security_administrator": ("安全管理员：登录名 姓名", False),
    "audit_administrator": ("审计管理员：登录名 姓名", False),
    "server_name": ("医生护士打开的网址里的主机名", False),
    "tls_certificate": ("网关证书文件（PEM，含中间证书）", False),
    "tls_key": ("网关私钥文件（PEM，权限 0600）", False),
    "recovery_private": ("恢复私钥写到哪里（可移动介质上的新文件）", False),
    "recovery_passphrase": ("恢复私钥的口令（至少 12 个字符）", False),
    "accounts_to": ("三名管理员的初始口令写到哪里（新文件；回车为直接显示）", True),
}


@click.command()
@click.option("--answers", "answers_file", type=click.Path(path_type=Path, dir_okay=False), help="答案文件（TOML，权限 0600）")
@click.option("--config", type=click.Path(path_type=Path, dir_okay=False), default=DEFAULT_FILE, show_default=True,
              help="写到哪个设置文件")
@click.option("--check", is_flag=True, help="只检查答案，不改动")
def setup(answers_file: Path | None, config: Path, check: bool) -> None:
    """首次设置：数据库、证书、三名管理员、密钥。不安全的选择会被拒绝；没有默认账户和默认密钥"""
    try:
        answers = _from_file(answers_file) if answers_file else _ask()
        before = _read_settings(config)
        people = check_answers(answers, before)
        if check:
            click.echo("通过：答案可用，没有改动")
            return
        _carry_out(answers, people, config, before)
    except (Unsafe, CryptoError) as error:
        raise click.ClickException(str(error)) from error


def _from_file(path: Path) -> Answers:
    try:
        given = tomllib.loads(read_private(path).decode())
    except CryptoError:
        raise Unsafe(f"{path} 含口令，须属于当前用户且权限为 0600：chmod 600 {path}") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise Unsafe(f"{path} 不是有效的 TOML：{error}") from error
    known = {entry.name for entry in fields(Answers)}
    if strange := sorted(set(given) - known):
        raise Unsafe(f"答案文件里有不认识的名称：{'、'.join(strange)}")
    return Answers(**{name: str(value) for name, value in given.items()})


def _ask() -> Answers:
    given = {name: click.prompt(question, default="" if optional else None, show_default=False,
                                hide_input=name == "recovery_passphrase", confirmation_prompt=name == "recovery_passphrase")
             for name, (question, optional) in QUESTIONS.items()}
    return Answers(**given)


def _read_settings(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def check_answers(answers: Answers, before: dict[str, Any]) -> list[tuple[str, str]]:
    """Login and name of the three administrators. :raises Unsafe: an answer is missing or must not be accepted."""
    missing = [question for name, (question, optional) in QUESTIONS.items()
               if not optional and not getattr(answers, name).strip()]
    if missing:
        raise Unsafe("还缺：" + "；".join(missing))
    for name, wrong in (("demo", True), ("simulate_payments", True), ("secure_cookies", False)):
        if before.get(name) is wrong:
            raise Unsafe(f"设置文件里 {name} = {str(wrong).lower()} 只用于演示，真实医院不能用：请先删去这一行")
    people = _administrators(answers)
    _check_database(answers.database_url)
    _check_certificate(answers)
    if len(answers.recovery_passphrase) < 12 or WEAK.match(answers.recovery_passphrase):
        raise Unsafe("恢复私钥的口令至少 12 个字符，且不能是常见口令")
    for name in ("recovery_private", "accounts_to"):
        value = getattr(answers, name)
        if name == "recovery_private" and before.get("backup_recovery_key"):
            continue  # made by an earlier run that didn't reach its end
        if value and (not Path(value).is_absolute() or Path(value).exists() or not Path(value).parent.is_dir()):
            raise Unsafe(f"{QUESTIONS[name][0]}：须是已有目录里的新文件（绝对路径），{value} 不行")
    return people


def _administrators(answers: Answers) -> list[tuple[str, str]]:
    people = []
    for title, value in (("系统管理员", answers.system_administrator), ("安全管理员", answers.security_administrator),
                         ("审计管理员", answers.audit_administrator)):
        login, _, name = value.strip().partition(" ")
        if not re.fullmatch(r"[a-z][a-z0-9_.-]{2,29}", login) or not name.strip():
            raise Unsafe(f"{title}：请写“登录名 姓名”，登录名为 3 至 30 个小写字母或数字")
        if login in ("admin", "root", "administrator", "test", "sysadmin", "secadmin", "auditadmin"):
            raise Unsafe(f"{title}：{login} 不是个人账户，请用本人的登录名（GB/T 22239 不允许共用或缺省账户）")
        people.append((login, name.strip()))
    if len({login for login, _ in people}) < 3 or len({name for _, name in people}) < 3:
        raise Unsafe("系统、安全、审计三名管理员须是三个不同的人（三权分立）")
    return people


def _check_database(url: str) -> None:
    """:raises Unsafe: it can't be reached, is the database's administrator, or has a well-known password."""
    if not url:
        return
    try:
        address = make_url(url)
        engine = create_engine(address, pool_size=1)
    except (ArgumentError, ImportError, ValueError) as error:
        raise Unsafe(f"数据库地址有误：{error}") from error
    kind = address.get_backend_name()
    if kind not in ("sqlite", "postgresql", "dm"):
        raise Unsafe(f"不支持的数据库 {kind}：请用达梦、PostgreSQL 或内置 SQLite")
    if kind != "sqlite":
        if (address.username or "") in KNOWN_ACCOUNTS[kind]:
            raise Unsafe(f"{address.username} 是数据库管理员，程序不能用它：请建立专用账户（docs/operations/install.md）")
        if address.host and (WEAK.match(address.password or "") or address.password == address.username):
            raise Unsafe("数据库口令为空、与账户相同或是常见的缺省口令，请先在数据库里修改")
    try:
        with engine.connect() as connection:
            if kind == "postgresql":
                encoding = connection.execute(text("SHOW server_encoding")).scalar()
                if encoding != "UTF8":
                    raise Unsafe(f"数据库编码是 {encoding}，生僻字会丢失：请用 UTF8 编码重建数据库")
    except SQLAlchemyError as error:
        raise Unsafe(f"连不上数据库（{type(error).__name__}）：请核对地址、端口、账户、口令和防火墙") from error
    finally:
        engine.dispose()
    if kind == "dm":
        _check_dameng(url)


def _check_dameng(url: str) -> None:
    """Ask DM8 what must hold (character set, lengths, isolation …). :raises Unsafe: something needed doesn't."""
    from dialects.dameng import check as checks

    engine = create_engine(url, pool_size=5, max_overflow=5)
    place = checks.Place(engine)
    answers = [checks.put(question, place) for question in checks.QUESTIONS if question.need == "must"]
    engine.dispose()
    if bad := [answer.title for answer in answers if answer.outcome != "通过"]:
        raise Unsafe(f"达梦数据库不满足要求：{'、'.join(bad[:5])}。请运行 his-server dameng check 查看详情")


def _check_certificate(answers: Answers) -> None:
    """:raises Unsafe: certificate and key don't belong together, are out of date, or the key is open to others."""
    certificate_path, key_path = Path(answers.tls_certificate), Path(answers.tls_key)
    try:
        certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
    except (OSError, ValueError) as error:
        raise Unsafe(f"网关证书 {certificate_path} 不能读取：须是 PEM 文件") from error
    try:
        mode = key_path.stat().st_mode
        if mode & 0o077:
            raise Unsafe(f"网关私钥 {key_path} 别人也能读：chmod 600 {key_path}")
        key = load_pem_private_key(key_path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise Unsafe(f"网关私钥 {key_path} 不能读取：须是没有口令的 PEM 文件，权限 0600") from error
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*form) != certificate.public_key().public_bytes(*form):
        raise Unsafe("网关证书与私钥不是一对")
    now = datetime.now(UTC)
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise Unsafe(f"网关证书不在有效期内（至 {certificate.not_valid_after_utc:%Y-%m-%d}）")


def _carry_out(answers: Answers, people: list[tuple[str, str]], config: Path, before: dict[str, Any]) -> None:
    folder = config.parent
    folder.mkdir(parents=True, exist_ok=True, mode=0o750)
    public = folder / "recovery.pem"
    if not public.exists():
        make_recovery_key(Path(answers.recovery_private), public, answers.recovery_passphrase)
        click.echo(f"恢复公钥 {public}；恢复私钥 {answers.recovery_private}：请移到离线介质保管")
    document = {**before, "hospital": answers.hospital, "hospital_code": answers.hospital_code,
                "backup_recovery_key": str(public), "trusted_proxies": 1}
    _write(config, toml(document), 0o640)
    _write(folder / "gateway.conf", _gateway(answers), 0o644)
    arguments = ["init", "--code-tables", "--administrators", json.dumps(people, ensure_ascii=False)]
    if answers.accounts_to:
        arguments += ["--accounts-to", answers.accounts_to]
    if answers.database_url:
        arguments.append("--seal-database")
    command = own_command()
    program = command["args"][:1] if command[0] != os.sys.executable else [str(command[0]), "-m", "his_server"]  # type: ignore[index,attr-defined]
    done = subprocess.run([*program, *arguments], input=answers.database_url + "\n", text=True, check=False,  # type: ignore[misc]
                          env={**os.environ, "HIS_CONFIG": str(config)})
    if done.returncode:
        raise Unsafe("建库没有完成，原因见上。处理后可再次运行 his-server setup")
    click.echo(f"设置完成：{config}。网关配置样例 {folder / 'gateway.conf'}。启动：systemctl enable --now his-server.target")


def toml(document: dict[str, Any]) -> str:
    """The settings as a file: plain values first, then the modules' tables."""
    lines = ["# 医院信息系统设置，由 his-server setup 写成；含义见 docs/operations/configure.md"]
    lines += [f"{name} = {_value(value)}" for name, value in document.items() if not isinstance(value, dict)]
    for name, table in document.get("module", {}).items():
        lines += ["", f"[module.{json.dumps(name)}]", *(f"{key} = {_value(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    return json.dumps(str(value), ensure_ascii=False)


def _gateway(answers: Answers) -> str:
    from his_server.cli.gateway import template

    return template("nginx").replace("@SERVER_NAME@", answers.server_name).replace(
        "@CERTIFICATE@", answers.tls_certificate).replace("@KEY@", answers.tls_key)


def _write(path: Path, text_: str, mode: int) -> None:
    """Replace a file of /etc: root's, readable by the service's group."""
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text_)
    if os.geteuid() == 0:
        try:
            os.chown(temporary, 0, grp.getgrnam("his").gr_gid)
        except KeyError:
            os.chown(temporary, 0, 0)
    temporary.replace(path)


__all__ = ["Answers", "Settings", "Unsafe", "check_answers", "setup", "toml"]
