"""Accounts: made by the system administrator without any power; lockout, passwords, second factors (DB-01…08, 12)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from sqlalchemy import case, delete, literal, or_, select, update
from sqlalchemy.orm import Session

from his_server.actor import Actor
from his_server.db import database as db
from his_server.db.types import Instant
from his_server.errors import Conflict, Forbidden, NotFound, invalid
from his_server.security import audit, grants, integrity, passwords, rules
from his_server.security.models import PasswordHistory, SignInSession, User

DEFAULT_ROUNDS = 120_000


def create_user(session: Session, actor: Actor, *, login: str, name: str, password: str,
                roles: Sequence[str | tuple[str, int | None]] = (), staff_id: int | None = None,
                department_id: int | None = None, valid_until: date | None = None, must_change: bool = True,
                rounds: int = DEFAULT_ROUNDS) -> User:
    """Make an account. ``roles`` (codes, or code with department) only for the system itself: init, demo, import.

    :raises Invalid: a bad login or password. :raises Conflict: the login or the staff member has an account already.
    :raises Forbidden: a person gives roles together with the account: another administrator must grant them.
    """
    if roles and actor.user_id:
        raise Forbidden("security.separation", "建立账户与授权须由不同管理员办理")
    if problem := rules.login_problem(login):
        raise invalid("login", problem)
    if not name.strip():
        raise invalid("name", "请填写姓名")
    codes = [role if isinstance(role, str) else role[0] for role in roles]
    _check_new(password, login, administrator=bool(set(codes) & set(rules.ADMINISTRATORS)))
    key = rules.fold_login(login)
    taken = session.execute(select(User.login_key, User.staff_id).where(
        or_(User.login_key == key, User.staff_id == staff_id if staff_id else User.login_key == key))).first()
    if taken is not None:
        what = "登录名已被使用（含已停用账户）" if taken.login_key == key else "该人员已有账户，一人只能有一个账户"
        raise Conflict("security.account_exists", what)
    user = User(login=key, login_key=key, name=name.strip(), staff_id=staff_id, department_id=department_id,
                state="active", valid_until=valid_until, password="", password_changed_at=db.now(session),
                must_change=must_change, failures=0, totp_step=0, created_at=db.now(session),
                created_by=actor.user_id)
    user.password = passwords.make(db.of(session).sealer, user.id, password, rounds)
    session.add(user)
    session.flush()
    audit.record(session, actor, "user.create", "user", user.id, {"login": key, "staff_id": staff_id})
    if roles:
        grants.set_roles(session, actor, user.id, [(r, None) if isinstance(r, str) else r for r in roles], new=True)
    else:
        _protect(session, user)
    return user


def _protect(session: Session, user: User) -> None:
    change = integrity.begin_change(session, grants.SCOPE)
    grants.protect_users(session, change, [user])
    change.close()


def _check_new(password: str, login: str, *, administrator: bool) -> None:
    if problems := rules.password_problems(password, login, administrator=administrator):
        raise invalid("password", "新密码不符合要求：" + "；".join(problems), "security.weak_password")


def get_user(session: Session, user_id: int) -> User:
    """:raises NotFound: no such account."""
    user = session.get(User, user_id)
    if user is None:
        raise NotFound("security.no_user", "没有这个账户")
    return user


def change_user(session: Session, actor: Actor, user_id: int, *, name: str, department_id: int | None,
                valid_until: date | None, active: bool) -> User:
    """Change an account's name, department, last day, or disable and enable it.

    :raises Forbidden: one's own account, or protected data that don't hold.
    :raises Conflict: it is the last audit administrator's.
    """
    if actor.user_id == user_id:
        raise Forbidden("security.own_account", "不能修改自己的账户，请由另一位系统管理员办理")
    change = integrity.begin_change(session, grants.SCOPE)
    user = get_user(session, user_id)
    grants.still_intact(session, user)
    ends = not active or (valid_until is not None and valid_until < db.today(session))
    if ends and grants.is_auditor(session, user_id):
        grants.keep_an_auditor(session, user)
    if problem := rules.end_date_problem(grants.role_codes(session, user_id), valid_until, db.today(session)):
        raise invalid("valid_until", problem)
    before = _facts(user)
    user.name, user.department_id, user.valid_until = name, department_id, valid_until
    user.state = "active" if active else "disabled"
    grants.protect_users(session, change, [user])
    change.close()
    if ends:
        end_sessions(session, user_id)
    audit.record(session, actor, "user.change", "user", user_id, {"before": before, "after": _facts(user)})
    return user


def _facts(user: User) -> dict[str, Any]:
    return {"name": user.name, "department": user.department_id, "until": user.valid_until, "state": user.state}


def end_sessions(session: Session, user_id: int) -> int:
    """End all sessions of the account; returns how many."""
    done = session.execute(delete(SignInSession).where(SignInSession.user_id == user_id))
    return int(done.rowcount)  # type: ignore[attr-defined]


def unlock(session: Session, actor: Actor, user_id: int) -> None:
    """Lift a lockout before its time."""
    user = get_user(session, user_id)
    user.failures, user.locked_until = 0, None
    audit.record(session, actor, "user.unlock", "user", user_id, {"login": user.login})


def reset_password(session: Session, actor: Actor, user_id: int, password: str, rounds: int) -> None:
    """Give a new password, which must be changed at the next sign-in; ends all sessions.

    :raises Forbidden: one's own account. :raises Invalid: a bad or a former password.
    """
    if actor.user_id == user_id:
        raise Forbidden("security.own_account", "请用“修改密码”修改自己的密码")
    user = get_user(session, user_id)
    set_password(session, user, password, rounds, must_change=True)
    user.failures, user.locked_until = 0, None
    end_sessions(session, user_id)
    audit.record(session, actor, "user.password_reset", "user", user_id, {"login": user.login})


def set_password(session: Session, user: User, password: str, rounds: int, *, must_change: bool) -> None:
    """Check and store a new password; the old one goes to the history.

    :raises Invalid: it is weak, or one of the last five.
    """
    administrator = bool(set(grants.role_codes(session, user.id)) & set(rules.ADMINISTRATORS))
    _check_new(password, user.login, administrator=administrator)
    sealer = db.of(session).sealer
    former = list(session.scalars(select(PasswordHistory).where(PasswordHistory.user_id == user.id)
                                  .order_by(PasswordHistory.changed_at.desc(), PasswordHistory.id.desc())))
    for verifier in [user.password, *(row.password for row in former[:rules.HISTORY - 1])]:
        if passwords.holds(sealer, user.id, password, verifier):
            raise invalid("password", f"不能使用最近 {rules.HISTORY} 次用过的密码", "security.password_reused")
    session.add(PasswordHistory(user_id=user.id, password=user.password, changed_at=user.password_changed_at))
    for row in former[rules.HISTORY - 2:]:
        session.delete(row)
    user.password = passwords.make(sealer, user.id, password, rounds)
    user.password_changed_at, user.must_change = db.now(session), must_change


def take_attempt(session: Session, login_key: str, limit: int, seconds: int) -> bool:
    """Count one attempt before it is checked; False when the account is locked or there is none.

    One UPDATE decides, so that of any number of simultaneous guesses at most ``limit`` are looked at (DB-04).
    """
    now = db.now(session)
    over = User.locked_until <= now
    count = case((over, 1), else_=User.failures + 1)
    done = session.execute(
        update(User)
        .where(User.login_key == login_key, User.state == "active",
               or_(User.locked_until.is_(None), over), or_(over, User.failures < limit))
        .values(failures=count, locked_until=case((count >= limit, literal(now + timedelta(seconds=seconds), Instant)),
                                                 else_=None))
        .execution_options(synchronize_session=False))
    return bool(done.rowcount)  # type: ignore[attr-defined]


def forgive(session: Session, user_id: int, *, completely: bool) -> None:
    """The attempt was right: forget all failures after a complete sign-in, else only this attempt."""
    values = {"failures": 0} if completely else {
        "failures": case((User.failures > 0, User.failures - 1), else_=0)}
    session.execute(update(User).where(User.id == user_id).values(locked_until=None, **values)
                    .execution_options(synchronize_session=False))


def enrol_totp(session: Session, actor: Actor, user_id: int) -> bytes:
    """Bind a new one-time code generator; returns its 32-byte secret, which is shown once (DB-08).

    :raises Forbidden: one's own account.
    """
    if actor.user_id == user_id:
        raise Forbidden("security.self_grant", "不能为自己登记第二因素，请由另一位安全管理员办理")
    database = db.of(session)
    secret: bytes = database.sealer.provider.random(32)
    sealed = database.sealer.seal("column", secret, f"security_user.totp:{user_id}")
    _bind(session, actor, user_id, "factor.enrol", {"kind": "totp"}, totp_sealed=sealed, totp_step=0)
    return secret


def enrol_certificate(session: Session, actor: Actor, user_id: int, pem: str) -> None:
    """Bind an SM2 certificate, checked by the caller. :raises Forbidden: one's own account."""
    if actor.user_id == user_id:
        raise Forbidden("security.self_grant", "不能为自己登记证书，请由另一位安全管理员办理")
    _bind(session, actor, user_id, "factor.enrol", {"kind": "certificate"}, certificate=pem)


def remove_factors(session: Session, actor: Actor, user_id: int) -> None:
    """Unbind certificate and code generator; ends all sessions. :raises Forbidden: one's own account."""
    if actor.user_id == user_id:
        raise Forbidden("security.self_grant", "不能解除自己的第二因素，请由另一位安全管理员办理")
    _bind(session, actor, user_id, "factor.remove", {}, totp_sealed=None, totp_step=0, certificate=None)


def _bind(session: Session, actor: Actor, user_id: int, event: str, detail: dict[str, Any], **values: Any) -> None:
    change = integrity.begin_change(session, grants.SCOPE)
    user = get_user(session, user_id)
    grants.still_intact(session, user)
    for name, value in values.items():
        setattr(user, name, value)
    grants.protect_users(session, change, [user])
    change.close()
    end_sessions(session, user_id)
    audit.record(session, actor, event, "user", user_id, detail)


def take_code(session: Session, user: User, code: str) -> bool:
    """Whether ``code`` is right now (one step of tolerance); each step's code works once."""
    if user.totp_sealed is None or len(code) != 6 or not code.isascii() or not code.isdigit():
        return False
    database = db.of(session)
    secret = database.sealer.open("column", bytes(user.totp_sealed), f"security_user.totp:{user.id}")
    now = int(db.now(session).timestamp()) // 30
    for step in (now, now - 1, now + 1):
        if rules.one_time_code(database.sealer.provider.hmac_sm3, secret, step) == code:
            done = session.execute(update(User).where(User.id == user.id, User.totp_step < step)
                                   .values(totp_step=step).execution_options(synchronize_session=False))
            return bool(done.rowcount)  # type: ignore[attr-defined]
    return False

