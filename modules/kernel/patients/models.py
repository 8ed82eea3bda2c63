"""Persons: one record each, whatever numbers they come with (M3.2, M3.14, HS-08)."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from his_server.db import Instant, Keyed, SealedText
from his_server.search import make_search_table
from his_server.security import integrity, seals
from modules.kernel.patients.rules import normalise_number


class Person(Keyed):
    """A person. What nobody said is empty: nothing is defaulted, nothing copied between addresses (M3.5, M3.6).

    ``sex`` GB/T 2261.1, ``id_type`` psn_cert_type, ``marriage`` GB/T 2261.2, ``ethnic`` GB/T 3304. The five places
    (home, household, birth, native, work) have a region code and, sealed, the rest of the address.
    ``*_region_was`` is the code that was entered before the region was reformed (M1.4). A merged person points to the
    survivor by ``merged_into_id`` and is otherwise untouched.
    """

    __tablename__ = "person"
    __table_args__ = (Index("ix_person_birth", "birth_date", "sex"),)
    __history__ = (
        "name", "sex", "birth_date", "birth_date_known", "id_type", "id_no", "phone", "nationality", "ethnic",
        "marriage", "occupation", "allergies", "insurance_no", "home_region", "home_detail", "home_postcode",
        "household_region", "household_detail", "birth_region", "birth_detail", "native_region", "work_unit",
        "work_region", "work_detail", "work_phone", "contact_name", "contact_relation", "contact_phone", "mother_id",
        "merged_into_id")
    name: Mapped[str] = mapped_column(String(100))
    name_kept_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    """The name while the file is 封存; ``name`` says so meanwhile, to every list, report and interface (PR-06)."""
    sex: Mapped[str] = mapped_column(String(1), default="0")
    birth_date: Mapped[date | None]
    birth_date_known: Mapped[bool] = mapped_column(default=True)
    """False: the date is an estimate (无名氏)."""
    id_type: Mapped[str | None] = mapped_column(String(2))
    id_no_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    phone_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    insurance_no_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    nationality: Mapped[str | None] = mapped_column(String(3))
    ethnic: Mapped[str | None] = mapped_column(String(2))
    marriage: Mapped[str | None] = mapped_column(String(2))
    occupation: Mapped[str | None] = mapped_column(String(4))
    allergies_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    outpatient_no: Mapped[str] = mapped_column(String(20), unique=True)
    home_region: Mapped[str | None] = mapped_column(String(12), index=True)
    home_region_was: Mapped[str | None] = mapped_column(String(12))
    home_detail_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    home_postcode: Mapped[str | None] = mapped_column(String(6))
    household_region: Mapped[str | None] = mapped_column(String(12), index=True)
    household_region_was: Mapped[str | None] = mapped_column(String(12))
    household_detail_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    birth_region: Mapped[str | None] = mapped_column(String(12))
    birth_detail_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    native_region: Mapped[str | None] = mapped_column(String(12))
    work_unit: Mapped[str | None] = mapped_column(String(100))
    work_region: Mapped[str | None] = mapped_column(String(12), index=True)
    work_region_was: Mapped[str | None] = mapped_column(String(12))
    work_detail_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    work_phone_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    contact_name: Mapped[str | None] = mapped_column(String(100))
    contact_relation: Mapped[str | None] = mapped_column(String(2))
    contact_phone_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    mother_id: Mapped[int | None] = mapped_column(ForeignKey("person.id"))
    unknown: Mapped[bool] = mapped_column(default=False)
    """无名氏: registered without name or papers."""
    merged_into_id: Mapped[int | None] = mapped_column(ForeignKey("person.id"), index=True)
    channel: Mapped[str] = mapped_column(String(20), default="window")
    created_at: Mapped[datetime] = mapped_column(Instant)
    created_by: Mapped[int] = mapped_column(BigInteger, default=0)
    revision: Mapped[int] = mapped_column(default=1)

    name_kept = SealedText()
    id_no = SealedText()
    phone = SealedText()
    insurance_no = SealedText()
    allergies = SealedText()
    home_detail = SealedText()
    household_detail = SealedText()
    birth_detail = SealedText()
    work_detail = SealedText()
    work_phone = SealedText()
    contact_phone = SealedText()

    @property
    def legal_name(self) -> str:
        """The name itself, also while the file is 封存: for what the law wants in it (invoice, insurance), and for
        those who may open the file."""
        return self.name_kept or self.name


class PersonIdentifier(Keyed):
    """Every number a person has or ever had. All lead to the person; exact search is by the blind index.

    ``kind``: id_no, phone, outpatient_no, inpatient_no, hospital_card, insurance_no, social_card.
    ``claim`` is ``kind[.id_type]:blind index`` while an exclusive number is in force, else empty: the database lets
    two persons hold no such number at the same time.
    """

    __tablename__ = "person_identifier"
    __table_args__ = (Index("ix_person_identifier_number", "number_index", "kind", "person_id"),)
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id"), index=True)
    kind: Mapped[str] = mapped_column(String(20))
    id_type: Mapped[str] = mapped_column(String(2), default="")
    number_sealed: Mapped[bytes] = mapped_column(LargeBinary)
    number_index: Mapped[str] = mapped_column(String(64))
    claim: Mapped[str | None] = mapped_column(String(90), unique=True)
    active: Mapped[bool] = mapped_column(default=True)
    added_at: Mapped[datetime] = mapped_column(Instant)
    added_by: Mapped[int] = mapped_column(BigInteger, default=0)
    ended_at: Mapped[datetime | None] = mapped_column(Instant)

    number = SealedText(index=True, normalise=normalise_number, carried=("claim",))


class PersonMerge(Keyed):
    """A merge and, if it was a mistake, its undoing. ``moved`` are the ids of persons that had been merged into
    ``merged_id`` before and moved along (commas), so that an unmerge restores exactly."""

    __tablename__ = "person_merge"
    survivor_id: Mapped[int] = mapped_column(ForeignKey("person.id"), index=True)
    merged_id: Mapped[int] = mapped_column(ForeignKey("person.id"), index=True)
    moved: Mapped[str] = mapped_column(String(2000), default="")
    reason: Mapped[str] = mapped_column(String(200))
    merged_at: Mapped[datetime] = mapped_column(Instant)
    merged_by: Mapped[int] = mapped_column(BigInteger)
    merged_by_name: Mapped[str] = mapped_column(String(60))
    undone_at: Mapped[datetime | None] = mapped_column(Instant)
    undone_by: Mapped[int | None] = mapped_column(BigInteger)
    undone_by_name: Mapped[str | None] = mapped_column(String(60))
    undo_reason: Mapped[str | None] = mapped_column(String(200))


class PersonProtection(integrity.Guarded, Keyed):
    """A decision on who may open a person's file. The newest one, ``in_force`` = 1, counts; former ones
    hold their own id there and are otherwise untouched.

    ``level`` 1 to 5 as GB/T 39725 has them; from 4 on the file is for those who treat the person (PR-02). ``kinds``
    why (sealed: they name diseases). ``locked``: 封存, for nobody but those who decide on it (PR-06).
    """

    __tablename__ = "person_protection"
    __guarded__ = ("id", "person_id", "level", "kinds", "locked", "reason", "decided_at", "decided_by")
    __table_args__ = (UniqueConstraint("person_id", "in_force"), Index("ix_person_protection_decided", "decided_at"))
    person_id: Mapped[int] = mapped_column(BigInteger)
    level: Mapped[int]
    kinds_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    locked: Mapped[bool]
    reason_sealed: Mapped[bytes] = mapped_column(LargeBinary)
    decided_at: Mapped[datetime] = mapped_column(Instant)
    decided_by: Mapped[int] = mapped_column(BigInteger)
    decided_by_name: Mapped[str] = mapped_column(String(60))
    in_force: Mapped[int] = mapped_column(BigInteger)

    kinds = SealedText(blank=True)
    reason = SealedText()


class EmergencyAccess(integrity.Guarded, Keyed):
    """紧急调阅: somebody opened a restricted file for a reason, until ``until``. Append-only."""

    __tablename__ = "person_emergency_access"
    __guarded__ = ("id", "person_id", "user_id", "reason", "opened_at", "until")
    __table_args__ = (Index("ix_person_emergency_access_user", "user_id", "person_id", "until"),
                      Index("ix_person_emergency_access_opened", "opened_at", "id"))
    person_id: Mapped[int] = mapped_column(BigInteger)
    user_id: Mapped[int] = mapped_column(BigInteger)
    user_name: Mapped[str] = mapped_column(String(60))
    reason_sealed: Mapped[bytes] = mapped_column(LargeBinary)
    opened_at: Mapped[datetime] = mapped_column(Instant)
    until: Mapped[datetime] = mapped_column(Instant)

    reason = SealedText()


seals.declare("person_protection", "病人保护决定", PersonProtection, at="decided_at")
seals.declare("emergency_access", "紧急调阅", EmergencyAccess, at="opened_at")
person_search = make_search_table("person_search", Person.__table__)
