"""The steps that judge an installed product by the compliance suite: whole, and with IPv6 alone (steps.py, run.py).

The root has no network but its own loopback, so every run here is one without any way out (XC-04).

Implements: XC-05, XC-12.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from clean_root import DIST
from updating import Updating

WORDS = {"his": "Zheng-7342-shu", "assessor": "Ping-5518-cha"}
"""Passwords of the accounts in the root's own PostgreSQL."""
SUITE_SECONDS = 4500
OTHER = {"sqlite": "deb-amd64-postgresql", "postgresql": "rpm-amd64"}
"""The target whose report, where there is one, the run on this kind of database is compared with."""
CRASHED = "检查中断"


class Judging(Updating):
    """The compliance suite in a root."""

    def address(self, account: str, name: str = "his") -> str:
        """The database's address for an account; SQLite's file where the product keeps its data itself."""
        if self.root.database == "postgresql":
            return f"postgresql+psycopg://{account}:{WORDS[account]}@localhost/{name}"  # IPv4 or IPv6, as the root has
        return "sqlite:////var/lib/his-server/his.db"

    def passes_the_suite(self) -> object:
        """The whole compliance suite from the installed package, on the installed product as a test environment has it: with the
        stand-ins of outside systems. It runs to its end, no check breaks off, and it signs a report that holds. What it judges is the
        report's matter (copied beside the packages), not this step's."""
        with self.stand_ins():
            return self.judged("http://127.0.0.1:8000", "")

    def passes_the_suite_over_ipv6_alone(self) -> object:
        """The same while the root has no IPv4 address at all, not even the loopback's."""
        web, told = self.root.path / "etc/his-server/web.env", self.base_of_services
        before = web.read_text()
        web.write_text(before.replace("127.0.0.1:8000", "[::1]:8000"))
        self.base_of_services = "http://[::1]:8000"
        self.root.run("ip -4 addr flush dev lo")
        try:
            assert not self.root.run("ip -4 -o addr")[1].strip(), "an IPv4 address is left"
            with self.stand_ins():
                return self.judged(self.base_of_services, "-ipv6")
        finally:
            web.write_text(before)
            self.base_of_services = told
            self.root.run("ip addr add 127.0.0.1/8 dev lo; systemctl restart his-web his-worker", timeout=3600)
            self.ready(self.old)

    @contextmanager
    def stand_ins(self) -> Iterator[None]:
        """While the block runs the product is a test environment: its lines lead to the stand-ins that come with it."""
        settings = self.root.path / "etc/his-server/his-server.toml"
        text = settings.read_text()
        settings.write_text("simulate_payments = true\n" + text)
        try:
            self.root.run("systemctl restart his-web his-worker", timeout=3600)
            self.ready(self.old)
            yield
        finally:
            settings.write_text(text)
            self.root.run("systemctl restart his-web his-worker", timeout=3600)
            self.ready(self.old)

    def judged(self, base: str, name: str) -> object:
        """Run the suite; how many of each verdict, what is 不符合, and where the report is. :raises AssertionError: it broke off."""
        root = self.root
        if not (root.path / "srv/administrators.toml").exists():
            root.run(self.smoke(f"administrators --base {base}") + "; cp /srv/out/administrators.toml /srv/administrators.toml; "
                     "chown root:root /srv/administrators.toml; chmod 600 /srv/administrators.toml", timeout=1800)
        root.run("rm -rf /srv/report", check=False)
        where, more = f"COMPLIANCE_DATABASE='{self.address('assessor')}' ", ""
        if root.database == "postgresql":
            self.empties("spare")
            where += f"COMPLIANCE_EMPTY_DATABASE='{self.address('his', 'spare')}' "
        other = DIST / f"compliance-{OTHER[root.database]}{name}" / "report.json"
        if not other.exists():
            other = DIST / f"compliance-{OTHER[root.database]}" / "report.json"
        if other.exists():
            shutil.copytree(other.parent, root.path / "srv/compared", dirs_exist_ok=True)
            more += "--compare /srv/compared/report.json "
        status, said = root.run(
            f"{where}his-server compliance run --profile all --base '{base}' {more}"
            "--app-dir /opt/his-server/app --data-dir /var/lib/his-server --log-dir /var/log/his-server --accounts /srv/administrators.toml "
            "--out /srv/report --key /srv/assessor.pem --allow-disturbing > /srv/suite.log 2>&1; s=$?; tail -c 3000 /srv/suite.log; exit $s",
            check=False, timeout=SUITE_SECONDS)
        assert status in (0, 1) and "报告：" in said, said[-3000:]
        checked = root.run("his-server compliance verify /srv/report/report.json --public /srv/assessor.pub.pem")[1]
        assert "通过" in checked, checked
        report = json.loads((root.path / "srv/report/report.json").read_text(encoding="utf-8"))
        folder = DIST / f"compliance-{root.path.name}{name}"
        shutil.copytree(root.path / "srv/report", folder, dirs_exist_ok=True)
        results = report["results"]
        found = {"counts": report["counts"], "checks": len(results), "report": folder.name,
                 "bad": {one["id"]: one["reason"][:200] for one in results if one["verdict"] == "不符合"},
                 "slowest": {one["id"]: one["seconds"] for one in sorted(results, key=lambda one: -one["seconds"])[:12]}}
        crashed = [f"{one['id']} {one['reason']}" for one in results if CRASHED in one["reason"]]
        assert not crashed, (crashed, found)
        return found

    def empties(self, name: str) -> None:
        """A database of the root's PostgreSQL as new: an earlier run has restored into it."""
        self.root.run(f"cd / && setpriv --reuid=postgres --regid=postgres --init-groups psql -c 'DROP DATABASE IF EXISTS {name}' "
                      f"-c \"CREATE DATABASE {name} OWNER his ENCODING 'UTF8' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8' TEMPLATE template0\"",
                      timeout=120)
