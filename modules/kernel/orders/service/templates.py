"""协定处方: lines kept under a name, for oneself, the department or the hospital."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.db import now, of
from his_server.errors import Conflict, Forbidden, NotFound
from his_server.security import audit
from modules.kernel.masterdata import service as masterdata
from modules.kernel.orders.models import OrderTemplate, OrderTemplateLine
from modules.kernel.orders.service.prescribing import work_out

SCOPES = ("own", "department", "hospital")


def save_template(session: Session, actor: Actor, *, name: str, scope: str, lines: Sequence[Mapping[str, Any]]
                  ) -> OrderTemplate:
    """Keep lines under a name. :raises Invalid: a line can't be prescribed. :raises Forbidden: the hospital's are the
    work of senior doctors."""
    if actor.staff_id is None:
        raise Conflict("orders.no_doctor", "当前账号没有对应的医生，不能保存协定处方")
    doctor = masterdata.staff(session, actor.staff_id)
    if scope == "hospital" and "主任" not in doctor.title:
        raise Forbidden("orders.template_scope", "全院协定处方须由主任或副主任医师保存，请改为个人或本科室")
    work_out(session, lines)
    made = OrderTemplate(name=name, scope=scope, staff_id=doctor.id, staff_name=doctor.name, made_at=now(session),
                         department_id=actor.department_id if scope == "department" else None, active=True)
    session.add(made)
    session.flush()
    portable.insert_many(session, OrderTemplateLine, [
        {"id": key, "template_id": made.id, "position": n, "drug_id": line["drug_id"], "dose": line["dose"],
         "usage": line["usage"], "frequency": line["frequency"], "days": line["days"], "group_no": line["group_no"]}
        for n, (key, line) in enumerate(zip(of(session).keys.take(len(lines)), lines, strict=True))])
    audit.record(session, actor, "order_template.save", "order_template", made.id, {"name": name, "scope": scope})
    return made


def drop_template(session: Session, actor: Actor, template_id: int) -> None:
    """Take one's own template out of the list."""
    found = session.get(OrderTemplate, template_id)
    if found is None or not found.active:
        raise NotFound("orders.template", "没有这个协定处方，请刷新后重试")
    if found.staff_id != actor.staff_id:
        raise Forbidden("orders.template_owner", f"只有 {found.staff_name} 可以删除这个协定处方")
    found.active = False
    session.flush()
    audit.record(session, actor, "order_template.drop", "order_template", template_id, {"name": found.name})
