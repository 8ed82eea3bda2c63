"""Trying again what the insurer refused or didn't answer, from the row of the report (M5.3).

Implements: M5.3
"""

from __future__ import annotations

import json
from typing import Any

from his_server.actor import Actor
from his_server.db import Database
from his_server.errors import Conflict, NotFound
from modules.kernel.charging.models import ChargeLine, InsuranceClaim, Intent
from modules.kernel.charging.ports import Credential
from modules.kernel.charging.service import insured, intents
from modules.kernel.patients.models import Person


def retry(database: Database, actor: Actor, intent_id: int) -> dict[str, Any]:
    """Ask again about what wasn't answered; pre-settle again, by the patient's ID number, what was refused.

    A pre-settlement that passes now is taken back at once: the window settles it with the patient there. Its outcome stands
    in the report like any other. :raises Conflict: the insurer refuses again (its reason), or the bill is settled or void.
    """
    intent = intents.read(database, intent_id)
    if intent.state in ("calling", "unknown"):
        intents.ask(database, actor, intent_id)
        intents.go_on(database, intent_id)
        after = intents.read(database, intent_id)
        return {"state": after.state, "message": after.message or ""}
    with database.begin(write=False) as session:
        claim = session.query(InsuranceClaim).filter(InsuranceClaim.intent_id == intent_id).first()
        if claim is None or intent.state != "refused":
            raise Conflict("failure.done", "该笔已有结果，不需要重试，请刷新查看")
        lines = [int(key) for key in json.loads(claim.plan)["line_ids"]]
        if session.query(ChargeLine).filter(ChargeLine.id.in_(lines), ChargeLine.state != "open").count():
            raise Conflict("failure.settled", "费用已收取或作废，不需要重试")
        person = session.get(Person, claim.person_id)
        if person is None:
            raise NotFound("failure.person", "没有这个病人，请刷新后重试")
        id_no, name, person_id = person.id_no or "", person.legal_name, person.id
        insurance, use_account = claim.insurance, claim.use_account
    if not id_no:
        raise Conflict("failure.no_id", "病人档案没有证件号，不能代为试算，请病人到窗口出示医保凭证")
    credential = Credential("id_no", id_no)
    member = insured.identify(database, credential, name)
    made = insured.preview(database, actor, person_id=person_id, line_ids=lines, credential=credential, member=member,
                           insurance=insurance, use_account=use_account)
    back: Intent = insured.withdraw(database, actor, made.id)
    return {"state": back.state, "message": f"预结算已通过（基金 {made.fund} 元、个人现金 {made.cash} 元），请病人到窗口结算"}
