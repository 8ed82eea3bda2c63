"""Settings of the statement interface, ``[module.insurance_statement]``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from interfaces.hub.settings import LineSettings

SIMULATED = ("HAOHE-SIM", "c1f0e6a2d94b4b7f8a35e0c7b96d2e41")
"""app id and secret of our own simulator. No secret: it settles nothing that is worth anything."""


@dataclass(frozen=True)
class Settings(LineSettings):
    """``path``: where statements are below the address. ``secret`` stands sealed (``his-server secret insurance_statement
    secret``). ``fixmedins_code``: our code at the insurer. ``agencies``: setl_optins that go by another code there."""

    path: str = "/insurance/v1/statements"
    app_id: str = ""
    secret: str = field(default="", repr=False)
    fixmedins_code: str = "H32060000001"
    agencies: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Any, package: str = "insurance_statement") -> Settings:
        """The interface's part of the settings file."""
        return cls(**settings.extra.get(package, {}))
