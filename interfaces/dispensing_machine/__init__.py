"""The dispensing machine of the outpatient pharmacy (H9): prescriptions, drug dictionary, windows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from his_server.module import Handler, Job, MenuItem, Module, Permission
from his_server.security.events import name_events
from interfaces.dispensing_machine import models, subscriptions
from interfaces.dispensing_machine.client import Machine
from interfaces.dispensing_machine.inbound import gateway
from interfaces.dispensing_machine.routes import LOOK, routes
from interfaces.dispensing_machine.settings import Settings
from interfaces.hub import transport
from interfaces.hub.calls import observed

__all__ = ["models", "module"]
name_events({"machine.seen": "处理发药机报警"})


def _port(settings: Any, database: Any) -> Any:
    line = transport.line(settings, "dispensing_machine", database.clock)
    own = Settings(**settings.extra.get("dispensing_machine", {}))
    return None if line is None else observed(database, "dispensing_machine", Machine(line, own))


def _handler(event: str, deliver: Any) -> Handler:
    return Handler(event, "dispensing_machine", deliver, network=True)


def _pushes(event: str) -> Handler:
    return Handler(event, "dispensing_machine", subscriptions.push, lost_answer="ask", network=True, ask=subscriptions.was_pushed)


module = Module(
    name="dispensing_machine",
    title="门诊发药机",
    routes=(routes, gateway.routes),
    permissions=(Permission(LOOK, "查看发药机、处理报警", ("pharmacist",)),),
    menu=(MenuItem("药房", "发药机", "/dispensing-machine", "interfaces/dispensing_machine/orders", LOOK, 27),),
    ports={subscriptions.PORT: _port},
    handlers=(
        _pushes("PrescriptionReady"),
        _pushes("PrescriptionReviewed"),
        _handler("PrescriptionWithdrawn", subscriptions.take_back),
        _handler("PrescriptionChanged", subscriptions.take_back),
        _handler("PrescriptionBounced", subscriptions.take_back),
        _handler("PrescriptionDispensed", subscriptions.confirm),
        _handler("PatientCalled", subscriptions.light),
        _handler("PickupMoved", subscriptions.move),
    ),
    jobs=(Job("dispensing-machine-drugs", "发药机药品字典", subscriptions.send_drugs, every=timedelta(minutes=10)),),
    settings=Settings,
)
