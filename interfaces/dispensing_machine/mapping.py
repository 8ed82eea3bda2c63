"""Ours ↔ the machine's. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from xml.etree import ElementTree

from his_server.clock import local
from interfaces.dispensing_machine.contract import PRESCRIPTION_FIELDS
from modules.kernel.patients.rules import age

SEXES = {"1": "男", "2": "女"}
_ROOTS = {"XMLPresInfo": ("PresInfos", "PresInfo"), "XMLMedInfo": ("MedInfos", "MedInfo")}


class Garbled(ValueError):
    """What came back isn't what the service promises."""


@dataclass(frozen=True)
class Patient:
    """Whom the drugs are for."""

    number: str
    name: str
    sex: str
    birth: date | None


@dataclass(frozen=True)
class Line:
    """A drug of a prescription: quantity in smallest units, money in yuan."""

    line_id: int
    code: str
    name: str
    spec: str
    quantity: Decimal
    base_unit: str
    pack_unit: str
    pack_size: int
    manufacturer: str
    form: str
    price: Decimal
    amount: Decimal
    dose: str
    usage: str
    frequency: str
    note: str
    shelf: str


@dataclass(frozen=True)
class Head:
    """What all lines of a prescription share."""

    number: str
    window: int
    settlement: str
    paid_at: datetime
    kind: str
    diagnosis: str
    department: tuple[str, str]
    doctor: str
    store: str


def prescription(head: Head, patient: Patient, lines: Sequence[Line], today: date) -> str:
    """A prescription as XMLPresInfo: one row per drug, smallest units (MedAMT in Medunit)."""
    at = f"{local(head.paid_at):%Y-%m-%d %H:%M:%S}"
    return rows("XMLPresInfo", PRESCRIPTION_FIELDS, ({
        "PresNO": head.number, "WindowNO": str(head.window), "FPNO": head.settlement, "MedID": str(line.line_id),
        "MedOnlyCode": line.code, "MedName": line.name, "MedAMT": plain(line.quantity), "MedPack": line.spec,
        "MedUnitPack": line.pack_unit, "Medunit": line.base_unit, "MedConvercof": str(line.pack_size),
        "MedFactory": line.manufacturer, "MedType": line.form, "MedUnitPrice": plain(line.price),
        "MedTotalPrice": plain(line.amount), "MedOutTime": at, "PatientID": patient.number, "PatientName": patient.name,
        "PatientSex": SEXES.get(patient.sex, "未知"), "PatientAge": age(patient.birth, today) if patient.birth else "",
        "PatientBirth": patient.birth.isoformat() if patient.birth else "", "Diagnosis": head.diagnosis,
        "WardNo": head.department[0], "WardName": head.department[1], "MedPerDos": line.dose, "MedUsage": line.usage,
        "MedPerDay": line.frequency, "DoctorName": head.doctor, "PresType": head.kind, "Remark": line.note,
        "MedShelf": line.shelf, "YFcode": head.store} for line in lines))


def plain(number: Decimal) -> str:
    """A decimal without exponent and trailing zeros."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def rows(parameter: str, names: Sequence[str], items: Iterable[Mapping[str, str]]) -> str:
    """Rows as the XML string of a parameter, fields in the contract's order."""
    outer, inner = _ROOTS[parameter]
    root = ElementTree.Element(outer)
    for item in items:
        row = ElementTree.SubElement(root, inner)
        for name in names:
            ElementTree.SubElement(row, name).text = _sendable(item[name])
    return ElementTree.tostring(root, encoding="unicode")


def _sendable(text: str) -> str:
    """XML 1.0 has no place for control characters; they stand for nothing in a name or a note."""
    return "".join(c for c in text if c in "\t\n" or ord(c) >= 32)


def read_rows(parameter: str, text: str) -> list[dict[str, str]]:
    """The rows of an XML parameter. :raises Garbled: it is not one."""
    outer, inner = _ROOTS[parameter]
    root = tree(text)
    if root.tag != outer or any(child.tag != inner for child in root):
        raise Garbled(f"expected {outer}/{inner}")
    return [{field.tag: field.text or "" for field in row} for row in root]


def tree(text: str) -> ElementTree.Element:
    """Parsed XML without any document type. :raises Garbled: it is none."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise Garbled("document types are refused")
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise Garbled(str(error)) from error


def answer(body: bytes) -> str:
    """The text of an ASMX answer: ``<string xmlns="http://tempuri.org/">…</string>``. :raises Garbled: it is none."""
    try:
        root = tree(body.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise Garbled("not UTF-8") from error
    if root.tag.rpartition("}")[2] != "string" or len(root):
        raise Garbled(f"expected string, got {root.tag}")
    return (root.text or "").strip()


def string(text: str) -> bytes:
    """An ASMX answer."""
    root = ElementTree.Element("string", {"xmlns": "http://tempuri.org/"})
    root.text = text
    head = '<?xml version="1.0" encoding="utf-8"?>\n'
    return (head + ElementTree.tostring(root, encoding="unicode")).encode()
