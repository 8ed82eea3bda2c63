"""Accounts (system administrator), grants and factors (security administrator), audit (audit administrator)."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote

from flask import current_app

from crypto import CryptoError
from his_server.errors import Unauthenticated, invalid
from his_server.http import Call, Routes
from his_server.security import (
    accounts,
    audit,
    certificates,
    directory,
    grants,
    health,
    queries,
    rules,
    schemas,
    seals,
    signin,
)
from his_server.security.sessions import Security

accounts_routes = Routes("security.accounts", "/api/security", tag="security")
audit_routes = Routes("security.audit", "/api/audit", tag="audit")
routes = accounts_routes


def _security() -> Security:
    found: Security = current_app.extensions["his_security"]
    return found


@routes.get("/users", permission="security.read_accounts", query=schemas.UserQuery)
def users(call: Call) -> dict[str, Any]:
    """Accounts with their roles, by login."""
    page = queries.users(call.session, **call.query)
    names = directory.department_names(call.session, [u["department_id"] for u in page["items"]])
    for user in page["items"]:
        user["department"] = names.get(user["department_id"], "")
    return page


@routes.post("/users", permission="security.accounts", effect="manual", body=schemas.NewUser, status=201)
def create(call: Call) -> dict[str, Any]:
    """Make an account without any role."""
    body, security = dict(call.body), _security()
    password = _unsealed(body.pop("kid"), body.pop("sealed"))
    with call.database.begin() as session:
        session.info["actor"] = call.actor
        user = accounts.create_user(session, call.actor, password=password,
                                    rounds=security.settings.password_rounds, **body)
    return {"id": user.id, "login": user.login}


def _unsealed(kid: str, sealed: str) -> str:
    content = signin.unseal(_security(), kid, sealed)
    if content is None:
        raise Unauthenticated("session.challenge", "页面已过期，请重新输入")
    return str(content.get("password", ""))


@routes.get("/crypto", permission="security.crypto")
def crypto(call: Call) -> dict[str, Any]:
    """State of the cryptographic module: provider, version, library, device, ages of keys, self-test, program files."""
    return health.state(call.database)


@routes.get("/departments", permission="security.read_accounts")
def departments(call: Call) -> dict[str, Any]:
    """Departments that an account or a grant may be tied to."""
    return {"items": directory.departments(call.session)}


@routes.put("/users/<int:user_id>", permission="security.accounts", body=schemas.ChangedUser)
def change(call: Call, user_id: int) -> dict[str, Any]:
    """Change, disable or enable an account."""
    accounts.change_user(call.session, call.actor, user_id, **call.body)
    return {"id": user_id}


@routes.post("/users/<int:user_id>/unlock", permission="security.accounts")
def unlock(call: Call, user_id: int) -> dict[str, Any]:
    """Lift a lockout."""
    accounts.unlock(call.session, call.actor, user_id)
    return {"id": user_id}


@routes.post("/users/<int:user_id>/password", permission="security.accounts", effect="manual", body=schemas.Sealed)
def reset_password(call: Call, user_id: int) -> dict[str, Any]:
    """Give a new first password."""
    password = _unsealed(call.body["kid"], call.body["sealed"])
    with call.database.begin() as session:
        session.info["actor"] = call.actor
        accounts.reset_password(session, call.actor, user_id, password, _security().settings.password_rounds)
    return {"id": user_id}


@routes.put("/users/<int:user_id>/grants", permission="security.grants", body=schemas.Grants)
def set_grants(call: Call, user_id: int) -> dict[str, Any]:
    """Give an account exactly these roles."""
    grants.set_roles(call.session, call.actor, user_id,
                     [(g["role"], g["department_id"]) for g in call.body["grants"]])
    return {"id": user_id}


@routes.post("/users/<int:user_id>/totp", permission="security.grants")
def enrol_totp(call: Call, user_id: int) -> dict[str, Any]:
    """Bind a one-time code generator; the secret is shown once."""
    secret = accounts.enrol_totp(call.session, call.actor, user_id)
    user = accounts.get_user(call.session, user_id)
    text = base64.b32encode(secret).decode().rstrip("=")
    label = quote(f"{_security().settings.hospital}:{user.login}")
    return {"id": user_id, "secret": text,
            "uri": f"otpauth://totp/{label}?secret={text}&algorithm=SM3&digits=6&period=30"}


@routes.post("/users/<int:user_id>/certificate", permission="security.grants", body=schemas.Certificate)
def enrol_certificate(call: Call, user_id: int) -> dict[str, Any]:
    """Bind an SM2 certificate."""
    pem, security = call.body["certificate"], _security()
    try:
        found = certificates.check(call.database.sealer.provider, security.settings, pem, call.database.clock.now())
    except (CryptoError, ValueError) as error:
        raise invalid("certificate", "证书无效、已过期、已吊销或不是受信任机构签发") from error
    accounts.enrol_certificate(call.session, call.actor, user_id, pem)
    return {"id": user_id, "serial": f"{found.serial:x}", "subject": found.name("CN")}


@routes.delete("/users/<int:user_id>/factors", permission="security.grants")
def remove_factors(call: Call, user_id: int) -> dict[str, Any]:
    """Unbind code generator and certificate."""
    accounts.remove_factors(call.session, call.actor, user_id)
    return {"id": user_id}


@routes.get("/roles", permission="security.grants")
def roles(call: Call) -> dict[str, Any]:
    """All roles with their permissions, and all permissions there are."""
    known = _security().hospital.permissions
    return {"items": queries.roles(call.session), "administrators": list(rules.ADMINISTRATORS),
            "permissions": [{"code": p.code, "title": p.title} for p in known.values()]}


@routes.put("/roles/<code>", permission="security.grants", body=schemas.ChangedRole)
def save_role(call: Call, code: str) -> dict[str, Any]:
    """Make or change a role."""
    role = grants.save_role(call.session, call.actor, _security().hospital, code, **call.body)
    return {"id": role.id, "code": role.code}


@audit_routes.get("", permission="audit.read", effect="write", query=schemas.AuditQuery)
def audit_rows(call: Call) -> dict[str, Any]:
    """Audit rows, newest first; the query itself is audited."""
    page = queries.audit_rows(call.session, **call.query)
    asked = {k: v for k, v in call.query.items() if v is not None}
    audit.record(call.session, call.actor, "audit.query", "audit", "", {"query": asked, "rows": len(page["items"])})
    return page


@audit_routes.post("/verify", permission="audit.read")
def verify(call: Call) -> dict[str, Any]:
    """Check the whole trail against its chain, checkpoints and the outside anchor."""
    findings = seals.verify(call.session)
    audit.record(call.session, call.actor, "audit.verify", "audit", "", {"findings": len(findings)},
                 success=not findings)
    return {"findings": [{"where": f.where, "message": f.message} for f in findings[:500]], "count": len(findings)}


@audit_routes.get("/events", permission="audit.read")
def events(call: Call) -> dict[str, Any]:
    """The kinds of events that there are, for the page's filter."""
    return {"items": queries.audit_events(call.session)}


