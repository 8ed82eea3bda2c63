"""The third-party wheels of the packages: one lock file per architecture, with digests; nothing is compiled.

``python packaging/wheels.py lock CONSTRAINTS`` writes the lock files anew (``pip freeze`` of the tested environment is
the constraint), which is the only step that looks for versions.

Implements: X1.
"""

from __future__ import annotations

import argparse
import configparser
import hashlib
import re
import subprocess
import sys
from pathlib import Path

from runtime import CACHE, HERE, MACHINES, PYTHON, tools

PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_24", "manylinux_2_17", "manylinux2014")


def lock_file(arch: str) -> Path:
    """Where the pinned versions and digests of one architecture are."""
    return HERE / f"requirements-{arch}.lock"


def target_options(arch: str) -> list[str]:
    """pip's options for wheels that run on glibc 2.28 of the architecture."""
    tag = PYTHON.replace(".", "")
    options = ["--only-binary=:all:", "--python-version", PYTHON, "--implementation", "cp"]
    for abi in (f"cp{tag}", "abi3", "none"):
        options += ["--abi", abi]
    for platform in PLATFORMS:
        options += ["--platform", f"{platform}_{MACHINES[arch]}"]
    return options


def download(arch: str) -> Path:
    """The locked wheels in the cache. :raises SystemExit: one is missing or has another digest."""
    folder = CACHE / "wheels" / arch
    folder.mkdir(parents=True, exist_ok=True)
    wanted = dict(re.findall(r"(?m)^# (\S+\.whl)\n.*sha256:([0-9a-f]{64})", lock_file(arch).read_text(encoding="utf-8")))
    if not all((folder / name).exists() for name in wanted):
        subprocess.run([str(tools() / "bin" / "pip"), "download", "-q", "-d", str(folder), "--no-deps", "--require-hashes",
                        *target_options(arch), "-r", str(lock_file(arch))], check=True, stderr=subprocess.DEVNULL)
    for name, digest in wanted.items():
        found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        if found != digest:
            raise SystemExit(f"{name}: digest {found}, locked {digest}")
    for path in folder.glob("*.whl"):
        if path.name not in wanted:
            path.unlink()
    return folder


def install(arch: str, target: Path) -> None:
    """Unpack the locked wheels into ``target`` (a site-packages folder)."""
    folder = download(arch)
    subprocess.run([str(tools() / "bin" / "pip"), "install", "-q", "--no-index", "--no-deps", "--no-compile", "--target",
                    str(target), *target_options(arch), *(str(path) for path in sorted(folder.glob("*.whl")))],
                   check=True, stderr=subprocess.DEVNULL)


def requirements() -> list[str]:
    """What the product needs, Dameng's driver included, as setup.cfg says."""
    config = configparser.ConfigParser()
    config.read(HERE.parent / "setup.cfg", encoding="utf-8")
    lines = config["options"]["install_requires"] + config["options.extras_require"]["dameng"]
    return [line.strip() for line in lines.splitlines() if line.strip()]


def lock(constraints: Path) -> None:
    """Choose versions and write the lock files of both architectures."""
    for arch in MACHINES:
        folder = CACHE / "wheels" / arch
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            path.unlink()
        subprocess.run([str(tools() / "bin" / "pip"), "download", "-q", "-d", str(folder), *target_options(arch), "-c",
                        str(constraints), *requirements()], check=True)
        lines = ["# Written by packaging/wheels.py; do not edit."]
        for path in sorted(folder.glob("*.whl"), key=lambda path: path.name.lower()):
            name, version = path.name.split("-")[:2]
            lines += [f"# {path.name}",
                      f"{name}=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"]
        lock_file(arch).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["lock"])
    parser.add_argument("constraints", type=Path)
    lock(parser.parse_args().constraints)
    sys.exit(0)
