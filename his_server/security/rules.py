"""Pure rules of accounts: folded logins, password quality, separation of the administrators, one-time codes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from functools import cache
from importlib import resources

ADMINISTRATORS = ("sysadmin", "secadmin", "auditadmin")
"""The three whose powers exclude each other and all hospital work (COMPLIANCE DB-13)."""

ROLE_TITLES = {
    "sysadmin": "系统管理员", "secadmin": "安全管理员", "auditadmin": "审计管理员",
    "cashier": "收费员", "registrar": "挂号员", "pharmacist": "药师", "doctor": "医生", "nurse": "护士",
    "finance": "财务", "discipline": "纪检", "insurance": "医保", "warehouse": "药库", "medical_technician": "医技",
    "catalogue": "目录管理", "integration": "接口管理员",
    "medical_affairs": "医务管理",
    "infusion_nurse": "输液室护士", "emergency_nurse": "急诊护士",
    "intern": "实习人员", "trainee": "进修人员", "vendor": "外部维护人员",
}
"""The standard roles of a new installation; modules may declare more."""

TEMPORARY = frozenset({"intern", "trainee", "vendor"})
"""Marks beside the working roles: whoever holds one is here for a time."""
TEMPORARY_DAYS = timedelta(days=366)

SHARED = frozenset({"security.read_accounts"})
"""Reading powers that more than one administrator may hold."""

PASSWORD_MIN, PASSWORD_MIN_ADMIN, PASSWORD_MAX = 8, 10, 128
HISTORY = 5
_LOGIN = re.compile(r"[0-9a-z][0-9a-z._-]{1,39}")
_STEPS = ("0123456789", "abcdefghijklmnopqrstuvwxyz", "qwertyuiop", "asdfghjkl", "zxcvbnm", "1qaz2wsx3edc4rfv5tgb6yhn")


def fold_login(login: str) -> str:
    """The name under which a login is unique: NFKC, lower case, no white space or invisible characters (DB-01)."""
    text = unicodedata.normalize("NFKC", login).casefold()
    return "".join(c for c in text if not c.isspace() and unicodedata.category(c) not in {"Cc", "Cf", "Co", "Cn"})


def login_problem(login: str) -> str | None:
    """Why a new login can't be given, or None. Only ASCII letters, digits, ``.``, ``_``, ``-``: no look-alikes."""
    if _LOGIN.fullmatch(fold_login(login)) is None:
        return "登录名为 2 至 40 位字母、数字或 . _ -，以字母或数字开头"
    return None


def password_problems(password: str, login: str, *, administrator: bool = False) -> list[str]:
    """Why a new password is refused; empty when it is good (DB-02). Length in characters."""
    least = PASSWORD_MIN_ADMIN if administrator else PASSWORD_MIN
    problems = []
    if len(password) < least:
        problems.append(f"至少 {least} 位")
    if len(password) > PASSWORD_MAX:
        problems.append(f"最多 {PASSWORD_MAX} 位")
    classes = (str.islower, str.isupper, str.isdigit)
    kinds = sum(any(test(c) for c in password) for test in classes) + any(not c.isalnum() for c in password)
    if kinds < 3:
        problems.append("须含大写字母、小写字母、数字、符号中的三类")
    if any(unicodedata.category(c) in {"Cc", "Cs", "Cn"} for c in password):
        problems.append("含有不允许的字符")
    name = fold_login(login)
    folded = fold_login(password)
    if len(name) >= 3 and (name in folded or name[::-1] in folded):
        problems.append("不能包含登录名")
    if is_weak(password):
        problems.append("过于常见，容易被猜中")
    return problems


@cache
def _weak_words() -> frozenset[str]:
    text = resources.files("his_server.security").joinpath("weak_passwords.txt").read_text(encoding="utf-8")
    return frozenset(line.strip().casefold() for line in text.splitlines() if line.strip() and line[0] != "#")


def is_weak(password: str) -> bool:
    """Whether the password is a common one, possibly in disguise (``P@ssw0rd123``), a run or a repetition."""
    plain = fold_login(password)
    words = _weak_words()
    core = plain.strip("0123456789!@#$%^&*()_+-=.,?~ ")
    undo = str.maketrans("@4301!$57", "aaeoiisst")
    for text in {core, core.translate(undo), plain.translate(undo).strip("0123456789#%^&*()_+-=.,?~ ")}:
        if text in words and len(plain) - len(text) <= 6:
            return True
    if plain in words:
        return True
    squeezed = re.sub(r"(.)\1+", r"\1", plain)
    if len(squeezed) <= max(2, len(plain) // 3) or re.fullmatch(r"(.{1,4}?)\1+", plain):
        return True
    return any(_covered(plain, steps) for steps in _STEPS)


def _covered(text: str, steps: str) -> bool:
    """Whether most of the text is one run along the alphabet, the digits or the keyboard."""
    for way in (steps, steps[::-1]):
        for start in range(len(text)):
            length = 0
            while start + length < len(text) and text[start:start + length + 1] in way:
                length += 1
            if length >= 6 and length >= len(text) * 2 // 3:
                return True
    return False


def role_problem(held: Iterable[str]) -> str | None:
    """Why one person can't hold these role codes together, or None (DB-13)."""
    codes = set(held)
    admin = codes & set(ADMINISTRATORS)
    if len(admin) > 1:
        return "系统管理员、安全管理员、审计管理员三者不能由一人兼任"
    if admin and len(codes) > 1:
        return "管理员账户不能同时承担业务角色，请使用另一人员的账户"
    return None


def end_date_problem(held: Iterable[str], until: date | None, today: date) -> str | None:
    """Why these roles can't be held with this last day, or None: interns, trainees and vendors leave (PR-05)."""
    if set(held) & TEMPORARY and (until is None or until > today + TEMPORARY_DAYS):
        return "实习、进修和外部维护人员的账户必须设有效期，最长一年"
    return None


def declared_problem(role_permissions: dict[str, set[str]]) -> str | None:
    """Why the modules' declarations break the separation of powers, or None."""
    for number, first in enumerate(ADMINISTRATORS):
        for second in ADMINISTRATORS[number + 1:]:
            both = role_permissions.get(first, set()) & role_permissions.get(second, set()) - SHARED
            if both:
                return f"{first} and {second} both declare {', '.join(sorted(both))}"
    return None


def one_time_code(hmac: Callable[[bytes, bytes], bytes], secret: bytes, step: int, digits: int = 6) -> str:
    """The code of a 30-second step: RFC 6238 with HMAC-SM3 (dynamic truncation of its 32 bytes)."""
    mac = hmac(secret, step.to_bytes(8, "big"))
    offset = mac[-1] & 0x0F
    number = int.from_bytes(mac[offset:offset + 4], "big") & 0x7FFFFFFF
    return str(number % 10**digits).zfill(digits)
