"""Signed requests of partner systems (docs/interfaces/signing.md, requirement X1): keys, replay store, verification,
signed answers, encrypted bodies. The inbound gateway puts :func:`endpoint` around its views.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from typing import Any

from flask import Request, Response, g, request
from sqlalchemy import BigInteger, String, Text, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from crypto import CryptoError, sm2
from crypto import requests as contract
from crypto.requests import PeerKey, RequestRefused
from dialects import portable
from his_server.actor import Actor
from his_server.db import Database
from his_server.db import database as db
from his_server.db.base import Keyed
from his_server.db.types import Instant
from his_server.errors import AppError, Forbidden, NotFound, Unauthenticated, invalid
from his_server.http import Call, dumps
from his_server.security import audit, integrity
from his_server.security.models import SignedNonce

log = logging.getLogger("his.security")
PURPOSE = "partner-sm2"
"""Our pair towards partners: signs answers, opens encrypted bodies."""
REFUSED = "请求签名校验未通过，请核对密钥编号、时间、随机数和签名"


class PartnerKey(integrity.Guarded, Keyed):
    """A partner system's public key. Guarded: one that was planted or altered in the database is no key."""

    __tablename__ = "security_partner_key"
    __guarded__ = ("id", "key_id", "name", "public", "uid", "permissions", "not_before", "not_after", "state")
    key_id: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(60))
    public: Mapped[str] = mapped_column(String(128))
    """x‖y, 128 hex digits."""
    uid: Mapped[str] = mapped_column(String(60))
    permissions: Mapped[str] = mapped_column(Text)
    """Space-separated codes."""
    not_before: Mapped[datetime] = mapped_column(Instant)
    not_after: Mapped[datetime] = mapped_column(Instant)
    state: Mapped[str] = mapped_column(String(10))
    """``active`` or ``revoked``."""
    created_at: Mapped[datetime] = mapped_column(Instant)
    created_by: Mapped[int] = mapped_column(BigInteger)


@dataclass(frozen=True)
class Inbound:
    """A verified request: who, and the body (already opened when it was encrypted)."""

    actor: Actor
    accepted: contract.Accepted

    @property
    def body(self) -> bytes:
        """The body's bytes."""
        return self.accepted.body

    def json(self) -> Any:
        """The body as JSON. :raises Invalid: it is none."""
        try:
            return json.loads(self.accepted.body or b"{}")
        except (ValueError, RecursionError) as error:
            raise invalid("body", "内容不是有效的 JSON") from error


# Keys

def register(session: Session, actor: Actor, *, key_id: str, name: str, public: bytes, permissions: tuple[str, ...],
             not_before: datetime, not_after: datetime, uid: bytes = sm2.DEFAULT_UID) -> PartnerKey:
    """Register a partner's public key (64 bytes). :raises Invalid: not a point of the curve, or days reversed."""
    try:
        point = sm2.check_public(public)
    except CryptoError as error:
        raise invalid("public", "公钥不是有效的 SM2 公钥") from error
    if not contract.KEY_ID.match(key_id):
        raise invalid("key_id", "密钥编号只能用字母、数字、点、下划线和连字符，最多 64 个字符")
    if not_after <= not_before:
        raise invalid("not_after", "终止日期应晚于起始日期")
    row = PartnerKey(key_id=key_id, name=name, public=point.hex(), uid=uid.decode(), state="active",
                     permissions=" ".join(sorted(permissions)), not_before=not_before, not_after=not_after,
                     created_at=db.now(session), created_by=actor.user_id)
    session.add(row)
    session.flush()
    audit.record(session, actor, "partner.register", "partner_key", key_id, {"name": name, "permissions": row.permissions})
    return row


def revoke(session: Session, actor: Actor, key_id: str) -> None:
    """A key is good for nothing from now on. :raises NotFound: there is none."""
    row = session.scalar(select(PartnerKey).where(PartnerKey.key_id == key_id))
    if row is None:
        raise NotFound("partner.no_key", "没有这个密钥编号")
    row.state = "revoked"
    audit.record(session, actor, "partner.revoke", "partner_key", key_id)


def our_key(database: Database) -> Any:
    """Our pair towards partners; made at first use. Its ``kid`` and ``public`` are what a partner gets from us."""
    ring = database.sealer.ring
    ring.ensure((PURPOSE,))
    return ring.active(PURPOSE)


# The replay store

def remember(database: Database) -> contract.Remember:
    """The store that all processes share: a unique row per key id and nonce, in a transaction of its own."""

    def call(key_id: str, nonce: str, until: datetime) -> bool:
        try:
            with database.begin() as session:
                session.execute(insert(SignedNonce).values(key_id=key_id, nonce=nonce, expires_at=until))
        except IntegrityError as error:
            if portable.is_unique_violation(error):
                return False
            raise
        return True

    return call


# Requests and answers

def receive(database: Database, given: Request) -> Inbound:
    """Verify a request. Call it outside of any unit of work.

    :raises Unauthenticated: for whatever reason, always with the same answer; the reason is logged and, when the
        key id is a partner's, audited.
    """
    found: list[PartnerKey] = []

    def find(key_id: str) -> PeerKey | None:
        row = _living(database, key_id)
        if row is None:
            return None
        found.append(row)
        return PeerKey(row.key_id, bytes.fromhex(row.public), row.not_before, row.not_after, row.uid.encode())

    ring = database.sealer.ring
    try:
        accepted = contract.verify_request(
            database.sealer.provider, find, remember(database), given.method, _raw_path(given),
            given.query_string.decode("latin-1"), dict(given.headers.items()), given.get_data(), database.clock.now(),
            lambda kid: next((key.material for key in ring.living(PURPOSE) if key.kid == kid), None))
    except RequestRefused as refused:
        log.warning("signed request refused: %s", refused.reason)
        if found:
            audit.record_apart(database, actor_of(found[0], given), "partner.refused", "route", given.path[:80],
                               {"reason": refused.reason}, success=False)
        raise Unauthenticated("partner.refused", REFUSED) from refused
    return Inbound(actor_of(found[0], given), accepted)


def _living(database: Database, key_id: str) -> PartnerKey | None:
    with database.begin(write=False) as session:
        row = session.scalar(select(PartnerKey).where(PartnerKey.key_id == key_id))
    if row is not None and not integrity.holds(database.sealer, row):
        log.critical("the partner key %d was altered", row.id)
        audit.record_apart(database, Actor(user_id=0, login="", name="", channel="partner"), "integrity.violation",
                           "partner_key", row.id, {"what": "密钥记录被改动"}, success=False)
        return None
    return row if row is not None and row.state == "active" else None


def _raw_path(given: Request) -> str:
    """The path as it was sent: percent-encoding hides nothing from the signature."""
    raw = given.environ.get("RAW_URI") or given.environ.get("REQUEST_URI")
    return str(raw).partition("?")[0] if raw else given.path


def actor_of(row: PartnerKey, given: Request) -> Actor:
    """A partner as the acting identity; its ``user_id`` is the key's row, which no account has."""
    return Actor(user_id=row.id, login=row.key_id[:40], name=row.name, channel="partner", ip=given.remote_addr or "",
                 permissions=frozenset(row.permissions.split()), trace_id=g.get("trace_id", ""))


def sign(database: Database, response: Response, nonce: str) -> Response:
    """Add the headers that sign our answer to the request with that nonce."""
    key = our_key(database)
    response.headers.update(contract.sign_answer(database.sealer.provider, key.material, key.kid,
                                                 response.status_code, response.get_data(), database.clock.now(), nonce))
    return response


def endpoint(permission: str) -> Callable[[Callable[..., Any]], Callable[..., Response]]:
    """For a view of ``Routes`` declared ``permission=PUBLIC, effect="manual"``: ``view(call, inbound, …)`` is called
    for verified partners who hold ``permission``, with ``call.actor`` the partner; what it returns, or refuses with
    an AppError, is answered signed."""

    def declare(view: Callable[..., Any]) -> Callable[..., Response]:
        @wraps(view)
        def handle(call: Call, **path: Any) -> Response:
            from his_server.app import error_body  # the composition root needs the modules that use this

            nonce = request.headers.get(contract.H_NONCE, "")
            try:
                inbound = receive(call.database, request)
                if not inbound.actor.can(permission):
                    audit.record_apart(call.database, inbound.actor, "permission.denied", "route", request.path[:80],
                                       {"permission": permission}, success=False)
                    raise Forbidden("permission.denied", f"没有此项接口的权限（{permission}）")
                call.actor = inbound.actor
                result = view(call, inbound, **path)
                response = result if isinstance(result, Response) else Response(dumps(result),
                                                                                mimetype="application/json")
            except AppError as error:
                response = Response(dumps(error_body(error)), status=error.status, mimetype="application/json")
            return sign(call.database, response, nonce) if contract.NONCE.match(nonce) else response

        return handle

    return declare
