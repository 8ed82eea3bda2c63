"""A stand-in for the card platform: a code is ``ECARD-``, the card's number, a dot and anything; it can be read once.

Every time the simulated centre's persons show one: ``ECARD-`` + ID number + four digits (how the insurer behaves then,
interfaces/nhsa/simulator) + ``.`` + a fresh text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from werkzeug.wrappers import Request, Response

from interfaces.hub import simulating


def create(folder: Path) -> Any:
    """The platform as a WSGI application; which codes were read stands in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "ecard.db"
    with simulating.open_books(path, "DEFERRED") as books:
        books.execute("CREATE TABLE IF NOT EXISTS used (digest TEXT PRIMARY KEY)")

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        response = Response(json.dumps(_read(path, Request(environ).get_data()), ensure_ascii=False),
                            mimetype="application/json")
        return response(environ, start_response)
    return app


def _read(path: Path, body: bytes) -> dict[str, Any]:
    try:
        given = json.loads(body)
        raw = str(given["raw"])
    except (ValueError, KeyError, TypeError):
        return {"success": False, "message": "报文格式有误"}
    card_no, _, fresh = raw.removeprefix("ECARD-").partition(".")
    if given.get("kind") != "ecard_qr" or not raw.startswith("ECARD-") or not card_no or not fresh:
        return {"success": False, "message": "不是电子社保卡二维码，请病人打开电子社保卡后重试"}
    digest = hashlib.new("sm3", raw.encode()).hexdigest()
    with simulating.open_books(path, "DEFERRED") as books:
        if books.execute("INSERT OR IGNORE INTO used VALUES (?)", (digest,)).rowcount == 0:
            return {"success": False, "message": "二维码已使用，请病人刷新后重试"}
    return {"success": True, "card_no": card_no, "card_sn": digest[:32].upper(), "expires_in": 600}
