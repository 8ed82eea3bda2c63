"""Schedules, clinic sessions and registrations (挂号)."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from his_server.db import Instant, Keyed


class RegisterLevel(Keyed):
    """A kind of registration (普通, 专家, 急诊, 上海专家) and the charge item that is its fee."""

    __tablename__ = "register_level"
    __history__ = ("item_id", "position", "active")
    code: Mapped[str] = mapped_column(String(20), unique=True)
    item_id: Mapped[int] = mapped_column(BigInteger)
    position: Mapped[int] = mapped_column(default=0)
    active: Mapped[bool] = mapped_column(default=True)
    revision: Mapped[int] = mapped_column(default=1, server_default="1")


class ScheduleTemplate(Keyed):
    """A weekly schedule: weekday 1 (Monday) … 7, period 上午/下午/夜间/全天, doctor or (empty) the department.

    Who and when never change: such a template is stopped and another is made. Sessions that were made from it stay.
    """

    __tablename__ = "schedule_template"
    __history__ = ("capacity", "active")
    __table_args__ = (UniqueConstraint("department_id", "doctor_id", "weekday", "period", "level"),)
    department_id: Mapped[int] = mapped_column(BigInteger)
    doctor_id: Mapped[int | None] = mapped_column(BigInteger)
    weekday: Mapped[int]
    period: Mapped[str] = mapped_column(String(4))
    level: Mapped[str] = mapped_column(String(20))
    capacity: Mapped[int]
    active: Mapped[bool] = mapped_column(default=True)
    revision: Mapped[int] = mapped_column(default=1, server_default="1")


class ClinicSession(Keyed):
    """A doctor's half day on a date. ``taken`` counts live registrations; ``issued`` queue numbers, never reused.

    ``state`` open ⇄ stopped (停诊), with the reason, who and when. Without ``template_id`` it was added for the day.
    """

    __tablename__ = "clinic_session"
    __table_args__ = (
        CheckConstraint("taken >= 0 AND taken <= capacity + extra", name="capacity"),
        UniqueConstraint("day", "template_id"),
        Index("ix_clinic_session_choice", "day", "department_id", "level"),
    )
    day: Mapped[date]
    template_id: Mapped[int | None] = mapped_column(ForeignKey("schedule_template.id"))
    department_id: Mapped[int] = mapped_column(BigInteger)
    doctor_id: Mapped[int | None] = mapped_column(BigInteger)
    period: Mapped[str] = mapped_column(String(4))
    level: Mapped[str] = mapped_column(String(20))
    capacity: Mapped[int]
    extra: Mapped[int] = mapped_column(default=0)
    """Slots added by the doctor (加号)."""
    taken: Mapped[int] = mapped_column(default=0)
    issued: Mapped[int] = mapped_column(default=0)
    state: Mapped[str] = mapped_column(String(10), default="open")
    reason: Mapped[str | None] = mapped_column(String(200))
    changed_at: Mapped[datetime | None] = mapped_column(Instant)
    changed_by_name: Mapped[str | None] = mapped_column(String(60))


class Registration(Keyed):
    """A registration: ``booked`` → ``registered`` (paid) → ``cancelled``; or ``booked`` → ``cancelled``.

    ``way``: ``same_day``, ``appointment`` (made for a later day), ``extra`` (in a slot the doctor added for this person)
    or ``renewal`` (YB-09: the free second visit of the registration that ``renews_id`` names, at most one).
    """

    __tablename__ = "registration"
    __table_args__ = (
        UniqueConstraint("session_id", "queue_no"),
        Index("ix_registration_person", "person_id", "day"),
        Index("ix_registration_day", "day", "department_id", "state"),
        Index("ix_registration_listing", "day", "id"),
        UniqueConstraint("renews_id"),
    )
    number: Mapped[str] = mapped_column(String(32), unique=True)
    session_id: Mapped[int] = mapped_column(ForeignKey("clinic_session.id"))
    encounter_id: Mapped[int] = mapped_column(BigInteger, index=True)
    person_id: Mapped[int] = mapped_column(BigInteger)
    day: Mapped[date]
    department_id: Mapped[int] = mapped_column(BigInteger)
    doctor_id: Mapped[int | None] = mapped_column(BigInteger)
    level: Mapped[str] = mapped_column(String(20))
    queue_no: Mapped[int]
    state: Mapped[str] = mapped_column(String(12))
    channel: Mapped[str] = mapped_column(String(20))
    way: Mapped[str] = mapped_column(String(12), default="same_day")
    renews_id: Mapped[int | None] = mapped_column(BigInteger)
    settlement_id: Mapped[int | None] = mapped_column(BigInteger)
    registered_at: Mapped[datetime] = mapped_column(Instant)
    registered_by: Mapped[int] = mapped_column(BigInteger)
    registered_by_name: Mapped[str] = mapped_column(String(60))
    cancelled_at: Mapped[datetime | None] = mapped_column(Instant)
    cancelled_by_name: Mapped[str | None] = mapped_column(String(60))
    cancel_reason: Mapped[str | None] = mapped_column(String(200))
    no_show: Mapped[bool] = mapped_column(default=False)
    """Cancelled by the job, because nobody came to take the booked number."""


class ExtraSlot(Keyed):
    """加号: a doctor's permission for one person beyond the session's capacity: ``granted`` → ``used`` | ``withdrawn``."""

    __tablename__ = "extra_slot"
    __table_args__ = (UniqueConstraint("session_id", "person_id"),)
    session_id: Mapped[int] = mapped_column(ForeignKey("clinic_session.id"))
    person_id: Mapped[int] = mapped_column(BigInteger, index=True)
    reason: Mapped[str] = mapped_column(String(200))
    state: Mapped[str] = mapped_column(String(10))
    granted_at: Mapped[datetime] = mapped_column(Instant)
    granted_by: Mapped[int] = mapped_column(BigInteger)
    granted_by_name: Mapped[str] = mapped_column(String(60))


class RegistrationCount(Keyed):
    """人次, counted when it happens (M9.5): +1 when the fee is settled, −1 when it is cancelled, both when it moves.

    Append-only: what a later cancellation or change does is in its own day, so that closed months never change.
    ``kind``: made, cancelled, moved_out, moved_in.
    """

    __tablename__ = "registration_count"
    __table_args__ = (Index("ix_registration_count_day", "business_date", "department_id"),
                      Index("ix_registration_count_registration", "registration_id"))
    registration_id: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str] = mapped_column(String(12))
    number: Mapped[int]
    business_date: Mapped[date]
    counted_at: Mapped[datetime] = mapped_column(Instant)
    department_id: Mapped[int] = mapped_column(BigInteger)
    doctor_id: Mapped[int | None] = mapped_column(BigInteger)
    level: Mapped[str] = mapped_column(String(20))
    channel: Mapped[str] = mapped_column(String(20))
    counted_by: Mapped[int] = mapped_column(BigInteger)
    counted_by_name: Mapped[str] = mapped_column(String(60))
