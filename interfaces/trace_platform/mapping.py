"""The platform's answer, in our words. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from interfaces.trace_platform.contract import ANSWER, GONE, SMALLEST
from modules.kernel.stock.ports import Packed, Packing
from modules.kernel.stock.rules import code_error


class Garbled(ValueError):
    """The answer isn't what the platform documents."""


def opened(answer: Any, code: str) -> Packing:
    """What an answer says of a code. :raises Garbled: it isn't one."""
    if not isinstance(answer, dict):
        raise Garbled("应答不是对象")
    if isinstance(error := answer.get("error_response"), dict):
        return Packing(message=_said(error.get("sub_msg") or error.get("msg") or error.get("code")))
    said = answer.get(ANSWER)
    result = said.get("result") if isinstance(said, dict) else None
    if not isinstance(result, dict):
        raise Garbled("应答没有 result")
    if str(result.get("response_success")).lower() != "true":
        return Packing(message=_said(result.get("msg_info") or result.get("msg_code")))
    packed: dict[str, Packed] = {}
    for row in _codes(result):
        here, level = str(row.get("code") or ""), str(row.get("code_pack_level") or "")
        if code_error(here) or not level.isdigit():
            raise Garbled(f"码 {here[:30]!r}，码等级 {level[:10]!r}")
        if reason := GONE.get(str(row.get("status") or "")):
            if here == code:
                return Packing(message=f"该码{reason}")
            continue
        packed[here] = Packed(here, str(row.get("parent_code") or "") or None, level == SMALLEST)
    if code not in packed and any(one.parent == code for one in packed.values()):
        packed[code] = Packed(code, None, False)
    if code not in packed:
        return Packing(message="平台没有这个码")
    return Packing(tuple(packed.values()))


def unopened(packing: Packing) -> list[str]:
    """Larger packs in an answer of which it doesn't say what lies in them."""
    parents = {one.parent for one in packing.packed}
    return [one.code for one in packing.packed if not one.smallest and one.code not in parents]


def _codes(result: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for relation in _rows(result.get("model_list"), "code_relation_dto"):
        yield from _rows(relation.get("code_relation_list"), "code_info")


def _rows(value: Any, name: str) -> list[dict[str, Any]]:
    """A list of TOP: ``{name: […]}``, or the bare list of a simplified answer."""
    rows = value.get(name) if isinstance(value, dict) else value
    if rows is None:
        return []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise Garbled(f"{name} 不是列表")
    return rows


def _said(text: Any) -> str:
    return f"追溯平台：{str(text or '没有说明')[:100]}"
