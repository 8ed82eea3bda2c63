"""What must hold before a process serves: known answers, the program's signed files."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from flask import Flask

from crypto import CryptoError, pem
from crypto.openssl import OpenSSLProvider
from his_server import keys, startup
from his_server.app import create_app
from his_server.cli import main
from his_server.settings import Settings, SettingsError
from his_server.startup import StartRefused
from tests.crypto.conftest import Stub, stub, stub_path  # noqa: F401  # fixtures


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of an empty data folder, for the command line too."""
    monkeypatch.setenv("HIS_DATA_DIR", str(tmp_path / "data"))
    return Settings(data_dir=tmp_path / "data")


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed program of two files."""
    root = tmp_path / "program"
    (root / "pkg").mkdir(parents=True)
    (root / "pkg" / "a.py").write_text("A = 1\n")
    (root / "b.py").write_text("B = 2\n")
    monkeypatch.setattr(startup, "PROGRAM", root)
    return root


@pytest.mark.requirement("MP-01")
def test_known_answers_run_and_the_library_is_logged(house: Settings, caplog: pytest.LogCaptureFixture,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("his"), "propagate", True)
    caplog.set_level(logging.INFO, logger="his")
    sealer = startup.open_checked(house)
    told = next(r.getMessage() for r in caplog.records if "cryptographic provider" in r.getMessage())
    assert sealer.provider.version in told and sealer.provider.library in told
    health = startup.health()
    assert health is not None and set(health.selftest["checks"].values()) == {"ok"}


@pytest.mark.requirement("MP-01")
@pytest.mark.parametrize("command", [["run"], ["worker"], ["balance"]])
def test_a_lying_library_stops_web_worker_and_commands(house: Settings, monkeypatch: pytest.MonkeyPatch,
                                                       command: list[str]) -> None:
    startup.open_checked(house)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")  # what `run` sets is put back
    honest = OpenSSLProvider.sm3
    monkeypatch.setattr(OpenSSLProvider, "sm3", lambda self, data: honest(self, data + b"!") if data == b"abc"
                        else honest(self, data))
    with pytest.raises(StartRefused, match="自检未通过"):
        create_app(house)
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 1 and "自检未通过" in result.output and "服务不能启动" in result.output


@pytest.mark.requirement("MP-19")
def test_altered_program_files_stop_the_start(house: Settings, program: Path, monkeypatch: pytest.MonkeyPatch,
                                              caplog: pytest.LogCaptureFixture) -> None:
    run = CliRunner().invoke
    assert "没有程序清单" in run(main, ["keys", "manifest", "verify"]).output
    made = run(main, ["init"]), run(main, ["keys", "manifest", "create"])
    assert [m.exit_code for m in made] == [0, 0] and "已签名 2 个文件" in made[1].output
    assert run(main, ["keys", "manifest", "verify"]).exit_code == 0
    sealer = startup.open_checked(house)
    assert startup.check_program(house, sealer) == []
    (program / "pkg" / "a.py").write_text("A = 2\n")
    (program / "c.py").write_text("import os\n")
    verify = run(main, ["keys", "manifest", "verify"])
    assert verify.exit_code == 1 and "altered  pkg/a.py" in verify.output and "extra  c.py" in verify.output
    with pytest.raises(StartRefused, match=r"pkg/a\.py"):
        startup.check_program(house, sealer)
    with pytest.raises(StartRefused):
        create_app(house)
    refused = run(main, ["worker"])
    assert refused.exit_code == 1 and "不符" in refused.output
    monkeypatch.setattr(logging.getLogger("his"), "propagate", True)
    warned = startup.check_program(Settings(data_dir=house.data_dir, manifest_policy="warn"), sealer)
    assert {(d.kind, d.path) for d in warned} == {("altered", "pkg/a.py"), ("extra", "c.py")}
    assert any(r.levelname == "CRITICAL" for r in caplog.records)
    (program / "manifest.json").write_text("{}")
    with pytest.raises(StartRefused, match="签名不符"):
        startup.check_program(house, sealer)


@pytest.mark.requirement("MP-19")
def test_only_the_publishers_signature_counts(house: Settings, program: Path, tmp_path: Path) -> None:
    sealer = startup.open_checked(house)
    target = tmp_path / "list.json"
    startup.sign_program(house, sealer, target, "1", sealer.ring.active("sign-sm2").not_before)
    ours = tmp_path / "ours.pem"
    ours.write_text(pem.public_to_pem(sealer.ring.active("sign-sm2").public))
    theirs = tmp_path / "theirs.pem"
    theirs.write_text(pem.public_to_pem(sealer.provider.sm2_generate()[1]))

    def settings(key: Path) -> Settings:
        return Settings(data_dir=house.data_dir, manifest=target, manifest_key=key)

    assert startup.check_program(settings(ours), sealer) == []
    for wrong in (theirs, tmp_path / "missing.pem"):
        with pytest.raises(StartRefused):
            startup.check_program(settings(wrong), sealer)
    target.unlink()
    with pytest.raises(StartRefused):  # configured, but gone
        startup.check_program(settings(ours), sealer)


@pytest.mark.requirement("MP-17")
def test_settings_reach_the_provider(tmp_path: Path) -> None:
    options = keys.provider_options(Settings(
        crypto_provider="sdf", crypto_library="/opt/libsdf.so", crypto_key_index=3, crypto_sessions=4,
        crypto_pin_file=tmp_path / "pins", crypto_slots=("sign-sm2=2",), crypto_encryption_slots=("login-sm2=5",)))
    assert options == {"library": "/opt/libsdf.so", "key_index": 3, "pool": 4, "pin_file": tmp_path / "pins",
                       "slots": {"sign-sm2": 2}, "encryption_slots": {"login-sm2": 5}, "alarm": keys.device_alarm}
    assert keys.provider_options(Settings(crypto_timing_policy="refuse")) == {"library": None,
                                                                             "timing_policy": "refuse"}
    for wrong in (Settings(crypto_provider="sdf"), Settings(crypto_provider="reference"),
                  Settings(crypto_provider="sdf", crypto_library="x", crypto_slots=("sign-sm2",))):
        with pytest.raises(SettingsError):
            keys.provider_options(wrong)
    with pytest.raises(CryptoError):
        keys.open_provider(Settings(crypto_library="/nonexistent/libcrypto.so"))
    with pytest.raises(StartRefused, match="密码模块"):
        startup.open_checked(Settings(data_dir=tmp_path, crypto_library="/nonexistent/libcrypto.so"))


@pytest.fixture
def device(tmp_path: Path, stub: Stub) -> Settings:  # noqa: F811
    """Settings of a house on the stub device."""
    pins = tmp_path / "pins.json"
    pins.touch(mode=0o600)
    pins.write_text('{"1": "12345678", "2": "12345678", "3": "12345678"}')
    return Settings(data_dir=tmp_path / "data", crypto_provider="sdf", crypto_library=stub.path, crypto_pin_file=pins,
                    crypto_slots=("sign-sm2=1", "document-sm2=3"), crypto_encryption_slots=("login-sm2=2",), secure_cookies=False,
                    password_rounds=10_000, log_level="CRITICAL")


@pytest.mark.requirement("MP-17")
@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_a_lost_device_answers_503_and_nothing_falls_back(device: Settings, stub: Stub, db_url: str,  # noqa: F811
                                                          hospital: Any, clock: Any) -> None:
    from his_server.app import open_database
    from tests.factories.security import signed_in_client

    device = Settings(**{**vars(device), "database_url": db_url})
    database = open_database(device, clock=clock)
    app: Flask = create_app(device, database=database, clock=clock, hospital=hospital)
    app.testing = False
    assert database.sealer.ring.status()["purposes"]["sign-sm2"]["device"] is True
    client = signed_in_client(app, database, "cashier")
    before = stub.count("SDF_Encrypt"), stub.count("SDF_HashFinal")
    assert client.get("/api/session").status_code == 200
    assert stub.count("SDF_Encrypt") > before[0] and stub.count("SDF_HashFinal") > before[1]
    stub.lost(True)
    keys.alarms.clear()
    for _ in range(3):
        lost = client.get("/api/session")
        assert lost.status_code == 503 and lost.get_json()["code"] == "crypto.device_lost"
    assert client.get("/api/session/challenge").status_code == 503
    assert client.get("/healthz").status_code == 200
    assert keys.alarms and b"his_crypto_alarms_total" in client.get("/metrics").data
    with pytest.raises(StartRefused):
        startup.open_checked(device)
    stub.lost(False)
    assert client.get("/api/session").status_code == 200  # and nobody was signed out
    database.dispose()
