"""One settlement event for every channel leads to the PACS; its compensating event takes back (H1).

Implements: H1, H10

``ChargeSettled`` and ``RefundMade`` share the settlement's number as their key, so that a refund never overtakes the payment.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from his_server.about import about
from his_server.db import Database
from his_server.messaging.outbox import Event, Refused
from interfaces.pacs import mapping
from modules.kernel.charging.models import ChargeLine
from modules.kernel.charging.ports import CONFIRMED
from modules.kernel.masterdata.models import ChargeItem, Department
from modules.kernel.orders.models import Request, RequestLine
from modules.kernel.patients.models import Person

PORT = "pacs"


def confirm(database: Database, event: Event) -> None:
    """Paid exams may be performed. :raises NotSent, LostAnswer: again later. :raises Refused: the PACS won't have it."""
    _tell(database, event, dict.fromkeys(event.payload["line_ids"]), event.payload["number"])


def cancel(database: Database, event: Event) -> None:
    """Refunded exams may not be performed any more. :raises NotSent, LostAnswer, Refused: as :func:`confirm`."""
    quantities = {line["line_id"]: Decimal(line["quantity"]) for line in event.payload["lines"]}
    _tell(database, event, quantities, event.payload["of_number"])


def _tell(database: Database, event: Event, quantities: Mapping[int, Decimal | None], settlement: str) -> None:
    port = database.ports.get(PORT)
    if port is None:
        return
    with database.begin(write=False) as session:
        requests = _requests(session, port.settings.kinds, quantities, settlement)
    with about(person_id=event.payload["person_id"]):
        for request in requests:
            body = mapping.message(event.id, request)
            send = port.confirm if event.type == "ChargeSettled" else port.cancel
            answer = send(request.number, body)
            if answer.state != CONFIRMED:
                raise Refused(f"{request.number}：{answer.message or 'PACS 拒绝接收'}")


def _requests(session: Session, kinds: tuple[str, ...], quantities: Mapping[int, Decimal | None], settlement: str
              ) -> list[mapping.Paid]:
    """The exams among these charge lines by request; two queries. A quantity of None is the whole line."""
    rows = session.execute(
        select(ChargeLine.id, ChargeLine.code, ChargeLine.name, ChargeLine.quantity, ChargeLine.source_id,
               RequestLine.position)
        .join(ChargeItem, ChargeItem.id == ChargeLine.item_id).join(RequestLine, RequestLine.id == ChargeLine.source_line_id)
        .where(ChargeLine.id.in_(quantities), ChargeLine.source == "request", ChargeItem.performing_kind.in_(kinds))
        .order_by(ChargeLine.id)).all()
    if not rows:
        return []
    exams: dict[int, list[mapping.Exam]] = defaultdict(list)
    for row in rows:
        given = quantities[row.id]
        exams[row.source_id].append(mapping.Exam(row.position, row.code, row.name, row.quantity if given is None else given))
    performing = Department.__table__.alias("performing")
    heads = session.execute(
        select(Request, Person, Department.code.label("department"), performing.c.code.label("performing"))
        .join(Person, Person.id == Request.person_id).join(Department, Department.id == Request.department_id)
        .join(performing, performing.c.id == Request.performing_department_id)
        .where(Request.id.in_(exams)).order_by(Request.id)).all()
    return [mapping.Paid(head.Request.number, settlement, (head.Person.outpatient_no, head.Person.name, head.Person.sex),
                         head.Request.diagnosis or "", head.department, head.Request.doctor_name, head.performing,
                         exams[head.Request.id]) for head in heads]
