"""A card was read: whose is it? Existing files are found by identity, so that nobody gets a second one (M1.12)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from his_server.actor import Actor
from his_server.db import today
from his_server.errors import invalid
from his_server.security import audit
from modules.kernel.patients import rules
from modules.kernel.patients.models import Person, PersonIdentifier
from modules.kernel.patients.service.merging import survivors

SEXES = {"男": "1", "女": "2"}
"""As reader agents say it → GB/T 2261.1."""
CARD_KINDS = {"id_card": "id_no", "insurance": "insurance_no", "hospital_card": "hospital_card",
              "social_card": "social_card"}


@dataclass(frozen=True)
class Recognised:
    """Who a card belongs to: ``persons`` (by the card or the identity on it) or a prefilled ``form`` for a new file.

    ``linked``: the card's own number is known already; otherwise the clerk is offered to link it to the person.
    """

    persons: list[Person]
    linked: bool
    form: dict[str, Any] = field(default_factory=dict)


def recognise(session: Session, actor: Actor, *, kind: str, id_no: str = "", card_no: str = "", name: str = "",
              sex: str | None = None, birth_date: date | None = None, address: str = "") -> Recognised:
    """Find the files that a read card belongs to; two queries at most, and none of it makes a file.

    :raises Invalid: the card carries neither a card number nor an identity number, or one that can't be right.
    """
    if kind not in CARD_KINDS:
        raise invalid("kind", "不支持这种卡，请改用身份证、社保卡、医保凭证或院内卡")
    numbers = {}
    form: dict[str, Any] = {"name": name, "sex": SEXES.get(sex or "", sex), "birth_date": birth_date}
    if id_no:
        id_type = rules.type_of(id_no)
        try:
            facts = rules.check_id(id_type, id_no, today(session))
        except rules.IdNumberError as error:
            raise invalid("id_no", str(error)) from error
        numbers["id_no"] = facts.number
        form |= {"id_type": id_type, "id_no": facts.number, "birth_date": facts.birth_date or birth_date,
                 "sex": facts.sex or form["sex"]}
    if card_no:
        numbers[CARD_KINDS[kind]] = rules.normalise_number(card_no)
    if not numbers:
        raise invalid("card_no", "卡内没有读到号码，请重新放置卡片或手工录入")
    if card_no and kind != "id_card":
        form[CARD_KINDS[kind]] = card_no
    blind = {number_kind: PersonIdentifier.number.blinds(number) for number_kind, number in numbers.items()}
    rows = session.execute(
        select(PersonIdentifier.person_id, PersonIdentifier.kind, PersonIdentifier.number_index)
        .where(PersonIdentifier.number_index.in_([index for indexes in blind.values() for index in indexes]),
               PersonIdentifier.kind.in_(blind))).all()
    hits = [row for row in rows if row.number_index in blind[row.kind]]
    people = survivors(session, {row.person_id for row in hits}) if hits else {}
    found = sorted({p.id: p for p in people.values()}.values(), key=lambda p: p.id)
    linked = not card_no or any(row.kind == CARD_KINDS[kind] for row in hits)
    audit.record(session, actor, "patient.recognise", "person", found[0].id if found else 0,
                 {"kind": kind, "found": len(found)})
    if found:
        return Recognised(found, linked)
    # The address on an identity card is that of the household register, nobody's present home (M3.5).
    form |= {"household_detail" if kind == "id_card" else "home_detail": address,
             "birth_date": form["birth_date"].isoformat() if form["birth_date"] else None}
    return Recognised([], False, {key: value for key, value in form.items() if value})
