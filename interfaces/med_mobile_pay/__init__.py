"""The insurer's mobile payment (医保移动支付): orders, notices, refunds, announced bills.

Implements: H5
"""

from dataclasses import replace
from typing import Any

from his_server import secrets
from his_server.module import Handler, Module
from interfaces.hub import transport
from interfaces.hub.calls import observed
from interfaces.med_mobile_pay import inbound, subscriptions
from interfaces.med_mobile_pay.client import Caller, Orders, OwnPart
from interfaces.med_mobile_pay.settings import SIMULATED, SIMULATOR_PRIVATE, Settings

NAME = "med_mobile_pay"


def _caller(settings: Any, database: Any) -> Any:
    """Our side of the line as the settings say; None where no platform is named and nothing is simulated."""
    line = transport.line(settings, NAME, database.clock)
    if line is None:
        return None
    own = Settings.of(settings)
    secret, private = (secrets.opened(database.sealer, NAME, name, getattr(own, name)) for name in ("app_secret", "private_key"))
    if not own.app_id and settings.simulate_payments:
        own = replace(own, app_id=SIMULATED["app_id"], platform_key=database.sealer.provider.sm2_public(
            bytes.fromhex(SIMULATOR_PRIVATE)).hex())
        secret, private = SIMULATED["app_secret"], SIMULATED["private_key"]
    return Caller(line, database, own, own.keys(secret, private))


def _orders(settings: Any, database: Any) -> Any:
    caller = _caller(settings, database)
    return None if caller is None else observed(database, NAME, Orders(caller))


def _own(settings: Any, database: Any) -> Any:
    caller = _caller(settings, database)
    return None if caller is None else observed(database, NAME, OwnPart(caller))


module = Module(
    name=NAME,
    title="医保移动支付",
    routes=(inbound.routes, inbound.gateway.routes),
    ports={inbound.CALLER: _caller, "med_mobile": _orders, "payment:med_mobile": _own},
    handlers=(Handler("BillPayable", NAME, subscriptions.push, network=True),),
    settings=Settings,
)
