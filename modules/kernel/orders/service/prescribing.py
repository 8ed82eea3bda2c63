"""Issuing and cancelling prescriptions and requests; their lines are charged in the same transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.clock import local
from his_server.db import now, numbering, of, today
from his_server.errors import Conflict, FieldError, Invalid, NotFound
from his_server.security import audit, signatures
from modules.kernel.charging.service import NewLine, add_lines, void_lines
from modules.kernel.encounters import service as encounters
from modules.kernel.encounters.models import Encounter
from modules.kernel.masterdata import service as masterdata
from modules.kernel.masterdata.models import Drug, Frequency
from modules.kernel.orders import rules
from modules.kernel.orders.models import Prescription, PrescriptionLine, Request, RequestLine
from modules.kernel.orders.service import signing
from modules.kernel.stock import service as stock
from modules.kernel.stock.models import Store

Order = TypeVar("Order", Prescription, Request)

PRESCRIPTION_SERIES = numbering.Series("prescription", "处方号", "CF{date:%y%m%d}{n:06d}", per_day=True)
REQUEST_SERIES = numbering.Series("request", "申请单号", "SQ{date:%y%m%d}{n:06d}", per_day=True)


def pharmacy_for(session: Session, encounter: Encounter) -> Store:
    """The pharmacy that serves an encounter: emergency ones their own store (M7.1, M7.8)."""
    kind = "emergency" if encounter.kind == "emergency" else "outpatient"
    store = session.scalar(select(Store).where(Store.kind == kind, Store.active).order_by(Store.code).limit(1))
    if store is None:
        raise Conflict("orders.no_store", "没有可用的药房，请联系药剂科")
    return store


def work_out(session: Session, lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Quantities, prices and warnings of prescription lines before they are issued; two queries.

    :raises Invalid: a drug or frequency is unknown, or a drug has no price today.
    """
    drugs = masterdata.drugs(session, [line["drug_id"] for line in lines])
    prices = masterdata.drug_prices(session, drugs, today(session))
    rhythms = {f.code: f for f in session.scalars(
        select(Frequency).where(Frequency.code.in_({line["frequency"] for line in lines})))}
    errors, worked = [], []
    for index, line in enumerate(lines):
        drug, rhythm = drugs.get(line["drug_id"]), rhythms.get(line["frequency"])
        if drug is None or not drug.active:
            errors.append(FieldError(f"lines.{index}.drug_id", "没有这个药品或已停用"))
        elif rhythm is None:
            errors.append(FieldError(f"lines.{index}.frequency", "没有这个频次"))
        elif drug.id not in prices:
            errors.append(FieldError(f"lines.{index}.drug_id", f"{drug.name} 没有当日有效价格"))
        else:
            worked.append(_work_out_line(line, drug, rhythm, prices[drug.id]))
    if errors:
        raise Invalid("orders.lines", "处方内容有误，请按提示修改", errors)
    return worked


def _work_out_line(line: Mapping[str, Any], drug: Drug, rhythm: Frequency, pack_price: Decimal) -> dict[str, Any]:
    dosage = rules.needed(dose=line["dose"], dose_amount=drug.dose_amount, times_per_day=rhythm.times_per_day,
                          interval_days=rhythm.interval_days, days=line["days"], pack_size=drug.pack_size,
                          splittable=drug.splittable, base_unit=drug.base_unit)
    quantity = line.get("quantity") or dosage.quantity
    warnings = list(dosage.warnings)
    if quantity != quantity.to_integral_value() and drug.fiscal_category != rules.HERB:
        warnings.append("发药数量须为整数")
    charged = rules.charge_unit(quantity, pack_size=drug.pack_size, pack_unit=drug.pack_unit, base_unit=drug.base_unit,
                                pack_price=pack_price)
    return {"drug": drug, "dose": line["dose"], "usage": line["usage"], "frequency": rhythm.code, "days": line["days"],
            "note": line.get("note", ""), "quantity": quantity, "suggested": dosage.quantity, "charged": charged,
            "warnings": warnings}


def prescribe(session: Session, actor: Actor, *, encounter_id: int, diagnosis: str, lines: Sequence[Mapping[str, Any]],
              chronic_reason: str = "") -> Prescription:
    """Issue a prescription and charge its lines, unsettled.

    :raises Invalid: a line is wrong or a legal limit is passed (each named by field).
    :raises Conflict: the pharmacy has not enough in stock, or the visit is over.
    """
    encounter, doctor = _visit(session, actor, encounter_id)
    worked = work_out(session, lines)
    emergency = encounter.kind == "emergency"
    drugged = [rules.Drugged(w["drug"].name, w["drug"].fiscal_category, w["drug"].control, w["drug"].antimicrobial,
                             w["drug"].form, w["days"], w["drug"].tb) for w in worked]
    errors = rules.prescription_errors(drugged, emergency=emergency, chronic_reason=chronic_reason,
                                       rights=doctor.right_set)
    errors += [(f"lines.{i}.quantity", "发药数量须为大于 0 的整数") for i, w in enumerate(worked)
               if w["quantity"] <= 0 or (w["quantity"] % 1 and w["drug"].fiscal_category != rules.HERB)]
    errors += [(f"lines.{i}.quantity", f"{w['drug'].name} 不可拆零，须为整{w['drug'].pack_unit}")
               for i, w in enumerate(worked) if not w["drug"].splittable and w["quantity"] % w["drug"].pack_size]
    if errors:
        raise Invalid("orders.limits", "处方不符合规定，请按提示修改", [FieldError(f, m) for f, m in errors])
    store = pharmacy_for(session, encounter)
    free = stock.available(session, store.id, [w["drug"].id for w in worked])
    short = [FieldError(f"lines.{i}.quantity", f"{store.name}可用 {free[w['drug'].id].normalize():f}{w['drug'].base_unit}")
             for i, w in enumerate(worked) if free[w["drug"].id] < w["quantity"]]
    if short:
        raise Conflict("orders.short", f"{store.name}库存不足，请调整数量或更换药品", short)
    at = now(session)
    made = Prescription(
        number=numbering.take(session, PRESCRIPTION_SERIES), kind=rules.prescription_kind(drugged, emergency=emergency),
        person_id=encounter.person_id, encounter_id=encounter.id, department_id=encounter.department_id,
        doctor_id=doctor.id, doctor_name=doctor.name, store_id=store.id, diagnosis=diagnosis, state="issued",
        issued_at=at, business_date=today(session), changed_at=at, changed_by_name=actor.name, revision=1)
    keys = of(session).keys.take(len(worked))
    charge_ids = add_lines(session, actor, encounter.person_id, encounter.id, [
        NewLine(source="prescription", source_id=made.id, source_line_id=key, kind="drug", item_id=w["drug"].id,
                code=w["drug"].code, name=w["drug"].name, spec=w["drug"].spec, unit=w["charged"].unit,
                price=w["charged"].price, quantity=w["charged"].quantity, factor=w["charged"].factor,
                fiscal_category=w["drug"].fiscal_category, insurance_level=w["drug"].insurance_level,
                ordering_department_id=encounter.department_id, ordering_staff_id=doctor.id,
                performing_department_id=store.department_id)
        for key, w in zip(keys, worked, strict=True)])
    made.lines = [
        PrescriptionLine(id=key, prescription_id=made.id, position=position, drug_id=w["drug"].id,
                         name=w["drug"].name, spec=w["drug"].spec, dose=w["dose"],
                         dose_unit=w["drug"].dose_unit or w["drug"].base_unit, usage=w["usage"],
                         frequency=w["frequency"], days=w["days"], quantity=w["quantity"],
                         base_unit=w["drug"].base_unit, pack_unit=w["drug"].pack_unit, pack_size=w["drug"].pack_size,
                         price=w["charged"].price, note=w["note"], charge_line_id=charge_id)
        for position, (key, w, charge_id) in enumerate(zip(keys, worked, charge_ids, strict=True))]
    session.add(made)
    session.flush()
    signatures.sign(session, actor, signing.KIND, made.id, signing.document(made))
    audit.record(session, actor, "prescription.issue", "prescription", made.id, {"number": made.number})
    return made


def request_items(session: Session, actor: Actor, *, encounter_id: int, diagnosis: str, performing_department_id: int,
                  lines: Sequence[Mapping[str, Any]]) -> Request:
    """Issue a request for items of one performing department and charge its lines, unsettled."""
    encounter, doctor = _visit(session, actor, encounter_id)
    masterdata.department(session, performing_department_id)
    items = masterdata.items(session, [line["item_id"] for line in lines])
    prices = masterdata.item_prices(session, items, today(session))
    errors = [FieldError(f"lines.{i}.item_id", "没有这个项目、已停用或没有当日价格") for i, line in enumerate(lines)
              if line["item_id"] not in prices or not items[line["item_id"]].active]
    if errors:
        raise Invalid("orders.lines", "申请内容有误，请按提示修改", errors)
    at = now(session)
    made = Request(number=numbering.take(session, REQUEST_SERIES), person_id=encounter.person_id,
                   encounter_id=encounter.id, department_id=encounter.department_id, doctor_id=doctor.id,
                   doctor_name=doctor.name, performing_department_id=performing_department_id, diagnosis=diagnosis,
                   state="issued", issued_at=at, business_date=today(session), changed_at=at,
                   changed_by_name=actor.name)
    keys = of(session).keys.take(len(lines))
    charge_ids = add_lines(session, actor, encounter.person_id, encounter.id, [
        NewLine(source="request", source_id=made.id, source_line_id=key, kind="item", item_id=item.id, code=item.code,
                name=item.name, spec=None, unit=item.unit, price=prices[item.id], quantity=line["quantity"],
                fiscal_category=item.fiscal_category, insurance_level=item.insurance_level,
                ordering_department_id=encounter.department_id, ordering_staff_id=doctor.id,
                performing_department_id=performing_department_id)
        for key, line in zip(keys, lines, strict=True) for item in (items[line["item_id"]],)])
    made.lines = [
        RequestLine(id=key, request_id=made.id, position=position, item_id=item.id, name=item.name, unit=item.unit,
                    quantity=line["quantity"], price=prices[item.id], note=line.get("note", ""),
                    charge_line_id=charge_id)
        for position, (key, line, charge_id) in enumerate(zip(keys, lines, charge_ids, strict=True))
        for item in (items[line["item_id"]],)]
    session.add(made)
    session.flush()
    audit.record(session, actor, "request.issue", "request", made.id, {"number": made.number})
    return made


def _visit(session: Session, actor: Actor, encounter_id: int) -> tuple[Encounter, Any]:
    """The visit, begun by this doctor if it was waiting; the doctor's staff record."""
    encounter = encounters.get(session, encounter_id)
    if actor.staff_id is None:
        raise Conflict("orders.no_doctor", "当前账号没有对应的医生，不能开具医嘱")
    doctor = masterdata.staff(session, actor.staff_id)
    if encounter.state == "waiting":
        encounter = encounters.start(session, actor, encounter_id, doctor_id=doctor.id)
    if encounter.state != "seen":
        raise Conflict("orders.visit_over", "本次就诊已结束或已退号，不能再开医嘱，请核对病人")
    return encounter, doctor


def cancel_prescription(session: Session, actor: Actor, prescription_id: int) -> Prescription:
    """Cancel an unpaid prescription and void its lines. :raises Conflict: it is paid (refund it) or cancelled."""
    return _cancel(session, actor, Prescription, prescription_id, "prescription", "处方")


def cancel_request(session: Session, actor: Actor, request_id: int) -> Request:
    """Cancel an unpaid request and void its lines. :raises Conflict: it is paid (refund it) or cancelled."""
    return _cancel(session, actor, Request, request_id, "request", "申请")


def _cancel(session: Session, actor: Actor, model: type[Order], key: int, source: str, title: str) -> Order:
    if not portable.guarded_update(session, model, (model.id == key) & (model.state == "issued"),
                                   {"state": "cancelled", "changed_at": now(session), "changed_by_name": actor.name}):
        raise not_in_state(session, model, key, title)
    void_lines(session, source, key)
    audit.record(session, actor, f"{source}.cancel", source, key)
    found = session.get(model, key)
    assert found is not None
    return found


STATES = {"issued": "待收费", "charged": "已收费", "dispensed": "已发药", "performed": "已执行", "cancelled": "已作废",
          "refunded": "已退费"}


def not_in_state(session: Session, model: type[Order], key: int, title: str) -> Exception:
    """The 409 that says who brought the document where it is, or the 404."""
    found = session.get(model, key, populate_existing=True)
    if found is None:
        return NotFound("orders.not_found", f"没有这张{title}，请刷新后重试")
    return Conflict("orders.state", f"{title} {found.number} 已由 {found.changed_by_name} 于 "
                    f"{local(found.changed_at):%m-%d %H:%M} 变为“{STATES[found.state]}”，请刷新后核对")
