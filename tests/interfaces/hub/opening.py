"""A partner for tests: registered, granted, and signing its requests."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from flask.testing import FlaskClient

from crypto import requests as contract
from his_server.actor import SYSTEM
from his_server.db import Database
from his_server.security import signed
from interfaces.hub import partners
from interfaces.hub.gateway import PREFIX, USE_CASES


@dataclass
class Partner:
    """Calls as a partner does; ``last`` is the newest answer."""

    db: Database
    client: FlaskClient
    code: str
    private: bytes
    id: int
    key_id: str
    last: Any = field(default=None)

    def send(self, method: str, path: str, body: Any = None, query: Mapping[str, Any] | None = None, *, key: str = "",
             code: str = "", headers: Mapping[str, str] | None = None, **more: Any) -> Any:
        """One signed request; the answer's signature is checked."""
        path = f"{PREFIX}/{code or self.code}{path}"
        text = urlencode(query or {})
        content = b"" if body is None else json.dumps(body, ensure_ascii=False).encode()
        made = contract.sign_request(self.db.sealer.provider, self.private, self.key_id, method, path, text, content,
                                     self.db.clock.now())
        given = {**made, **({"Idempotency-Key": key} if key else {}), **(headers or {})}
        self.last = self.client.open(path, method=method, data=content, query_string=text, headers=given, **more)
        ours = signed.our_key(self.db)
        contract.verify_answer(self.db.sealer.provider,
                               lambda kid: contract.PeerKey(kid, ours.public) if kid == ours.kid else None,
                               self.last.status_code, dict(self.last.headers), self.last.data, self.db.clock.now(),
                               made[contract.H_NONCE])
        return self.last

    def fetch(self, resource: str, query: dict[str, Any]) -> dict[str, Any]:
        """A page that must come."""
        answer = self.send("GET", f"/{resource}", query=query)
        assert answer.status_code == 200, answer.get_data(as_text=True)
        found: dict[str, Any] = answer.get_json()
        return found


def make_partner(db: Database, client: FlaskClient, code: str = "queue", *, cases: Sequence[str] = (),
                 fields: Sequence[str] | None = None, permission: str = "", **values: Any) -> Partner:
    """A partner with a key and these use cases; all their fields unless named."""
    private, public = db.sealer.provider.sm2_generate()
    key_id = f"{code}-1"
    with db.begin() as session:
        session.info["actor"] = SYSTEM
        at = db.clock.now()
        signed.register(session, SYSTEM, key_id=key_id, name=code, public=public,
                        permissions=(permission or f"open.{code}",), not_before=at - timedelta(days=1),
                        not_after=at + timedelta(days=90))
        row = partners.create(session, SYSTEM, code=code, **{
            "name": "排队叫号系统", "owner": "门诊部", "contact": "", "addresses": "", "per_minute": 600, **values})
        partners.grant(session, SYSTEM, row.id, revision=1, grants=[
            {"use_case": case, "fields": list(USE_CASES[case].fields if fields is None else fields)} for case in cases])
        return Partner(db, client, code, private, row.id, key_id)
