"""Typed settings from one TOML file and the environment (DESIGN section 10).

The file is named by ``HIS_CONFIG`` (default ``/etc/his-server/his-server.toml`` when it exists);
``HIS_<NAME>`` in the environment wins over the file. Unknown names are errors. Secrets are never
settings: they live in the key ring, whose master key is a file with mode 0600.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

DEFAULT_FILE = Path("/etc/his-server/his-server.toml")


class SettingsError(ValueError):
    """A setting is unknown, of the wrong type or out of its range."""


@dataclass(frozen=True)
class Settings:
    """All platform settings. Durations are seconds, sizes bytes, unless the name says otherwise."""

    hospital: str = "南通市第六人民医院"
    hospital_code: str = "H32060200006"
    data_dir: Path = Path("var")
    database_url: str = ""
    database_replica_url: str = ""
    database_pool_size: int = 10
    modules: tuple[str, ...] = ()
    interfaces: tuple[str, ...] = ()
    demo: bool = False
    timezone: str = "Asia/Shanghai"
    crypto_provider: str = "openssl"
    crypto_library: str = ""
    crypto_timing_policy: str = "warn"
    """openssl: ``warn`` or ``refuse`` a libcrypto whose SM2 isn't constant time here (docs/crypto.md)."""
    crypto_key_index: int = 1
    """sdf: the device's internal key pair to which symmetric keys are wrapped."""
    crypto_pin_file: Path | None = None
    """sdf: JSON file of mode 0600 with the access codes of internal keys."""
    crypto_slots: tuple[str, ...] = ()
    """sdf: internal key pairs of signing purposes, ``sign-sm2=2`` and ``document-sm2=4``."""
    crypto_encryption_slots: tuple[str, ...] = ()
    """sdf: internal key pairs of purposes that decrypt, ``login-sm2=3``."""
    crypto_sessions: int = 8
    """sdf: device sessions per process."""
    manifest: Path | None = None
    """Signed list of the program's files; without it ``manifest.json`` beside the program, when there is one."""
    manifest_key: Path | None = None
    """The publisher's SM2 public key or certificate (PEM); without it our own signing key must have signed."""
    manifest_policy: str = "refuse"
    """``refuse`` to start with altered program files, or ``warn`` only."""
    key_ring: Path | None = None
    master_key_file: Path | None = None
    backup_recovery_key: Path | None = None
    """SM2 public key (PEM) to which every backup is sealed too; its private half is kept offline (docs/operations/backup.md)."""
    secure_cookies: bool = True
    trusted_proxies: int = 0
    session_idle: int = 1800
    session_lifetime: int = 12 * 3600
    password_days: int = 90
    password_rounds: int = 120_000
    lockout_failures: int = 5
    lockout_seconds: int = 1800
    max_body: int = 4 * 1024 * 1024
    cash_to_jiao: bool = True
    simulate_payments: bool = False
    simulators: str = ""
    """With ``simulate_payments``: the address of ``his-server simulate``; empty, simulators run inside each process."""
    log_level: str = "INFO"
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Module settings: ``[module.<name>]`` tables of the file, checked by the modules themselves."""

    @property
    def url(self) -> str:
        """The database URL; the embedded SQLite file in ``data_dir`` when none is set."""
        return self.database_url or f"sqlite:///{(self.data_dir / 'his.db').absolute()}"

    @property
    def key_ring_path(self) -> Path:
        return self.key_ring or self.data_dir / "keys" / "ring.json"

    @property
    def master_key_path(self) -> Path:
        return self.master_key_file or self.data_dir / "keys" / "master.key"


def _convert(name: str, value: Any, kind: Any) -> Any:
    text = str(kind)
    if "Path" in text:
        return Path(str(value))
    if kind is bool:
        if isinstance(value, bool):
            return value
        if str(value).lower() in {"1", "true", "yes", "on"}:
            return True
        if str(value).lower() in {"0", "false", "no", "off", ""}:
            return False
        raise SettingsError(f"{name}: expected true or false, got {value!r}")
    if kind is int:
        try:
            return int(value)
        except (TypeError, ValueError) as error:
            raise SettingsError(f"{name}: expected a whole number, got {value!r}") from error
    if "tuple" in text:
        return tuple(value.replace(",", " ").split()) if isinstance(value, str) else tuple(value)
    return str(value) if kind is str else value


def load(environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Read the settings file and the environment; ``overrides`` win (tests, command line).

    :raises SettingsError: an unknown name or a value of the wrong type.
    """
    env = os.environ if environ is None else environ
    kinds = get_type_hints(Settings)
    known = {f.name for f in fields(Settings)} - {"extra"}
    values: dict[str, Any] = {}
    path = Path(env.get("HIS_CONFIG", "")) if env.get("HIS_CONFIG") else DEFAULT_FILE
    if path.exists():
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        values["extra"] = document.pop("module", {})
        values.update(document)
    elif env.get("HIS_CONFIG"):
        raise SettingsError(f"HIS_CONFIG names {path}, which does not exist")
    values.update({k[4:].lower(): v for k, v in env.items() if k.startswith("HIS_") and k[4:].lower() in known})
    ours = ("HIS_CONFIG", "HIS_TEST_", "HIS_REQUIRE_", "HIS_BENCH_", "HIS_LONG_")
    strange = [k for k in env if k.startswith("HIS_") and k[4:].lower() not in known and not k.startswith(ours)]
    values.update(overrides)
    strange += [k for k in values if k not in known | {"extra"}]
    if strange:
        raise SettingsError(f"unknown settings: {', '.join(sorted(strange))}")
    return Settings(**{k: v if k == "extra" else _convert(k, v, kinds[k]) for k, v in values.items()})
