"""The acquirer: scan payments and e-CNY behind the payment port (N5, H5's own part).

Without an address nothing is bound, so that no hospital takes money into thin air; with ``simulate_payments`` it is our
own simulator, under the published test keys that no real acquirer accepts.
"""

from __future__ import annotations

from typing import Any

from crypto.requests import PeerKey
from his_server.module import Module
from his_server.security import signed
from interfaces.hub import transport
from interfaces.hub.calls import observed
from interfaces.scan_payment import simulator
from interfaces.scan_payment.client import Acquirer, Keys
from interfaces.scan_payment.settings import Settings


def keys_of(settings: Settings, database: Any) -> Keys:
    """Our pair and the acquirer's key; the published test pair where there is no acquirer."""
    if not settings.url:
        return simulator.test_keys()

    def ours() -> tuple[str, Any]:
        return settings.key_id, signed.our_key(database).material

    return Keys(ours, PeerKey(settings.peer_key_id, bytes.fromhex(settings.peer_key)), settings.merchant)


def _port(channel: str) -> Any:
    def bind(settings: Any, database: Any) -> Any:
        own = Settings(**settings.extra.get("scan_payment", {}))
        line = transport.line(settings, "scan_payment", database.clock)
        if line is None or channel not in own.channels:
            return None
        return observed(database, "scan_payment", Acquirer(
            line, channel, keys_of(own, database), database.sealer.provider, database.clock.now))

    return bind


module = Module(name="scan_payment", title="聚合支付", settings=Settings,
                ports={f"payment:{channel}": _port(channel) for channel in ("scan", "ecny")})
