"""Which events lead to which calls of the machine. Exactly one push per settled prescription.

Implements: M7.1, M7.2, M7.3, H9

``PrescriptionReady`` pushes: the settlement of whatever channel records it, with its own lines, in its own transaction. What
has to be reviewed first (the store's rule, alerts) ``PrescriptionReviewed`` pushes, with the lines of that settlement. The row
of the prescription is written before the machine is called, the window and the payload are fixed in it, and a call whose answer
was lost is asked about before anything is sent again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dialects import portable
from his_server.about import about
from his_server.db import Database, now, today
from his_server.messaging.outbox import Event, LostAnswer, NotSent, Refused
from interfaces.dispensing_machine import mapping
from interfaces.dispensing_machine.contract import ACCEPTED, CANCELLED, DRUG_FIELDS, HANDED, READY, There
from interfaces.dispensing_machine.models import MachineOrder
from interfaces.dispensing_machine.settings import Settings
from interfaces.hub import syncing
from modules.kernel.charging.models import ChargeLine, ChargeLineState, Settlement
from modules.kernel.charging.ports import CONFIRMED, REFUSED, Outcome
from modules.kernel.dispensing.models import DispensingTask, PickupWindow
from modules.kernel.masterdata import service as masterdata
from modules.kernel.masterdata.models import Drug
from modules.kernel.orders.models import Prescription, PrescriptionLine
from modules.kernel.patients.models import Person
from modules.kernel.stock.models import Store
from modules.outpatient_pharmacy.models import DrugLocation
from modules.outpatient_pharmacy.service.checking import Checked
from modules.outpatient_pharmacy.service.dispensing import held_back

log = logging.getLogger("his.machine")
PORT = "dispensing-machine"
LIGHT_FOR = timedelta(minutes=5)
"""A call at the window that is older lights nothing any more."""
DRUGS_AT_ONCE = 50
AT_MACHINE = ("sending", "sent", "ready")
HAND_MADE = {"bounced": "传送前已退回医师，请人工调配", "picked": "传送前已人工调配", "done": "传送前已人工发药或退费",
             "withdrawn": "传送前已退费"}
"""States of a dispensing task in which a prescription isn't sent any more; nothing of it is ever sent later."""
STEPS = {READY: "ready", HANDED: "handed", CANCELLED: "withdrawn"}


def push(database: Database, event: Event) -> None:
    """A settled prescription goes to the machine of its pharmacy, once, and not before its review where it needs one.

    :raises NotSent: surely not sent, or the drug check hasn't answered yet. :raises LostAnswer: to be asked about.
    :raises Refused: the machine won't have it.
    """
    port = database.ports.get(PORT)
    if port is None:
        return
    with database.begin() as session:
        order = _written_down(session, event, port.settings)
        if order is None or order.state not in ("new", "sending"):
            return
        key, number, begun, payload = order.id, order.number, order.state == "sending", order.payload or ""
        person = session.scalar(select(Prescription.person_id).where(Prescription.id == order.prescription_id))
    with about(person_id=person, business_key=number):
        if begun and _arrived(database, port, key):
            return
        if not _begin(database, key, event.payload, port.settings):
            return
        _sent(database, key, _call(database, key, lambda: port.push(number, payload)))


def was_pushed(database: Database, event: Event) -> bool:
    """Whether the machine has a prescription whose answer was lost.

    :raises LostAnswer: nobody can tell yet, or ever: the machine can't be asked, or doesn't answer.
    """
    port = database.ports.get(PORT)
    with database.begin(write=False) as session:
        found = session.execute(select(MachineOrder.id, MachineOrder.state).where(
            MachineOrder.prescription_id == event.payload["prescription_id"])).first()
    if port is None or found is None:
        return False  # it died before the row was written: nothing was sent
    if found.state != "sending":
        return found.state != "new"
    if not port.settings.can_query:
        raise LostAnswer("发药机不支持查询，请到发药机上核对该处方，再选择“确认已收到”或“重新发送”")
    with about(business_key=event.business_key):
        return _arrived(database, port, found.id)


def _written_down(session: Session, event: Event, settings: Settings) -> MachineOrder | None:
    """The prescription's row, made at the first try; None where its pharmacy has no machine, or its review is to come."""
    told = event.payload
    found = session.scalar(select(MachineOrder).where(MachineOrder.prescription_id == told["prescription_id"]))
    if found is not None:
        if found.settlement_id != told["settlement_id"]:
            log.error("prescription %s was settled again: not pushed a second time", told["number"])
            return None
        return found
    store = session.get_one(Store, told["store_id"])
    if settings.stores and store.code not in settings.stores:
        return None
    if settings.await_review and (held := _held_back(session, told["task_id"])) is not None:
        if held.outcome == "pending" and not held.alerts:
            raise NotSent("合理用药系统尚未审查，审查后再传发药机")
        return None
    window = _window(session, told["task_id"], store.id)
    made = MachineOrder(
        prescription_id=told["prescription_id"], settlement_id=told["settlement_id"], store_id=store.id,
        number=told["number"], window=window or 0, state="new" if window else "unsent",
        note="" if window else "药房没有开放的窗口，请人工调配", made_at=now(session), changed_at=now(session))
    made.payload = _payload(session, told, store, window or 0)
    session.add(made)
    session.flush()
    return made


def _held_back(session: Session, task_id: int) -> Checked | None:
    """What a person has to look at before the machine may begin."""
    task = session.get(DispensingTask, task_id)
    if task is None or task.state not in ("waiting", "bounced"):
        return None
    return held_back(session, task, session.get_one(Prescription, task.prescription_id))


def _window(session: Session, task_id: int, store_id: int) -> int | None:
    """The window where the patient waits by now (another one than at the payment where that was closed meanwhile), else the
    first open one of the pharmacy; None: none is open (M7.1)."""
    own = session.scalar(select(PickupWindow.number).join(DispensingTask, DispensingTask.window_id == PickupWindow.id)
                         .where(DispensingTask.id == task_id))
    return own or session.scalar(select(PickupWindow.number).where(
        PickupWindow.store_id == store_id, PickupWindow.state == "open").order_by(PickupWindow.number).limit(1))


def _payload(session: Session, told: Mapping[str, Any], store: Store, window: int) -> str:
    """The event's own lines (M7.3) with what the machine wants to know of them."""
    head = session.get_one(Prescription, told["prescription_id"])
    person = session.get_one(Person, head.person_id)
    department = masterdata.department(session, head.department_id)
    assert department is not None
    settlement = session.execute(select(Settlement.number, Settlement.settled_at)
                                 .where(Settlement.id == told["settlement_id"])).one()
    wanted = {line["line_id"]: Decimal(line["quantity"]) for line in told["lines"]}
    rows = session.execute(
        select(PrescriptionLine, ChargeLine, Drug, DrugLocation.shelf)
        .join(ChargeLine, ChargeLine.id == PrescriptionLine.charge_line_id)
        .join(Drug, Drug.id == PrescriptionLine.drug_id)
        .outerjoin(DrugLocation, (DrugLocation.drug_id == Drug.id) & (DrugLocation.store_id == store.id))
        .where(PrescriptionLine.id.in_(wanted)).order_by(PrescriptionLine.position)).all()
    lines = [mapping.Line(
        line.id, drug.code, drug.name, drug.spec, wanted[line.id], drug.base_unit, drug.pack_unit, drug.pack_size,
        drug.manufacturer, drug.form, charge.price, charge.amount, f"{mapping.plain(line.dose)}{line.dose_unit}",
        line.usage, line.frequency, line.note or "", shelf or "") for line, charge, drug, shelf in rows]
    return mapping.prescription(
        mapping.Head(head.number, window, settlement.number, settlement.settled_at, head.kind, head.diagnosis or "",
                     (department.code, department.name), head.doctor_name, store.code),
        mapping.Patient(person.outpatient_no, person.name, person.sex, person.birth_date), lines, today(session))


def _begin(database: Database, key: int, told: Mapping[str, Any], settings: Settings) -> bool:
    """Whether the machine may be called: everything of the prescription still has to be made ready.

    The task is locked for it, so that this and whoever makes ready, hands out or gives back by hand queue up: what was
    touched by hand first isn't sent; of what is sent first the machine is told afterwards (:func:`confirm`).
    """
    with database.begin() as session:
        why = _by_hand(session, told, settings)
        values = {"state": "unsent", "note": why} if why else {"state": "sending"}
        done = portable.guarded_update(session, MachineOrder, (MachineOrder.id == key) & (MachineOrder.state == "new"),
                                       {**values, "changed_at": now(session)})
    return bool(done) and not why


def _by_hand(session: Session, told: Mapping[str, Any], settings: Settings) -> str:
    """Why a prescription isn't the machine's any more, or nothing. Locks its task."""
    state = session.scalar(select(DispensingTask.state).where(DispensingTask.id == told["task_id"]).with_for_update())
    if state in HAND_MADE:
        return HAND_MADE[state]
    if settings.await_review and _held_back(session, told["task_id"]) is not None:  # given back to the doctor since, or found
        return "传送前须重新审方，请人工调配"
    refunded = session.scalar(
        select(PrescriptionLine.id).join(ChargeLineState, ChargeLineState.line_id == PrescriptionLine.charge_line_id)
        .where(PrescriptionLine.prescription_id == told["prescription_id"], ChargeLineState.refunded > 0).limit(1))
    return "" if refunded is None else "传送前已部分退费，其余请人工调配"


def _call(database: Database, key: int, call: Any) -> Any:
    try:
        return call()
    except (NotSent, Refused) as error:  # surely not done: the row may be sent again, or never
        values = {"state": "new"} if isinstance(error, NotSent) else {
            "state": "refused", "note": str(error)[:200], "alarm": True}
        _set(database, key, ("sending",), values)
        raise


def _sent(database: Database, key: int, answer: Outcome) -> None:
    if answer.state == REFUSED:
        _set(database, key, ("sending",), {"state": "refused", "note": answer.message, "alarm": True})
        raise Refused(f"{answer.message}，请人工调配")
    _accepted(database, key, answer.peer_number or "")


def _accepted(database: Database, key: int, window: str, state: str = "sent") -> None:
    """The machine has it; another window than ours is an alarm: somebody would wait at the wrong one (M7.1)."""
    with database.begin() as session:
        ours = session.scalar(select(MachineOrder.window).where(MachineOrder.id == key))
        other = bool(window) and window != str(ours)
        portable.guarded_update(session, MachineOrder, (MachineOrder.id == key) & MachineOrder.state.in_(("sending", "new")), {
            "state": state, "machine_window": window, "sent_at": now(session), "changed_at": now(session),
            "alarm": other, "note": f"发药机答复窗口 {window}，与本院分配的 {ours} 号不一致" if other else ""})


def _arrived(database: Database, port: Any, key: int) -> bool:
    """Ask about a call that was begun; when it surely isn't there the row may be sent again. :raises LostAnswer: who knows."""
    with database.begin(write=False) as session:
        number, since = session.execute(select(MachineOrder.number, MachineOrder.changed_at)
                                        .where(MachineOrder.id == key)).one()
        quiet = now(session) - since
    if not port.settings.can_query:  # a person looked there and said: send it again
        _set(database, key, ("sending",), {"state": "new"})
        return False
    there: There = port.state(number)
    if there.known:
        _accepted(database, key, there.window, STEPS.get(there.step, "sent"))
        return True
    if quiet < timedelta(seconds=port.settings.settle_seconds):
        raise LostAnswer("发药机尚无该处方，但传送可能仍在途中，稍后再查")
    _set(database, key, ("sending",), {"state": "new"})
    return False


def _set(database: Database, key: int, before: tuple[str, ...], values: Mapping[str, Any]) -> bool:
    with database.begin() as session:
        return bool(portable.guarded_update(session, MachineOrder, (MachineOrder.id == key) & MachineOrder.state.in_(before),
                                            {**values, "changed_at": now(session)}))


# Afterwards

def take_back(database: Database, event: Event) -> None:
    """A refund or a return to the doctor before it was handed out: the machine lets go of it. What of a partly refunded
    prescription is left is picked by hand: nothing is ever pushed a second time."""
    port, found = _at_machine(database, event)
    if port is None or found is None:
        return
    if found.state in ("new", "unsent", "refused"):
        _set(database, found.id, ("new",), {"state": "unsent", "note": "传送前已退费或退回医师"})
        return
    if found.state == "withdrawn":
        return
    answer = port.cancel(found.number)
    if answer.state == CONFIRMED:
        rest = event.type == "PrescriptionChanged"
        _set(database, found.id, AT_MACHINE, {
            "state": "withdrawn", "alarm": False, "note": "部分退费，其余请人工调配" if rest else "已从发药机撤回"})
    else:
        _set(database, found.id, ("sending", "sent", "ready", "handed"), {
            "state": "handed", "alarm": True, "note": f"{answer.message}，药品须收回"})


def confirm(database: Database, event: Event) -> None:
    """Handed out over the counter, all or a part. What the machine had put out, its screen may forget; what it hadn't was
    picked by hand: the machine lets go of it, or it would be picked a second time.

    Without the extension GetPresState nobody can tell, and ConfirmPres has to do both.
    """
    port, found = _at_machine(database, event)
    if port is None or found is None:
        return
    if found.state not in AT_MACHINE:
        _set(database, found.id, ("new",), {"state": "unsent", "note": "传送前已人工发药"})
    elif _not_put_out(port, found):
        done = port.cancel(found.number).state == CONFIRMED
        _set(database, found.id, AT_MACHINE, {"state": "withdrawn", "alarm": False, "note": "已人工发药，从发药机撤回"} if done
             else {"state": "handed", "alarm": True, "note": "已人工发药，发药机也已发出，请核对病人手中药品"})
    elif event.payload["whole"]:
        port.confirm(found.number, found.window)
        _set(database, found.id, AT_MACHINE, {"state": "handed"})


def _not_put_out(port: Any, found: Any) -> bool:
    """Whether the machine has yet to put out what a person has just handed out, which then came from the shelf."""
    return found.state != "ready" and port.settings.can_query and port.state(found.number).step == ACCEPTED


def light(database: Database, event: Event) -> None:
    """A called patient's box lights up. Too late is as good as never."""
    port, found = _at_machine(database, event)
    if port is None or found is None or database.clock.now() - event.occurred_at > LIGHT_FOR:
        return
    if found.state in ("sent", "ready"):
        port.light(found.number, event.payload["window"])


def move(database: Database, event: Event) -> None:
    """The window was closed and the patient sent to another one of the same pharmacy.

    :raises NotSent: the push is still on its way; the move follows it.
    """
    port, found = _at_machine(database, event)
    if port is None or found is None:
        return
    if found.state in ("new", "sending"):
        raise NotSent("处方尚未传到发药机，稍后再改窗口")
    if found.state in ("sent", "ready"):
        answer = port.move(found.number, event.payload["window"])
        done = answer.state == CONFIRMED
        _set(database, found.id, ("sent", "ready"), {
            "window": event.payload["window"], "alarm": not done,
            "note": "" if done else f"发药机没有改窗口：{answer.message}，请提醒病人到 {event.payload['window']} 号窗口"})


def _at_machine(database: Database, event: Event) -> tuple[Any, Any]:
    port = database.ports.get(PORT)
    if port is None:
        return None, None
    with database.begin(write=False) as session:
        return port, session.execute(
            select(MachineOrder.id, MachineOrder.state, MachineOrder.number, MachineOrder.window)
            .where(MachineOrder.prescription_id == event.payload["prescription_id"])).first()


def send_drugs(database: Database) -> int:
    """The drug dictionary: what is new or changed since the machine last took it; returns how many. A lost answer is sent
    again with the next run: the machine keeps one row per drug code."""
    port = database.ports.get(PORT)
    return 0 if port is None else syncing.send_changed(
        database, "dispensing_machine", "drug", _dictionary, DRUGS_AT_ONCE,
        lambda rows: port.drugs(mapping.rows("XMLMedInfo", DRUG_FIELDS, rows)))


def _dictionary(session: Session) -> dict[str, dict[str, str]]:
    drugs = list(session.scalars(select(Drug).where(Drug.active).order_by(Drug.code)))
    prices = masterdata.drug_prices(session, [drug.id for drug in drugs], today(session))
    shelves: dict[int, str] = dict(session.execute(
        select(DrugLocation.drug_id, DrugLocation.shelf).order_by(DrugLocation.store_id)).all())
    return {drug.code: {
        "MedOnlyCode": drug.code, "MedName": drug.name, "MedUnit": drug.base_unit, "MedPack": drug.spec,
        "MedUnitPack": drug.pack_unit, "MedConvercof": str(drug.pack_size), "MedPYCode": syncing.initials(drug.name),
        "MedFactory": drug.manufacturer, "MedUnitPrice": mapping.plain(prices[drug.id]),
        "MedShelf": shelves.get(drug.id, "")} for drug in drugs if drug.id in prices}
