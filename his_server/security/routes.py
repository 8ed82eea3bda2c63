"""Sign-in, the shell's session, sign-out."""

from __future__ import annotations

from typing import Any

from flask import Response, current_app, g, request

from his_server.clock import local
from his_server.errors import Unauthenticated
from his_server.http import PUBLIC, SIGNED_IN, Call, Routes, dumps
from his_server.registry import Hospital
from his_server.security import accounts, directory, rules, schemas, signin
from his_server.security.sessions import Security, terminal_of

routes = Routes("security.session", "/api/session", tag="session")


def _security() -> Security:
    found: Security = current_app.extensions["his_security"]
    return found


def _visitor() -> signin.Visitor:
    security = _security()
    return signin.Visitor(request.remote_addr or "", terminal_of(request), g.trace_id,
                          security.raw_id(request.cookies.get(security.cookie)))


@routes.get("/challenge", permission=PUBLIC, effect="manual")
def challenge(call: Call) -> dict[str, str]:
    """A one-time nonce (60 s) and the SM2 key to seal the password with."""
    return signin.challenge(_security())


@routes.get("", permission=SIGNED_IN)
def show(call: Call) -> dict[str, Any]:
    """Who is signed in, the permissions, the menu, the CSRF token."""
    return describe(call, g.session_raw)


@routes.post("", permission=PUBLIC, effect="manual", body=schemas.SignIn)
def sign_in(call: Call) -> Response:
    """Sign in with a sealed password."""
    body = call.body
    return _answer(call, signin.with_password(_security(), _visitor(), body["login"], body["kid"], body["sealed"]))


@routes.post("/second-factor", permission=PUBLIC, effect="manual", body=schemas.SecondFactor)
def second_factor(call: Call) -> Response:
    """Second step: the one-time code."""
    return _answer(call, signin.with_code(_security(), _visitor(), call.body["ticket"], call.body["code"].strip()))


@routes.post("/certificate", permission=PUBLIC, effect="manual", body=schemas.CertificateAnswer)
def certificate(call: Call) -> Response:
    """Sign in, or take the second step, with an SM2 certificate that signs the challenge's nonce."""
    body = call.body
    return _answer(call, signin.with_certificate(_security(), _visitor(), body["login"], body["nonce"],
                                                 body["certificate"], body["signature"], body["ticket"]))


@routes.post("/password", permission=PUBLIC, effect="manual", body=schemas.NewPassword)
def change_password(call: Call) -> Response:
    """Change one's own password, signed in or asked for while signing in."""
    security, body = _security(), call.body
    if body["ticket"]:
        user_id, factors = signin.holder_of(security, body["ticket"])
    elif call.actor.user_id:
        user_id, factors = call.actor.user_id, "password changed"
    else:
        raise Unauthenticated("session.required", "登录已过期或尚未登录，请重新登录")
    content = signin.unseal(security, body["kid"], body["sealed"])
    if content is None:
        raise Unauthenticated("session.challenge", "页面已过期，请重新输入")
    return _answer(call, signin.with_new_password(security, _visitor(), user_id, content, body["ticket"], factors))


@routes.delete("", permission=SIGNED_IN)
def sign_out(call: Call) -> Response:
    """Sign out."""
    signin.sign_out(call.session, call.actor)
    response = Response(status=204)
    _set_cookie(response, "", gone=True)
    return response


def _answer(call: Call, outcome: signin.Outcome) -> Response:
    if outcome.stage == "second_factor":
        return _json({"second_factor": True, "ticket": outcome.ticket})
    if outcome.stage == "change_password":
        return _json({"must_change_password": True, "ticket": outcome.ticket})
    security = _security()
    value = security.cookie_value(outcome.raw)
    actor = security.actor_of(outcome.raw)
    response = _json(describe(Call(call.database, actor), outcome.raw))
    _set_cookie(response, value)
    return response


def _json(value: Any) -> Response:
    return Response(dumps(value), mimetype="application/json")


def _set_cookie(response: Response, value: str, *, gone: bool = False) -> None:
    security = _security()
    response.set_cookie(security.cookie, value, max_age=0 if gone else None, path="/", httponly=True,
                        secure=security.settings.secure_cookies, samesite="Strict")


def describe(call: Call, raw: bytes) -> dict[str, Any]:
    """The shell's view of a session."""
    security, actor = _security(), call.actor
    with call.database.begin(write=False) as session:
        user = accounts.get_user(session, actor.user_id)
        if security.password_expired(user):  # while signed in
            return {"must_change_password": True, "ticket": "", "csrf": security.csrf_of(raw)}
        names = directory.department_names(session, [actor.department_id])
    department = None
    if actor.department_id:
        department = {"id": actor.department_id, "name": names.get(actor.department_id, "")}
    return {
        "user": {"id": actor.user_id, "code": actor.login, "name": actor.name, "department": department,
                 "roles": list(actor.roles), "titles": [rules.ROLE_TITLES.get(code, code) for code in actor.roles]},
        "permissions": sorted(actor.permissions),
        "menu": menu_of(security.hospital, actor.permissions),
        "csrf": security.csrf_of(raw),
        "hospital": security.settings.hospital,
        "idle_seconds": security.settings.session_idle,
        "notices": _notices(security, user),
    }


def menu_of(hospital: Hospital, permissions: frozenset[str]) -> list[dict[str, Any]]:
    """The menu entries that these permissions open, by section, in the modules' order."""
    sections: dict[str, list[dict[str, Any]]] = {}
    for item in hospital.menu:
        if item.permission in permissions or item.permission == SIGNED_IN:
            sections.setdefault(item.section, []).append(
                {"title": item.title, "path": item.path, "page": item.page, "permission": item.permission})
    return [{"section": section, "items": items} for section, items in sections.items()]


def _notices(security: Security, user: Any) -> list[dict[str, Any]]:
    found = []
    if security.settings.password_days:
        age = security.database.clock.now() - user.password_changed_at
        left = security.settings.password_days - age.days
        if left <= 7:
            found.append({"id": "password", "level": "warning", "title": f"密码将在 {max(left, 0)} 天后到期",
                          "body": "请在到期前修改密码"})
    if user.last_sign_in_at:
        found.append({"id": "last", "level": "info",
                      "title": f"本次登录时间 {local(user.last_sign_in_at):%Y-%m-%d %H:%M}"})
    return found
