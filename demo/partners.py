"""A partner system of the demo: registered, granted, with a key, so that its developer can call at once (docs/interfaces)."""

from __future__ import annotations

import json
from datetime import timedelta

from his_server.actor import Actor
from his_server.db import Database
from his_server.security import signed
from his_server.settings import Settings
from interfaces.hub import partners
from interfaces.hub.gateway import USE_CASES

CODE = "queue"
GRANTED = ("departments.list", "staff.list", "schedules.list", "slots.list", "drug-notices.list")
CONFIG = "demo-partner.json"
"""In ``data_dir``: what docs/interfaces/clients/client.py asks for."""


def fill(database: Database, settings: Settings, keeper: Actor, base: str = "http://127.0.0.1:8000") -> None:
    """Register it; its private key goes into a file that only the demo has."""
    private, public = database.sealer.provider.sm2_generate()
    with database.begin() as session:
        session.info["actor"] = keeper
        at = database.clock.now()
        signed.register(session, keeper, key_id=f"{CODE}-1", name="排队叫号系统", public=public, permissions=(f"open.{CODE}",),
                        not_before=at - timedelta(days=1), not_after=at + timedelta(days=365))
        row = partners.create(session, keeper, code=CODE, name="排队叫号系统", owner="门诊部", contact="演示厂商",
                              addresses="127.0.0.0/8", per_minute=600)
        partners.grant(session, keeper, row.id, revision=1, grants=[
            {"use_case": code, "fields": list(USE_CASES[code].fields)} for code in GRANTED])
    ours = signed.our_key(database)
    path = settings.data_dir / CONFIG
    path.touch(mode=0o600)
    path.write_text(json.dumps({"base": base, "keyId": f"{CODE}-1", "privateKey": private.hex(), "serverKeyId": ours.kid,
                                "serverPublicKey": ours.public.hex()}, indent=1), encoding="utf-8")
