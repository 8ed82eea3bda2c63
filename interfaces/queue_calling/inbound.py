"""What the calling system tells us: who was called where, who was passed over, whose visit is over."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from dialects import portable
from his_server.db import now, of
from his_server.errors import Conflict, NotFound
from his_server.http import Call
from his_server.messaging import outbox
from interfaces.hub.gateway import Gateway
from interfaces.queue_calling import contract
from interfaces.queue_calling.models import QueueCall
from modules.kernel.scheduling.models import Registration

gateway = Gateway("queue_calling")


@gateway.use_case("queue.call", "POST", "/registrations/<number>/calls", title="叫号回传", body=contract.CallIn,
                  out=contract.CallOut, keys=("registrationNo", "callingFlag"))
def called(call: Call, number: str) -> dict[str, Any]:
    """A call event; records ``QueueCalled`` for whoever tells patients. The newest by ``callingTime`` counts.

    :raises NotFound: no such registration. :raises Conflict: it was cancelled.
    """
    session, body = call.session, call.body
    found = session.scalar(select(Registration).where(Registration.number == number))
    if found is None:
        raise NotFound("queue.unknown", f"没有挂号 {number}")
    if found.state != "registered":
        raise Conflict("queue.cancelled", f"挂号 {number} 已退号或尚未缴费，不能叫号")
    values = {"flag": body["callingFlag"], "room": body["roomCode"], "called_at": body["callingTime"], "changed_at": now(session)}
    newer = portable.guarded_update(session, QueueCall, (QueueCall.registration_id == found.id)
                                    & (QueueCall.called_at < body["callingTime"]), values)
    if not newer:
        held = session.scalar(select(QueueCall.flag).where(QueueCall.registration_id == found.id))
        if held is not None:
            return {"registrationNo": number, "callingFlag": held}
        portable.upsert(session, QueueCall, [{"id": of(session).keys.next(), "registration_id": found.id, **values}],
                        ["registration_id"], ["flag", "room", "called_at", "changed_at"])
    outbox.record(session, "QueueCalled", number, {
        "registration_id": found.id, "number": number, "person_id": found.person_id, "flag": body["callingFlag"],
        "room": body["roomCode"]})
    return {"registrationNo": number, "callingFlag": body["callingFlag"]}
