"""Who may write which antimicrobial, and what follows a rescue beyond one's level (RX-08)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from his_server.compliance.checks.prescribing import NEEDS, desk
from his_server.compliance.checks.tracing import shelf_of, told
from his_server.compliance.client import Visitor
from his_server.compliance.frame import Evidence, NotRun, check
from his_server.compliance.target import Target

LEVELS = ("非限制", "限制", "特殊")
RESCUE = {"override_reason": "抢救生命垂危病人"}
OVERRIDES = "/api/orders/overrides"


@check("RX-08", *NEEDS, "database")
def rights(target: Target, seen: Evidence) -> None:
    """Antimicrobial level × title × right; a rescue beyond one's level for one day; special use not in the clinic; what isn't
    made good within 24 hours is listed as overdue."""
    shelf_of(target)
    with desk(target, seen) as at:
        for title, granted, may in (("住院医师", LEVELS, 1), ("主治医师", LEVELS, 2), ("主任医师", LEVELS[:1], 1),
                                    ("主任医师", (), 0)):
            doctor = at.doctor(title, *(f"抗菌{one}" for one in granted))
            for n, level in enumerate(LEVELS[:2], 1):
                what = f"{title}（处方权：{'、'.join(granted) or '无'}）开{level}使用级"
                (at.passes if n <= may else at.refused)(what, at.ask(doctor, level, 1))
        chief, junior = (at.doctor(title, *(f"抗菌{one}" for one in LEVELS)) for title in ("主任医师", "住院医师"))
        at.refused("主任医师门诊开特殊使用级", at.ask(chief, "特殊", 1))
        at.refused("抢救越级 2 日", at.ask(junior, "限制", 2, **RESCUE))
        line = {"drug_id": at.catalogue.drugs["限制"], "dose": "1", "usage": "口服", "frequency": "qd", "days": 1,
                "quantity": "1"}
        made = junior.post("/api/orders/prescriptions", {
            "encounter_id": at.visit.encounter, "diagnosis": "合规测试", "lines": [line], **RESCUE})
        if not seen.see(made.status == 201, "抢救越级，写明理由，1 日：可以开", told(made)):
            return
        try:
            _made_good(target, seen, made.json["id"], junior, chief)
        finally:
            junior.post(f"/api/orders/prescriptions/{made.json['id']}/cancel", {"reason": "合规测试"})


def _made_good(target: Target, seen: Evidence, prescription: int, junior: Visitor, chief: Visitor) -> None:
    """The rescue waits for its formalities, is overdue after a day, and another doctor with the level sees to them."""
    row = target.db.rows("antimicrobial_override", prescription_id=prescription)[0]
    seen.see(_listed(chief, row["id"]), "越级使用列入 24 小时补办清单", f"应在 {row['due_at']} 前补办")
    seen.see(not _listed(chief, row["id"], "overdue=true&"), "24 小时内不算超期", "不在超期清单")
    with target.db.altered("antimicrobial_override", {"id": row["id"]}, due_at=_a_day_earlier(row["due_at"])):
        late = _listed(chief, row["id"], "overdue=true&")
        seen.see(late and late["late"] is True, "超过 24 小时未补办即列为超期", late or "不在超期清单")
    seen.note("怎样过去一天", "应补办时间由 SQL 提前，看完还原；主机时钟没有动")
    complete = f"{OVERRIDES}/{row['id']}/complete"
    own = junior.post(complete, {"note": "合规测试"})
    seen.see(own.status == 403, "越级的医生自己不能补办", told(own))
    done = chief.post(complete, {"note": "合规测试"})
    seen.see(done.status == 200, "另一名有处方权的医生补办", told(done))
    again = chief.post(complete, {"note": "合规测试"})
    seen.see(again.status == 409, "已补办的不能再补办", told(again))
    seen.see(not _listed(chief, row["id"]), "补办后不再列入清单", "已移出")


def _listed(doctor: Visitor, override: int, query: str = "") -> dict[str, Any] | None:
    """The rescue's line of the list, page by page. :raises NotRun: the list isn't shown."""
    after = ""
    while True:
        page = doctor.get(f"{OVERRIDES}?{query}limit=100{after}").good("读取补办清单")
        for one in page["items"]:
            if one["id"] == override:
                found: dict[str, Any] = one
                return found
        if not page.get("next"):
            return None
        if after == f"&after={page['next']}":
            raise NotRun("补办清单翻页没有前进")
        after = f"&after={page['next']}"


def _a_day_earlier(value: Any) -> Any:
    """A stored instant, as this database's driver gives it, 25 hours earlier."""
    if isinstance(value, datetime):
        return value - timedelta(hours=25)
    moment = datetime.fromisoformat(str(value)) - timedelta(hours=25)
    return moment.isoformat(sep=str(value)[10], timespec="microseconds")
