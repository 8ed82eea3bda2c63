"""Settings of the patients: ``[module.patients]``."""

from __future__ import annotations

from dataclasses import dataclass

from his_server.settings import Settings as House
from his_server.settings import SettingsError


@dataclass(frozen=True)
class Settings:
    """``need_to_know``: ``labelled`` (only files with a label need a treatment relation) or ``all`` (PR-04)."""

    need_to_know: str = "labelled"

    def __post_init__(self) -> None:
        if self.need_to_know not in ("labelled", "all"):
            raise SettingsError("need_to_know: labelled or all")


def of(settings: House) -> Settings:
    """The module's settings. :raises SettingsError: unknown or wrong."""
    try:
        return Settings(**settings.extra.get("patients", {}))
    except TypeError as error:
        raise SettingsError(f"[module.patients]: {error}") from error
