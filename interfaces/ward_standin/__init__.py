"""The wards' stand-in until the inpatient modules exist: stays, transfers, what was handed out, return slips. It is bound
only when ``simulate_payments`` is set, so that no hospital takes drugs back for a ward that isn't there."""

from typing import Any

from his_server.module import Module
from interfaces.ward_standin.simulator import Wards


def _port(settings: Any, _database: Any) -> Any:
    return Wards() if settings.simulate_payments else None


module = Module(name="ward_standin", title="住院病区退药（模拟）", ports={"ward.returns": _port})
