"""Settings: typed, from one file and the environment, unknown names are errors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from his_server.module import Module
from his_server.registry import module_settings
from his_server.settings import Settings, SettingsError, load


def test_defaults_file_environment_overrides(tmp_path: Path) -> None:
    file = tmp_path / "his.toml"
    file.write_text('hospital = "第一医院"\nsession_idle = 600\nmodules = ["a", "b"]\n[module.x]\nlimit = 3\n')
    found = load({"HIS_CONFIG": str(file), "HIS_SESSION_IDLE": "900", "HIS_DEMO": "yes", "HIS_DATA_DIR": "/srv/his",
                  "HIS_INTERFACES": "nhsa, pay", "PATH": "/bin"}, max_body=5)
    assert (found.hospital, found.session_idle, found.demo, found.max_body) == ("第一医院", 900, True, 5)
    assert found.modules == ("a", "b") and found.interfaces == ("nhsa", "pay")
    assert found.data_dir == Path("/srv/his") and found.key_ring_path == Path("/srv/his/keys/ring.json")
    assert found.extra == {"x": {"limit": 3}}
    assert found.url == "sqlite:////srv/his/his.db"
    assert load({}, database_url="postgresql+psycopg://x/y").url == "postgresql+psycopg://x/y"


@pytest.mark.parametrize(("environ", "overrides", "told"), [
    ({"HIS_SESSION_IDEL": "1"}, {}, "HIS_SESSION_IDEL"),
    ({"HIS_SESSION_IDLE": "soon"}, {}, "session_idle"),
    ({"HIS_DEMO": "maybe"}, {}, "demo"),
    ({"HIS_CONFIG": "/nonexistent.toml"}, {}, "does not exist"),
    ({}, {"colour": "red"}, "colour"),
])
def test_what_is_wrong_is_named(environ: dict[str, str], overrides: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        load(environ, **overrides)


def test_a_module_checks_its_own() -> None:
    @dataclass(frozen=True)
    class Own:
        limit: int = 1

    module = Module(name="x", title="x", settings=Own)
    assert module_settings(module, Settings(extra={"x": {"limit": 3}})) == Own(3)
    assert module_settings(module, Settings()) == Own(1)
    assert module_settings(Module(name="y", title="y"), Settings()) is None
    with pytest.raises(SettingsError, match="limits"):
        module_settings(module, Settings(extra={"x": {"limits": 3}}))
