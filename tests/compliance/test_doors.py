"""The list of ports, and what the suite sees of the host beside it (DB-20)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from his_server import running
from his_server.cli import main
from his_server.compliance.checks import doors

pytestmark = pytest.mark.requirement("DB-20")
LISTENS = """
import socket, sys
one, other = socket.create_server(("127.0.0.1", 0)), socket.create_server(("::1", 0), family=socket.AF_INET6)
print(one.getsockname()[1], other.getsockname()[1], flush=True)
sys.stdin.read()
"""


def listed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: str, *masters: running.Master) -> str:
    config = tmp_path / "his.toml"
    config.write_text(settings, "utf-8")
    monkeypatch.setattr(running, "masters", lambda house: list(masters))
    done = CliRunner().invoke(main, ["ports"], env={"HIS_CONFIG": str(config), "HIS_DATA_DIR": str(tmp_path)})
    assert done.exit_code == 0, done.output
    return done.output


def test_the_list_names_what_serves_and_from_where_administrators_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bare = listed(monkeypatch, tmp_path, "")
    assert "Web 服务没有运行" in bare and "没有限制" in bare and "\ntcp " not in f"\n{bare}"
    told = listed(monkeypatch, tmp_path, '[module.security]\nadmin_networks = ["10.1.0.0/16"]\n',
                  running.Master(7, "[::]:8000", "0.1.0", 1))
    assert told.startswith("tcp [::]:8000 ") and "管理员来源网段：10.1.0.0/16" in told and "没有限制" not in told


def test_where_a_process_of_an_installation_listens_is_found(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LISTENS, "his_server"]
    environment = {**os.environ, "HIS_DATA_DIR": str(tmp_path)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as one:
        assert one.stdout is not None and one.stdin is not None
        four, six = one.stdout.readline().split()
        assert doors.sockets([one.pid]) == {f"tcp 127.0.0.1:{four}", f"tcp [::1]:{six}"}
        one.stdin.close()
