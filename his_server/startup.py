"""What must hold before a process serves: known answers of the cryptography, and the program's own files.

A failure stops the service with a Chinese message (issue 3; COMPLIANCE MP-01, MP-17, MP-19).
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from crypto import CryptoError, Sealer, pem, x509
from crypto.manifest import Difference, verify_manifest, write_manifest
from crypto.selftest import run_selftest
from his_server.keys import SIGNING, open_sealer
from his_server.settings import Settings, SettingsError

log = logging.getLogger("his.crypto")
PROGRAM = Path(__file__).resolve().parents[1]
IGNORED = ("*.pyc", "*__pycache__*", "manifest.json", ".git*", "*/.git*", ".venv/*", "var/*", "*/node_modules/*",
           ".*_cache/*", "tests/*")
"""Not program: what Python writes beside it, the manifest itself, a developer's folders."""


class StartRefused(Exception):
    """The service must not start; the text is Chinese and says what to do."""


@dataclass
class Health:
    """What the start found, kept for the health page. ``selftest`` is the report of the known answers."""

    selftest: dict[str, Any]
    manifest: dict[str, Any] = field(default_factory=lambda: {"state": "none", "differences": []})


_health: Health | None = None


def health() -> Health | None:
    """What this process's start found; None where it was never run (tests that hand in their own database)."""
    return _health


def open_checked(settings: Settings) -> Sealer:
    """The sealer of the settings whose provider has just passed its known answers.

    :raises StartRefused: the library, the device, the key ring or an answer is wrong.
    """
    global _health
    try:
        sealer = open_sealer(settings)
        device = settings.crypto_key_index if settings.crypto_provider == "sdf" else None
        report = run_selftest(sealer.provider, device_index=device)
    except SettingsError as error:
        raise StartRefused(f"设置有误：{error}") from error
    except CryptoError as error:
        log.critical("cryptography can't be used: %s", error)
        raise StartRefused(f"密码模块自检未通过或密钥不可用，服务不能启动：{error}。请检查密码库、密码机连接和密钥文件，"
                           "可用 his-server keys selftest 复查") from error
    log.info("cryptographic provider %s, version %s, library %s: %d known answers in %s s", report["provider"],
             report["version"], report["library"], len(report["checks"]), report["seconds"])
    _health = Health(report)
    return sealer


def manifest_of(settings: Settings) -> Path | None:
    """The manifest to check: the one of the settings, else the one that came with the program.

    A package's lies above ``app/`` and covers the bundled Python and its libraries too.
    """
    beside = PROGRAM / "manifest.json"
    packaged = PROGRAM.parent / "manifest.json"
    if settings.manifest is None and PROGRAM.name == "app" and packaged.exists():
        return packaged
    return settings.manifest or (beside if beside.exists() else None)


def root_of(path: Path) -> Path:
    """The folder whose files a manifest lists: the whole package's for the one that came with it, else the program's."""
    return path.parent if PROGRAM.name == "app" and path == PROGRAM.parent / "manifest.json" else PROGRAM


def check_program(settings: Settings, sealer: Sealer) -> list[Difference]:
    """Compare the program with its signed manifest, if there is one; returns the differences (policy ``warn``).

    :raises StartRefused: under the policy ``refuse``, a file or the manifest itself was altered.
    """
    if settings.manifest_policy not in ("refuse", "warn"):
        raise StartRefused("设置有误：manifest_policy 只能是 refuse 或 warn")
    path = manifest_of(settings)
    if path is None:
        return []
    state = _health.manifest if _health is not None else {}
    try:
        found = compare(settings, sealer, path)
        state.update(state="altered" if found else "intact", differences=[f"{d.kind} {d.path}" for d in found[:50]])
        problem = f"程序文件有 {len(found)} 处与签名清单不符：" + "、".join(d.path for d in found[:5]) if found else ""
    except CryptoError as error:
        found = []
        state.update(state="refused", differences=[])
        problem = f"程序清单 {path} 缺失、被改动或签名不符（{error}）"
    if problem:
        log.critical("program files don't match %s: %s", path, [f"{d.kind} {d.path}" for d in found[:50]] or "refused")
        if settings.manifest_policy == "refuse":
            raise StartRefused(f"{problem}。服务不能启动：请从安装包重新安装；确为本院所改的，用 "
                               "his-server keys manifest create 重新签名")
    else:
        log.info("program files match %s", path)
    return found


def compare(settings: Settings, sealer: Sealer, path: Path) -> list[Difference]:
    """Every difference between the program and the manifest. :raises CryptoError: the manifest doesn't hold."""
    return verify_manifest(sealer.provider, publisher(settings, sealer, path), root_of(path), path)


def publisher(settings: Settings, sealer: Sealer, path: Path) -> bytes:
    """The public key that must have signed the manifest.

    A package brings its publisher's key; a site that pins it copies that key to a place of its own and names it by the
    setting ``manifest_key`` (docs/operations/install.md).

    :raises CryptoError: the publisher's file holds no SM2 key, or our ring has no such key.
    """
    shipped = path.with_name("publisher.pem") if root_of(path) != PROGRAM else None
    if (key := settings.manifest_key or shipped) is not None:
        try:
            text = key.read_bytes()
        except OSError as error:
            raise CryptoError(f"{key} can't be read") from error
        if b"BEGIN CERTIFICATE" in text:
            return x509.parse(pem.decode("CERTIFICATE", text)).public
        return pem.public_from_pem(text)
    try:
        kid = str(json.loads(path.read_bytes())["key_id"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise CryptoError("program manifest refused") from None
    return sealer.ring.get(kid, SIGNING).public


def sign_program(settings: Settings, sealer: Sealer, target: Path, version: str, now: datetime) -> int:
    """Write a manifest of the installed program, signed with the ring's key; returns the number of files."""
    key = sealer.ring.active(SIGNING)
    document = write_manifest(sealer.provider, key.material, key.kid, PROGRAM, target, version, now, IGNORED)
    return len(document["files"])
