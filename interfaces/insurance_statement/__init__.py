"""Daily and monthly statements handed to the city's insurance centre (日结/月结 上传、删除、确认、查询).

Implements: N4
"""

from typing import Any

from his_server import secrets
from his_server.module import Module
from interfaces.hub import transport
from interfaces.hub.calls import observed
from interfaces.insurance_statement.client import Centre
from interfaces.insurance_statement.settings import SIMULATED, Settings


def _port(settings: Any, database: Any) -> Any:
    line = transport.line(settings, "insurance_statement", database.clock)
    if line is None:
        return None
    own = Settings.of(settings)
    app_id, secret = own.app_id, secrets.opened(database.sealer, "insurance_statement", "secret", own.secret)
    if not app_id and settings.simulate_payments:
        app_id, secret = SIMULATED
    return observed(database, "insurance_statement", Centre(line, own, app_id, secret, database.clock.now))


module = Module(name="insurance_statement", title="医保对账单上传", ports={"insurance:statement": _port}, settings=Settings)
