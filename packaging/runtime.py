"""The bundled Python: CPython and its C libraries, built for one architecture with a floor of GLIBC_2.28.

Kylin V10 and UOS V20 have glibc 2.28 and Python 3.7, so the packages bring their own. zig's clang is the compiler: it links
against any older glibc, for both architectures, on one machine. Every step is kept in the cache under its architecture
and done once; ``python packaging/runtime.py amd64`` makes everything from nothing (about ten minutes).

Implements: X1.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("PACKAGING_CACHE", "/tmp/pack-cache"))
EPOCH = "1767225600"
"""1 January 2026: the time that goes into whatever a build writes a time into."""
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
PYTHON = "3.13"
PREFIX = "/opt/his-server/python"
ZIG = "ziglang==0.15.2"
JOBS = os.environ.get("PACKAGING_JOBS", "2")


@dataclass(frozen=True)
class Source:
    """One entry of sources.toml."""

    name: str
    version: str
    package: str
    package_version: str
    file: str
    sha256: str
    licence: str
    notices: list[str]


def catalogue() -> tuple[list[str], list[Source]]:
    """Debian suites to look in, and the sources in the order of building."""
    document = tomllib.loads((HERE / "sources.toml").read_text(encoding="utf-8"))
    return document["suites"], [Source(**entry) for entry in document["source"]]


def run(command: list[str], folder: Path, log: Path, **environ: str) -> None:
    """Run a step, its output in ``log``. :raises SystemExit: it failed; the end of the log is shown."""
    with log.open("ab") as out:
        out.write(f"\n$ {' '.join(command)}\n".encode())
        out.flush()
        done = subprocess.run(command, cwd=folder, env={**clean_environment(), **environ}, stdout=out, stderr=out, check=False)
    if done.returncode:
        sys.stderr.write(log.read_text(encoding="utf-8", errors="replace")[-3000:])
        raise SystemExit(f"failed ({done.returncode}): {' '.join(command)}; whole log: {log}")


def clean_environment() -> dict[str, str]:
    """What a build may see of the developer's environment: nothing that could change its bytes."""
    kept = {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "TMPDIR", "APT_CONFIG")}
    return {**kept, "LC_ALL": "C.UTF-8", "TZ": "UTC", "SOURCE_DATE_EPOCH": EPOCH,
            "ZIG_GLOBAL_CACHE_DIR": str(CACHE / "zig-cache"), "ZIG_LOCAL_CACHE_DIR": str(CACHE / "zig-cache")}


# ---- sources ---------------------------------------------------------------------------------------------------

def fetch() -> dict[str, Path]:
    """Every source file, fetched through apt where the cache hasn't it. :raises SystemExit: one can't be had or differs."""
    suites, sources = catalogue()
    folder = CACHE / "sources"
    folder.mkdir(parents=True, exist_ok=True)
    missing = [source for source in sources if not (folder / source.file).exists()]
    if missing:
        config = apt_configuration(suites)
        log = CACHE / "apt.log"
        run(["apt-get", "update"], folder, log, APT_CONFIG=str(config))
        for source in missing:
            # A mirror may lack the packaging part of a version; only the upstream file is needed, checked below.
            subprocess.run(["apt-get", "source", "--only-source", "--download-only",
                            f"{source.package}={source.package_version}"],
                           cwd=folder, env={**clean_environment(), "APT_CONFIG": str(config)}, check=False,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for source in sources:
        path = folder / source.file
        if not path.exists():
            raise SystemExit(f"{source.file}: the mirror doesn't have {source.package} {source.package_version}")
        if (found := hashlib.sha256(path.read_bytes()).hexdigest()) != source.sha256:
            raise SystemExit(f"{source.file}: digest {found}, expected {source.sha256}")
    return {source.name: folder / source.file for source in sources}


def apt_configuration(suites: list[str]) -> Path:
    """A private apt set-up for source packages on the mirror that this machine already uses."""
    base = CACHE / "apt"
    for part in ("lists/partial", "cache/archives/partial"):
        (base / part).mkdir(parents=True, exist_ok=True)
    texts = [path.read_text(encoding="utf-8") for path in Path("/etc/apt").glob("sources.list*/*.sources")]
    mirror = next((match[1] for text in texts if (match := re.search(r"(?m)^URIs:\s*(\S+)", text))), None)
    if mirror is None:
        raise SystemExit("no Debian mirror found in /etc/apt/sources.list.d")
    (base / "sources.list").write_text("".join(
        f"deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {mirror} {suite} main\n" for suite in suites))
    config = base / "apt.conf"
    config.write_text(f'Dir::Etc::sourcelist "{base}/sources.list";\nDir::Etc::sourceparts "-";\n'
                      f'Dir::State::lists "{base}/lists";\nDir::Cache "{base}/cache";\nAPT::Sandbox::User "root";\n')
    return config


# ---- the compiler ----------------------------------------------------------------------------------------------

def tools() -> Path:
    """The folder of the build's own Python tools (zig), made on first use."""
    venv = CACHE / "tools"
    if not (venv / "bin" / "python-zig").exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        subprocess.run([str(venv / "bin" / "pip"), "install", "-q", ZIG], check=True)
    return venv


def compilers(machine: str, folder: Path) -> dict[str, str]:
    """Wrappers named cc, ar and so on for one architecture, as one word each: configure scripts want that."""
    zig = next(tools().glob("lib/python3*/site-packages/ziglang/zig"))
    page = " -Wl,-z,max-page-size=65536" if machine == "aarch64" else ""
    flags = f"-target {machine}-linux-gnu.2.28 -fno-sanitize=undefined -ffile-prefix-map={CACHE}=/build{page}"
    bin_ = folder / "bin"
    bin_.mkdir(parents=True, exist_ok=True)
    for name, line in {"cc": f"cc {flags}", "c++": f"c++ {flags}", "ar": "ar", "ranlib": "ranlib"}.items():
        path = bin_ / f"his-{name}"
        path.write_text(f'#!/bin/sh\nexec {zig} {line} "$@"\n')
        path.chmod(0o755)
    return {"CC": str(bin_ / "his-cc"), "CXX": str(bin_ / "his-c++"), "AR": str(bin_ / "his-ar"),
            "RANLIB": str(bin_ / "his-ranlib")}


# ---- the libraries ---------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Build:
    """One architecture's build: where it is, where its libraries are installed, and its compilers."""

    arch: str
    folder: Path
    compilers: dict[str, str]

    @property
    def machine(self) -> str:
        return MACHINES[self.arch]

    @property
    def libraries(self) -> Path:
        return self.folder / "deps"

    @property
    def log(self) -> Path:
        return self.folder / "build.log"

    def unpack(self, source: Path, name: str) -> Path:
        """A fresh tree of one source."""
        target = self.folder / "src" / name
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        with tarfile.open(source) as archive:
            archive.extractall(target, filter="tar")
        inner = [path for path in target.iterdir() if path.is_dir()]
        return inner[0] if len(inner) == 1 else target

    def make(self, folder: Path, *arguments: str, **environ: str) -> None:
        run(["make", f"-j{JOBS}", *arguments], folder, self.log, **environ)


CFLAGS = "-O2 -fPIC -fvisibility=default"


def zlib(build: Build, tree: Path) -> None:
    """Static zlib."""
    run(["./configure", "--static", f"--prefix={build.libraries}"], tree, build.log,
        **build.compilers, CFLAGS=CFLAGS, CHOST=f"{build.machine}-linux-gnu")
    build.make(tree, "libz.a")
    build.make(tree, "install")


def bzip2(build: Build, tree: Path) -> None:
    """Static libbz2: its Makefile knows no cross compiler but takes variables."""
    build.make(tree, "libbz2.a", f"CC={build.compilers['CC']}", f"AR={build.compilers['AR']}",
               f"RANLIB={build.compilers['RANLIB']}", f"CFLAGS={CFLAGS} -D_FILE_OFFSET_BITS=64")
    (build.libraries / "lib").mkdir(parents=True, exist_ok=True)
    (build.libraries / "include").mkdir(parents=True, exist_ok=True)
    shutil.copy(tree / "libbz2.a", build.libraries / "lib")
    shutil.copy(tree / "bzlib.h", build.libraries / "include")


def xz(build: Build, tree: Path) -> None:
    """Static liblzma."""
    run(["./configure", f"--host={build.machine}-linux-gnu", "--build=x86_64-pc-linux-gnu", f"--prefix={build.libraries}",
         "--disable-shared", "--enable-static", "--disable-xz", "--disable-xzdec", "--disable-lzmadec",
         "--disable-lzmainfo", "--disable-scripts", "--disable-doc", "--disable-nls"], tree, build.log,
        **build.compilers, CFLAGS=CFLAGS)
    build.make(tree)
    build.make(tree, "install")


def libffi(build: Build, tree: Path) -> None:
    """Static libffi (ctypes): Debian's file is the tagged tree without a generated configure."""
    if not (tree / "configure").exists():
        run(["autoreconf", "-fi"], tree, build.log)
    run(["./configure", f"--host={build.machine}-linux-gnu", "--build=x86_64-pc-linux-gnu", f"--prefix={build.libraries}",
         "--disable-shared", "--enable-static", "--disable-docs", "--disable-multi-os-directory",
         "--disable-exec-static-tramp"], tree, build.log, **build.compilers, CFLAGS=CFLAGS)
    build.make(tree)
    build.make(tree, "install")


def sqlite(build: Build, tree: Path) -> None:
    """Static SQLite from the amalgamation that its own tools make with the machine's compiler."""
    run(["./configure"], tree, build.log)
    build.make(tree, "sqlite3.c")
    options = ["-DSQLITE_THREADSAFE=1", "-DSQLITE_ENABLE_FTS5", "-DSQLITE_ENABLE_RTREE", "-DSQLITE_ENABLE_MATH_FUNCTIONS",
               "-DSQLITE_ENABLE_COLUMN_METADATA", "-DSQLITE_ENABLE_DBSTAT_VTAB", "-DSQLITE_SECURE_DELETE"]
    run([build.compilers["CC"], *CFLAGS.split(), *options, "-c", "sqlite3.c", "-o", "sqlite3.o"], tree, build.log)
    run([build.compilers["AR"], "rcs", str(build.libraries / "lib" / "libsqlite3.a"), "sqlite3.o"], tree, build.log)
    for header in ("sqlite3.h", "sqlite3ext.h"):
        shutil.copy(tree / header, build.libraries / "include")


def openssl(build: Build, tree: Path) -> None:
    """OpenSSL compiled once, linked twice: static for Python's own modules, shared for :mod:`crypto.libcrypto` (SM2)."""
    target = {"amd64": "linux-x86_64", "arm64": "linux-aarch64"}[build.arch]
    run(["perl", "./Configure", target, f"--prefix={build.libraries}", "--libdir=lib", "--openssldir=/etc/ssl", "no-shared",
         "no-tests", "no-docs", "no-apps", "no-module", "no-legacy", "no-engine", "no-ssl3", "no-weak-ssl-ciphers",
         "no-comp", "-O2", "-fPIC"], tree, build.log, **build.compilers)
    build.make(tree, "build_libs")
    build.make(tree, "install_dev")
    shared = build.folder / "shared"
    shared.mkdir(exist_ok=True)
    run([build.compilers["CC"], "-shared", "-s", "-Wl,-soname,libcrypto.so.3", "-Wl,-z,relro,-z,now", "-o",
         str(shared / "libcrypto.so.3"), "-Wl,--whole-archive", str(build.libraries / "lib" / "libcrypto.a"),
         "-Wl,--no-whole-archive", "-ldl", "-lpthread"], tree, build.log)


def cpython(build: Build, tree: Path) -> None:
    """CPython without a shared library, without pip, test modules and whatever needs a library that isn't bundled."""
    deps = build.libraries
    library = {name: f"-L{deps}/lib {flags}" for name, flags in {
        "ZLIB": "-lz", "BZIP2": "-lbz2", "LIBLZMA": "-llzma", "LIBFFI": "-lffi", "LIBSQLITE3": "-lsqlite3 -lm"}.items()}
    environ = {f"{name}_LIBS": flags for name, flags in library.items()}
    environ |= {f"{name}_CFLAGS": f"-I{deps}/include" for name in library}
    absent = ("_tkinter", "_dbm", "_gdbm", "readline", "_curses", "_curses_panel", "nis", "_uuid", "_crypt", "ossaudiodev")
    host = f"{build.machine}-linux-gnu"
    helper = f"--with-build-python={native_python()}" if build.arch != "amd64" else ""
    build_ = "x86_64-pc-linux-gnu" if build.arch != "amd64" else host
    run(["./configure", f"--host={host}", f"--build={build_}", f"--prefix={PREFIX}", *([helper] if helper else []),
         "--disable-shared", "--without-ensurepip", "--disable-test-modules", "--without-readline", "--enable-ipv6",
         f"--with-openssl={deps}", "ac_cv_file__dev_ptmx=yes", "ac_cv_file__dev_ptc=no", "ac_cv_buggy_getaddrinfo=no",
         *(f"py_cv_module_{name}=n/a" for name in absent)], tree, build.log, **build.compilers, **environ,
        PKG_CONFIG="/bin/false", CFLAGS="-fPIC -g0 -Wno-date-time -Wno-error=date-time", LDFLAGS="-s", READELF="readelf")
    build.make(tree, "LINKFORSHARED=-pie -Xlinker -export-dynamic")
    target = build.folder / "python.new"
    shutil.rmtree(target, ignore_errors=True)
    run(["make", "install", f"DESTDIR={target}", "LINKFORSHARED=-pie -Xlinker -export-dynamic"], tree, build.log)
    final = build.folder / "python"
    shutil.rmtree(final, ignore_errors=True)
    shutil.move(str(target) + PREFIX, final)
    prune(final)


def prune(root: Path) -> None:
    """Take away what a server doesn't need and what holds the build's paths."""
    library = root / "lib" / f"python{PYTHON}"
    for name in ("ensurepip", "idlelib", "tkinter", "turtledemo", "lib2to3", "pydoc_data", "test"):
        shutil.rmtree(library / name, ignore_errors=True)
    for path in [*library.glob("config-*"), root / "include", root / "share", root / "lib" / "pkgconfig",
                 library / "turtle.py", *root.glob("lib/*.a")]:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for path in (root / "bin").iterdir():
        if path.name != f"python{PYTHON}":
            path.unlink()
    for path in sorted(root.rglob("__pycache__"), reverse=True):
        shutil.rmtree(path)
    for path in library.glob("_sysconfigdata_*.py"):  # build flags; only distutils-like tools read them
        path.write_text(re.sub(re.escape(str(CACHE)) + r"[^\s'\"]*", "/build", path.read_text()))


def native_python() -> Path:
    """The interpreter of this machine's own build, which a cross build needs."""
    return CACHE / "runtime-amd64" / "python" / "bin" / f"python{PYTHON}"


STEPS = {"zlib": zlib, "bzip2": bzip2, "xz": xz, "libffi": libffi, "sqlite": sqlite, "openssl": openssl, "cpython": cpython}


def build(arch: str) -> Path:
    """Make the runtime of one architecture; returns the folder with ``python/``, ``shared/`` and ``notices/``."""
    if arch != "amd64" and not native_python().exists():
        build_(arch="amd64")
    return build_(arch)


def build_(arch: str) -> Path:
    """The steps that the cache hasn't, in order."""
    folder = CACHE / f"runtime-{arch}"
    folder.mkdir(parents=True, exist_ok=True)
    work = Build(arch, folder, compilers(MACHINES[arch], folder))
    files = fetch()
    for source in catalogue()[1]:
        stamp = folder / f"{source.name}.done"
        wanted = f"{source.sha256} {ZIG}\n"
        if stamp.exists() and stamp.read_text() == wanted:
            continue
        print(f"{arch}: {source.name} {source.version}", flush=True)
        tree = work.unpack(files[source.name], source.name)
        for notice in source.notices:
            target = folder / "notices" / source.name / notice
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(tree / notice, target)
        STEPS[source.name](work, tree)
        stamp.write_text(wanted)
        shutil.rmtree(folder / "src" / source.name)
    return folder


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("arch", choices=sorted(MACHINES))
    print(build(parser.parse_args().arch))
