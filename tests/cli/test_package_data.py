"""What the program reads beside its code is in the installation: a file that no pattern names is missed only in a hospital."""

from __future__ import annotations

import configparser
import glob
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOUSES = ("his_server", "dialects", "crypto", "modules", "interfaces", "demo")
PAGES = (".vue", ".ts")
"""Sources of pages are built into his_server/web/dist, which build.py adds and checks."""


@pytest.mark.requirement("A2")
def test_every_file_beside_the_code_is_packed() -> None:
    """As setuptools finds them: patterns of [options.package_data], relative to each package."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    patterns = {key: [one.strip() for one in text.split(",")] for key, text in settings["options.package_data"].items()}
    command = ["git", "ls-files", "-z", *HOUSES]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    packages = {Path(name).parent for name in listed if name.endswith("/__init__.py")}
    packed = {found for package in packages for pattern in (*patterns["*"], *patterns.get(".".join(package.parts), ()))
              for found in glob.glob(f"{package}/{pattern}", root_dir=ROOT, recursive=True)}
    data = {name for name in listed if name and not name.endswith((".py", *PAGES)) and not name.startswith("his_server/web/")
            and not Path(name).name.startswith(".")}
    assert len(data) > 50 and "interfaces/nhsa/data/fields.txt" in data
    assert data - packed == set()
