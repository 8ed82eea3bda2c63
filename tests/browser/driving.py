"""A real server and a real browser: what the browser tests drive.

The world of :mod:`tests.factories.hospital` lies in one SQLite file; this process arranges things through the API
(``house.world``), a gunicorn process of its own serves the pages over the same file.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect

from his_server.app import create_app
from his_server.db import Database, numbering
from his_server.keys import open_sealer
from his_server.registry import Hospital
from his_server.security import accounts, anchor, grants, integrity
from his_server.security.models import User
from his_server.settings import Settings
from modules.kernel.charging.service.settling import RECEIPT_SERIES
from tests.factories.hospital import World, make_world
from tests.factories.security import PASSWORD, make_user

CHROMIUM = os.environ.get("HIS_CHROMIUM", "/usr/bin/chromium")
# Printing crashes headless Chromium where its preview is on.
FLAGS = ["--disable-print-preview", "--disable-dev-shm-usage", "--no-sandbox"]
ROUNDS = 10_000
WAIT_MS = 15_000
expect.set_options(timeout=WAIT_MS)


@dataclass
class House:
    """The running hospital: its address, its world, and people with passwords."""

    base: str
    world: World
    settings: Settings
    hired: int = field(default=10)

    def hire(self, *roles: str, **options: Any) -> str:
        """A new account with these roles and :data:`PASSWORD`; its login. Cashiers get receipt numbers."""
        with self.world.db.begin() as session:
            user = make_user(session, *roles, **options)
            self._set_password(session, user)
            if "cashier" in roles or "registrar" in roles:
                self.hired += 1
                numbering.grant_range(session, RECEIPT_SERIES, user.id, 1 + self.hired * 1_000_000,
                                      (self.hired + 1) * 1_000_000)
            return user.login

    def login_of(self, who: str) -> str:
        """The login of somebody of the world (``cashier``, ``doctor``, ``finance`` …), with a password set."""
        with self.world.db.begin() as session:
            user = session.get(User, self.world.ids[f"user_{who}"])
            assert user is not None
            if user.password == "none":
                self._set_password(session, user)
            return user.login

    def cookie_of(self, who: str) -> dict[str, str]:
        """A session cookie of somebody of the world whose post needs a second factor (finance, administrators)."""
        security = self.world.app.extensions["his_security"]
        found = self.world.clients[who].get_cookie(security.cookie)
        assert found is not None
        return {"name": security.cookie, "value": found.value, "url": self.base}

    def _set_password(self, session: Any, user: User) -> None:
        accounts.set_password(session, user, PASSWORD, ROUNDS, must_change=False)
        change = integrity.begin_change(session, grants.SCOPE)
        grants.protect_users(session, change, [user])
        change.close()


@contextmanager
def open_house(folder: Path, hospital: Hospital, template: Path) -> Iterator[House]:
    """A hospital in ``folder`` with a server on a free loopback port."""
    database_file = folder / "his.db"
    database_file.write_bytes(template.read_bytes())
    url = f"sqlite:///{database_file}"
    settings = Settings(data_dir=folder, database_url=url, secure_cookies=False, password_rounds=ROUNDS,
                        simulate_payments=True, log_level="ERROR")
    database = Database(url, sealer=open_sealer(settings))
    anchor.place(database, folder)
    world = make_world(create_app(settings, database=database, hospital=hospital), database)
    environment = {**os.environ, "HIS_DATA_DIR": str(folder), "HIS_DATABASE_URL": url, "HIS_SECURE_COOKIES": "false",
                   "HIS_SIMULATE_PAYMENTS": "true", "HIS_PASSWORD_ROUNDS": str(ROUNDS), "HIS_LOG_LEVEL": "ERROR"}
    try:
        with serving(folder, environment) as base:
            yield House(base, world, settings)
    finally:
        database.dispose()


@contextmanager
def serving(folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """A server of its own process on a free loopback port; its address. It logs to ``folder/server.log``."""
    port = _free_port()
    base = f"http://127.0.0.1:{port}"
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "his_server", "run", "--bind", f"127.0.0.1:{port}", "--workers", "1"],
            env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            _wait_for(f"{base}/readyz", server, folder / "server.log")
            yield base
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path, seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            try:
                server.wait(0.1)  # a moment, or the end of a server that can't start
            except subprocess.TimeoutExpired:
                continue
            break
    raise AssertionError(f"the server did not start: {log.read_text(errors='replace')}")


@dataclass
class Desk:
    """A signed-in workstation. ``problems`` collects console errors (CSP violations are among them)."""

    page: Page
    base: str
    problems: list[str] = field(default_factory=list)
    allowed: tuple[str, ...] = ()

    def keys(self, *names: str) -> None:
        """Press keys, one after the other."""
        for name in names:
            self.page.keyboard.press(name)

    def type(self, text: str, *then: str) -> None:
        """Type, as a person or a scanner does, then press keys."""
        self.page.keyboard.type(text)
        self.keys(*then)

    def menu(self, title: str) -> None:
        """Open a page from the menu by keyboard, as soon as no dialog has the keys, and wait until it is there."""
        self.until("() => !document.querySelector('[role=dialog]')")
        self.keys("Alt+m")
        self.focused("找功能")
        self.type(title, "Enter")
        self.on_screen(".page-head h1", title)

    def on_screen(self, selector: str, text: str = "") -> None:
        """Wait until an element that has the text is visible."""
        expect(self.page.locator(selector).filter(has_text=text, visible=True).first).to_be_visible()

    def until(self, condition: str, argument: Any = None) -> None:
        """Wait until a JavaScript function of one argument gives true.

        Playwright's own ``wait_for_function`` evaluates text inside the page, which its CSP forbids.
        """
        waiting = f"""async ([argument, wait]) => {{
          const met = {condition}
          const end = performance.now() + wait
          for (; performance.now() < end; await new Promise((go) => setTimeout(go, 40))) if (met(argument)) return true
          return false
        }}"""
        assert self.page.evaluate(waiting, [argument, WAIT_MS]), condition

    def see(self, text: str, within: str = "body") -> None:
        """Wait until a text is on the screen."""
        self.on_screen(within, text)

    def focused(self, label: str) -> None:
        """Wait until the field or region with this label has the focus."""
        self.on_screen(f'[aria-label^="{label}"]:focus')

    def allow(self, *texts: str) -> None:
        """Console errors that this test provokes itself (the browser reports failed requests)."""
        self.allowed += texts

    def unexpected(self) -> list[str]:
        """Console errors that nobody provoked."""
        return [p for p in self.problems if not any(text in p for text in self.allowed)]


def sit_down(context: BrowserContext, base: str, login: str | dict[str, str], kind: type[Desk] = Desk,
             password: str = PASSWORD) -> Desk:
    """Sign in by keyboard in a fresh browser context; with a session cookie, the person is signed in already."""
    page = context.new_page()
    desk = kind(page, base)

    def noted(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            desk.problems.append(message.text)

    page.on("console", noted)
    page.on("pageerror", lambda error: desk.problems.append(str(error)))
    desk.allow("401 (UNAUTHORIZED)")  # the shell asks whether somebody is signed in
    if isinstance(login, dict):
        context.add_cookies([login])  # type: ignore[list-item]
    page.goto(base)
    if isinstance(login, str):
        desk.on_screen("input[name=login]:focus")
        desk.type(login, "Tab")
        desk.type(password, "Enter")
    desk.on_screen(".nav")
    return desk


def new_context(browser: Browser, width: int = 1366, height: int = 768) -> BrowserContext:
    """A workstation's browser: the usual small screen, Chinese, hospital time."""
    context = browser.new_context(viewport={"width": width, "height": height}, locale="zh-CN",
                                  timezone_id="Asia/Shanghai")
    context.set_default_timeout(WAIT_MS)
    return context
