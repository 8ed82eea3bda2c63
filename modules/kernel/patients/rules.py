"""Identity numbers and masking: pure rules (HS-01, HS-02, HS-03, PR-01)."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import date

WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
CHECK_DIGITS = "10X98765432"
PROVINCES = frozenset(str(n) for n in (*range(11, 16), *range(21, 24), *range(31, 38), *range(41, 47), *range(50, 55),
                                       *range(61, 66), 71))
OLDEST_YEAR = 1850

RESIDENT_ID, HK_MACAO_TAIWAN_PERMIT, PERMANENT_RESIDENT = "01", "17", "07"
_DASHES = dict.fromkeys(map(ord, "-‐‑‒–—―−－﹣"))
_BRACKETS = dict.fromkeys(map(ord, "()"))
_ID18 = re.compile(r"[0-9]{17}[0-9X]\Z")
_ID15 = re.compile(r"[0-9]{15}\Z")
_MOBILE = re.compile(r"(?:\+?86|0086)(1[3-9][0-9]{9})\Z")
_PERMIT = re.compile(r"8[123]0000")
_FORMS = {
    "04": (re.compile(r"[A-Z0-9]{5,20}\Z"), "港澳通行证应为 H 或 M 加 8 位数字，护照为字母和数字"),
    "05": (re.compile(r"[A-Z0-9]{5,20}\Z"), "港澳通行证应为 H 或 M 加 8 位数字，护照为字母和数字"),
    "06": (re.compile(r"(?:[0-9]{8}|[0-9]{10}(?:\([A-Z0-9]\))?)\Z"), "台湾居民通行证应为 8 位数字（旧证 10 位）"),
    "08": (re.compile(r"[A-Z0-9]{3,20}\Z"), "护照号码应为字母和数字"),
    "16": (re.compile(r"[A-Z0-9]{3,20}\Z"), "护照号码应为字母和数字"),
}


class IdNumberError(ValueError):
    """An identity number that can't be right; the message is Chinese and says why."""


@dataclass(frozen=True)
class IdFacts:
    """What a number says: its normal form, birth date and sex (GB/T 2261.1) where it carries them."""

    number: str
    birth_date: date | None = None
    sex: str | None = None


def check_digit(first17: str) -> str:
    """The MOD 11-2 check digit of 17 digits (GB 11643)."""
    return CHECK_DIGITS[sum(w * int(d) for w, d in zip(WEIGHTS, first17, strict=True)) % 11]


def normalise_number(text: str) -> str:
    """The form in which numbers of any kind are compared: NFKC, upper case, no spaces, dashes or brackets, mobile numbers
    without the country code, resident numbers of 15 digits as the 18-digit number of the same person."""
    plain = "".join(unicodedata.normalize("NFKC", text).upper().translate(_DASHES | _BRACKETS).split())
    if mobile := _MOBILE.match(plain):
        return mobile.group(1)
    return upgrade(plain) if _ID15.match(plain) and _is_old_resident_number(plain) else plain


def upgrade(old: str) -> str:
    """The 18-digit number of a 15-digit one (all were born in the 20th century or before 1900; GB 11643 says 19)."""
    first = old[:6] + "19" + old[6:]
    return first + check_digit(first)


def _is_old_resident_number(text: str) -> bool:
    return text[:2] in PROVINCES and _date("19" + text[6:12]) is not None


def _date(digits: str) -> date | None:
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    except ValueError:
        return None


def check_id(id_type: str, text: str, today: date) -> IdFacts:
    """Check a number under its certificate type (psn_cert_type) and read what it says.

    :raises IdNumberError: the number can't be of this type, with the reason. Regions that no longer exist are right:
        people keep their number for life (HS-02).
    """
    plain = "".join(unicodedata.normalize("NFKC", text).upper().translate(_DASHES).split())
    if not plain:
        raise IdNumberError("证件号码不能为空；没有证件请把证件类型也留空")
    if id_type == RESIDENT_ID:
        return _resident(plain, today)
    if id_type == HK_MACAO_TAIWAN_PERMIT:
        return _permit(plain, today)
    if id_type == PERMANENT_RESIDENT:
        return _permanent(plain)
    form, reason = _FORMS.get(id_type, (None, ""))
    if form is not None and not form.match(plain):
        raise IdNumberError(reason)
    if not 3 <= len(plain) <= 30 or not plain.isprintable():
        raise IdNumberError("证件号码应为 3 至 30 个字")
    return IdFacts(plain)


def type_of(text: str) -> str:
    """The certificate type of the number on an identity card: resident, 港澳台居民居住证 or 外国人永久居留身份证."""
    plain = normalise_number(text)
    if len(plain) == 18 and _PERMIT.match(plain):
        return HK_MACAO_TAIWAN_PERMIT
    return PERMANENT_RESIDENT if (len(plain) == 18 and plain[0] == "9") or plain[:1].isalpha() else RESIDENT_ID


def _resident(plain: str, today: date) -> IdFacts:
    if _ID15.match(plain):
        if not _is_old_resident_number(plain):
            raise IdNumberError("15 位身份证号中的地区或出生日期不对")
        plain = upgrade(plain)
    if plain[0] == "9" and len(plain) == 18:
        raise IdNumberError("首位为 9 的是外国人永久居留身份证，请把证件类型改为“外国人永久居留证”")
    if _PERMIT.match(plain) and len(plain) == 18:
        raise IdNumberError("81、82、83 开头的是港澳台居民居住证，请把证件类型改为“港澳台居民居住证”")
    _check_18(plain)
    if plain[:2] not in PROVINCES:
        raise IdNumberError("身份证号前两位不是任何省份的代码")
    return _facts(plain, today)


def _permit(plain: str, today: date) -> IdFacts:
    if not _PERMIT.match(plain):
        raise IdNumberError("港澳台居民居住证以 810000、820000 或 830000 开头")
    _check_18(plain)
    return _facts(plain, today)


def _permanent(plain: str) -> IdFacts:
    if re.fullmatch(r"[A-Z]{3}[0-9]{12}", plain):
        return IdFacts(plain)
    if plain[0] != "9" or len(plain) != 18:
        raise IdNumberError("永久居留证应为 9 开头的 18 位号码，或 3 个字母加 12 位数字的旧号码")
    _check_18(plain)
    # Issuing province 2, nationality 3, birth date 8, serial 3: known from the cards, not from a published standard,
    # so the date only fills an empty field and never refuses a number.
    return IdFacts(plain, birth_date=_date(plain[6:14]))


def _check_18(plain: str) -> None:
    if not _ID18.match(plain):
        raise IdNumberError(f"应为 18 位数字（末位可为 X），现在是 {len(plain)} 位" if len(plain) != 18
                            else "应为 18 位数字，只有末位可为 X")
    if check_digit(plain[:17]) != plain[17]:
        raise IdNumberError("末位校验码不对，请逐位核对号码")


def _facts(plain: str, today: date) -> IdFacts:
    born = _date(plain[6:14])
    if born is None or born.year < OLDEST_YEAR:
        raise IdNumberError("号码中的出生日期不存在")
    if born > today:
        raise IdNumberError("号码中的出生日期在今天之后")
    return IdFacts(plain, born, "1" if int(plain[16]) % 2 else "2")


CONCEALED = "（已封存）"
"""What stands for the name of somebody whose file is 封存."""


def mask_name(name: str) -> str:
    """The first character and a star for each further one, at most three: 张*, 欧**. Cuts by code point."""
    if name == CONCEALED:
        return name
    return name[:1] + "*" * min(max(len(name) - 1, 0), 3)


def mask_number(number: str) -> str:
    """A number with its middle hidden: 11 digits keep 3 and 4, others at most a third.

    Identity numbers (15 and more) keep 3 and 2: beside 6 and 4 a birth date, even an age, is enough to work out the
    rest by the check digit (PR-01).
    """
    length = len(number)
    if length >= 15:
        head, tail = 3, 2
    elif length == 11:
        head, tail = 3, 4
    elif length >= 8:
        head, tail = 2, 2
    else:
        head, tail = min(1, length // 3), 0
    return number[:head] + "*" * (length - head - tail) + (number[-tail:] if tail else "")


_PERSONAL = re.compile(r"(?P<id_no>\d{17}[\dX]|\d{15}|[A-Z]{1,2}\d{7,10}|[A-Z]{3}\d{12})"
                       r"|(?P<phone>\+?(86)?1[3-9]\d{9}|0\d{9,11})")


def personal_number(number: str) -> str | None:
    """``id_no`` or ``phone`` when a normalised number has the form of one: to search by it is audited (PR-03)."""
    found = _PERSONAL.fullmatch(number)
    return found.lastgroup and ("phone" if found["phone"] else "id_no") if found else None


def mask_address(region_name: str | None, detail: str | None) -> str:
    """The address down to the district; stars where there is more."""
    return (region_name or "") + ("***" if detail else "")


def age(born: date, today: date) -> str:
    """The age as hospitals write it: days under a month, months under two years, then years."""
    months = (today.year - born.year) * 12 + today.month - born.month - (today.day < born.day)
    if months < 1:
        return f"{max((today - born).days, 0)}天"
    return f"{months}月" if months < 24 else f"{months // 12}岁"
