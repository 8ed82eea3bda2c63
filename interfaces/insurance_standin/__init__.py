"""The insurer's stand-in until the national adapter exists. It is bound only when ``simulate_payments`` is set, so that
no hospital settles against nobody."""

from typing import Any

from his_server.module import Module
from interfaces.hub.calls import observed
from interfaces.insurance_standin.simulator import Insurer


def _port(settings: Any, database: Any) -> Any:
    if not settings.simulate_payments:
        return None
    return observed(database, "insurance_standin", Insurer(settings.data_dir / "simulators" / "insurer.db"))


module = Module(name="insurance_standin", title="医保（模拟）", ports={"insurance": _port})
