"""Reading electronic social-security cards (N3, contract C4). The code is logged nowhere, not even sealed.

Implements: N3
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, select

from dialects import portable
from his_server.db import Database, now
from his_server.messaging.outbox import LostAnswer
from interfaces.ecard.models import CardReading
from interfaces.ecard.settings import Settings
from interfaces.hub.calls import logged
from interfaces.hub.manifests import all_manifests
from interfaces.hub.transport import Line
from modules.kernel.charging.ports import CONFIRMED, REFUSED, CardRead

QR = "ecard_qr"


class Reader:
    """Implements :class:`modules.kernel.charging.ports.CardReaderPort`."""

    def __init__(self, database: Database, line: Line, settings: Settings) -> None:
        self.database, self.line, self.settings = database, line, settings

    def read(self, kind: str, raw: str) -> CardRead:
        """The card behind a code; the same code again within minutes is the same card, without a second call.

        :raises LostAnswer: no answer; the patient shows a fresh code. :raises NotSent: nothing was sent.
        """
        if kind != QR:
            return CardRead(REFUSED, message="不支持这种卡，请使用医保电子凭证或社保卡")
        index = self.database.sealer.blind_index("index", f"ecard_reading.raw:{raw}")
        with self.database.begin(write=False) as session:
            known = session.scalars(select(CardReading).where(
                CardReading.raw_index == index, CardReading.expires_at > now(session))).first()
            if known is not None:
                return CardRead(CONFIRMED, card_no=known.card_no or "", serial=known.serial or "")
        told = self._ask(raw)
        if told.get("success") is not True:
            return CardRead(REFUSED, message=str(told.get("message") or "电子社保卡没有读出，请病人刷新后重试")[:200])
        read = CardRead(CONFIRMED, card_no=str(told["card_no"]), serial=str(told.get("card_sn") or ""))
        with self.database.begin() as session:
            at = now(session)
            session.execute(delete(CardReading).where(CardReading.expires_at < at))
            made = CardReading(raw_index=index, expires_at=at + timedelta(minutes=self.settings.keep_minutes))
            made.card_no, made.serial = read.card_no, read.serial
            try:
                with session.begin_nested():
                    session.add(made)
                    session.flush()
            except Exception as error:
                if not portable.is_unique_violation(error):
                    raise
        return read

    def _ask(self, raw: str) -> dict[str, Any]:
        body = json.dumps({"kind": QR, "raw": raw}).encode()
        with logged(self.database, all_manifests()["ecard"], "read", {"kind": QR, "raw": raw}) as entry:
            answer = self.line.exchange("POST", self.settings.path, body, {"Content-Type": "application/json"})
            told = answer.json()
            if not isinstance(told, dict) or (told.get("success") is True and not told.get("card_no")):
                raise LostAnswer("电子社保卡平台的应答无法识别")
            entry.answer, entry.message = told, str(told.get("message") or "")
            entry.outcome = "ok" if told.get("success") is True else "refused"
        return told
