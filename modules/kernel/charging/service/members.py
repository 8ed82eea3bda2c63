"""Whose insurance it is: a credential finds the file that is there, by identity (M1.12).

Implements: M1.12
"""

from __future__ import annotations

from sqlalchemy.orm import Session

from his_server.actor import Actor
from his_server.errors import Conflict
from his_server.security import audit
from modules.kernel.charging.ports import Member
from modules.kernel.patients import service as patients
from modules.kernel.patients.service import Recognised


def find(session: Session, actor: Actor, member: Member) -> Recognised:
    """The member's file, by member number or identity; a prefilled form where there is none. Makes no file."""
    return patients.recognise(session, actor, kind="insurance", id_no=member.id_no if member.id_type == "01" else "",
                              card_no=member.member_no, name=member.name, sex=member.sex, birth_date=member.birth_date)


def link(session: Session, actor: Actor, person_id: int, member: Member) -> None:
    """Give the member number to the person's file. :raises Conflict: they are two people, or it is somebody else's."""
    check(session, person_id, member)
    patients.add_identifier(session, actor, person_id, "insurance_no", member.member_no)
    audit.record(session, actor, "insurance.link", "person", person_id, {})


def check(session: Session, person_id: int, member: Member) -> None:
    """A credential pays for its own holder only.

    By ID number where the file has one, else by name. :raises Conflict: it is another person's.
    """
    person = patients.get(session, person_id)
    if person.id_no and member.id_no:
        same = person.id_no.upper() == member.id_no.upper()
    else:
        same = person.legal_name == member.name
    if not same:
        raise Conflict("insurance.other_person", "医保凭证与所选病人不是同一人，不能医保结算；请核对病人，或由本人出示凭证")
