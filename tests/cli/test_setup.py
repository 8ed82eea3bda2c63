"""The first set-up: what must be told is asked, what is unsafe is refused, nothing is there by default (X1)."""

from __future__ import annotations

import datetime
import os
import sqlite3
import subprocess
import sys
import tomllib
from contextlib import closing
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from his_server.cli.install import Answers, Unsafe, check_answers, toml

pytestmark = pytest.mark.requirement("X1")


def certificate(folder: Path, days: int = 30) -> tuple[Path, Path]:
    """A certificate and its key, both fresh."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "his.test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
            .not_valid_before(now - datetime.timedelta(days=60)).not_valid_after(now + datetime.timedelta(days=days))
            .sign(key, hashes.SHA256()))
    pem, secret = folder / f"{days}.pem", folder / f"{days}.key"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                         serialization.NoEncryption()))
    secret.chmod(0o600)
    return pem, secret


@pytest.fixture
def answers(tmp_path: Path) -> Answers:
    """What a careful administrator answers."""
    pem, key = certificate(tmp_path)
    return Answers(hospital="第六人民医院", hospital_code="H32060200006", system_administrator="zhangsan 张三",
                   security_administrator="lisi 李四", audit_administrator="wangwu 王五", server_name="his.test",
                   tls_certificate=str(pem), tls_key=str(key), recovery_private=str(tmp_path / "usb.key"),
                   recovery_passphrase="离线恢复口令二〇二六年十一月", accounts_to=str(tmp_path / "accounts"))


@pytest.mark.parametrize(("name", "value", "told"), [
    ("hospital", "", "医院名称"),
    ("system_administrator", "admin 张三", "不是个人账户"),
    ("system_administrator", "zhangsan", "登录名 姓名"),
    ("audit_administrator", "lisi2 李四", "三个不同的人"),
    ("recovery_passphrase", "short", "至少 12 个字符"),
    ("recovery_private", "relative.key", "绝对路径"),
    ("database_url", "dm+dmpython://SYSDBA:SYSDBA001@127.0.0.1:5236", "数据库管理员"),
    ("database_url", "postgresql+psycopg://his:his@127.0.0.1/his", "缺省口令"),
    ("database_url", "postgresql+psycopg://his:@127.0.0.1/his", "口令为空"),
    ("database_url", "mysql://his:x@127.0.0.1/his", "数据库"),
    ("database_url", "postgresql+psycopg://his:Tr-9x!kk@127.0.0.1:1/his", "连不上"),
])
def test_an_unsafe_answer_is_refused(answers: Answers, name: str, value: str, told: str) -> None:
    check_answers(answers, {})
    setattr(answers, name, value)
    with pytest.raises(Unsafe, match=told):
        check_answers(answers, {})


def test_certificates_are_looked_at(answers: Answers, tmp_path: Path) -> None:
    Path(answers.tls_key).chmod(0o644)
    with pytest.raises(Unsafe, match="别人也能读"):
        check_answers(answers, {})
    Path(answers.tls_key).chmod(0o600)
    other = tmp_path / "other"
    other.mkdir()
    expired, key = certificate(other, -1)
    answers.tls_certificate = str(expired)
    with pytest.raises(Unsafe, match="不是一对"):
        check_answers(answers, {})
    answers.tls_key = str(key)
    with pytest.raises(Unsafe, match="不在有效期"):
        check_answers(answers, {})


@pytest.mark.parametrize("setting", [{"demo": True}, {"simulate_payments": True}, {"secure_cookies": False}])
def test_settings_of_a_demo_are_refused(answers: Answers, setting: dict[str, bool]) -> None:
    with pytest.raises(Unsafe, match="只用于演示"):
        check_answers(answers, setting)


def test_set_up_from_a_file(answers: Answers, tmp_path: Path) -> None:
    """The command as an operator types it: keys, tables, three personal accounts; the password of the database isn't in clear."""
    url = f"sqlite:///{tmp_path}/elsewhere.db"
    answers.database_url = url
    file, config = tmp_path / "answers.toml", tmp_path / "etc" / "his-server.toml"
    config.parent.mkdir()
    config.write_text(toml({"data_dir": str(tmp_path / "data"), "password_rounds": 10_000}))
    file.write_text(toml(vars(answers)))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HIS_")}

    def setup() -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "his_server", "setup", "--answers", str(file), "--config", str(config)],
                              env=environment, capture_output=True, text=True, check=False, timeout=170)

    file.chmod(0o644)
    assert (refused := setup()).returncode == 1 and "0600" in refused.stderr
    file.chmod(0o600)
    done = setup()
    assert done.returncode == 0, done.stdout + done.stderr
    accounts = [line.split("\t") for line in (tmp_path / "accounts").read_text().splitlines()]
    assert [login for login, _, _ in accounts] == ["zhangsan", "lisi", "wangwu"]
    assert (tmp_path / "accounts").stat().st_mode & 0o077 == 0
    assert all(password not in done.stdout + done.stderr for _, password, _ in accounts)
    with closing(sqlite3.connect(tmp_path / "elsewhere.db")) as database:  # the national code tables are there from the first day
        rows = [database.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
                for name in ("dictionary_entry", "frequency", "region", "postal_area")]
    assert all(count > least for count, least in zip(rows, (500, 20, 6000, 3000), strict=True)), rows
    sealed = tmp_path / "data" / "keys" / "database.sealed"
    assert sealed.stat().st_mode & 0o077 == 0 and b"elsewhere" not in sealed.read_bytes()
    assert "elsewhere" not in config.read_text()
    settings = tomllib.loads(config.read_text())
    assert settings["hospital"] == "第六人民医院" and Path(settings["backup_recovery_key"]).exists()
    assert "ENCRYPTED PRIVATE KEY" in (tmp_path / "usb.key").read_text()
    assert "server_name his.test;" in (config.parent / "gateway.conf").read_text()
