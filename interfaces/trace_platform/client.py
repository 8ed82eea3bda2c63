"""Asking the trace platform. Implements :class:`modules.kernel.stock.ports.PackingPort`."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlencode

from his_server.clock import Clock, local
from his_server.messaging.outbox import LostAnswer
from interfaces.hub.transport import Line
from interfaces.trace_platform import contract, mapping
from interfaces.trace_platform.settings import Settings
from modules.kernel.stock.ports import Packing

HEADERS = {"Content-Type": "application/x-www-form-urlencoded;charset=utf-8"}
MOST_CALLS = 40
"""Questions for one carton: the platform may answer one level of packing at a time."""


class Platform:
    """The adapter. :raises NotSent, LostAnswer: as the line says; a question may be put again."""

    def __init__(self, line: Line, settings: Settings, clock: Clock) -> None:
        self.line, self.settings, self.clock = line, settings, clock

    def open(self, code: str) -> Packing:
        """What lies in the pack that bears this code, down to the smallest packs."""
        found = self._ask(code)
        asked, waiting = {code}, mapping.unopened(found)
        while waiting:
            inner = waiting.pop()
            if inner in asked or len(asked) >= MOST_CALLS:
                raise LostAnswer(f"追溯平台没有说明 {inner} 内的小码")
            asked.add(inner)
            more = self._ask(inner)
            if not more.packed:
                return more
            known = {one.code for one in found.packed}
            found = replace(found, packed=(*found.packed, *(one for one in more.packed if one.code not in known)))
            waiting = mapping.unopened(found)
        return found

    def _ask(self, code: str) -> Packing:
        own = self.settings
        given = {"method": contract.METHOD, "app_key": own.app_key, "sign_method": own.sign_method, "v": "2.0",
                 "format": "json", "timestamp": f"{local(self.clock.now()):%Y-%m-%d %H:%M:%S}", "session": own.session,
                 "ref_ent_id": own.ref_ent_id, "des_ref_ent_id": own.ref_ent_id, "code": code}
        given = {name: value for name, value in given.items() if value}
        given["sign"] = contract.sign(given, own.app_secret, own.sign_method)
        answer = self.line.exchange("POST", own.path, urlencode(given).encode(), HEADERS).good("单码关联关系查询").json()
        try:
            return mapping.opened(answer, code)
        except mapping.Garbled as error:
            raise LostAnswer(f"追溯平台的应答无法识别：{error}") from error
