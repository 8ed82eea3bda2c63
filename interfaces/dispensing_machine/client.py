"""The machine's web service: form POST in, one string out."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from his_server.messaging.outbox import LostAnswer, Refused
from interfaces.dispensing_machine import mapping
from interfaces.dispensing_machine.contract import (
    ACCEPTED,
    CANCEL_TOO_LATE,
    CANCELLED,
    HANDED,
    READY,
    UNKNOWN_THERE,
    Pushed,
    There,
)
from interfaces.dispensing_machine.settings import Settings
from modules.kernel.charging.ports import CONFIRMED, REFUSED, Outcome

HEADERS = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}


class Machine:
    """The adapter. Every method raises ``NotSent`` when surely nothing was sent and ``LostAnswer`` when nobody knows."""

    def __init__(self, line: Any, settings: Settings) -> None:
        self.line, self.settings = line, settings

    def _call(self, name: str, **parameters: str) -> str:
        answer = self.line.exchange("POST", f"/{name}", urlencode(parameters, encoding="utf-8").encode(), HEADERS)
        if answer.status in (400, 404, 405, 415):
            raise Refused(f"{name}: HTTP {answer.status}")
        if answer.status != 200:
            raise LostAnswer(f"{name}: HTTP {answer.status}")
        try:
            return mapping.answer(answer.body)
        except mapping.Garbled as error:
            raise LostAnswer(f"{name}: {error}") from error

    def push(self, number: str, payload: str) -> Pushed:
        """Give a prescription (GetPresNoByXML); the machine answers with the window, "0" or nothing is a refusal."""
        said = self._call("GetPresNoByXML", XMLPresInfo=payload)
        if said in ("", "0"):
            return Pushed(REFUSED, message="发药机没有接收该处方")
        if not said.isdecimal():
            raise LostAnswer(f"GetPresNoByXML: {said[:40]}")
        return Pushed(CONFIRMED, peer_number=said, message=f"已传送，窗口 {said}")

    def state(self, number: str) -> There:
        """What the machine knows of a prescription (GetPresState, "step|window")."""
        step, _, window = self._call("GetPresState", PresNO=number).partition("|")
        if step not in (UNKNOWN_THERE, ACCEPTED, READY, HANDED, CANCELLED):
            raise LostAnswer(f"GetPresState: {step[:40]}")
        return There(CONFIRMED, message="发药机没有该处方" if step == UNKNOWN_THERE else "发药机已有该处方",
                     known=step != UNKNOWN_THERE, step=step, window=window)

    def cancel(self, number: str) -> Outcome:
        """Take a prescription back (CancelPres); refused: it was handed out already. Repeating does no harm."""
        said = self._call("CancelPres", PresNO=number)
        if said == CANCEL_TOO_LATE:
            return Outcome(REFUSED, message="发药机已出药，不能撤回")
        return Outcome(CONFIRMED, message="已撤回")

    def move(self, number: str, window: int) -> Outcome:
        """Another window of the same pharmacy (MovePres)."""
        return self._yes("MovePres", PresNO=number, WindowNO=str(window))

    def confirm(self, number: str, window: int) -> Outcome:
        """The pharmacist has handed it out (ConfirmPres)."""
        return self._yes("ConfirmPres", PID=number, windowNo=str(window))

    def light(self, number: str, window: int) -> Outcome:
        """Light the box of a called patient (GetBoxInfo)."""
        return self._yes("GetBoxInfo", PID=number, windowNo=str(window))

    def drugs(self, payload: str) -> Outcome:
        """A part of the drug dictionary (GetMedInfo)."""
        return self._yes("GetMedInfo", XMLMedInfo=payload)

    def _yes(self, name: str, **parameters: str) -> Outcome:
        said = self._call(name, **parameters)
        return Outcome(CONFIRMED, message="成功") if said == "1" else Outcome(REFUSED, message=f"发药机答复 {said[:40] or '空'}")
