"""Fields of the wire: exact numbers as strings, safe text, Chinese messages. Used by every ``schemas.py``."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from marshmallow import Schema, ValidationError, fields, missing, validate

from dialects import portable

MAX_ID = 2**53 - 1
FIRST_DAY, LAST_DAY = date(1800, 1, 1), date(2199, 12, 31)

_CHINESE = {
    fields.Field: {"required": "必填", "null": "不能为空", "validator_failed": "内容不符合要求"},
    fields.String: {"invalid": "应为文字", "invalid_utf8": "文字编码有误"},
    fields.Integer: {"invalid": "应为整数", "too_large": "数值过大"},
    fields.Number: {"invalid": "应为数字", "too_large": "数值过大"},
    fields.Decimal: {"invalid": "应为数字", "special": "应为普通数字"},
    fields.Boolean: {"invalid": "应为是或否"},
    fields.Date: {"invalid": "日期格式应为 2026-01-31", "format": "日期有误"},
    fields.DateTime: {"invalid": "时间格式有误", "invalid_awareness": "时间须带时区", "format": "时间有误"},
    fields.List: {"invalid": "应为列表"},
    fields.Nested: {"type": "内容结构有误"},
    fields.Mapping: {"invalid": "内容结构有误"},
    fields.UUID: {"invalid_uuid": "编号格式有误"},
}
for _field, _messages in _CHINESE.items():
    _field.default_error_messages = {**_field.default_error_messages, **_messages}
Schema.error_messages = {"unknown": "不认识的字段", "type": "内容结构有误"}

_BIDI = set("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u061c\ufeff\u200b")
_LOST = "\ufffd"
"""What a decoder puts where it lost a character: what comes with it was spoilt on its way."""


class Text(fields.String):
    """Text: trimmed, NFC, no control, bidi or private-use characters, none that got lost; ``max`` characters (code points)."""

    def __init__(self, *, max: int = 200, min: int = 0, multiline: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.max, self.min, self.multiline = max, min, multiline
        self.metadata.setdefault("maxLength", max)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = unicodedata.normalize("NFC", super()._deserialize(value, attr, data, **kwargs)).strip()
        for char in text:
            category = unicodedata.category(char)
            if category == "Cn" and 0x20000 <= ord(char) < 0x3FFFE:
                continue  # Han characters of GB 18030's amendment that Python's Unicode doesn't know yet: names have them
            if char == _LOST:
                raise ValidationError("有字符在传输中丢失（编码不对），请重新录入")
            if char in _BIDI or (category in {"Cc", "Cs", "Co", "Cn"} and not (self.multiline and char in "\n\t")):
                raise ValidationError(f"含有不允许的字符 U+{ord(char):04X}")
        if len(text) > self.max:
            raise ValidationError(f"最多 {self.max} 个字")
        if len(text) < self.min:
            raise ValidationError("必填" if self.min == 1 else f"至少 {self.min} 个字")
        return text


class Id(fields.Integer):
    """A key: a positive whole number below 2**53."""

    def __init__(self, **options: Any) -> None:
        super().__init__(strict=True, validate=validate.Range(1, MAX_ID, error="编号有误"), **options)


class Revision(fields.Integer):
    """The state of a record that somebody saw: a whole number that every database's integer column holds."""

    def __init__(self, **options: Any) -> None:
        super().__init__(strict=True, validate=validate.Range(0, 2**31 - 1, error="版本号有误，请刷新后重试"), **options)


class QueryId(fields.Integer):
    """A key in a query string."""

    def __init__(self, **options: Any) -> None:
        super().__init__(validate=validate.Range(1, MAX_ID, error="编号有误"), **options)


class Day(fields.Date):
    """A calendar day of the years 1800 to 2199: whatever is reckoned from it is a day too, in every database."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> date:
        day = super()._deserialize(value, attr, data, **kwargs)
        if not FIRST_DAY <= day <= LAST_DAY:
            raise ValidationError(f"日期应在 {FIRST_DAY} 至 {LAST_DAY} 之间")
        return day


class Moment(fields.AwareDateTime):
    """An instant with its offset, of the same years."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> datetime:
        moment = super()._deserialize(value, attr, data, **kwargs)
        if not FIRST_DAY <= moment.date() <= LAST_DAY:
            raise ValidationError(f"时间应在 {FIRST_DAY} 至 {LAST_DAY} 之间")
        return moment


class Exact(fields.Field[Decimal]):
    """A Decimal with at most ``places`` places, between ``low`` and ``high``; a string on the wire.

    JSON numbers are accepted (parsed without floats); NaN, infinities and exponents are refused.
    """

    def __init__(self, *, places: int, low: str = "-99999999999.99", high: str = "99999999999.99",
                 positive: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.places, self.unit = places, Decimal(1).scaleb(-places)
        self.low, self.high, self.positive = Decimal(low), Decimal(high), positive
        self.metadata.setdefault("type", "string")
        self.metadata.setdefault("pattern", rf"^-?\d{{1,11}}(\.\d{{1,{places}}})?$")

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return None if value is None else str(Decimal(value).quantize(self.unit))

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Decimal:
        if isinstance(value, bool | float) or not isinstance(value, str | int | Decimal):
            raise ValidationError("应为数字")
        text = str(value).strip()
        if len(text) > 24 or not text.isascii() or not text.lstrip("-").replace(".", "", 1).isdigit():
            raise ValidationError("应为数字")
        number = Decimal(text)
        exponent = number.as_tuple().exponent
        if isinstance(exponent, int) and -exponent > self.places:
            raise ValidationError(f"最多 {self.places} 位小数")
        if self.positive and number <= 0:
            raise ValidationError("必须大于 0")
        if not self.low <= number <= self.high:
            raise ValidationError(f"须大于 0，不超过 {self.high}" if self.positive else f"应在 {self.low} 至 {self.high} 之间")
        return number.quantize(self.unit)


class Rows(fields.Nested):
    """Hundreds of flat rows of one schema: read field by field; as soon as anything is wrong, marshmallow's own slower way
    names each wrong field. The schema has no hooks, and each of its fields is required or has a default."""

    def __init__(self, nested: type[Schema], **options: Any) -> None:
        super().__init__(nested, many=True, **options)
        row = nested()
        self._plan = row.load_fields
        self._defaults = {name: field.load_default for name, field in self._plan.items() if not field.required}
        if any(row._hooks.values()) or any(callable(d) or d is missing for d in self._defaults.values()):
            raise TypeError(f"{nested.__name__} is not flat")

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        with suppress(ValidationError, LookupError, AttributeError, TypeError):  # told below, with its place
            if isinstance(value, list):
                return [self._row(row) for row in value]
        return super()._deserialize(value, attr, data, **kwargs)

    def _row(self, row: dict[str, Any]) -> dict[str, Any]:
        found = {**self._defaults, **{name: self._plan[name].deserialize(given) for name, given in row.items()}}
        if len(found) != len(self._plan):
            raise LookupError
        return found


class MoneyField(Exact):
    """Yuan to the fen."""

    def __init__(self, **options: Any) -> None:
        super().__init__(places=2, **options)


class PriceField(Exact):
    """Yuan per unit to four places."""

    def __init__(self, **options: Any) -> None:
        super().__init__(places=4, **options)


class QuantityField(Exact):
    """A quantity to four places."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("high", "999999")
        options.setdefault("low", "-999999")
        super().__init__(places=4, **options)


class Choice(fields.String):
    """One of the given codes."""

    def __init__(self, *choices: str, **options: Any) -> None:
        super().__init__(validate=validate.OneOf(choices, error="只能是：" + "、".join(choices)), **options)


def _cursor(text: str) -> None:
    try:
        fits = len(text) <= 400 and bool(portable.decode_cursor(text))
    except ValueError:
        fits = False
    if not fits:
        raise ValidationError("翻页标记有误，请从第一页重新查询")


class PageQuery(Schema):
    """Query of keyset-paged lists: ``limit`` rows (1 to 200) after the opaque cursor ``after``."""

    limit = fields.Integer(load_default=50, validate=validate.Range(1, 200, error="每页 1 至 200 行"))
    after = fields.String(load_default=None, validate=_cursor)


def paged(item: type[Schema]) -> type[Schema]:
    """The schema of one page: ``items`` and ``next`` (cursor, null at the end)."""
    return Schema.from_dict(
        {"items": fields.List(fields.Nested(item)), "next": fields.String(allow_none=True)},
        name=f"{item.__name__}Page",
    )
