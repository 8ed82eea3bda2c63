"""Issuing and cancelling prescriptions and requests; their lines are charged in the same transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
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
from modules.kernel.dispensing import service as dispensing
from modules.kernel.encounters import service as encounters
from modules.kernel.encounters.models import Encounter
from modules.kernel.masterdata import service as masterdata
from modules.kernel.masterdata.models import Drug, Frequency
from modules.kernel.orders import rules
from modules.kernel.orders.models import (
    AntimicrobialOverride,
    Prescription,
    PrescriptionLine,
    Request,
    RequestLine,
)
from modules.kernel.orders.service import checking, signing
from modules.kernel.orders.settings import Settings
from modules.kernel.patients.models import Person
from modules.kernel.stock import service as stock
from modules.kernel.stock.models import Store

Order = TypeVar("Order", Prescription, Request)

PRESCRIPTION_SERIES = numbering.Series("prescription", "处方号", "CF{date:%y%m%d}{n:06d}", per_day=True)
REQUEST_SERIES = numbering.Series("request", "申请单号", "SQ{date:%y%m%d}{n:06d}", per_day=True)


POLICY = Settings()
"""A hospital that set nothing."""
GROUP_USAGES = frozenset({"静滴", "静注", "泵入", "肌注", "皮下", "雾化"})


def pharmacy_for(session: Session, encounter: Encounter, *, night: bool = False) -> Store:
    """The pharmacy that serves an encounter: emergencies, and at night everybody, the emergency store (M7.1, M7.8). Night
    is the hospital's (``night``), or when the outpatient store is closed by its own hours.
    """
    wanted = ("emergency",) if encounter.kind == "emergency" or night else ("outpatient", "emergency")
    found = list(session.scalars(select(Store).where(Store.kind.in_(wanted), Store.active).order_by(Store.code)))
    found.sort(key=lambda store: wanted.index(store.kind))
    closed = dispensing.closed_now(session) if len(found) > 1 else set()
    store = next((one for one in found if one.id not in closed), None)
    if store is None:
        raise Conflict("orders.no_store", "没有可用的药房，请联系药剂科")
    return store


def work_out(session: Session, lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Quantities, prices and warnings of prescription lines before they are issued; three queries.

    :raises Invalid: a drug or frequency is unknown, or a drug has no price today.
    """
    drugs = masterdata.drugs(session, [line["drug_id"] for line in lines])
    prices = masterdata.drug_prices(session, drugs, today(session))
    rhythms = {f.code: f for f in session.scalars(
        select(Frequency).where(Frequency.code.in_({line["frequency"] for line in lines})))}
    told = stock.notices_for(session, drugs, today(session))  # shortages warn, prohibitions forbid (M6.2)
    errors, worked = [], []
    for index, line in enumerate(lines):
        drug, rhythm = drugs.get(line["drug_id"]), rhythms.get(line["frequency"])
        if drug is None or not drug.active:
            errors.append(FieldError(f"lines.{index}.drug_id", "没有这个药品或已停用"))
        elif rhythm is None:
            errors.append(FieldError(f"lines.{index}.frequency", "没有这个频次"))
        elif drug.id not in prices:
            errors.append(FieldError(f"lines.{index}.drug_id", f"{drug.name} 没有当日有效价格"))
        elif any(n.kind == "prohibition" for n in told.get(drug.id, ())):
            errors.append(FieldError(f"lines.{index}.drug_id", stock.notice_text(told[drug.id][0])))
        else:
            worked.append(_work_out_line(line, drug, rhythm, prices[drug.id]))
            worked[-1]["warnings"] += [stock.notice_text(notice) for notice in told.get(drug.id, ())]
    if errors:
        raise Invalid("orders.lines", "处方内容有误，请按提示修改", errors)
    return worked


def _work_out_line(line: Mapping[str, Any], drug: Drug, rhythm: Frequency, pack_price: Decimal) -> dict[str, Any]:
    dosage = rules.needed(dose=line["dose"], dose_amount=drug.dose_amount, times_per_day=rhythm.times_per_day,
                          interval_days=rhythm.interval_days, days=line["days"], pack_size=drug.pack_size,
                          splittable=drug.splittable, base_unit=drug.base_unit, form=drug.form)
    quantity = line.get("quantity") or dosage.quantity
    warnings = list(dosage.warnings)
    if quantity != quantity.to_integral_value() and drug.fiscal_category != rules.HERB:
        warnings.append("发药数量须为整数")
    charged = rules.charge_unit(quantity, pack_size=drug.pack_size, pack_unit=drug.pack_unit, base_unit=drug.base_unit,
                                pack_price=pack_price)
    turns = rules.doses(rhythm.times_per_day, rhythm.interval_days, line["days"])
    return {"drug": drug, "turns": turns, "per_day": rhythm.times_per_day or 1, "group_no": line.get("group_no", 0),
            "drug_id": drug.id, "dose": line["dose"], "usage": line["usage"], "frequency": rhythm.code, "days": line["days"],
            "note": line.get("note", ""), "quantity": quantity, "suggested": dosage.quantity, "charged": charged,
            "warnings": warnings}


def prescribe(session: Session, actor: Actor, *, encounter_id: int, diagnosis: str, lines: Sequence[Mapping[str, Any]],
              chronic_reason: str = "", diagnosis_code: str = "", extension_days: int = 0, extension_reason: str = "",
              long_term: bool = False, assessment: str = "", signed_by: str = "", consultant_id: int | None = None,
              override_reason: str = "", check_id: int | None = None, check_reason: str = "", policy: Settings = POLICY
              ) -> Prescription:
    """Issue a prescription and charge its lines, unsettled.

    :raises Invalid: a line is wrong, a legal limit is passed, or a serious finding has no reason (each named by field).
    :raises Conflict: the pharmacy has not enough in stock, or the visit is over.
    """
    encounter, doctor = _visit(session, actor, encounter_id)
    worked = work_out(session, lines)
    night = checking.at_night(session, policy)
    code = checking.diagnosis_code(session, diagnosis_code, diagnosis)
    consultant = _consultant(session, consultant_id, doctor.id)
    case = checking.case_of(encounter, doctor, code, policy, night=night, reason=chronic_reason, long_term=long_term,
                            assessment=assessment, signed_by=signed_by, consulted=bool(consultant),
                            override=override_reason)
    drugged = [checking.drugged(w) for w in worked]
    _refuse_unlawful(worked, drugged, case)
    if extension_days and not extension_reason:
        raise Invalid("orders.extension", "延长有效期须注明理由", [FieldError("extension_reason", "请填写理由")])
    person = session.get(Person, encounter.person_id)
    assert person is not None
    checked = checking.checked(session, person, lines, drugged, check_id)
    if checked.stops and not check_reason:
        raise Invalid("orders.checked", "用药审查有严重问题，请修改；确需使用的，填写理由后再开具",
                      [*(FieldError(one.field, one.message) for one in checked.stops),
                       FieldError("check_reason", "请填写理由")])
    store = pharmacy_for(session, encounter, night=night)
    _refuse_short(session, store, worked)
    at = now(session)
    made = Prescription(
        number=numbering.take(session, PRESCRIPTION_SERIES),
        kind=rules.prescription_kind(drugged, emergency=case.place == "emergency" or night),
        person_id=encounter.person_id, encounter_id=encounter.id, department_id=encounter.department_id,
        doctor_id=doctor.id, doctor_name=doctor.name, store_id=store.id, diagnosis=diagnosis, state="issued",
        issued_at=at, business_date=today(session), changed_at=at, changed_by_name=actor.name, revision=1,
        valid_until=rules.valid_until(today(session), extension_days), extension_reason=extension_reason,
        extended_by_name=actor.name if extension_days else "", diagnosis_code=code, chronic_reason=chronic_reason,
        long_term=long_term, assessment=assessment, signed_by=signed_by, at_night=night, override_reason=override_reason,
        consultant_name=consultant, check_state=checked.state, check_text=checked.text, check_reason=check_reason)
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
                         price=w["charged"].price, note=w["note"], charge_line_id=charge_id, group_no=w["group_no"],
                         turns=w["turns"], skin_test=w["drug"].skin_test,
                         in_hospital=w["drug"].ingredient.startswith(rules.ONCE_IN_HOSPITAL))
        for position, (key, w, charge_id) in enumerate(zip(keys, worked, charge_ids, strict=True))]
    session.add(made)
    session.flush()
    signatures.sign(session, actor, signing.KIND, made.id, signing.document(made))
    if override_reason and (level := rules.beyond_level(drugged, case)):
        session.add(AntimicrobialOverride(
            prescription_id=made.id, level=level, reason=override_reason, doctor_id=doctor.id, doctor_name=doctor.name,
            made_at=at, due_at=at + timedelta(hours=24), state="open"))
    audit.record(session, actor, "prescription.issue", "prescription", made.id,
                 {"number": made.number, "check": checked.state, **({"reason": check_reason} if checked.stops else {})})
    return made


def _refuse_unlawful(worked: Sequence[Mapping[str, Any]], drugged: Sequence[rules.Drugged], case: rules.Case) -> None:
    errors = rules.prescription_errors(drugged, case)
    errors += [(f"lines.{i}.quantity", "发药数量须为大于 0 的整数") for i, w in enumerate(worked)
               if w["quantity"] <= 0 or (w["quantity"] % 1 and w["drug"].fiscal_category != rules.HERB)]
    errors += [(f"lines.{i}.quantity", f"{w['drug'].name} 不可拆零，须为整{w['drug'].pack_unit}")
               for i, w in enumerate(worked) if not w["drug"].splittable and w["quantity"] % w["drug"].pack_size]
    groups: dict[int, tuple[str, str, int]] = {}
    for i, w in enumerate(worked):
        told = (w["usage"], w["frequency"], w["days"])
        if not w["group_no"]:
            continue
        if w["usage"] not in GROUP_USAGES:
            errors.append((f"lines.{i}.group_no", f"用法“{w['usage']}”不能成组"))
        elif groups.setdefault(w["group_no"], told) != told:
            errors.append((f"lines.{i}.usage", f"第 {w['group_no']} 组的用法、频次、天数须一致"))
    if errors:
        raise Invalid("orders.limits", "处方不符合规定，请按提示修改", [FieldError(f, m) for f, m in errors])


def _refuse_short(session: Session, store: Store, worked: Sequence[Mapping[str, Any]]) -> None:
    free = stock.available(session, store.id, [w["drug"].id for w in worked])
    short = [FieldError(f"lines.{i}.quantity", f"{store.name}可用 {free[w['drug'].id].normalize():f}{w['drug'].base_unit}")
             for i, w in enumerate(worked) if free[w["drug"].id] < w["quantity"]]
    if short:
        raise Conflict("orders.short", f"{store.name}库存不足，请调整数量或更换药品", short)


def _consultant(session: Session, consultant_id: int | None, doctor_id: int) -> str:
    """The name of the expert who consents to special-use antimicrobials: another doctor with the level (RX-08)."""
    if consultant_id is None:
        return ""
    found = masterdata.staff(session, consultant_id)
    if found.id == doctor_id or rules.antimicrobial_level(found.right_set, found.title) < len(rules.LEVELS):
        raise Invalid("orders.consultant", "会诊医师须为另一名有特殊使用级处方权的高级职称医师",
                      [FieldError("consultant_id", "请另选会诊医师")])
    return found.name


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


def cancel_prescription(session: Session, actor: Actor, prescription_id: int, reason: str) -> Prescription:
    """Cancel an unpaid prescription and void its lines; the audit trail says why. :raises Conflict: it is paid (refund it) or
    cancelled."""
    return _cancel(session, actor, Prescription, prescription_id, "prescription", "处方", reason)


def cancel_request(session: Session, actor: Actor, request_id: int, reason: str) -> Request:
    """Cancel an unpaid request and void its lines; the audit trail says why. :raises Conflict: it is paid (refund it) or
    cancelled."""
    return _cancel(session, actor, Request, request_id, "request", "申请", reason)


def _cancel(session: Session, actor: Actor, model: type[Order], key: int, source: str, title: str, reason: str) -> Order:
    if not portable.guarded_update(session, model, (model.id == key) & (model.state == "issued"),
                                   {"state": "cancelled", "changed_at": now(session), "changed_by_name": actor.name}):
        raise not_in_state(session, model, key, title)
    void_lines(session, source, key)
    audit.record(session, actor, f"{source}.cancel", source, key, {"reason": reason})
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
