"""Is a prescription lawful and safe: limits of the law, what the hospital's data say of the drugs, the outside check.

Implements: RX-10
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from his_server.actor import Actor
from his_server.clock import local
from his_server.db import Database, now, of, today
from his_server.db.idempotency import request_hash
from his_server.errors import FieldError, Invalid
from modules.kernel.dispensing import service as dispensing
from modules.kernel.encounters import service as encounters
from modules.kernel.encounters.models import Encounter
from modules.kernel.masterdata import service as masterdata
from modules.kernel.masterdata.models import Diagnosis, DictionaryEntry, Drug, Staff
from modules.kernel.masterdata.service.lookups import valid_on
from modules.kernel.orders import rules
from modules.kernel.orders.models import DrugCheck, DrugCheckFinding, Prescription, PrescriptionLine
from modules.kernel.orders.ports import CHECK, CheckCase, CheckLine
from modules.kernel.orders.rules import Case, Drugged, Warned
from modules.kernel.orders.settings import Settings
from modules.kernel.patients.models import Person
from modules.kernel.stock import service as stock
from modules.kernel.stock.models import Store

log = logging.getLogger("his.orders")
INTERACTIONS = "drug_interaction"
"""Dictionary of pairs: code 华法林+阿司匹林, name what happens."""
UNCHECKED = Warned("warn", "check", "lines", "合理用药审查没有完成（系统未应答），请人工核对过敏、重复用药、相互作用和剂量")


@dataclass(frozen=True)
class Checked:
    """What a check came to: ``state`` passed, warned or unavailable."""

    state: str
    findings: tuple[Warned, ...]

    @property
    def stops(self) -> list[Warned]:
        """Findings that need a written reason."""
        return [one for one in self.findings if one.level == "stop"]

    @property
    def text(self) -> str:
        """All findings in one line, as they stand on the prescription."""
        return "；".join(one.message for one in self.findings)[:500]


def at_night(session: Session, policy: Settings) -> bool:
    """Whether it is night for doctors' orders (M7.8): by the setting, or because every outpatient store is closed."""
    if rules.is_night(local(now(session)).time(), policy.night_begins, policy.night_ends):
        return True
    closed = dispensing.closed_now(session)
    return bool(closed) and set(session.scalars(
        select(Store.id).where(Store.kind == "outpatient", Store.active))) <= closed


def diagnosis_code(session: Session, code: str, name: str) -> str:
    """The ICD-10 code of a diagnosis: as given, if the catalogue has it; else by its exact name; empty if unknown."""
    if code and session.scalar(select(Diagnosis.id).where(Diagnosis.code == code)) is None:
        raise Invalid("orders.diagnosis", "没有这个诊断编码，请重新选择诊断", [FieldError("diagnosis_code", "没有这个诊断编码")])
    return code or session.scalar(select(Diagnosis.code).where(Diagnosis.name == name).limit(1)) or ""


def drugged(line: Mapping[str, Any]) -> Drugged:
    """A worked-out line as the rules see it."""
    drug: Drug = line["drug"]
    unit = drug.dose_amount
    return Drugged(
        name=drug.name, fiscal_category=drug.fiscal_category, control=drug.control, antimicrobial=drug.antimicrobial,
        form=drug.form, days=line["days"], turns=line["turns"], usage=line["usage"], ingredient=drug.ingredient,
        drug_class=drug.drug_class, release=drug.release, dose=line["dose"], daily=line["dose"] * line["per_day"],
        amount=line["quantity"] * unit if unit else None, max_dose=drug.max_dose, max_daily=drug.max_daily,
        dose_unit=drug.dose_unit or drug.base_unit,
        infections=frozenset(drug.chronic_infections.split(",")) - {""} | ({"结核"} if drug.tb else set()))


def case_of(encounter: Encounter, doctor: Staff, code: str, policy: Settings, *, night: bool, **more: Any) -> Case:
    """The circumstances of a prescription; ``more`` as :class:`Case` names them."""
    place: rules.Place = "emergency" if encounter.kind == "emergency" else (
        "inpatient" if encounter.kind == "inpatient" else "outpatient")
    return Case(place=place, groups=rules.diagnosis_groups(code), rights=doctor.right_set, title=doctor.title, night=night,
                psychotropic_days=policy.psychotropic_days, level_2=policy.hospital_level >= 2, **more)


def known(session: Session, person: Person, lines: Sequence[Drugged]) -> list[Warned]:
    """What the hospital's own data say: allergies, other prescriptions in force, interactions; two queries at most."""
    ingredients = {line.ingredient for line in lines} - {""}
    taking = _taking(session, person.id) if ingredients else {}
    interactions = {}
    if len(ingredients) > 1:
        day = today(session)
        for entry in session.scalars(select(DictionaryEntry).where(
                DictionaryEntry.dictionary == INTERACTIONS, valid_on(DictionaryEntry, day))):
            interactions[frozenset(entry.code.split("+"))] = entry.name
    return rules.check_drugs(lines, allergies=person.allergies or "", taking=taking, interactions=interactions)


def _taking(session: Session, person_id: int) -> dict[str, str]:
    """Ingredients of a person's prescriptions that are in force today, and their numbers. One query, by index."""
    day = today(session)
    rows = session.execute(
        select(Drug.ingredient, Prescription.number, Prescription.business_date, PrescriptionLine.days)
        .join(PrescriptionLine, PrescriptionLine.prescription_id == Prescription.id)
        .join(Drug, Drug.id == PrescriptionLine.drug_id)
        .where(Prescription.person_id == person_id, Drug.ingredient != "",
               Prescription.issued_at >= now(session) - timedelta(days=rules.LONG_DAYS_MOST),
               Prescription.state.in_(("issued", "charged", "dispensed"))).order_by(Prescription.id))
    return {r.ingredient: r.number for r in rows if r.business_date + timedelta(days=r.days) > day}


def _notices(session: Session, lines: Sequence[Mapping[str, Any]], seen: Sequence[Drugged]) -> list[Warned]:
    """What the warehouse tells doctors of these drugs: shortages are said, prohibited drugs can't be had (M6.2).

    :raises Invalid: a drug is prohibited today. One query.
    """
    notices = stock.notices_for(session, [line["drug_id"] for line in lines], today(session))
    found, errors = [], []
    for index, line in enumerate(lines):
        for notice in notices.get(line["drug_id"], ()):
            instead = f"，可改用 {notice.substitute}" if notice.substitute else ""
            if notice.kind == "prohibition":
                errors.append(FieldError(f"lines.{index}.drug_id", f"已通知禁用：{notice.reason}{instead}"))
            else:
                found.append(Warned("warn", "notice", f"lines.{index}.drug_id",
                                    f"{seen[index].name}：缺药通知，{notice.reason}{instead}"))
    if errors:
        raise Invalid("orders.prohibited", "有药品已被通知禁用，请改用其他药品", errors)
    return found


def digest(person_id: int, lines: Sequence[Mapping[str, Any]]) -> str:
    """What an outside check was asked about: drugs, doses, usages, frequencies, days, in any order."""
    told = sorted([line["drug_id"], str(line["dose"].normalize()), line["usage"], line["frequency"], line["days"]]
                  for line in lines)
    return request_hash("CHECK", str(person_id), json.dumps(told, ensure_ascii=False).encode())


def ask(database: Database, actor: Actor, *, encounter_id: int, diagnosis: str, lines: Sequence[Mapping[str, Any]],
        diagnosis_code: str = "") -> dict[str, Any]:
    """Check lines before they are issued; no unit of work is open while the outside check is asked.

    Returns ``check_id`` (None where there is no outside check), ``state`` and ``findings``. An outside check that fails
    or is late is ``unavailable``: said on the screen and on the prescription, never taken for passed.
    """
    port = database.ports.get(CHECK)
    with database.begin(write=False) as session:
        encounter = encounters.get(session, encounter_id)
        person = session.get(Person, encounter.person_id)
        assert person is not None
        drugs = masterdata.drugs(session, [line["drug_id"] for line in lines])
        given = [line for line in lines if line["drug_id"] in drugs]
        day = today(session)
        age = None if person.birth_date is None else day.year - person.birth_date.year - (
            (day.month, day.day) < (person.birth_date.month, person.birth_date.day))
        case = CheckCase(person.sex, age, person.allergies or "", diagnosis_code, diagnosis, tuple(
            CheckLine(drugs[line["drug_id"]].code, drugs[line["drug_id"]].name, line["dose"],
                      drugs[line["drug_id"]].dose_unit, line["usage"], line["frequency"], line["days"]) for line in given))
        person_id = person.id
    if port is None:
        return {"check_id": None, "state": "passed", "findings": []}
    try:
        found, state = list(port.check(case)), ""
    except Exception:  # whatever happened out there: nobody has checked, and everybody is told
        log.exception("the outside check of a prescription failed")
        found, state = [UNCHECKED], "unavailable"
    state = state or ("warned" if found else "passed")
    with database.begin() as session:
        session.info["actor"] = actor
        made = DrugCheck(person_id=person_id, digest=digest(person_id, lines), state=state, checked_at=now(session),
                         checked_by=actor.user_id)
        session.add(made)
        session.flush()
        session.add_all([DrugCheckFinding(check_id=made.id, level=one.level, kind=one.kind, field=one.field[:60],
                                          message=one.message[:300]) for one in found])
        return {"check_id": made.id, "state": state, "findings": found}


def checked(session: Session, person: Person, lines: Sequence[Mapping[str, Any]], seen: Sequence[Drugged],
            check_id: int | None) -> Checked:
    """The hospital's own findings and those of the outside check that was made of exactly these lines."""
    found = [*known(session, person, seen), *_notices(session, lines, seen)]
    state = ""
    if of(session).ports.get(CHECK) is not None:
        row = session.get(DrugCheck, check_id) if check_id is not None else None
        if row is None or row.digest != digest(person.id, lines) or row.state == "unavailable":
            found.append(UNCHECKED)
            state = "unavailable"
        else:
            found += [Warned(f.level, f.kind, f.field, f.message) for f in session.scalars(
                select(DrugCheckFinding).where(DrugCheckFinding.check_id == row.id).order_by(DrugCheckFinding.id))]
    return Checked(state or ("warned" if found else "passed"), tuple(found))
