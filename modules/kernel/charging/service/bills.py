"""What the insurer is shown of a bill, made from the ledger's lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from his_server.db import today
from his_server.errors import Invalid
from his_server.money import ZERO, round_money
from modules.kernel.charging.models import ChargeLine, ChargeLineState
from modules.kernel.charging.ports import Bill, BillLine
from modules.kernel.charging.service.lines import REGISTRATION
from modules.kernel.encounters.models import Encounter
from modules.kernel.masterdata import service as masterdata
from modules.kernel.masterdata.models import Department, Staff

PLAIN = ("Z00.000", "一般性医学检查")
"""The diagnosis of a visit that has none yet: a registration fee is settled before the doctor has seen the patient."""


def build(session: Session, *, number: str, kind: str, member_no: str, insurance: str, area: str, use_account: bool,
          line_ids: Sequence[int], diagnoses: Sequence[tuple[str, str]], less: Mapping[int, Decimal] | None = None
          ) -> Bill:
    """The bill of these lines; what of them was refunded already, and ``less`` (line id → quantity), left out.

    Three queries. :raises Invalid: the lines are of several visits: the insurer settles one visit at a time.
    """
    by, perform = aliased(Department), aliased(Department)
    rows = session.execute(
        select(ChargeLine, by.code.label("by_code"), by.name.label("by_name"), Staff.code.label("staff_code"),
               Staff.name.label("staff_name"), perform.code.label("at_code"), perform.name.label("at_name"),
               ChargeLineState.refunded)
        .outerjoin(by, by.id == ChargeLine.ordering_department_id)
        .outerjoin(Staff, Staff.id == ChargeLine.ordering_staff_id)
        .outerjoin(perform, perform.id == ChargeLine.performing_department_id)
        .outerjoin(ChargeLineState, ChargeLineState.line_id == ChargeLine.id)
        .where(ChargeLine.id.in_(line_ids)).order_by(ChargeLine.id)).all()
    if len(visits := {row.ChargeLine.encounter_id for row in rows}) != 1:
        raise Invalid("insurance.one_visit", "医保一次只能结算一次就诊的费用，请按就诊分开勾选后重试")
    visit = session.execute(
        select(Encounter, Department.code, Department.name, Staff.code.label("staff_code"),
               Staff.name.label("staff_name"))
        .outerjoin(Department, Department.id == Encounter.department_id)
        .outerjoin(Staff, Staff.id == Encounter.doctor_id).where(Encounter.id == visits.pop())).one()
    national = masterdata.national_codes(session, {row.ChargeLine.code for row in rows}, today(session))
    lines = []
    for row in rows:
        line: ChargeLine = row.ChargeLine
        gone = (row.refunded or Decimal(0)) + (less or {}).get(line.id, Decimal(0))
        quantity = line.quantity - gone
        if quantity <= 0:
            continue
        lines.append(BillLine(
            line_id=line.id, code=line.code, name=line.name, kind=line.kind, price=line.price, quantity=quantity,
            amount=line.amount - round_money(line.amount * gone / line.quantity), fiscal_category=line.fiscal_category,
            level=line.insurance_level or "03", rx=f"{line.source}-{line.source_id}", charged_at=line.created_at,
            ordering_department=(row.by_code or "", row.by_name or ""),
            ordering_staff=(row.staff_code or "", row.staff_name or ""),
            performing_department=(row.at_code or "", row.at_name or ""), national=national.get((line.kind, line.code))))
    encounter: Encounter = visit.Encounter
    only_fee = all(row.ChargeLine.source == REGISTRATION for row in rows)
    treatment = REGISTRATION if only_fee else "emergency" if encounter.kind == "emergency" else "outpatient"
    return Bill(number=number, kind=kind, member_no=member_no, insurance=insurance, area=area,
                visit_no=encounter.visit_no, treatment=treatment, started_at=encounter.started_at,
                department=(visit.code or "", visit.name or ""),
                doctor=(visit.staff_code or "", visit.staff_name or ""), diagnoses=tuple(diagnoses) or (PLAIN,),
                lines=tuple(lines), total=sum((line.amount for line in lines), ZERO), use_account=use_account)
