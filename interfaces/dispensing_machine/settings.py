"""Settings of the dispensing machine, ``[module.dispensing_machine]`` of the settings file."""

from __future__ import annotations

from dataclasses import dataclass

from interfaces.hub.settings import LineSettings


@dataclass(frozen=True)
class Settings(LineSettings):
    """``url`` is the machine's web service, ``https://…/Service.asmx``; without it there is no machine.

    ``stores``: codes of the pharmacies that have one (empty: every pharmacy). ``can_query``: the vendor has installed our
    extension GetPresState; without it a lost answer waits for a person. ``settle_seconds``: so long after a call began
    "the machine doesn't know it" may still change, and nothing is sent again. ``await_review``: what waits for a
    pharmacist's review (处方管理办法 33: 审核 before 调配) is sent when it has passed; false sends everything when it is
    paid, for a machine that only fetches and leaves picking and checking to people.
    """

    stores: tuple[str, ...] = ()
    can_query: bool = True
    settle_seconds: int = 60
    await_review: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "stores", tuple(self.stores))
        if self.settle_seconds < 1:
            raise ValueError("settle_seconds 至少为 1 秒")
