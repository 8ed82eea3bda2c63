"""Settings of the trace platform, ``[module.trace_platform]``: our account there."""

from __future__ import annotations

from dataclasses import dataclass

from interfaces.hub.settings import LineSettings
from interfaces.trace_platform.contract import SIGNS


@dataclass(frozen=True)
class Settings(LineSettings):
    """``url``: the platform's gateway; without it nobody is asked. ``app_key``, ``app_secret``: what the platform gave our
    program; ``session``: the hospital's authorisation, where it wants one; ``ref_ent_id``: the hospital's number there."""

    path: str = "/router/rest"
    app_key: str = "test"
    app_secret: str = "test-secret"
    session: str = ""
    ref_ent_id: str = "test-hospital"
    sign_method: str = "hmac-sha256"

    def __post_init__(self) -> None:
        if self.sign_method not in SIGNS:
            raise ValueError(f"sign_method 应为 {'、'.join(SIGNS)}")
