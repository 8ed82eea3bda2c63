"""The fiscal platform of medical electronic invoices (医疗电子票据): issue, red reversal, paper, reconciliation.

Implements: H8
"""

from typing import Any

from his_server import secrets
from his_server.module import Module
from interfaces.einvoice.client import Platform
from interfaces.einvoice.settings import SIMULATED, Settings
from interfaces.hub import transport
from interfaces.hub.calls import observed


def platform(settings: Any, database: Any) -> Platform | None:
    """The adapter as the settings say; None where no platform is named and nothing is simulated."""
    own = Settings.of(settings)
    line = transport.line(settings, "einvoice", database.clock)
    if line is None:
        return None
    appid, key = own.appid, secrets.opened(database.sealer, "einvoice", "key", own.key)
    if not appid and settings.simulate_payments:
        appid, key = SIMULATED
    return Platform(line, own, appid, key)


def _port(settings: Any, database: Any) -> Any:
    adapter = platform(settings, database)
    return None if adapter is None else observed(database, "einvoice", adapter)


module = Module(name="einvoice", title="电子票据平台", ports={"invoice": _port}, settings=Settings)
