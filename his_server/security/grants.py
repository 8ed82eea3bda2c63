"""Roles, grants and what follows from them; every set of them is protected (COMPLIANCE MP-07, DB-13)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import delete, func, or_, select
from sqlalchemy.orm import Session

from his_server.actor import SYSTEM, Actor
from his_server.db import database as db
from his_server.errors import Conflict, Forbidden, Invalid, NotFound, invalid
from his_server.module import Finding
from his_server.registry import Hospital
from his_server.security import anchor, audit, integrity, rules
from his_server.security.models import EVERYWHERE, Role, User, UserRole

SCOPE = "grants"
SECOND_FACTOR_ROLES = frozenset({*rules.ADMINISTRATORS, "finance", "discipline"})
"""Standard roles that begin with a second factor: administrators and refund approvers (DB-08)."""


def role_content(role: Any) -> bytes:
    """What is protected of a role."""
    return integrity.encode((role.id, role.code, role.active, role.second_factor, role.permissions))


def user_content(user: Any, grants: Iterable[tuple[int, int]]) -> bytes:
    """What is protected of an account: identity, state, bound certificate, and all grants (role, department)."""
    return integrity.encode((user.id, user.login_key, user.staff_id, user.state, user.valid_until, user.certificate,
                             user.totp_sealed, *sorted(grants)))


def grants_of(session: Session, user_ids: Sequence[int]) -> dict[int, list[tuple[int, int]]]:
    """(role id, department id) of each user."""
    found: dict[int, list[tuple[int, int]]] = {user_id: [] for user_id in user_ids}
    for row in session.execute(select(UserRole.user_id, UserRole.role_id, UserRole.department_id)
                               .where(UserRole.user_id.in_(user_ids))):
        found[row.user_id].append((row.role_id, row.department_id))
    return found


def protect_users(session: Session, change: integrity.Change, users: Sequence[User]) -> None:
    """Write the set MACs of these accounts inside an open change."""
    session.flush()
    for user_id, grants in grants_of(session, [u.id for u in users]).items():
        user = next(u for u in users if u.id == user_id)
        change.put(f"user:{user_id}", user_content(user, grants))


def bootstrap(session: Session, hospital: Hospital) -> None:
    """Make the standard roles and keep them in step with the modules' declarations; may be run any time.

    What the hospital has added to or taken from a standard role stays.

    :raises ValueError: two administrators declare the same power.
    """
    if not anchor.known(session):
        anchor.create(session)
    declared = hospital.role_permissions()
    if problem := rules.declared_problem(declared):
        raise ValueError(problem)
    roles = {role.code: role for role in session.scalars(select(Role))}
    changed = []
    for code in {**rules.ROLE_TITLES, **dict.fromkeys(sorted(declared))}:
        wanted = declared.get(code, set())
        role = roles.get(code)
        if role is None:
            role = Role(code=code, title=rules.ROLE_TITLES.get(code, code), standard=True, active=True,
                        second_factor=code in SECOND_FACTOR_ROLES, permissions=_join(wanted), declared=_join(wanted))
            session.add(role)
            changed.append(role)
        elif role.standard and role.declared != _join(wanted):
            before = set(role.declared.split())
            held = (set(role.permissions.split()) | (wanted - before)) - (before - wanted)
            role.permissions, role.declared = _join(held), _join(wanted)
            changed.append(role)
    if changed:
        session.flush()
        change = integrity.begin_change(session, SCOPE)
        for role in changed:
            change.put(f"role:{role.id}", role_content(role))
        change.close()
        audit.record(session, session.info.get("actor", SYSTEM), "role.sync", "role", "standard",
                     {"roles": [role.code for role in changed]})


def _join(codes: Iterable[str]) -> str:
    return " ".join(sorted(codes))


def set_roles(session: Session, actor: Actor, user_id: int,
              grants: Sequence[tuple[str, int | None]], *, new: bool = False) -> User:
    """Give the account exactly these roles (role code, department id or None for everywhere).

    ``new``: the account is being made in this unit of work and isn't protected yet.

    :raises NotFound: no such account or role. :raises Forbidden: one's own account.
    :raises Invalid: the roles exclude each other. :raises Conflict: the last audit administrator would go.
    """
    if actor.user_id == user_id:
        raise Forbidden("security.self_grant", "不能给自己授权，请由另一位安全管理员办理")
    change = integrity.begin_change(session, SCOPE)  # first: grant changes happen one after the other
    user = session.get(User, user_id, populate_existing=True)
    if user is None:
        raise NotFound("security.no_user", "没有这个账户")
    before = grants_of(session, [user_id])[user_id]
    if not new:
        still_intact(session, user)
    roles = {role.code: role for role in session.scalars(select(Role))}
    for code, _ in grants:
        if code not in roles or not roles[code].active:
            raise NotFound("security.no_role", f"没有角色 {code}")
    if problem := rules.role_problem(code for code, _ in grants):
        raise Invalid("security.separation", problem)
    if problem := rules.end_date_problem((code for code, _ in grants), user.valid_until, db.today(session)):
        raise Conflict("security.end_date", problem + "，请先由系统管理员在账户上设置")
    wanted = sorted({(roles[code].id, department or EVERYWHERE) for code, department in grants})
    auditor = roles["auditadmin"].id if "auditadmin" in roles else None
    if auditor in {r for r, _ in before} and auditor not in {r for r, _ in wanted}:
        keep_an_auditor(session, user)
    sealer = db.of(session).sealer
    session.execute(delete(UserRole).where(UserRole.user_id == user_id))
    now = db.now(session)
    for role_id, department_id in wanted:
        session.add(UserRole(user_id=user_id, role_id=role_id, department_id=department_id, granted_at=now,
                             granted_by=actor.user_id,
                             row_mac=grant_mac(sealer, user_id, role_id, department_id)))
    protect_users(session, change, [user])
    change.close()
    codes = {role.id: role.code for role in roles.values()}
    audit.record(session, actor, "grant.change", "user", user_id,
                 {"before": _plain(before, codes), "after": _plain(wanted, codes)})
    return user


def grant_mac(sealer: Any, user_id: int, role_id: int, department_id: int) -> str:
    """The row MAC of one grant."""
    return integrity.row_mac(sealer, "security_user_role", (user_id, role_id, department_id))


def _plain(grants: Iterable[tuple[int, int]], codes: Mapping[int, str]) -> list[str]:
    return [codes.get(role, str(role)) + (f"@{department}" if department else "") for role, department in grants]


def still_intact(session: Session, user: User) -> None:
    """:raises Forbidden: the account was changed behind our back; a change would make that look right."""
    found = session.execute(
        select(integrity.IntegritySet.version, integrity.IntegritySet.mac)
        .where(integrity.IntegritySet.scope == SCOPE, integrity.IntegritySet.owner == f"user:{user.id}")).first()
    content = user_content(user, grants_of(session, [user.id])[user.id])
    if found is None or not integrity.row_holds(
            db.of(session).sealer, "integrity_set", (SCOPE, f"user:{user.id}", found.version, content), found.mac):
        raise Forbidden("integrity.violation", "该账户的权限数据校验未通过，不能修改，请先由信息科核查")


def keep_an_auditor(session: Session, leaving: User) -> None:
    """:raises Conflict: ``leaving`` is the last active audit administrator (DB-13)."""
    left = session.scalar(
        select(func.count()).select_from(UserRole).join(Role, Role.id == UserRole.role_id)
        .join(User, User.id == UserRole.user_id)
        .where(Role.code == "auditadmin", User.id != leaving.id, User.state == "active",
               or_(User.valid_until.is_(None), User.valid_until >= db.today(session))))
    if not left:
        raise Conflict("security.last_auditor", "这是最后一名审计管理员，请先任命新的审计管理员")


def is_auditor(session: Session, user_id: int) -> bool:
    """Whether the account is an audit administrator."""
    return session.scalar(select(func.count()).select_from(UserRole).join(Role, Role.id == UserRole.role_id)
                          .where(Role.code == "auditadmin", UserRole.user_id == user_id)) > 0


def role_codes(session: Session, user_id: int) -> list[str]:
    """Codes of the active roles that an account holds."""
    return sorted(set(session.scalars(
        select(Role.code).join(UserRole, UserRole.role_id == Role.id)
        .where(UserRole.user_id == user_id, Role.active))))


def save_role(session: Session, actor: Actor, hospital: Hospital, code: str, *, title: str, permissions: Iterable[str],
              second_factor: bool, active: bool = True) -> Role:
    """Make or change a role.

    :raises Invalid: an unknown permission, or one that belongs to an administrator.
    :raises Forbidden: the administrators' own roles, or a role that the actor holds.
    """
    if code in rules.ADMINISTRATORS:
        raise Forbidden("security.fixed_role", "三员角色的权限由系统规定，不能修改")
    if code in actor.roles:
        raise Forbidden("security.self_grant", "不能修改自己持有的角色")
    wanted = set(permissions)
    if strange := wanted - set(hospital.permissions):
        raise invalid("permissions", f"没有这些权限：{'、'.join(sorted(strange))}")
    declared = hospital.role_permissions()
    reserved = set().union(*(declared.get(admin, set()) for admin in rules.ADMINISTRATORS))
    own = set().union(*(held for role, held in declared.items() if role not in rules.ADMINISTRATORS))
    if taken := wanted & (reserved - own):
        raise Invalid("security.separation", f"这些权限只能由管理员持有：{'、'.join(sorted(taken))}")
    change = integrity.begin_change(session, SCOPE)
    role = session.scalars(select(Role).where(Role.code == code)).first()
    before = "" if role is None else role.permissions
    if role is None:
        if rules.login_problem(code):
            raise invalid("code", "角色代码为 2 至 40 位字母、数字或 . _ -")
        role = Role(code=code, title=title, standard=False, active=active, second_factor=second_factor,
                    permissions=_join(wanted), declared="")
        session.add(role)
    else:
        role.title, role.permissions, role.second_factor, role.active = title, _join(wanted), second_factor, active
    session.flush()
    change.put(f"role:{role.id}", role_content(role))
    change.close()
    audit.record(session, actor, "role.change", "role", code,
                 {"added": sorted(wanted - set(before.split())), "removed": sorted(set(before.split()) - wanted),
                  "active": active, "second_factor": second_factor})
    return role


def verify(session: Session) -> list[Finding]:
    """Everything that is wrong with accounts, roles and grants (``his-server integrity verify``)."""
    found: list[Finding] = []
    for _ in range(3):
        before = _head_version(session)
        found = _verify(session)
        if not found or _head_version(session) == before:
            break  # else something was granted while we read
    return found


def _head_version(session: Session) -> int | None:
    return session.scalar(select(integrity.IntegrityHead.version).where(integrity.IntegrityHead.scope == SCOPE))


def _verify(session: Session) -> list[Finding]:
    sealer = db.of(session).sealer
    try:
        head = integrity.read_head(session, SCOPE)
    except integrity.Altered as altered:
        return [Finding("grants", altered.where, altered.message)]
    wrong = []
    owners = set()
    users = list(session.scalars(select(User)))
    held: dict[int, list[tuple[int, int]]] = {user.id: [] for user in users}
    for grant in session.scalars(select(UserRole)):
        where = f"security_user_role {grant.user_id}/{grant.role_id}/{grant.department_id}"
        if grant.user_id not in held:
            wrong.append(Finding("grants", where, "授权给了不存在的账户"))
        else:
            held[grant.user_id].append((grant.role_id, grant.department_id))
        values = (grant.user_id, grant.role_id, grant.department_id)
        if not integrity.row_holds(sealer, "security_user_role", values, grant.row_mac):
            wrong.append(Finding("grants", where, "授权记录被改动或插入"))
    contents = {f"user:{u.id}": user_content(u, held[u.id]) for u in users}
    contents |= {f"role:{r.id}": role_content(r) for r in session.scalars(select(Role))}
    for owner, content in contents.items():
        owners.add(owner)
        try:
            head.check(sealer, SCOPE, owner, content)
        except integrity.Altered:
            wrong.append(Finding("grants", owner, "账户、角色或其授权被改动"))
    wrong += [Finding("grants", owner, "账户或角色被删除") for owner in sorted(set(head.sets) - owners)]
    return wrong


def accept(session: Session, actor: Actor, reason: str) -> None:
    """Protect accounts, roles and grants as they stand: after a restore, by decision of the hospital, on record."""
    found = verify(session)
    change = integrity.begin_change(session, SCOPE, above=anchor.newest(db.of(session), f"head:{SCOPE}"))
    session.execute(delete(integrity.IntegritySet).where(integrity.IntegritySet.scope == SCOPE))
    sealer = db.of(session).sealer
    for grant in session.scalars(select(UserRole)):
        grant.row_mac = grant_mac(sealer, grant.user_id, grant.role_id, grant.department_id)
    for role in session.scalars(select(Role)):
        change.put(f"role:{role.id}", role_content(role))
    protect_users(session, change, list(session.scalars(select(User))))
    change.close()
    audit.record(session, actor, "integrity.accept", "integrity", SCOPE,
                 {"reason": reason, "findings": [f"{f.where}: {f.message}" for f in found[:50]]})
