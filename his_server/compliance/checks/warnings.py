"""What a doctor is told before a prescription is issued, and that nobody takes silence for consent (RX-10)."""

from __future__ import annotations

from his_server.compliance.checks.tracing import NEEDS, WHOLE, at, shelf_of, told
from his_server.compliance.frame import Evidence, check
from his_server.compliance.target import Target


@check("RX-10", *NEEDS)
def warned(target: Target, seen: Evidence) -> None:
    """Repetition is told, an allergy stops until a reason is written; an outside check is asked where there is one."""
    drug = {"id": shelf_of(target).catalogue.drugs["追溯"]}
    file = target.whoever("patients.edit")
    with at(target) as who:
        line = {"drug_id": drug["id"], "dose": "1", "usage": "口服", "frequency": "qd", "days": 3, "quantity": str(WHOLE)}
        asked = {"encounter_id": who.visit.encounter, "diagnosis": "合规测试", "lines": [line]}
        outside = who.visit.doctor.post("/api/orders/prescriptions/check", asked).good("开具前审查")
        who.order(drug, WHOLE)
        again = who.ask(drug, WHOLE)
        text = again.json.get("check_text") or ""
        shown = again.status == 201 and "重复" in text
        seen.see(shown, "同一成分又开：提示核对重复用药，提示留在处方上给药师看", text or told(again))
        revision = file.get(f"/api/patients/{who.visit.person}").good("打开病人")["revision"]
        change = {"revision": revision, "allergies": f"{target.mark}追溯药片"}
        file.put(f"/api/patients/{who.visit.person}", change).good("登记过敏史")
        stopped = who.ask(drug, WHOLE)
        messages = [one["message"] for one in stopped.json.get("errors") or ()]
        shown = any("过敏" in one for one in messages)
        seen.see(stopped.status == 422 and shown, "过敏：开方时提示，没有理由不能开", messages or told(stopped))
        issued = who.ask(drug, WHOLE, check_reason="合规测试")
        seen.see(issued.status == 201, "写明理由可以开", told(issued))
        query = f"/api/orders/warned?from={target.today}&to={target.today}&limit=50"
        listed = target.whoever("orders.oversee").get(query).good("警示后仍开具的处方")["items"]
        kept = any(one["id"] == issued.json.get("id") and one["check_reason"] and one["doctor_name"] for one in listed)
        seen.see(kept, "警示、理由与开方人留存，可供监督", f"{len(listed)} 条")
    if outside["check_id"] is None:
        seen.lacks("外部合理用药系统不应答时的提示：本安装没有接入（开发侧由 tests/modules/kernel/orders 证明）")
    else:
        seen.note("外部合理用药系统", outside["state"])
        seen.lacks("外部合理用药系统不应答时的提示：须由测评人员在现场断开它")
