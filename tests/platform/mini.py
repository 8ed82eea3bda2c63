"""A very small application on the platform: to test the request's machinery without the hospital."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from flask import Flask, Request
from marshmallow import Schema, fields
from sqlalchemy import String, func, select
from sqlalchemy.orm import Mapped, mapped_column

from his_server import app as house
from his_server.actor import Actor
from his_server.db import Base, Database, Instant, Keyed, Money, now
from his_server.errors import Conflict
from his_server.http import PUBLIC, Call, Routes
from his_server.messaging import outbox
from his_server.module import Module, Permission
from his_server.registry import Hospital
from his_server.settings import Settings
from his_server.wire import MoneyField, PageQuery, Text, paged


class MiniPayment(Keyed):
    """What the mini application takes."""

    __tablename__ = "mini_payment"
    payer: Mapped[str] = mapped_column(String(60))
    amount: Mapped[Decimal] = mapped_column(Money)
    at: Mapped[datetime] = mapped_column(Instant)

    __history__ = ("payer",)


Base.metadata.remove(MiniPayment.__table__)  # type: ignore[arg-type]  # not a table of the house


class Pay(Schema):
    """A payment to take."""

    payer = Text(required=True, min=1, max=60)
    amount = MoneyField(required=True, positive=True)


class Paid(Schema):
    """A payment taken."""

    id = fields.Integer()
    payer = fields.String()
    amount = MoneyField()


def routes() -> Routes:
    """Fresh routes: a blueprint belongs to one application."""
    made = Routes("mini", "/api/mini", tag="mini")

    @made.post("/payments", permission="mini.pay", body=Pay, out=Paid, value=True)
    def pay(call: Call) -> MiniPayment:
        """Take a payment."""
        found = MiniPayment(**call.body, at=now(call.session))
        call.session.add(found)
        outbox.record(call.session, "MiniPaid", str(found.id), {"amount": found.amount})
        return found

    @made.get("/payments", permission="mini.read", query=PageQuery, out=paged(Paid))
    def payments(call: Call) -> dict[str, Any]:
        """The payments."""
        return {"items": call.session.scalars(select(MiniPayment).limit(call.query["limit"])).all(), "next": None}

    @made.put("/payments/<int:payment_id>", permission="mini.pay", body=Pay, out=Paid)
    def change(call: Call, payment_id: int) -> MiniPayment:
        """Change the payer, then find that it wasn't allowed if the amount is 13."""
        found = call.session.get_one(MiniPayment, payment_id)
        found.payer = call.body["payer"]
        call.session.flush()
        if call.body["amount"] == 13:
            raise Conflict("mini.unlucky", "不吉利，请换一个金额")
        return found

    @made.get("/writes", permission=PUBLIC)
    def writes(call: Call) -> dict[str, Any]:
        """A reading route that wrongly writes."""
        call.session.add(MiniPayment(payer="x", amount=Decimal(1), at=now(call.session)))
        return {}

    @made.get("/defect", permission=PUBLIC)
    def defect(call: Call) -> dict[str, Any]:
        """A defect with personal data in its message."""
        raise KeyError("person 320602199001011234")

    @made.get("/text/<word>", permission=PUBLIC)
    def text(call: Call, word: str) -> dict[str, Any]:
        """Echo."""
        return {"word": word}

    return made


class Gate:
    """Stands in for his_server.security: the account comes in a header."""

    def authenticate(self, request: Request) -> Actor | None:
        """The actor named by the header."""
        login = request.headers.get("X-Login")
        if login is None:
            return None
        return Actor(user_id=len(login), login=login, name=login, trace_id="t" * 16,
                     permissions=frozenset({"mini.pay", "mini.read"} if login != "guest" else ()))

    def denied(self, actor: Actor, route: Any) -> None:
        """Nobody listens."""

    def refused(self, *_: Any, **__: Any) -> None:
        """Nobody listens."""


def make_app(database: Database) -> Flask:
    """The mini application over a database that has its table."""
    app = Flask("mini", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = Settings().max_body
    hospital = Hospital((Module(name="mini", title="小", routes=(routes(),),
                                permissions=(Permission("mini.pay", "收"), Permission("mini.read", "看"))),))
    app.extensions.update(his_database=database, his_security=Gate(), his_hospital=hospital)
    app.before_request(house._begin)
    app.after_request(house._finish)
    app.register_error_handler(Exception, house._on_error)
    for module in hospital.modules:
        for group in module.routes:
            app.register_blueprint(group.blueprint)
    house._health(app)
    return app


def count(database: Database) -> int:
    """How many payments were taken."""
    with database.begin(write=False) as session:
        return int(session.scalar(select(func.count()).select_from(MiniPayment)) or 0)
