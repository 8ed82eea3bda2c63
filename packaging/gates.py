"""What every native file of a package must be: of its architecture, runnable on glibc 2.28, position independent, and on
aarch64 aligned for 64 KiB pages (Kunpeng and Phytium kernels).

Implements: XC-03.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

GLIBC, GLIBCXX = (2, 28), (3, 4, 24)
ELF_MACHINE = {"amd64": 62, "arm64": 183}


def natives(root: Path) -> list[Path]:
    """Every ELF file below ``root``."""
    found = []
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                if file.read(4) == b"\x7fELF":
                    found.append(path)
    return found


def findings(path: Path, arch: str) -> list[str]:
    """What is wrong with one ELF file; empty when nothing is."""
    head = path.read_bytes()[:20]
    machine, kind = int.from_bytes(head[18:20], "little"), int.from_bytes(head[16:18], "little")
    wrong = []
    if machine != ELF_MACHINE[arch]:
        wrong.append(f"machine {machine}, not {arch}")
    if kind != 3:
        wrong.append("not position independent")
    said = subprocess.run(["readelf", "-W", "-V", "-l", str(path)], capture_output=True, text=True, check=False).stdout
    for name, floor in (("GLIBC", GLIBC), ("GLIBCXX", GLIBCXX)):
        versions = [tuple(int(n) for n in text.split(".")) for text in re.findall(rf"\b{name}_(\d+(?:\.\d+)+)", said)]
        if versions and max(versions) > floor:
            wrong.append(f"needs {name}_{'.'.join(map(str, max(versions)))}")
    if arch == "arm64":
        steps = [int(line.split()[-1], 16) for line in said.splitlines() if line.strip().startswith("LOAD")]
        if steps and min(steps) < 0x10000:
            wrong.append(f"aligned to {min(steps):#x} only")
    return wrong


def check(root: Path, arch: str) -> int:
    """Check all; returns how many files. :raises SystemExit: one isn't fit, or there is none at all."""
    files = natives(root)
    bad = [f"{path.relative_to(root)}: {', '.join(wrong)}" for path in files if (wrong := findings(path, arch))]
    bad += [f"{path.relative_to(root)}: a library for another system" for path in root.rglob("*")
            if path.suffix.lower() in (".dll", ".pyd", ".dylib", ".exe")]
    if bad or not files:
        raise SystemExit("native files that can't be shipped:\n" + "\n".join(bad or ["there is none at all"]))
    return len(files)
