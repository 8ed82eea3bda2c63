"""The insurer's transactions as its specification names their fields; ``data/fields.txt`` is the specification.

Asking is strict on both sides (:func:`check`): unknown, missing, too long, wrong code. Answers are read tolerantly
(:func:`read`): numbers may be strings, lists may be missing or single, unknown fields are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path
from typing import Any

from marshmallow import INCLUDE, RAISE, Schema, ValidationError, fields

FIELDS = Path(__file__).parent / "data" / "fields.txt"
CATALOGUES = {"101": "1301", "102": "1302", "103": "1303", "201": "1305", "301": "1306"}
"""list_type → the transaction that downloads it; all of 1301's shape."""
_SAME = dict.fromkeys(("1302", "1303", "1305", "1306", "1307", "1308", "1309", "1310", "1311", "1313", "1314", "1315"), "1301")
_FORMATS = {"d": "%Y-%m-%d", "dt": "%Y-%m-%d %H:%M:%S"}

CODES: dict[str, frozenset[str]] = {name: frozenset(codes.split()) for name, codes in {
    "mdtrt_cert_type": "01 02 03 04", "psn_cert_type": "01 02 03 04 05 06 07 08 09 16 17 90 99",
    "insutype": "310 320 330 340 350 360 370 380 390 391 392 399 410 510",
    "med_type": "11 12 13 1301 14 18 21 2101 2102 2106 2107 22 28 41 51 52 71 9901 9903", "psn_setlway": "01 02",
    "acct_used_flag": "0 1 2", "mid_setl_flag": "0 1", "refd_setl_flag": "0 1", "stmt_rslt": "0 1", "diag_type": "1 2 3",
    "dscg_way": "1 2 3 4 5 9", "chrgitm_lv": "01 02 03", "list_type": "101 102 103 104 105 106 201 301",
    "med_chrgitm_type": "01 02 03 04 05 06 07 08 09 10 11 12 13 14", "vali_flag": "0 1", "hosp_appr_flag": "0 1 2",
    "rx_circ_flag": "0 1", "rx_flag": "0 1", "trdn_flag": "0 1", "maindiag_flag": "0 1", "cvlserv_flag": "0 1",
    "clr_type": "11 12 13 14 21 41 99",
    "inv_chg_type": "101 102 103 104 105 106 107 108 109 110 111"}.items()}
"""Closed lists of section D; the provincial tails come from 1901."""


class ContractError(ValueError):
    """What is to be sent doesn't fit the specification; ``message`` names the fields in Chinese."""

    def __init__(self, infno: str, message: str) -> None:
        super().__init__(f"{infno}: {message}")
        self.message = message


@dataclass(frozen=True)
class Item:
    """A field: ``kind`` s, n, d, dt, b or ?; ``size`` characters or digits, ``places`` of a number."""

    name: str
    title: str
    kind: str
    size: int
    places: int
    required: bool


@dataclass(frozen=True)
class Node:
    """A node of a message; "" is the message itself. ``many``: a list of such."""

    name: str
    many: bool
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Transaction:
    """A transaction: what is asked, what is answered, the rows of the files that go with it."""

    infno: str
    title: str
    asks: tuple[Node, ...]
    answers: tuple[Node, ...]
    rows_up: tuple[str, ...]
    rows_down: tuple[str, ...]


@cache
def transactions() -> dict[str, Transaction]:
    """All transactions by their national number."""
    found: dict[str, Transaction] = {}
    for block in FIELDS.read_text(encoding="utf-8").split("\n\n"):
        lines = [line for line in block.strip().splitlines() if not line.startswith("#")]
        if not lines:
            continue
        infno, _, title = lines[0].partition(" ")
        parts: dict[str, list[Node]] = {">": [], "<": [], ">>": [], "<<": []}
        for line in lines[1:]:
            head, _, rest = line.partition(": ")
            way, _, name = head.partition(" ")
            many = name.endswith("[]")
            name = name.removesuffix("[]")
            parts[way].append(Node("" if name == "." else name, many, tuple(_item(one) for one in rest.split("; "))))
        found[infno] = Transaction(infno, title, tuple(parts[">"]), tuple(parts["<"]), _names(parts[">>"]), _names(parts["<<"]))
    for infno, same in _SAME.items():
        found[infno] = Transaction(infno, found[same].title, *(getattr(found[same], part) for part in (
            "asks", "answers", "rows_up", "rows_down")))
    return found


def _names(nodes: list[Node]) -> tuple[str, ...]:
    return tuple(item.name for node in nodes for item in node.items)


def _item(text: str) -> Item:
    name, title, kind = text.split(" ")
    required = "*" in kind
    kind = kind.rstrip("*+")
    if kind in ("d", "dt", "b", "?"):
        return Item(name, title, kind, 0, 0, required)
    size, _, places = kind[1:].partition(",")
    return Item(name, title, kind[0], int(size), int(places or 0), required)


def national(infno: str) -> str:
    """The national number of a provincial variant: 2203A is 2203."""
    return infno[:4]


# Asking


class _Given(fields.Field):
    """A field of a request as the specification says."""

    def __init__(self, item: Item) -> None:
        missing = f"{item.title}不能为空"
        super().__init__(required=item.required, allow_none=not item.required,
                         error_messages={"required": missing, "null": missing})
        self.item = item

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        if (value == "" or value is None) and not self.item.required:
            return value
        if problem := wrong(self.item, value):
            raise ValidationError(f"{self.item.title}{problem}")
        return value


def wrong(item: Item, value: Any) -> str:
    """What is wrong with a field's value, in Chinese; empty: nothing."""
    if item.kind in ("?", "b"):
        return "" if value else "不能为空"
    text = str(value)
    if text == "":
        return "不能为空"
    if item.kind in _FORMATS:
        try:
            datetime.strptime(text, _FORMATS[item.kind])
        except ValueError:
            return "日期格式有误"
        return ""
    if item.kind == "n":
        return _wrong_number(item, value)
    if len(text) > item.size:
        return f"超过 {item.size} 个字符"
    known = CODES.get(item.name)
    return "" if known is None or text in known else f"没有代码 {text[:10]}"


def _wrong_number(item: Item, value: Any) -> str:
    if isinstance(value, float | bool):
        return "应为十进制数"
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return "应为数字"
    if not number.is_finite() or number != round(number, item.places):
        return f"最多 {item.places} 位小数"
    return f"超过 {item.size} 位" if abs(number) >= 10 ** (item.size - item.places) else ""


@cache
def _schema(infno: str) -> dict[str, Schema]:
    return {node.name: Schema.from_dict({item.name: _Given(item) for item in node.items}, name=f"Ask{infno}{node.name}")(
        unknown=RAISE, many=node.many) for node in transactions()[infno].asks}


def check(infno: str, given: Any) -> None:
    """Whether an input fits the specification. :raises ContractError: naming every wrong field."""
    number = national(infno)
    if number not in transactions():
        raise ContractError(infno, f"没有交易 {infno}")
    schemas = _schema(number)
    if "" in schemas:
        given = {"": given}
    if not isinstance(given, Mapping):
        raise ContractError(infno, "input 应为对象")
    problems = [f"多出节点 {name}" for name in given if name not in schemas]
    for name, schema in schemas.items():
        value = given.get(name)
        node = next(n for n in transactions()[number].asks if n.name == name)
        if value in (None, [], {}):
            if any(item.required for item in node.items):
                problems.append(f"缺少节点 {name or 'input'}")
            continue
        problems += _problems(schema.validate(value), f"{name}.")
    if problems:
        raise ContractError(infno, "；".join(problems[:6]))


def _problems(errors: Any, where: str) -> list[str]:
    if isinstance(errors, Mapping):
        return [text for key, value in errors.items()
                for text in _problems(value, where if key == "_schema" else f"{where}{key}.")]
    return [f"{where.rstrip('.')} {text}" for text in errors]


# Answers


class _Told(fields.Field):
    """A field of an answer: numbers become Decimal, everything else text; nothing is refused for being missing."""

    def __init__(self, item: Item) -> None:
        super().__init__(required=False, allow_none=True)
        self.item = item

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        if self.item.kind == "n":
            if value in (None, ""):
                return Decimal(0)
            try:
                return Decimal(str(value).strip())
            except InvalidOperation as error:
                raise ValidationError(f"{self.item.title}应为数字") from error
        if self.item.kind == "?":
            return value
        return "" if value is None else str(value)


@cache
def _answer(infno: str) -> dict[str, Schema]:
    return {node.name: Schema.from_dict({item.name: _Told(item) for item in node.items}, name=f"Told{infno}{node.name}")(
        unknown=INCLUDE) for node in transactions()[infno].answers}


def read(infno: str, output: Any) -> dict[str, Any]:
    """An answer's output: every node there, lists as lists, numbers as Decimal.

    :raises ContractError: an amount is no number, so nothing may be settled by it.
    """
    number = national(infno)
    given = output if isinstance(output, Mapping) else {}
    told: dict[str, Any] = {name: value for name, value in given.items() if name not in _answer(number)}
    for node in transactions()[number].answers:
        value = given if node.name == "" else given.get(node.name)
        if node.name == "data" and value is None and isinstance(output, list):
            value = output
        rows = value if isinstance(value, list) else [value] if isinstance(value, Mapping) else []
        try:
            loaded = [_answer(number)[node.name].load(row) for row in rows if isinstance(row, Mapping)]
        except ValidationError as error:
            raise ContractError(infno, "；".join(_problems(error.messages, f"{node.name}."))) from error
        if node.many:
            told[node.name] = loaded
        elif node.name == "":
            told |= loaded[0] if loaded else {}
        else:
            told[node.name] = loaded[0] if loaded else {}
    return told
