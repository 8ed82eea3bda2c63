"""The insurer's stand-in until the national adapter exists. It is bound only when ``simulate_payments`` is set, so that
no hospital settles against nobody."""

from typing import Any

from his_server.module import Module
from interfaces.insurance_standin.simulator import Insurer


def _port(settings: Any, _database: Any) -> Insurer | None:
    return Insurer(settings.data_dir / "simulators" / "insurer.db") if settings.simulate_payments else None


module = Module(name="insurance_standin", title="医保（模拟）", ports={"insurance": _port})
