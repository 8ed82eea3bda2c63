"""Secrets of peers stand sealed in the settings file (DESIGN section 10)."""

from __future__ import annotations

import pytest

from crypto import Sealer
from his_server import secrets
from his_server.settings import SettingsError


@pytest.mark.requirement("MP-12")
def test_a_sealed_setting_opens_in_its_own_place_only(sealer: Sealer) -> None:
    text = secrets.seal(sealer, "einvoice", "key", "密钥 k#1")
    assert text.startswith("sealed:") and "k#1" not in text
    assert secrets.opened(sealer, "einvoice", "key", text) == "密钥 k#1"
    assert secrets.opened(sealer, "einvoice", "key", "") == ""
    for module, name, given in (("einvoice", "other", text), ("other", "key", text), ("einvoice", "key", "plain"),
                                ("einvoice", "key", text[:-4] + "AAA="), ("einvoice", "key", "sealed:?")):
        with pytest.raises(SettingsError, match=r"his-server secret|重新加密"):
            secrets.opened(sealer, module, name, given)
