"""The platform's SOAP service."""

from __future__ import annotations

from typing import Any

from his_server.messaging.outbox import LostAnswer
from interfaces.integration_platform import mapping
from interfaces.integration_platform.contract import ACCEPTED, Message
from interfaces.integration_platform.settings import Settings
from modules.kernel.charging.ports import CONFIRMED, REFUSED, Outcome

HEADERS = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '"HIPMessageServer"'}


class Platform:
    """The adapter. :raises NotSent, LostAnswer: as the line says."""

    def __init__(self, line: Any, settings: Settings, hospital_code: str) -> None:
        self.line, self.settings, self.hospital_code = line, settings, hospital_code

    # Named as the platform's services: by these the log is searched.

    def OutPatientInfoAdd(self, number: str, message: Message) -> Outcome:
        """A registration."""
        return self._send(message)

    def OutPatientInfoUpdate(self, number: str, message: Message) -> Outcome:
        """Its move, cancellation or restoring."""
        return self._send(message)

    def _send(self, message: Message) -> Outcome:
        """One message. The platform de-duplicates by its id, so that a repeat does no harm."""
        text = mapping.message(message, self.hospital_code, self.settings.receiver)
        answer = self.line.exchange("POST", "/", mapping.envelope(message.action, text), HEADERS)
        body = answer.good(message.action).body
        try:
            code, target, said = mapping.read_acknowledgement(mapping.inner(body, "HIPMessageServerResult"))
        except mapping.Garbled as error:
            raise LostAnswer(str(error)) from error
        if target != message.id:
            raise LostAnswer("应答的是另一条消息")
        return Outcome(CONFIRMED if code == ACCEPTED else REFUSED, message=said)
