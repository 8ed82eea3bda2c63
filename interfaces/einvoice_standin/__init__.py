"""The electronic invoice platform's stand-in. It is bound only when ``simulate_payments`` is set, so that no hospital
issues invoices that nobody knows."""

from typing import Any

from his_server.module import Module
from interfaces.einvoice_standin.simulator import Platform
from interfaces.hub.calls import observed


def _port(settings: Any, database: Any) -> Any:
    if not settings.simulate_payments:
        return None
    return observed(database, "einvoice_standin", Platform(settings.data_dir / "simulators" / "einvoice.db"))


module = Module(name="einvoice_standin", title="电子票据（模拟）", ports={"invoice": _port})
