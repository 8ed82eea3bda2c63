"""A partner that keeps a copy: reads everything once, then what changed, page by page. How a partner's developer should
read, and what the tests compare with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Fetch = Callable[[str, dict[str, Any]], dict[str, Any]]
"""(resource, query) → the JSON of one page."""


class Mirror:
    """The copy of one resource, by code."""

    def __init__(self, resource: str, limit: int = 200) -> None:
        self.resource, self.limit = resource, limit
        self.rows: dict[str, dict[str, Any]] = {}
        self.version: int | None = None

    def pull(self, fetch: Fetch) -> int:
        """Take over what changed; returns how many rows came. Only a whole pull moves the version."""
        query: dict[str, Any] = {"limit": self.limit}
        if self.version is not None:
            query["changed_since"] = self.version
        count, version = 0, None
        while True:
            page = fetch(self.resource, query)
            version = page["version"] if version is None else version
            for row in page["items"]:
                count += 1
                if row["deleted"]:
                    self.rows.pop(row["code"], None)
                else:
                    self.rows[row["code"]] = row
            if page["next"] is None:
                self.version = version
                return count
            query = {"limit": self.limit, "cursor": page["next"]}
