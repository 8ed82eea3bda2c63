"""Keyset paging: the next page begins after the last row seen, so cost and content don't depend on the
page's number."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, and_, or_

SortColumn = tuple[Any, Literal["asc", "desc"]]
_MAC_BYTES = 12


def keyset(
    select: Select[Any], columns: Sequence[SortColumn], after: tuple[Any, ...] | None, limit: int
) -> Select[Any]:
    """`select`, sorted by `columns`, beginning after the row whose sort values are `after`, at most `limit`
    rows.

    `columns` are NOT NULL and end in a unique one, else rows with equal values are skipped at a page's edge.
    `after` None is the first page. To know whether there is a next page, ask for one row more than you show.
    Raises ValueError for no columns, an unknown direction, limit below 1, or `after` of another length or
    with None.
    """
    if not columns or limit < 1:
        raise ValueError("keyset needs at least one column and a limit of at least 1")
    for _, direction in columns:
        if direction not in ("asc", "desc"):
            raise ValueError(f"unknown sort direction {direction!r}")
    if after is not None:
        select = select.where(_beyond(columns, after))
    order = [column.asc() if direction == "asc" else column.desc() for column, direction in columns]
    return select.order_by(*order).limit(limit)


def _beyond(columns: Sequence[SortColumn], after: tuple[Any, ...]) -> ColumnElement[bool]:
    if len(after) != len(columns) or any(value is None for value in after):
        raise ValueError("the cursor doesn't fit the sort columns")
    steps: list[ColumnElement[bool]] = []
    for position, (column, direction) in enumerate(columns):
        equal = [before == value for (before, _), value in zip(columns[:position], after, strict=False)]
        further = column > after[position] if direction == "asc" else column < after[position]
        steps.append(and_(*equal, further))
    # Row values, (a, b) > (x, y), can't mix directions and aren't in DM8. The first condition is implied by
    # the others; it is there because it alone can open an index on every database.
    first, direction = columns[0]
    start = first >= after[0] if direction == "asc" else first <= after[0]
    return and_(start, or_(*steps))


def encode_cursor(values: tuple[Any, ...], key: bytes = b"") -> str:
    """`values` as text safe in a URL, to be given back to `decode_cursor` unchanged.

    Holds int, str, bool, Decimal, date and datetime (aware or naive), exactly. `key` is a secret of the
    caller's; without one the check still finds accidents, but not forgery. Raises ValueError for other types.
    """
    body = json.dumps([_pack(value) for value in values], ensure_ascii=False, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_mac(body, key) + body).decode().rstrip("=")


def decode_cursor(text: str, key: bytes = b"") -> tuple[Any, ...]:
    """The values that `encode_cursor` was given. Raises ValueError for anything else, whoever made it."""
    try:
        raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
        mac, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if not hmac.compare_digest(mac, _mac(body, key)):
            raise ValueError("checksum")
        values = tuple(_unpack(item) for item in json.loads(body))
        # base64 ignores spare bits at the end: only the one canonical spelling is ours
        if encode_cursor(values, key) != text:
            raise ValueError("spelling")
        return values
    except (ValueError, TypeError, KeyError, UnicodeError, InvalidOperation, binascii.Error) as error:
        raise ValueError("not a cursor of ours") from error


def _mac(body: bytes, key: bytes) -> bytes:
    return hmac.digest(b"keyset" + key, body, "sm3")[:_MAC_BYTES]


def _pack(value: Any) -> Any:
    if value is None or isinstance(value, float):
        raise ValueError(f"a cursor can't hold {value!r}")
    if isinstance(value, bool | int | str):
        return value
    if isinstance(value, Decimal):
        return {"n": str(value)}
    if isinstance(value, date):  # a datetime is one too
        return {"t" if isinstance(value, datetime) else "d": value.isoformat()}
    raise ValueError(f"a cursor can't hold {type(value).__name__}")


_READERS: dict[str, Callable[[str], Any]] = {
    "t": datetime.fromisoformat,
    "d": date.fromisoformat,
    "n": Decimal,
}


def _unpack(item: Any) -> Any:
    if not isinstance(item, dict):
        return item
    ((tag, text),) = item.items()
    return _READERS[tag](text)
