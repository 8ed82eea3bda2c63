"""Queue calling in front of the consulting rooms (H18): doctors, slots, patients and registrations go out, calls come in."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from his_server.module import Handler, Job, Module
from interfaces.hub import transport
from interfaces.hub.calls import observed
from interfaces.queue_calling import models, subscriptions
from interfaces.queue_calling.client import Calling
from interfaces.queue_calling.inbound import gateway
from interfaces.queue_calling.settings import Settings

__all__ = ["models", "module"]


def _port(settings: Any, database: Any) -> Any:
    line = transport.line(settings, "queue_calling", database.clock)
    own = Settings(**settings.extra.get("queue_calling", {}))
    return None if line is None else observed(database, "queue_calling", Calling(line, own))


module = Module(
    name="queue_calling",
    title="排队叫号",
    routes=(gateway.routes,),
    ports={subscriptions.PORT: _port},
    handlers=tuple(Handler(event, "queue_calling", subscriptions.tell, network=True) for event in subscriptions.EVENTS),
    jobs=(Job("queue-calling-dictionaries", "叫号系统科室、医生、号源", subscriptions.send_dictionaries,
              every=timedelta(minutes=5)),),
    settings=Settings,
)
