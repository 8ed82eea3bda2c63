"""Settings of the acquirer, ``[module.scan_payment]`` of the settings file."""

from __future__ import annotations

from dataclasses import dataclass

from crypto import sm2
from interfaces.hub.settings import LineSettings


@dataclass(frozen=True)
class Settings(LineSettings):
    """``url``: the acquirer; without it no scan payment is taken. ``merchant``: our number there, checked in every answer.

    ``channels``: which of scan and ecny it is open for. ``key_id``: what the acquirer calls our key (the pair itself is
    ``his-server partner our-key``); ``peer_key_id``, ``peer_key``: the acquirer's key, 128 hex digits x‖y.
    """

    merchant: str = ""
    channels: tuple[str, ...] = ("scan", "ecny")
    key_id: str = "his"
    peer_key_id: str = ""
    peer_key: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        if strange := set(self.channels) - {"scan", "ecny"}:
            raise ValueError(f"channels: 未知渠道 {', '.join(sorted(strange))}")
        if self.url and not (self.merchant and self.peer_key_id and self.peer_key):
            raise ValueError("填写 url 时须同时填写 merchant、peer_key_id、peer_key")
        if self.peer_key:
            sm2.check_public(bytes.fromhex(self.peer_key))
