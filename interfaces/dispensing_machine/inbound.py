"""What the machine tells us: put out (上屏) and handed out (下屏). It also ends a push whose answer was lost."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from dialects import portable
from his_server.db import now
from his_server.errors import NotFound
from his_server.http import Call
from interfaces.dispensing_machine import contract
from interfaces.dispensing_machine.models import MachineOrder
from interfaces.hub.gateway import Gateway

gateway = Gateway("dispensing_machine")
BEFORE = {"ready": ("sending", "sent", "ready"), "handed": ("sending", "sent", "ready", "handed")}
"""From which states a feedback moves a prescription; told twice it changes nothing."""


@gateway.use_case("machine.feedback", "POST", "/prescriptions/<pres_no>/feedback", title="发药机回报（上屏、下屏）",
                  body=contract.FeedbackIn, out=contract.FeedbackOut, keys=("pres_no", "step"))
def feedback(call: Call, pres_no: str) -> dict[str, Any]:
    """The machine's word on a prescription.

    Of one that was taken back it hears ``withdrawn``: the drugs must go back, and our row shows an alarm.
    :raises NotFound: we pushed no such prescription.
    """
    found = call.session.scalar(select(MachineOrder).where(MachineOrder.number == pres_no))
    if found is None:
        raise NotFound("machine.unknown", f"没有传送过处方 {pres_no}")
    step, window = call.body["step"], call.body["window"]
    values = {"state": step, "changed_at": now(call.session)}
    if window:
        other = window != str(found.window)
        values |= {"machine_window": window} | ({
            "alarm": True, "note": f"发药机在窗口 {window} 出药，与本院分配的 {found.window} 号不一致"} if other else {})
    if not portable.guarded_update(call.session, MachineOrder, (MachineOrder.id == found.id)
                                   & MachineOrder.state.in_(BEFORE[step]), values):
        call.session.refresh(found)
        if found.state == "handed":
            return {"pres_no": pres_no, "step": "handed"}
        portable.guarded_update(call.session, MachineOrder, MachineOrder.id == found.id, {
            "alarm": True, "note": "已退费或撤回，发药机仍在出药，药品须收回", "changed_at": now(call.session)})
        return {"pres_no": pres_no, "step": "withdrawn"}
    return {"pres_no": pres_no, "step": step}
