"""Our registration as the platform's message, and its acknowledgement. Pure."""

from __future__ import annotations

from xml.etree import ElementTree

from his_server.clock import local
from interfaces.integration_platform.contract import Message, Patient, Slot

HL7 = "urn:hl7-org:v3"
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
SERVICE = "urn:hip-message-server"
KINDS = {"emergency": "EMER"}
_Element = ElementTree.Element


class Garbled(ValueError):
    """What came isn't what the service promises."""


def message(given: Message, sender: str, receiver: str) -> str:
    """A message as XML."""
    root = _Element(given.action, {"xmlns": HL7, "ITSVersion": "XML_1.0"})
    _add(root, "id", root="2.16.156.10011.2.5.1.1", extension=given.id)
    _add(root, "creationTime", value=f"{local(given.at):%Y%m%d%H%M%S}")
    _add(root, "interactionId", extension=given.action)
    for end, name in (("receiver", receiver), ("sender", sender)):
        _add(_add(_add(root, end, typeCode="RCV" if end == "receiver" else "SND"), "device"), "id", extension=name)
    act = _add(root, "controlActProcess", classCode="STC", moodCode="EVN")
    encounter = _add(_add(act, "subject", typeCode="SUBJ"), "encounter", classCode="ENC", moodCode="EVN")
    _add(encounter, "id", root="registration", extension=given.number)
    _add(encounter, "id", root="visit", extension=given.visit_no)
    _add(encounter, "code", code=KINDS.get(given.kind, "AMB"))
    _add(encounter, "statusCode", code=given.status)
    if given.reason:
        _add(encounter, "reasonCode", displayName=given.reason)
    _add(encounter, "channel", code=given.channel)
    _patient(encounter, given.patient)
    _slot(encounter, "slot", given.slot)
    if given.prior is not None:
        _slot(encounter, "priorSlot", given.prior)
    return ElementTree.tostring(root, encoding="unicode")


def _patient(parent: _Element, patient: Patient) -> None:
    row = _add(parent, "patient", classCode="PAT")
    _add(row, "id", extension=patient.number)
    _add(row, "name").text = patient.name
    _add(row, "administrativeGenderCode", code=patient.sex)
    if patient.birth is not None:
        _add(row, "birthTime", value=f"{patient.birth:%Y%m%d}")
    if patient.id_no:
        _add(row, "identityId", code=patient.id_type, extension=patient.id_no)
    if patient.phone:
        _add(row, "telecom", value=patient.phone)


def _slot(parent: _Element, name: str, slot: Slot) -> None:
    row = _add(parent, name, id=str(slot.session), queueNo=str(slot.queue_no), date=f"{slot.day:%Y%m%d}", period=slot.period,
               level=slot.level)
    _add(row, "department", code=slot.department[0], displayName=slot.department[1])
    if slot.doctor[0]:
        _add(row, "doctor", code=slot.doctor[0], displayName=slot.doctor[1])


def _add(parent: _Element, tag: str, **attributes: str) -> _Element:
    return ElementTree.SubElement(parent, tag, attributes)


def envelope(action: str, text: str) -> bytes:
    """The SOAP 1.1 call."""
    root = _Element(f"{{{SOAP}}}Envelope")
    call = ElementTree.SubElement(ElementTree.SubElement(root, f"{{{SOAP}}}Body"), f"{{{SERVICE}}}HIPMessageServer")
    ElementTree.SubElement(call, "action").text = action
    ElementTree.SubElement(call, "message").text = text
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def answer_envelope(text: str) -> bytes:
    """The SOAP answer, as the simulator gives it."""
    root = _Element(f"{{{SOAP}}}Envelope")
    answer = ElementTree.SubElement(ElementTree.SubElement(root, f"{{{SOAP}}}Body"),
                                    f"{{{SERVICE}}}HIPMessageServerResponse")
    ElementTree.SubElement(answer, "HIPMessageServerResult").text = text
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def acknowledgement(type_code: str, message_id: str, text: str) -> str:
    """The platform's word on a message."""
    root = _Element("MCCI_IN000002UV01", {"xmlns": HL7})
    row = _add(root, "acknowledgement", typeCode=type_code)
    _add(_add(row, "targetMessage"), "id", extension=message_id)
    _add(_add(row, "acknowledgementDetail"), "text", value=text)
    return ElementTree.tostring(root, encoding="unicode")


def inner(body: bytes, tag: str) -> str:
    """The text of one element of a SOAP body. :raises Garbled: it isn't there."""
    found = [element for element in tree(body).iter() if local_name(element) == tag]
    if len(found) != 1:
        raise Garbled(f"{tag} is missing")
    return found[0].text or ""


def tree(text: bytes | str) -> _Element:
    """Parsed XML without any document type. :raises Garbled: it is none."""
    whole = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    if "<!DOCTYPE" in whole or "<!ENTITY" in whole:
        raise Garbled("document types are refused")
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise Garbled(str(error)) from error


def local_name(element: _Element) -> str:
    """A tag without its namespace."""
    return element.tag.rpartition("}")[2]


def read_acknowledgement(text: str) -> tuple[str, str, str]:
    """typeCode, the message's id, and the text. :raises Garbled: it is none."""
    code = target = said = ""
    for element in tree(text).iter():
        match local_name(element):
            case "acknowledgement":
                code = element.get("typeCode", "")
            case "id":
                target = element.get("extension", "")
            case "text":
                said = element.get("value", "")
    if code not in ("AA", "AE", "AR"):
        raise Garbled("no acknowledgement")
    return code, target, said
