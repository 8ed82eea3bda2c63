"""The next releases that the verification updates to, out of what the last build staged: one that differs in its version and in the
settings that it comes with, and one that starts and never gets ready (the failed health check of ``his-server update``). Both are
signed like any release.

Implements: A2.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from clean_root import DIST, HERE, MACHINE

sys.path.insert(0, str(HERE.parent))

import build
import runtime
import signing

READY = 'return Response("ready\\n", mimetype="text/plain")'
NEVER_READY = 'return Response("broken on purpose\\n", status=503, mimetype="text/plain")'


def file_of(kind: str, arch: str, version: str) -> Path:
    """Where the package of a release is."""
    return DIST / (f"his-server_{version}-1_{arch}.deb" if kind == "deb" else f"his-server-{version}-1.{MACHINE[arch]}.rpm")


def version_of(package: Path) -> str:
    """The release that a package file holds."""
    return package.name.replace("his-server_", "").replace("his-server-", "").split("-")[0]


def following(version: str, steps: int) -> str:
    """The release so many patches later."""
    start, _, patch = version.rpartition(".")
    return f"{start}.{int(patch) + steps}"


def make(kind: str, arch: str, version: str, *, ready: bool = True) -> Path:
    """Build one, unless it is there. :raises SystemExit: nothing is staged, or the readiness check isn't where it was."""
    target = file_of(kind, arch, version)
    if target.exists():
        return target
    staged, base = runtime.CACHE / f"stage-{arch}", runtime.CACHE / f"stage-{arch}-next"
    if not (staged / "units").is_dir():
        raise SystemExit(f"{staged}: build the packages first (make packages)")
    shutil.rmtree(base, ignore_errors=True)
    shutil.copytree(staged, base, symlinks=True)
    root = base / "opt" / "his-server"
    package = root / "app" / "his_server"
    change(package / "__init__.py", r'__version__ = "[^"]+"', f'__version__ = "{version}"')
    if not ready:
        change(package / "app.py", re.escape(READY), NEVER_READY.replace("\\", "\\\\"))
    build.settle(base)
    for path in (package / "__init__.py", package / "app.py"):
        for old in package.glob(f"__pycache__/{path.stem}.*.pyc"):
            old.unlink()
        subprocess.run([str(runtime.native_python()), "-I", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "-s",
                        str(base), "-p", "/", str(path)], env=runtime.clean_environment(), check=True)
    build.modes(package)
    (root / "manifest.json").unlink()
    signing.sign(root, version)
    build.settle(base)
    etc = base / "etc-next"
    shutil.copytree(HERE.parent / "etc", etc)
    for name in ("his-server.toml", "worker.env"):  # of these the hospital has its own, or the package's as it was
        (etc / name).write_text((etc / name).read_text(encoding="utf-8") + f"# {version}\n", encoding="utf-8")
    build.settle(base)
    made = build.package(base, arch, kind, version, "1", "fast", etc)
    shutil.rmtree(base)
    return made


def change(path: Path, pattern: str, text: str) -> None:
    """Replace once. :raises SystemExit: the pattern isn't there."""
    changed, count = re.subn(pattern, text, path.read_text(encoding="utf-8"), count=1)
    if not count:
        raise SystemExit(f"{path}: {pattern} isn't there")
    path.write_text(changed, encoding="utf-8")
