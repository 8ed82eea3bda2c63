"""The electronic social-security card (电子社保卡, N3): a credential for every insurance transaction.

Implements: N3
"""

from typing import Any

from his_server.module import Module
from his_server.registry import module_settings
from interfaces.ecard.client import Reader
from interfaces.ecard.settings import Settings
from interfaces.hub import transport
from modules.kernel.charging.ports import CARD


def _reader(settings: Any, database: Any) -> Any:
    line = transport.line(settings, "ecard", database.clock)
    return None if line is None else Reader(database, line, module_settings(module, settings))


module = Module(name="ecard", title="电子社保卡", settings=Settings, ports={CARD: _reader})
