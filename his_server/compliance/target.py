"""The installed product under test, and what the suite makes in it: accounts, a patient, all of them marked and ended.

Whatever the suite makes carries the run's mark (``hgcs`` and six characters): accounts are disabled at the end,
patients stay as files whose name says what they are, because the product deletes no patient.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from his_server.clock import HOSPITAL_ZONE
from his_server.compliance.client import Account, Answer, Send, Visitor
from his_server.compliance.frame import NotRun
from his_server.compliance.tables import Tables

ADMINISTRATORS = ("sysadmin", "secadmin", "auditadmin")
TEMPORARY = ("intern", "trainee", "vendor")
WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
COMMAND_SECONDS = 600
BIRTH_DAYS = (date(2000, 1, 1) - date(1930, 1, 1)).days


def id_number(front: str) -> str:
    """An identity number of 17 digits with its check digit (GB 11643)."""
    return front + "10X98765432"[sum(int(d) * w for d, w in zip(front, WEIGHTS, strict=True)) % 11]


def invented(number: int, region: str = "320602", *, leap: bool = False) -> str:
    """An identity number of somebody born 1930 to 1999 that no other ``number`` below 25 million makes (leap days: 17,000).

    A product that was assessed before keeps the patients of then, so a number must not come twice.
    """
    days, order = divmod(number, 1000)
    born = date(1932 + days % 17 * 4, 2, 29) if leap else date(1930, 1, 1) + timedelta(days % BIRTH_DAYS)
    return id_number(f"{region}{born:%Y%m%d}{order:03d}")


@dataclass(frozen=True)
class Done:
    """How a command of the installed product ended."""

    code: int
    out: str


Command = Callable[[Sequence[str], Mapping[str, str]], Done]
"""Runs ``his-server`` with arguments and further environment variables."""


def command_of(line: str) -> Command:
    """Commands of the installed product, by its own program, in this process's environment."""

    def run(arguments: Sequence[str], environment: Mapping[str, str]) -> Done:
        try:
            done = subprocess.run(
                [*shlex.split(line), *arguments],
                capture_output=True,
                text=True,
                timeout=COMMAND_SECONDS,
                check=False,
                env={**os.environ, **environment},
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NotRun(f"命令 {line} {arguments[0]} 不能运行：{type(error).__name__}") from error
        return Done(done.returncode, done.stdout + done.stderr)

    return run


@dataclass
class Target:
    """Where the product is and what the assessor was given. What is None isn't there: the check isn't run."""

    send: Send
    base: str = ""
    tables: Tables | None = None
    app_dir: Path | None = None
    data_dir: Path | None = None
    log_dir: Path | None = None
    accounts: Mapping[str, Account] = field(default_factory=dict)
    command: Command | None = None
    disturb: bool = False
    empty: str = ""
    """URL of a database without tables, for a restore."""
    other: Mapping[str, Any] = field(default_factory=dict)
    """The report of a run on another database."""
    trace: Path | None = None
    """The matrix of requirements and cases that comes with the sources."""
    hospital_code: str = "H32060200006"
    mark: str = field(default_factory=lambda: "hgcs" + secrets.token_hex(3))
    secrets: set[str] = field(default_factory=set)
    """What must never stand in a report."""
    made: list[Account] = field(default_factory=list)
    endings: list[Callable[[], bool]] = field(default_factory=list)
    """What must be done at the end, and says whether it succeeded."""
    kept: dict[str, Any] = field(default_factory=dict)
    """What checks made and share."""
    _signed_in: dict[str, Visitor] = field(default_factory=dict)
    _given: int = 0

    def __post_init__(self) -> None:
        for account in self.accounts.values():
            self.secrets |= {account.password, account.totp.hex()} - {""}

    def missing(self, needs: Sequence[str]) -> list[str]:
        """Which of a check's needs aren't met."""
        there = {
            "http": bool(self.base),
            "accounts": set(ADMINISTRATORS) <= set(self.accounts),
            "database": self.tables,
            "app": self.app_dir,
            "data": self.data_dir,
            "command": self.command,
            "disturb": self.disturb,
        }
        return [need for need in needs if not there[need]]

    # People

    def visitor(self) -> Visitor:
        """A browser that nobody is signed in with."""
        return Visitor(self.send)

    def admin(self, which: str) -> Visitor:
        """One of the three administrators. :raises NotRun: the sign-in was refused."""
        if which not in self._signed_in:
            self._signed_in[which] = self.visitor().sign_in(self.accounts[which])
        return self._signed_in[which]

    def password(self) -> str:
        """A password that satisfies every rule."""
        made = "Q7#" + secrets.token_urlsafe(12).replace("-", "a").replace("_", "Z") + "x4"
        self.secrets.add(made)
        return made

    def new_account(
        self,
        *roles: str,
        until: date | None = None,
        staff_id: int | None = None,
        department_id: int | None = None,
        login: str = "",
        name: str = "合规测试",
    ) -> Account:
        """An account of the suite's own with these roles: made by the system, granted by the security administrator."""
        self._given += 1
        account = Account(login or f"{self.mark}-{self._given}", self.password())
        if until is None and set(roles) & set(TEMPORARY):
            until = date.today() + timedelta(days=30)
        boss = self.admin("sysadmin")
        body = {
            "login": account.login,
            "name": name,
            "valid_until": until and until.isoformat(),
            "staff_id": staff_id,
            "department_id": department_id,
            **boss.sealed(password=account.password),
        }
        account.id = boss.post("/api/security/users", body).good("建立测试账户")["id"]
        self.made.append(account)
        if roles:
            keeper = self.admin("secadmin")
            keeper.put(f"/api/security/users/{account.id}/grants", {"grants": [{"role": r} for r in roles]}).good("授权测试账户")
            if any(self.roles[role]["second_factor"] for role in roles):
                self.enrol(account)
        return account

    def enrol(self, account: Account) -> None:
        """A one-time code generator for an account."""
        text = self.admin("secadmin").post(f"/api/security/users/{account.id}/totp").good("登记动态口令")["secret"]
        account.totp, account.step = base64.b32decode(text + "=" * (-len(text) % 8)), 0
        self.secrets |= {text, account.totp.hex()}

    def staff(self, role: str) -> Visitor:
        """Somebody with this role, signed in: of the accounts file, else made for this run."""
        if role not in self._signed_in:
            if role in ADMINISTRATORS:
                return self.admin(role)
            account = self.accounts.get(role) or self.new_account(role)
            self._signed_in[role] = self.visitor().sign_in(account, self.password())
        return self._signed_in[role]

    def fresh(self, *roles: str, **more: Any) -> Visitor:
        """Somebody new with these roles, signed in with a changed password."""
        return self.visitor().sign_in(self.new_account(*roles, **more), self.password())

    @cached_property
    def roles(self) -> dict[str, dict[str, Any]]:
        """Role → what the product says of it: permissions, second factor."""
        items = self.admin("secadmin").get("/api/security/roles").good("读取角色")["items"]
        return {
            one["code"]: {**one, "permissions": _codes(one["permissions"])} for one in items if not one["code"].startswith("hgcs")
        }

    def whoever(self, permission: str, *, but: str = "") -> Visitor:
        """Somebody whose standard role holds a permission (and not ``but``). :raises NotRun: nobody does."""
        names = [
            code
            for code, role in self.roles.items()
            if permission in role["permissions"] and code not in ADMINISTRATORS and not (but and but in role["permissions"])
        ]
        if not names:
            raise NotRun(f"没有角色持有权限 {permission}" + (f"而没有 {but}" if but else ""))
        return self.staff(min(names, key=lambda code: (self.roles[code]["second_factor"], code not in self._signed_in)))

    # What the product says of itself

    @cached_property
    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document."""
        found: dict[str, Any] = self.visitor().get("/api/openapi.json").good("读取接口文档")
        return found

    def routes(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Method, path and description of every declared route."""
        for path, methods in self.openapi["paths"].items():
            for method, about in methods.items():
                yield method.upper(), path, about

    @property
    def db(self) -> Tables:
        """The database. :raises NotRun: there is no account for it."""
        if self.tables is None:
            raise NotRun("没有给出独立的数据库账户（--database）")
        return self.tables

    def his(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Done:
        """A command of the installed product. :raises NotRun: there is none."""
        if self.command is None:
            raise NotRun("没有给出已安装的命令（--command）")
        return self.command(arguments, environment or {})

    @contextmanager
    def workplace(self) -> Iterator[Path]:
        """A folder for what the product's commands read and write: they leave root for the service's account."""
        with tempfile.TemporaryDirectory() as folder:
            yield self.hand_over(Path(folder))

    def hand_over(self, path: Path) -> Path:
        """Give a file or folder of ours to the service's account (the owner of the data folder), as an administrator would."""
        if os.geteuid() == 0 and self.data_dir is not None:
            owner = self.data_dir.stat()
            os.chown(path, owner.st_uid, owner.st_gid)
        return path

    @property
    def today(self) -> str:
        """The hospital's day, ISO."""
        return datetime.now(HOSPITAL_ZONE).date().isoformat()

    def transport_without_key(self, visitor: Visitor, path: str, body: Any) -> Answer:
        """A POST as a careless client sends it: without an Idempotency-Key."""
        cookie = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
        headers = {"Content-Type": "application/json", "Cookie": cookie, "X-CSRF-Token": visitor.csrf}
        return self.send("POST", path, headers, json.dumps(body).encode())

    # A patient

    @property
    def number(self) -> int:
        """The run's mark as a number: 24 bits."""
        return int(self.mark[4:], 16)

    @cached_property
    def markers(self) -> dict[str, str]:
        """Values of a patient's sensitive fields that occur nowhere else: invented, and found again by a scan."""
        digits = f"{self.number % 10**6:06d}"
        return {
            "id_no": invented(self.number),
            "phone": "139" + digits + "27",
            "insurance_no": "HGCS" + digits + "8841",
            "allergies": f"{self.mark}过敏",
            "home_detail": f"{self.mark}家庭地址",
            "household_detail": f"{self.mark}户口地址",
            "work_detail": f"{self.mark}单位地址",
            "work_phone": "0513" + digits + "77",
            "contact_phone": "137" + digits + "35",
        }

    def register(self, by: Visitor | None = None, **values: Any) -> Answer:
        """Ask for a new patient's file."""
        body = {"name": f"合规测试{self.mark}", "sex": "1", "confirmed": True, **values}
        return (by or self.whoever("patients.edit")).post("/api/patients", body)

    @cached_property
    def patient(self) -> int:
        """A patient whose every sensitive field is a marker."""
        number = self.markers["id_no"]
        born = f"{number[6:10]}-{number[10:12]}-{number[12:14]}"
        sex = "1" if int(number[16]) % 2 else "2"
        found = self.register(**self.markers, id_type="01", birth_date=born, sex=sex)
        return int(found.good("建立测试病人")["id"])

    def another_patient(self, **values: Any) -> int:
        """One more patient, without numbers unless they are given."""
        return int(self.register(**values).good("建立测试病人")["id"])

    def tidy(self) -> list[str]:
        """Disable every account that was made and stop what was put into the catalogues; what couldn't be ended is told."""
        left = []
        for ending in self.endings:
            done = False
            with contextlib.suppress(OSError, NotRun):
                done = ending()
            left += [] if done else [f"{self.mark}（目录）"]
        for account in self.made:
            answer = None
            with contextlib.suppress(OSError, NotRun):
                answer = self.admin("sysadmin").put(
                    f"/api/security/users/{account.id}",
                    {
                        "name": "合规测试",
                        "department_id": None,
                        "valid_until": (date.today() + timedelta(days=1)).isoformat(),
                        "active": False,
                    },
                )
            if answer is None or answer.status != 200:
                left.append(account.login)
        return left


def _codes(given: Any) -> set[str]:
    return set(given.split() if isinstance(given, str) else given)
