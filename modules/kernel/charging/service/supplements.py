"""Supplementary charging (补录): items charged to a visit without an order, from whatever desk the patient sits at.

Implements: M1.16, M10.4
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy.orm import Session

from dialects import portable
from his_server.actor import Actor
from his_server.db import today
from his_server.errors import Conflict, FieldError, Invalid
from his_server.security import audit
from modules.kernel.charging.models import ChargeLine
from modules.kernel.charging.service.lines import NewLine, add_lines
from modules.kernel.encounters import service as encounters
from modules.kernel.masterdata import service as masterdata


def supplement(session: Session, actor: Actor, *, encounter_id: int, performing_department_id: int,
               lines: Sequence[Mapping[str, object]]) -> list[int]:
    """补录: charge items to a visit without an order (M1.16). Errors name field and line; nothing is kept between calls."""
    encounter = encounters.get(session, encounter_id)
    if encounter.state == "cancelled":
        raise Conflict("billing.visit_cancelled", "该次就诊已退号，不能补录费用")
    masterdata.department(session, performing_department_id)
    items = masterdata.items(session, [int(str(line["item_id"])) for line in lines])
    prices = masterdata.item_prices(session, items, today(session))
    errors = [FieldError(f"lines.{i}.item_id", "没有这个项目、已停用或没有当日价格") for i, line in enumerate(lines)
              if line["item_id"] not in prices or not items[line["item_id"]].active]
    if errors:
        raise Invalid("billing.items", "补录内容有误，请按提示修改后重新提交", errors)
    added = add_lines(session, actor, encounter.person_id, encounter.id, [
        NewLine(source="supplement", source_id=encounter.id, source_line_id=0, kind="item", item_id=item.id,
                code=item.code, name=item.name, spec=None, unit=item.unit, price=prices[item.id],
                quantity=line["quantity"],  # type: ignore[arg-type]
                fiscal_category=item.fiscal_category, insurance_level=item.insurance_level,
                ordering_department_id=actor.department_id, ordering_staff_id=actor.staff_id,
                performing_department_id=performing_department_id)
        for line in lines for item in (items[line["item_id"]],)])  # type: ignore[index]
    audit.record(session, actor, "charge.supplement", "encounter", encounter.id, {"lines": added})
    return added


def void_supplement(session: Session, actor: Actor, line_id: int, reason: str, *, encounter_id: int | None = None) -> None:
    """Take an unsettled supplementary line back; the audit trail says why. ``encounter_id``: only one of this visit.

    :raises Conflict: it is settled or void, or of another visit.
    """
    mine = (ChargeLine.id == line_id) & (ChargeLine.state == "open") & (ChargeLine.source == "supplement")
    if encounter_id is not None:
        mine &= ChargeLine.encounter_id == encounter_id
    if not portable.guarded_update(session, ChargeLine, mine, {"state": "void"}):
        raise Conflict("billing.not_voidable", "该费用已收取、已作废或不是补录费用，请刷新后核对")
    audit.record(session, actor, "charge.void", "charge_line", line_id, {"reason": reason})
