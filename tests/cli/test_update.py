"""``update PACKAGE``: never without a way back, and back by itself when the new release doesn't take over (A2)."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from his_server import __version__, running
from his_server.cli import update
from his_server.running import Master

pytestmark = pytest.mark.requirement("A2")
OLD, NEW = Master(11, "127.0.0.1:8000", __version__, 1), Master(12, "127.0.0.1:8000", "9.9.9", 11)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A host whose ``dpkg`` writes down what it is given and hands over as ``outcome`` says: package name → who serves then.
    The hospital has settings of its own and every release comes with other ones: without a word what to do dpkg stops."""
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    dpkg = ('case "$*" in *--force-confold*) ;; *) echo "end of file on stdin"; exit 1 ;; esac; for file; do :; done; '
            f'echo "$file" >> {tmp_path}/installed; basename "$file" > {tmp_path}/last; [ ! -e "$file.fails" ]')
    for name, text in {"dpkg": dpkg, "dpkg-deb": 'cat "$2"'}.items():
        (bin_ / name).write_text(f"#!/bin/sh\n{text}\n")
        (bin_ / name).chmod(0o755)
    outcome: dict[str, list[Master]] = {"": [OLD]}

    def masters(_settings: object) -> list[Master]:
        last = tmp_path / "last"
        return outcome[last.read_text().strip() if last.exists() else ""]

    monkeypatch.setenv("PATH", f"{bin_}:{os.environ['PATH']}")
    monkeypatch.setenv("HIS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(running, "masters", masters)
    monkeypatch.setattr(update, "KEPT", tmp_path / "kept")

    def package(name: str, version: str) -> Path:
        (tmp_path / name).write_text(f"{version}-1\n")
        return tmp_path / name

    return SimpleNamespace(outcome=outcome, package=package, folder=tmp_path,
                           installed=lambda: [Path(line).name for line in (tmp_path / "installed").read_text().split()]
                           if (tmp_path / "installed").exists() else [])


def test_a_running_hospital_isnt_updated_without_a_way_back(host: SimpleNamespace) -> None:
    new = host.package("new.deb", "9.9.9")
    with pytest.raises(update.Failed, match="--previous"):
        update.from_package(new, None)
    with pytest.raises(update.Failed, match="不是这个版本"):
        update.from_package(new, host.package("other.deb", "0.0.1"))
    (host.folder / "kept").mkdir()
    host.package("kept/older.deb", "0.0.1")  # kept once, but another release runs
    with pytest.raises(update.Failed, match="没有改动"):
        update.from_package(new, None)
    assert host.installed() == []


def test_what_doesnt_take_over_is_replaced_by_the_release_that_ran(host: SimpleNamespace) -> None:
    new, old = host.package("new.deb", "9.9.9"), host.package("old.deb", __version__)
    host.outcome |= {"new.deb": [OLD], "old.deb": [OLD]}
    (host.folder / "new.deb.fails").touch()
    with pytest.raises(update.Failed, match=r"已装回 old\.deb，业务没有中断"):
        update.from_package(new, old)
    assert host.installed() == ["new.deb", "old.deb"]
    (host.folder / "new.deb.fails").unlink()  # rpm ends well although its script failed: the old process still serves
    with pytest.raises(update.Failed, match="已装回"):
        update.from_package(new, old)
    host.outcome["old.deb"] = [NEW]
    (host.folder / "last").unlink()
    with pytest.raises(update.Failed, match="也没有完成"):
        update.from_package(new, old)
    assert not (host.folder / "kept").exists()


def test_what_took_over_is_kept_for_the_next_update(host: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    new, old = host.package("new.deb", "9.9.9"), host.package("old.deb", __version__)
    host.outcome["new.deb"] = [NEW]
    update.from_package(new, old)
    kept = host.folder / "kept"
    assert host.installed() == ["new.deb"] and sorted(path.name for path in kept.iterdir()) == ["new.deb", "old.deb"]
    assert f"退回：his-server update {kept / 'old.deb'}" in capsys.readouterr().out
    (kept / "ancient.deb").write_text("0.0.1-1\n")
    (host.folder / "last").unlink()
    update.from_package(new, kept / "old.deb")  # what lies there already stays, what nobody goes back to goes
    assert sorted(path.name for path in kept.iterdir()) == ["new.deb", "old.deb"]
