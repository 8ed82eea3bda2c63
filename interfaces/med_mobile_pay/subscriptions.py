"""What we announce by ourselves: a bill that became payable, to its payer's phone (H5)."""

from __future__ import annotations

import hashlib
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.db import Database, now
from his_server.messaging.outbox import Event, Refused
from interfaces.hub.calls import logged
from interfaces.hub.manifests import all_manifests
from interfaces.med_mobile_pay import contract, mapping
from interfaces.med_mobile_pay.client import Caller, Said
from interfaces.med_mobile_pay.inbound import CALLER
from interfaces.med_mobile_pay.models import BillPush
from modules.kernel.charging.models import ChargeLine
from modules.kernel.encounters.models import Encounter
from modules.kernel.masterdata.models import Department, Staff
from modules.kernel.patients.models import Person


def push(database: Database, event: Event) -> None:
    """Announce what a visit has to pay as it stands now; once for the same open lines, nothing for nothing.

    The platform de-duplicates by pushId, so a lost answer is simply sent again.
    :raises NotSent, LostAnswer: by the worker's rules tried again. :raises Refused: the platform won't take it.
    """
    caller: Caller | None = database.ports.get(CALLER)
    if caller is None or not caller.settings.push_path:
        return
    with database.begin(write=False) as session:
        found = _bill(session, event.payload["encounter_id"], caller)
    if found is None:
        return
    data, row = found
    data |= {"pushId": f"B{event.id}", "dataTime": mapping.second(database.clock.now())}
    with logged(database, all_manifests()["med_mobile_pay"], "push", data, business_key=data["hospOrderId"]) as entry:
        try:
            caller.call("push", caller.settings.push_path, data, contract.Done)
        except Said as said:
            entry.outcome, entry.message = "refused", str(said)
            raise Refused(str(said)) from said
        entry.outcome = "ok"
    with database.begin() as session:
        portable.upsert(session, BillPush, [{**row, "id": database.keys.next(), "push_id": data["pushId"],
                                             "pushed_at": now(session)}], ["push_id"], [])


def _bill(session: Session, encounter_id: int, caller: Caller) -> tuple[dict[str, Any], dict[str, Any]] | None:
    lines = session.execute(select(ChargeLine.id, ChargeLine.amount).where(
        ChargeLine.encounter_id == encounter_id, ChargeLine.state == "open").order_by(ChargeLine.id)).all()
    total = sum((line.amount for line in lines), start=mapping.ZERO)
    digest = hashlib.new("sm3", ",".join(str(line.id) for line in lines).encode()).hexdigest()
    last = session.scalar(select(BillPush.digest).where(BillPush.encounter_id == encounter_id)
                          .order_by(BillPush.pushed_at.desc(), BillPush.id.desc()).limit(1))
    if total <= 0 or last == digest:
        return None
    visit, person, department, doctor = session.execute(
        select(Encounter, Person, Department.name, Staff.name)
        .join(Person, Person.id == Encounter.person_id)
        .outerjoin(Department, Department.id == Encounter.department_id)
        .outerjoin(Staff, Staff.id == Encounter.doctor_id).where(Encounter.id == encounter_id)).one()
    if not person.id_no:
        return None  # nobody the platform could find
    return ({"pushType": "1", "hosId": caller.settings.org_code, "hospPatientId": person.outpatient_no,
             "patientIdcardType": person.id_type or "01", "patientIdcardNo": person.id_no, "patientName": person.legal_name[:40],
             "hospOrderId": visit.visit_no, "deptName": department, "doctorName": doctor,
             "regDt": mapping.second(visit.started_at), "payFee": total,
             "pushContent": f"您有 {len(lines)} 项费用待缴，共 {total} 元"},
            {"encounter_id": encounter_id, "person_id": person.id, "digest": digest, "total": total})
