"""The keys belong to the service's account: root, who gives the orders on an installed system, works on them as that account."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from his_server.cli import keys as cli_keys
from his_server.cli import main
from his_server.keys import open_sealer
from his_server.settings import Settings


@pytest.fixture
def turned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Path]:
    """For which folder a command became its owner."""
    monkeypatch.setenv("HIS_DATA_DIR", str(tmp_path))
    open_sealer(Settings(data_dir=tmp_path))
    found: list[Path] = []
    monkeypatch.setattr(cli_keys, "become_owner", found.append)
    return found


@pytest.mark.requirement("MP-16")
def test_commands_on_the_ring_are_done_as_its_owner(turned: list[Path], tmp_path: Path) -> None:
    for arguments in (["status"], ["split", "--need", "2", "--shares", "3", "--out", str(tmp_path / "shares")]):
        done = CliRunner().invoke(main, ["keys", *arguments])
        assert done.exit_code == 0, done.output
    assert turned == [tmp_path] * 2 and len(list((tmp_path / "shares").iterdir())) == 3
    CliRunner().invoke(main, ["keys", "selftest"])
    assert len(turned) == 2, "what touches no key of ours stays who it is"


@pytest.mark.requirement("MP-16")
def test_a_folder_that_is_not_the_accounts_own_is_told(turned: list[Path], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = CliRunner().invoke(main, ["keys", "split", "--need", "2", "--shares", "3", "--out", str(tmp_path / "file" / "shares")])
    assert done.exit_code == 1 and isinstance(done.exception, SystemExit)
    assert "不能读写" in done.output and "属于运行本服务的账户" in done.output
