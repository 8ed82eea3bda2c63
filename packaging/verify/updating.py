"""The steps in which one release takes another's place, most of them under load (steps.py, run.py).

Implements: A2.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import releases
from clean_root import PYTHON, Root
from releases import version_of


class Updating:
    """A root with the first release, and the releases that follow."""

    def __init__(self, root: Root, version: str, *, patient: bool) -> None:
        self.root, self.first, self.patient = root, version, patient
        self.old = releases.file_of(root.kind, root.arch, version)
        self.base_of_services = "http://127.0.0.1:8000"
        """Where the web service answers by itself, without the gateway."""

    @cached_property
    def new(self) -> Path:
        """The next release; made for the first step that needs it."""
        return releases.make(self.root.kind, self.root.arch, releases.following(self.first, 1))

    @cached_property
    def broken(self) -> Path:
        """One that never gets ready."""
        return releases.make(self.root.kind, self.root.arch, releases.following(self.first, 2), ready=False)

    def ready(self, version: Path | None = None) -> None:
        until = time.monotonic() + (1800 if self.patient else 180)
        said = ""
        while time.monotonic() < until:
            _, said = self.root.run(f"{PYTHON} -I -c \"import urllib.request as u; a=u.urlopen('{self.base_of_services}/readyz', timeout=20); "
                                    "print(a.headers['X-His-Release'], a.status)\"", check=False)
            if said.strip().endswith(" 200") and (version is None or said.startswith(version_of(version) + " ")):
                return
            time.sleep(0.5)
        raise AssertionError(said + self.root.run("journalctl -u his-web -n 40 --no-pager", check=False)[1])

    def smoke(self, arguments: str) -> str:
        return f"cd /srv/repo && setpriv --reuid=his --regid=his --init-groups {PYTHON} -s -B packaging/verify/smoke.py {arguments}"

    @property
    def base(self) -> str:
        return "https://127.0.0.1" if self.root.arch == "amd64" else self.base_of_services

    def under_load(self, act: Callable[[], object], base: str) -> dict[str, object]:
        stop, out = self.root.path / "srv/out/stop", self.root.path / "srv/out/load.json"
        for path in (stop, out, out.with_suffix(".ready")):
            path.unlink(missing_ok=True)
        client = subprocess.Popen(self.root.command(self.smoke(f"load /srv/out/stop /srv/out/load.json --base {base}")), stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE)
        until = time.monotonic() + 600
        while not out.with_suffix(".ready").exists() and time.monotonic() < until and client.poll() is None:
            time.sleep(0.3)
        assert out.with_suffix(".ready").exists(), "no load: " + (client.communicate()[1].decode(errors="replace")[-2000:] if client.poll() else "")
        time.sleep(3)
        begun = time.monotonic()
        try:
            act()
            seconds = round(time.monotonic() - begun, 1)
            time.sleep(3)
        finally:
            stop.write_text("")
            said = client.communicate(timeout=600)[1].decode(errors="replace")
        assert out.exists(), said[-2000:]
        found = json.loads(out.read_text())
        assert found["failed"] == 0, found
        return {**found, "seconds": seconds}

    def updates_under_load(self) -> object:
        before = self.root.run("systemctl show -p MainPID --value his-web")[1].strip()
        package = self.new
        found = self.under_load(lambda: self.root.install(package), self.base)
        self.ready(self.new)
        after = self.root.run("systemctl show -p MainPID --value his-web; systemctl is-active his-web his-worker")[1].split()
        assert after[0] != before and after[1:] == ["active", "active"], after
        return found

    def downgrades_under_load(self) -> object:
        found = self.under_load(lambda: self.root.install(self.old), self.base)
        self.ready(self.old)
        return found

    def failed_update_leaves_the_old(self) -> object:
        """A release that can't start doesn't take over; the old one serves on; with the cause gone the update goes through."""
        settings = self.root.path / "etc/his-server/his-server.toml"
        text = settings.read_text()
        settings.write_text("no_such_setting = 1\n" + text)
        status, said = self.root.install(self.new, check=False)
        assert status != 0, said
        self.ready(self.old)
        settings.write_text(text)
        self.root.install(self.old)
        self.ready(self.old)
        return said.strip().splitlines()[-3:]

    def update_comes_back_by_itself(self) -> object:
        """``his-server update`` to a release that never gets ready, under load: nothing is touched without a way back; with one the
        running release is installed again by the command itself, and nobody noticed."""
        shutil.copy(self.broken, self.root.path / "srv" / self.broken.name)
        status, said = self.root.run(f"his-server update /srv/{self.broken.name}", check=False)
        assert status == 1 and "没有改动" in said and "--previous" in said, said
        ended: list[tuple[int, str]] = []
        found = self.under_load(lambda: ended.append(self.root.run(
            f"his-server update --previous /srv/{self.old.name} /srv/{self.broken.name}", check=False, timeout=1800)), self.base)
        status, said = ended[0]
        assert status == 1 and f"已装回 {self.old.name}，业务没有中断" in said and "broken on purpose" in said + self.journal(), said
        self.ready(self.old)
        assert self.version_installed() == version_of(self.old)
        return {**found, "said": said.strip().splitlines()[-1]}

    def update_and_back_by_command(self) -> object:
        """``his-server update`` forward, and back again before the contraction with the package that it kept."""
        for package in (self.old, self.new):
            shutil.copy(package, self.root.path / "srv" / package.name)
        forward = self.root.run(f"his-server update --previous /srv/{self.old.name} /srv/{self.new.name}", timeout=1800)[1]
        self.ready(self.new)
        assert "已更新" in forward and self.version_installed() == version_of(self.new), forward
        back = self.root.run(f"his-server update /srv/{self.old.name}", timeout=1800)[1]
        self.ready(self.old)
        assert "已更新" in back and self.version_installed() == version_of(self.old), back
        kept = self.root.run("stat -c '%U %n' /var/cache/his-server/packages/*")[1].split()
        folder = "/var/cache/his-server/packages"
        assert sorted(kept) == sorted(["root", f"{folder}/{self.old.name}", "root", f"{folder}/{self.new.name}"]), kept
        assert self.root.run("systemctl is-active his-web his-worker")[1].split() == ["active", "active"]
        return back.strip().splitlines()[-1]

    def version_installed(self) -> str:
        """What the package system says."""
        asked = "dpkg-query -W -f '${Version}' his-server" if self.root.kind == "deb" else "rpm -q --qf '%{VERSION}' his-server"
        return self.root.run(asked)[1].strip().partition("-")[0]

    def journal(self) -> str:
        """The end of what the web service wrote."""
        return self.root.run("journalctl -u his-web -n 60 --no-pager -o cat", check=False)[1]
