"""The steps that a package goes through in a clean root (run.py); each returns what it found."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from clean_root import PYTHON, Root, stub
from judging import WORDS, Judging

MODULES = ("outpatient_billing", "outpatient_pharmacy", "medical_technology", "drug_warehouse", "finance", "insurance_office", "infusion")

ANSWERS = """hospital = "验证医院"
hospital_code = "H32060200006"
database_url = ""
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


class Verification(Judging):
    """The steps of one target."""

    def __init__(self, root: Root, version: str, *, patient: bool) -> None:
        super().__init__(root, version, patient=patient)
        self.results: list[dict[str, object]] = []

    def steps(self) -> list[Callable[[], object]]:
        found: list[Callable[[], object]] = [self.installs, self.refuses_unsafe_answers, self.sets_up, self.starts, self.rests,
                                             self.is_hardened, self.journey]
        if self.root.arch == "amd64":
            found += [self.gateway_one_process, self.gateway_each_module]
        found += [self.updates_under_load, self.downgrades_under_load, self.failed_update_leaves_the_old, self.update_comes_back_by_itself,
                  self.update_and_back_by_command, self.daily_commands, self.backs_up_and_restores, self.passes_the_suite]
        if self.root.arch == "amd64":
            found += [self.passes_the_suite_over_ipv6_alone]
        return [*found, self.notices_tampering, self.goes_away]

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

    def makes_database(self) -> None:
        """A PostgreSQL of this root: the product's own account, and the assessor's."""
        self.root.run("systemctl restart postgresql")
        orders = [f"CREATE ROLE his LOGIN PASSWORD '{WORDS['his']}'", f"CREATE ROLE assessor SUPERUSER LOGIN PASSWORD '{WORDS['assessor']}'",
                  *(f"CREATE DATABASE {name} OWNER his ENCODING 'UTF8' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8' TEMPLATE template0"
                    for name in ("his", "restored", "spare"))]
        path = self.root.path / "srv/database.sql"
        path.write_text(";\n".join(orders) + ";\n")
        self.root.run("setpriv --reuid=postgres --regid=postgres --init-groups psql -v ON_ERROR_STOP=1 -f /srv/database.sql", timeout=120)

    def sets_up(self) -> object:
        """Keys, tables, three administrators; their passwords are in a file of the account's own, on no screen."""
        if self.root.database == "postgresql":
            self.makes_database()
            self.answers(database_url=self.address("his"))
        else:
            self.answers()
        said = self.root.run("his-server setup --answers /srv/answers.toml")[1]
        accounts = (self.root.path / "var/lib/his-server/first-accounts").read_text().split()
        assert accounts[0] == "zhangsan" and accounts[1] not in said
        shown = self.root.run("stat -c '%a %U' /var/lib/his-server/first-accounts /var/lib/his-server/keys/master.key /srv/recovery.key")[1]
        assert shown.split()[::2] == ["600", "600", "600"], shown
        return None

    def starts(self) -> object:
        """Enabled and started; how long until it is ready, and what each process holds in memory."""
        if self.patient:  # emulated, or starved by others: the program's checks of its own files alone take minutes
            self.root.run("mkdir -p /run/systemd/system/his-web.service.d /run/systemd/system/his-worker.service.d; printf '[Service]\\n"
                          "TimeoutStartSec=1800\\nExecReload=\\nExecReload=/usr/bin/his-server handover --pid $MAINPID --timeout 1500\\n'"
                          " > /run/systemd/system/his-web.service.d/slow.conf; printf '[Service]\\nTimeoutStartSec=1800\\n'"
                          " > /run/systemd/system/his-worker.service.d/slow.conf; systemctl daemon-reload")
        begun = time.monotonic()
        self.root.run("systemctl enable --now his-server.target", timeout=2400)
        self.ready()
        seconds = round(time.monotonic() - begun, 1)
        active = self.root.run("systemctl is-active his-web his-worker")[1].split()
        assert active == ["active", "active"], active
        memory = self.root.run("for p in $(pgrep -u his); do echo $(tr '\\0' ' ' </proc/$p/cmdline | cut -c1-90 | sed 's/.*his_server //') "
                               "$(awk '/^Pss:/{print $2}' /proc/$p/smaps_rollup); done", check=False)[1]
        return {"start_seconds": seconds, "pss_kb": memory.splitlines()}

    def rests(self) -> object:
        """What the processes of an idle hospital take of a core, by the kernel's own account, over a minute."""
        line = ("for p in $(pgrep -u his); do echo $p $(awk '{print $14 + $15}' /proc/$p/stat) "
                "$(tr '\\0' ' ' </proc/$p/cmdline | sed 's/.*his_server //' | cut -c1-20); done")
        time.sleep(90)  # it looks less often after a quiet minute
        before, begun = self.root.run(line)[1].splitlines(), time.monotonic()
        time.sleep(60)
        after, seconds = dict(one.split(" ", 1) for one in self.root.run(line)[1].splitlines()), time.monotonic() - begun
        found = {}
        for number, ticks, *what in (one.split() for one in before):
            found[f"{' '.join(what)} ({number})"] = round((int(after[number].split()[0]) - int(ticks)) / seconds, 2)
        assert self.root.arch != "amd64" or max(found.values()) < 2, found
        return {"percent_of_a_core": found}

    def is_hardened(self) -> object:
        """systemd's own score, and what verify finds in the units (it ends with 0 whatever it finds)."""
        scores = {}
        for unit in ("his-web.service", "his-worker.service", "his-module@x.service"):
            said = self.root.run(f"systemd-analyze security {unit} --no-pager | tail -1", check=False)[1]
            scores[unit] = said.strip()[-60:]
        odd = self.root.run("systemd-analyze verify /lib/systemd/system/his-web.service /lib/systemd/system/his-worker.service 2>&1 | grep his- || true")[1]
        assert not odd.strip(), odd
        return scores

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

    def daily_commands(self) -> object:
        """The commands of docs/operations as they are written there."""
        shown = {}
        for line, wanted in (
                ("his-server balance", ""), ("his-server audit verify", ""), ("his-server keys selftest", ""),
                ("his-server keys manifest verify", ""), ("his-server keys status", "ring"),
                ("his-server keys split --need 2 --shares 3 --out /backup/shares", "任意 2 份可恢复"), ("his-server migrate --check", "最新"),
                ("his-server backup create --to /backup --keep 14", "已备份并核对"),
                ("his-server backup verify $(ls -t /backup/*.hisbackup | head -1) --tables", "通过"),
                ("systemctl reload his-web", ""), ("systemctl restart his-worker", ""),
                ("systemctl status his-web his-worker 'his-module@*' --no-pager", "active (running)"),
                ("journalctl -u his-web -u his-worker -u 'his-module@*' -o cat --since today | head -3", "{"),
                ("his-server migrate --contract", "数据库版本"), ("logrotate -d /etc/logrotate.d/his-server", ""),
                ("curl -s http://127.0.0.1:8000/healthz", "ok"), ("curl -si http://127.0.0.1:8000/readyz", "X-His-Release"),
                ("curl -s http://127.0.0.1:8000/metrics", "his_responses_total")):
            if line.startswith(("curl", "logrotate")) and self.root.arch != "amd64":
                continue
            if "/backup" in line:
                self.root.run("install -d -o his -g his -m 700 /backup")
            said = self.root.run(line, timeout=1800)[1]
            assert wanted in said, (line, said[-500:])
            shown[line] = said.strip().splitlines()[-1][:120] if said.strip() else ""
        self.ready(self.old)
        return shown

    def backs_up_and_restores(self) -> object:
        """Sealed backup; a damaged one refused; restored to an empty place with the offline key alone; the same figures."""
        root = self.root
        root.run("install -d -o his -g his -m 700 /srv/backup /srv/restored; printf '离线-恢复-口令-2026' > /srv/pass; chmod 600 /srv/pass")
        made = root.run("his-server backup create --to /srv/backup")[1]
        name = next((root.path / "srv/backup").glob("*.hisbackup")).name
        data = bytearray((root.path / "srv/backup" / name).read_bytes())
        data[len(data) // 2] ^= 1
        (root.path / "srv/backup/bad.hisbackup").write_bytes(data)
        root.run("chown his /srv/backup/bad.hisbackup")
        where = f" HIS_DATABASE_URL='{self.address('his', 'restored')}'" if root.database == "postgresql" else ""
        his = f"HIS_DATA_DIR=/srv/restored{where} "
        key = "--recovery-key /srv/recovery.key --passphrase-file /srv/pass"
        status, said = root.run(f"{his} his-server restore --keys-only {key} /srv/backup/bad.hisbackup", check=False)
        assert status == 1 and "没有改动任何数据" in said, said
        root.run(f"{his} his-server restore --keys-only {key} /srv/backup/{name}")
        owners = root.run("stat -c %U /srv/restored/keys /srv/restored/keys/ring.json /srv/restored/keys/master.key")[1].split()
        assert owners == ["his"] * 3, owners
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
            status, out = self.root.run("his-server run --bind 127.0.0.1:8999", check=False, timeout=1800)
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
            root.run("rpm -e his-server")
        assert root.run("pgrep -u his", check=False)[1].strip() == "", "a process is left"
        left = [name for name in ("opt/his-server", "usr/bin/his-server", "lib/systemd/system/his-web.service", "run/his-server",
                                  "var/cache/his-server") if (root.path / name).exists() or (root.path / name).is_symlink()]
        assert not left, left
        data = "var/lib/his-server/" + ("his.db" if root.database == "sqlite" else "keys/database.sealed")
        assert (root.path / data).exists() and (root.path / "var/lib/his-server/keys/master.key").exists()
        assert not list((root.path / "etc/systemd/system").rglob("his-*")), "an enabled unit is left"
        if root.kind == "deb":
            assert (root.path / "etc/his-server/his-server.toml").exists()
            root.run("dpkg -P his-server")
            assert not (root.path / "etc/his-server").exists() and (root.path / data).exists()
        left = root.run("find / -xdev \\( -name '*his-server*' -o -name 'his-web*' -o -name 'his-worker*' -o -name 'his-module*' \\) "
                        "-not -path '/proc/*' -not -path '/srv/*' -not -path '/var/lib/dpkg/*' | sort", check=False)[1].split()
        kept = {"/var/lib/his-server", "/var/log/his-server"} | ({"/etc/his-server"} if root.kind == "rpm" else set())
        odd = [path for path in left if not any(path == one or path.startswith(one + "/") for one in kept)]
        # rpm keeps edited settings beside, named .rpmsave
        assert not [path for path in odd if not path.endswith(".rpmsave")], odd
        root.run("userdel his; rm -rf /var/lib/his-server /var/log/his-server /etc/his-server /etc/logrotate.d/his-server*")
        lost = root.run("find / -xdev \\( -nouser -o -nogroup \\) -not -path '/srv/*' -not -path '/backup*' | head -5", check=False)[1].strip()
        assert not lost, lost
        return {"left": left}
