"""One transaction with the insurer: numbered and committed, then sent, then its outcome recorded (YB-02).

Implements: H2, YB-02

Nothing is guessed: an answer that isn't whole is ``lost``, and whoever made the call asks before anything else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from dialects import portable
from his_server import about, secrets
from his_server.actor import Actor
from his_server.clock import local
from his_server.db import Database, now
from his_server.messaging.outbox import LostAnswer, NotSent
from his_server.settings import Settings as Platform
from interfaces.hub.calls import logged
from interfaces.hub.manifests import all_manifests
from interfaces.hub.transport import Answer, Line
from interfaces.nhsa import contract
from interfaces.nhsa.client import wire
from interfaces.nhsa.mapping.errors import understood
from interfaces.nhsa.models import NhsaMessage, NhsaSign
from interfaces.nhsa.settings import Settings

KEY = "nhsa-sm2"
OPTER_TYPES = {"kiosk": "2", "app": "3", "mobile": "3"}
MOST_TRIES = 50
"""Message numbers that are tried within one second before giving up."""


@dataclass(frozen=True)
class Reply:
    """What the insurer said. ``message`` is Chinese and says what to do; ``output`` as :func:`contract.read` gives it."""

    ok: bool
    msgid: str
    output: dict[str, Any]
    message: str = ""
    cause: str = ""


Hook = Callable[[Session, str], None]


class Insurer:
    """The insurer's side of the line: sends transactions in the name of whoever is at work. Safe for threads."""

    def __init__(self, database: Database, line: Line, settings: Settings, platform: Platform) -> None:
        self.database, self.line, self.settings = database, line, settings
        self.code = settings.fixmedins_code or platform.hospital_code[:12]
        self.hospital = (settings.fixmedins_name or platform.hospital)[:20]
        self.manifest = all_manifests()["nhsa"]
        self.simulated = platform.simulate_payments and not settings.url
        sealer = database.sealer
        self._secret = secrets.opened(sealer, "nhsa", "secret_key", settings.secret_key)
        self._sm4 = secrets.opened(sealer, "nhsa", "sm4_key", settings.sm4_key).encode()
        self._signs: dict[tuple[str, Any], str] = {}
        if settings.signtype:
            sealer.ring.ensure((KEY,))

    def call(self, infno: str, given: dict[str, Any], *, number: str = "", case_id: int | None = None, area: str = "",
             before: Hook | None = None, after: Callable[[Session, Reply], None] | None = None,
             brief: str = "", slot: AbstractContextManager[Any] | None = None) -> Reply:
        """Make one transaction. ``before(session, msgid)`` runs with the message's row, ``after`` with its outcome.

        ``brief`` stands in the call log instead of an input that is kept elsewhere (batches of fee lines); of the answer
        only whether it went well is read then. ``slot`` is held while the line is in use.

        :raises LostAnswer: sent, no whole answer. :raises NotSent: surely not sent.
        :raises ContractError: it doesn't fit the specification; not sent.
        """
        contract.check(infno, given)
        reply = self._once(infno, given, number, case_id, area, before, after, brief, slot, signs_again=True)
        if reply.cause == "nhsa.sign_in" and infno not in ("9001", "9002"):
            self._forget_sign(about.current().actor)  # the refusal is definite, so nothing is done twice
            reply = self._once(infno, given, number, case_id, area, None, after, brief, slot)
        return reply

    def _once(self, infno: str, given: dict[str, Any], number: str, case_id: int | None, area: str, before: Hook | None,
              after: Callable[[Session, Reply], None] | None, brief: str = "",
              slot: AbstractContextManager[Any] | None = None, signs_again: bool = False) -> Reply:
        actor = about.current().actor
        sign_no = "" if infno == "9001" else self.sign_no(actor)
        msgid, at = self._write_down(infno, number, case_id, before)
        message = self._envelope(infno, given, msgid, at, actor, sign_no, area)
        try:
            shown = {**message, "input": brief} if brief else message
            with logged(self.database, self.manifest, infno, shown, business_key=number) as entry:
                try:
                    with slot or nullcontext():
                        answer = self._exchange(infno, message, at)
                except NotSent:
                    entry.outcome = "failed"
                    raise
                told = self._opened(answer)
                if brief:
                    told = {**told, "output": {}}
                entry.answer, entry.peer_number = told, str(told.get("inf_refmsgid") or "") or None
                reply = self._reply(infno, msgid, told)
                entry.outcome, entry.message = "ok" if reply.ok else "refused", reply.message
        except NotSent as error:
            self._record(msgid, "unsent", str(error))
            raise
        except Exception as error:  # bytes went out and nothing that tells came back
            self._record(msgid, "lost", str(error))
            raise LostAnswer(f"{infno} 没有收到医保中心的完整应答") from error
        with self.database.begin() as session:
            _note(session, msgid, "done" if reply.ok else "refused", reply, str(told.get("inf_refmsgid") or ""))
            if after is not None and not (signs_again and reply.cause == "nhsa.sign_in"):
                after(session, reply)
        return reply

    # Before

    def _write_down(self, infno: str, number: str, case_id: int | None, before: Hook | None) -> tuple[str, datetime]:
        """Commit the message's number before anything is sent: code, time, sequence; unique over all processes."""
        for attempt in range(MOST_TRIES):
            try:
                with self.database.begin() as session:
                    at = now(session)
                    key = self.database.keys.next()
                    msgid = f"{self.code}{local(at):%Y%m%d%H%M%S}{(key + attempt * 7919) % 10_000:04d}"
                    portable.insert_many(session, NhsaMessage, [{
                        "id": key, "msgid": msgid, "infno": infno, "number": number[:40], "case_id": case_id,
                        "state": "sent", "cause": "", "message": "", "peer_message": "", "sent_at": at,
                        "answered_at": None}])
                    if before is not None:
                        before(session, msgid)
                return msgid, at
            except Exception as error:
                if not portable.is_unique_violation(error):
                    raise
        raise NotSent("一秒内的医保报文编号已用完，请稍后重试")

    def _envelope(self, infno: str, given: dict[str, Any], msgid: str, at: datetime, actor: Actor, sign_no: str,
                  area: str) -> dict[str, Any]:
        settings = self.settings
        message: dict[str, Any] = {
            "infno": settings.infno.get(infno, infno), "msgid": msgid, "mdtrtarea_admvs": settings.area,
            "insuplc_admdvs": area or settings.area, "recer_sys_code": settings.recer_sys_code,
            "dev_no": settings.dev_no, "dev_safe_info": "", "cainfo": "", "signtype": settings.signtype,
            "infver": settings.infver, "opter_type": OPTER_TYPES.get(actor.channel, "1"), "opter": actor.login[:30],
            "opter_name": actor.name[:50], "inf_time": wire.stamp(at), "fixmedins_code": self.code,
            "fixmedins_name": self.hospital, "fixmedins_soft_fcty": settings.fixmedins_soft_fcty,
            "enc_type": settings.enc_type, "sign_no": sign_no, "input": given}
        if settings.signtype:
            sealer = self.database.sealer
            message["cainfo"] = wire.sign(sealer.provider, sealer.ring.active(KEY).material, given)
        return message

    def _exchange(self, infno: str, message: Mapping[str, Any], at: datetime) -> Answer:
        settings = self.settings
        if settings.enc_type:
            message = {**message, "input": wire.seal(self.database.sealer.provider, self._sm4, message["input"])}
        headers = {"Content-Type": "application/json; charset=utf-8"}
        if settings.access_key:
            headers |= wire.gateway_headers(name=settings.api_name, version=settings.api_version, unit=settings.stamp,
                                            access_key=settings.access_key, secret=self._secret, at=at)
        path = settings.path.replace("{infno}", settings.infno.get(infno, infno))
        return self.line.exchange("POST", path, wire.dumps(message), headers)

    # After

    def _opened(self, answer: Answer) -> dict[str, Any]:
        """The answer's message. :raises LostAnswer: it isn't one, so it doesn't tell what happened."""
        if answer.headers.get("Content-Type", "").startswith("application/octet-stream"):
            return {"infcode": "0", "output": {"file": answer.body}}  # 9102 gives the file itself
        told = wire.loads(answer.body)
        if "infcode" not in told:
            if str(told.get("code")) in ("401", "403") or answer.status in (401, 403):
                # the gateway let nothing pass
                return {"infcode": "-1", "err_msg": f"医保网关拒绝：{told.get('message', '')}（签名）"}
            raise LostAnswer(f"医保中心的应答没有 infcode（HTTP {answer.status}）")
        if self.settings.enc_type and isinstance(told.get("output"), str) and told["output"]:
            told["output"] = wire.unseal(self.database.sealer.provider, self._sm4, told["output"])
        if self.settings.centre_key and str(told["infcode"]) == "0":
            key = bytes.fromhex(self.settings.centre_key)
            if not wire.verify(self.database.sealer.provider, key, told.get("output") or {}, str(told.get("cainfo") or "")):
                raise LostAnswer("医保中心应答的签名不符，不能采信")
        return told

    @staticmethod
    def _reply(infno: str, msgid: str, told: Mapping[str, Any]) -> Reply:
        code = str(told.get("infcode"))
        if code == "0":
            return Reply(True, msgid, contract.read(infno, told.get("output")))
        if code == "-1":
            cause, message = understood(str(told.get("err_msg") or ""))
            if cause == "nhsa.same_message":  # it was there before: what came of it then, this answer doesn't say
                raise LostAnswer(message)
            return Reply(False, msgid, {}, message, cause)
        raise LostAnswer(f"医保中心答复 infcode={code[:10]}，结果未明")  # some gateways say -2 for a lost call

    def _record(self, msgid: str, state: str, text: str) -> None:
        with self.database.begin() as session:
            _note(session, msgid, state, Reply(False, msgid, {}, text), "")

    # Sign-in

    def sign_no(self, actor: Actor) -> str:
        """The operator's sign-in of today (9001), made when there is none."""
        day = local(self.database.clock.now()).date()
        if (known := self._signs.get((actor.login, day))) is not None:
            return known
        with self.database.begin(write=False) as session:
            found = session.scalar(select(NhsaSign.sign_no).where(NhsaSign.opter == actor.login[:20], NhsaSign.day == day))
        if found is not None:
            self._signs[actor.login, day] = found
            return found
        reply = self._once("9001", {"signIn": {"opter_no": actor.login[:20], "mac": self.settings.mac[:20],
                                               "ip": (actor.ip or "127.0.0.1")[:20]}}, "", None, "", None, None)
        made = str(reply.output.get("signinoutb", {}).get("sign_no", ""))
        if not reply.ok or not made:
            raise NotSent(f"医保签到没有成功：{reply.message or '没有签到编号'}")
        with self.database.begin() as session:
            portable.upsert(session, NhsaSign, [{"id": self.database.keys.next(), "opter": actor.login[:20], "day": day,
                                                 "sign_no": made, "signed_at": now(session)}],
                            ["opter", "day"], ["sign_no", "signed_at"])
        return made

    def _forget_sign(self, actor: Actor) -> None:
        self._signs.clear()
        with self.database.begin() as session:
            for row in session.scalars(select(NhsaSign).where(NhsaSign.opter == actor.login[:20])):
                session.delete(row)


_NOTE = update(NhsaMessage).where(NhsaMessage.msgid == bindparam("b_msgid")).values(
    state=bindparam("b_state"), cause=bindparam("b_cause"), message=bindparam("b_message"), peer_message=bindparam("b_peer"),
    answered_at=bindparam("b_at"))


def _note(session: Session, msgid: str, state: str, reply: Reply, peer: str) -> None:
    portable.change(session, _NOTE, {
        "b_msgid": msgid, "b_state": state, "b_cause": reply.cause[:30], "b_message": reply.message[:200],
        "b_peer": peer[:30], "b_at": now(session) if state in ("done", "refused") else None})


