"""The state of the cryptography for the security administrator: provider, device, keys' ages, self-test, program files.

Never a key, never a secret: names, ids, versions and days (issue 3, COMPLIANCE MP-16, MP-17, MP-19).
"""

from __future__ import annotations

from typing import Any

from his_server import keys, startup
from his_server.db import Database
from his_server.security import timesync

OLD_DAYS = {"column": 365, "index": 365, "login-sm2": 365, "sign-sm2": 730, "document-sm2": 730}
"""When a key is due for rotation; other purposes after :data:`DEFAULT_DAYS`."""
DEFAULT_DAYS = 365


def state(database: Database) -> dict[str, Any]:
    """What the page shows. ``ok`` is False when a person should look."""
    status = database.sealer.status()
    provider, ring = status["provider"], status["ring"]
    start = startup.health()
    checks = start.selftest["checks"] if start else {}
    manifest = start.manifest if start else {"state": "none", "differences": []}
    shown = [{"purpose": purpose, **found, "due": found["age_days"] >= OLD_DAYS.get(purpose, DEFAULT_DAYS)}
             for purpose, found in ring["purposes"].items()]
    selftest = {"passed": bool(checks) and set(checks.values()) == {"ok"}, "count": len(checks),
                "seconds": start.selftest["seconds"] if start else None}
    ok = (provider["healthy"] and not provider["warnings"] and selftest["passed"] and not keys.alarms
          and manifest["state"] in ("none", "intact") and not any(key["due"] for key in shown))
    return {"ok": ok, "provider": provider, "generation": ring["generation"], "master": ring["master"], "keys": shown,
            "selftest": selftest, "manifest": manifest, "clock": timesync.state(),
            "alarms": [{"function": function, "code": f"{code & 0xFFFFFFFF:#010x}"} for function, code in keys.alarms]}
