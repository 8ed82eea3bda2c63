"""The software bill of materials: CycloneDX JSON with the items of GB/T 47020-2026 (SM3 digests, own share, life-cycle risk).

Implements: XC-13, XC-14.
"""

from __future__ import annotations

import email
import hashlib
import json
import re
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import runtime
from runtime import EPOCH, HERE, MACHINES

WEB = HERE.parent / "his_server" / "web"
BUNDLED_BY = {"dmPython": "Dameng client libraries (DPI, OpenSSL)", "psycopg-binary": "libpq, OpenSSL, krb5, libldap",
              "pillow": "libjpeg-turbo, libpng, FreeType, HarfBuzz and others", "cryptography": "OpenSSL (static)"}
END_OF_LIFE = {"cpython": "2029-10", "openssl": "2030-04"}
"""Where upstream says when its support ends; others have no stated date."""
FORBIDDEN = re.compile(r"(?i)\bA?GPL|\bSSPL|unknown")


def sm3(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        digest = hashlib.new("sm3")
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def tree_digest(paths: list[Path], root: Path) -> str:
    """SM3 over names and digests of many files: the digest of a component that is a folder."""
    total = hashlib.new("sm3")
    for path in sorted(paths):
        total.update(f"{path.relative_to(root)}\0{sm3(path)}\n".encode())
    return total.hexdigest()


def browser_components() -> Iterator[tuple[str, str, str]]:
    """Name, version, licence of what goes into the browser: the packages of the lock file that aren't for building."""
    packages = json.loads((WEB / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    declared = set(packages[""].get("dependencies", {}))
    building = re.compile(r"^(vite$|@vitejs|rollup|esbuild|@rollup|@esbuild|terser|unplugin|lightningcss|@babel|browserslist|caniuse)")
    wanted, seen = list(declared), set()
    while wanted:
        name = wanted.pop()
        entry = packages.get(f"node_modules/{name}")
        if name in seen or entry is None or building.match(name):
            continue
        seen.add(name)
        wanted += list(entry.get("dependencies", {}))
    for name in sorted(seen):
        entry = packages[f"node_modules/{name}"]
        yield name, entry["version"], str(entry.get("license", "unknown"))


def component(kind: str, name: str, version: str, licence: str, digest: str, purl: str, own: bool = False, **more: str) -> dict[str, Any]:
    """One component with GB/T 47020's items as properties."""
    properties = {"自研比例": "100%" if own else "0%", "生命周期中断风险": more.pop("risk", "无公告的停止维护日期"), **more}
    return {"type": kind, "bom-ref": purl, "name": name, "version": version, "purl": purl,
            "licenses": [{"expression": licence}] if re.fullmatch(r"[A-Za-z0-9.\-+ ()]+", licence) else [{"license": {"name": licence}}],
            "hashes": [{"alg": "SM3", "content": digest}],
            "properties": [{"name": f"gbt47020:{key}", "value": value} for key, value in properties.items() if value]}


def licence_of(metadata: Any) -> str:
    """The licence that a distribution's metadata states, shortest sure form."""
    if text := metadata.get("License-Expression"):
        return str(text)
    named = [value.rsplit(" :: ", 1)[-1] for value in metadata.get_all("Classifier", []) if value.startswith("License ::")]
    if named:
        return " AND ".join(named)
    return (metadata.get("License") or "unknown").splitlines()[0][:60]


def python_components(site: Path, own_name: str) -> Iterator[dict[str, Any]]:
    """Every distribution of the bundled Python."""
    for info in sorted(site.glob("*.dist-info"), key=lambda path: path.name.lower()):
        metadata = email.message_from_string((info / "METADATA").read_text(encoding="utf-8"))
        name, version = metadata["Name"], metadata["Version"]
        if name == own_name:
            continue
        tops = {line.strip() for line in (info / "top_level.txt").read_text().splitlines()} if (info / "top_level.txt").exists() else set()
        normal = re.sub(r"[-.]+", "_", name)
        paths = [path for top in {*tops, normal, normal.lower(), f"{normal}.libs", f"{normal.lower()}.libs", "dmssl" if name == "dmPython" else normal}
                 for path in ([site / f"{top}.py"] if (site / f"{top}.py").is_file() else (site / top).rglob("*"))
                 if path.is_file() and not path.is_symlink() and "__pycache__" not in path.parts]
        paths += [path for path in site.glob(f"{normal}.cpython-*") if path.is_file()] + [info / "METADATA"]
        yield component("library", name, version, licence_of(metadata), tree_digest(paths, site),
                        f"pkg:pypi/{name.lower()}@{version}", 内含=BUNDLED_BY.get(name, ""))


def document(root: Path, site: Path, arch: str, version: str) -> str:
    """The bill of one package as JSON text. :raises SystemExit: a licence that may not be shipped."""
    own_purl = f"pkg:generic/his-server@{version}?arch={arch}"
    app = [path for path in (root / "app").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    parts = [component("framework", source.name, source.version, source.licence,
                       sm3(runtime.CACHE / "sources" / source.file),
                       f"pkg:generic/{source.name}@{source.version}", 来源=f"Debian source package {source.package} {source.package_version}",
                       risk=f"上游维护至 {END_OF_LIFE[source.name]}" if source.name in END_OF_LIFE else "无公告的停止维护日期")
             for source in runtime.catalogue()[1]]
    parts += list(python_components(site, "his-server"))
    parts += [component("library", name, found, licence, hashlib.new("sm3", f"{name}@{found}".encode()).hexdigest(),
                        f"pkg:npm/{name.replace('@', '%40')}@{found}", 形态="编入前端文件，摘要为名称与版本的摘要")
              for name, found, licence in browser_components()]
    if bad := [f"{part['name']}: {part['licenses']}" for part in parts if FORBIDDEN.search(json.dumps(part["licenses"]).replace("LGPL", ""))]:
        raise SystemExit("licences that may not be shipped:\n" + "\n".join(bad))
    own = component("application", "his-server", version, "Apache-2.0", tree_digest(app, root), own_purl, own=True)
    serial = uuid.uuid5(uuid.NAMESPACE_URL, own_purl + "".join(part["hashes"][0]["content"] for part in [own, *parts]))
    return json.dumps({
        "bomFormat": "CycloneDX", "specVersion": "1.6", "serialNumber": f"urn:uuid:{serial}", "version": 1,
        "metadata": {"timestamp": datetime.fromtimestamp(int(EPOCH), UTC).isoformat(), "authors": [{"name": "HIS maintainers"}],
                     "component": own, "properties": [{"name": "gbt47020:架构", "value": MACHINES[arch]}]},
        "components": parts,
        "dependencies": [{"ref": own_purl, "dependsOn": [part["bom-ref"] for part in parts]}],
    }, ensure_ascii=False, indent=1)
