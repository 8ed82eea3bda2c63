"""Scan payment: the adapter of the payment port. Only the simulated channel exists yet; the hub's issue brings real
ones. It is bound only when ``simulate_payments`` is set, so that no hospital takes money into thin air."""

from typing import Any

from his_server.module import Module
from interfaces.hub.calls import observed
from interfaces.scan_payment.simulator import ScanChannel


def _port(settings: Any, database: Any) -> Any:
    if not settings.simulate_payments:
        return None
    return observed(database, "scan_payment", ScanChannel(settings.data_dir / "simulators" / "scan.db"))


module = Module(name="scan_payment", title="扫码支付", ports={"payment:scan": _port})
