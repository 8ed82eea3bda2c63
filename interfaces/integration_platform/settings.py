"""Settings of the integration platform, ``[module.integration_platform]`` of the settings file."""

from __future__ import annotations

from dataclasses import dataclass

from interfaces.hub.settings import LineSettings


@dataclass(frozen=True)
class Settings(LineSettings):
    """``url``: the platform's service; without it nothing is sent. ``receiver``: what the platform calls itself in messages.
    ``identity``: whether the patient's document number and phone go along (the platform's master patient index needs them)."""

    receiver: str = "ESB"
    identity: bool = True
