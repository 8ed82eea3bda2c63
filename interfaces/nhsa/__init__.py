"""The national insurer (国家医保, H2): settlements, reconciliation, catalogues, uploads of trace codes.

Implements: H2, N3, M5.2, R1
"""

from datetime import timedelta
from typing import Any

from his_server.module import Job, Module
from his_server.registry import module_settings
from interfaces.hub import transport
from interfaces.nhsa import subscriptions
from interfaces.nhsa.client import asking
from interfaces.nhsa.client.catalogues import Catalogues
from interfaces.nhsa.client.insurance import Insurance
from interfaces.nhsa.client.messages import Insurer
from interfaces.nhsa.client.reconciliation import Reconciliation
from interfaces.nhsa.mapping import outpatient
from interfaces.nhsa.settings import Settings
from interfaces.nhsa.simulator.catalogue import code_of
from modules.kernel.charging.ports import CARD
from modules.kernel.masterdata.ports import CATALOG


def _insurer(settings: Any, database: Any) -> Insurer | None:
    """The line to the insurer, made once per database; None where it isn't open."""
    if "nhsa:line" not in database.ports:
        line = transport.line(settings, "nhsa", database.clock)
        own = module_settings(module, settings)
        database.ports["nhsa:line"] = None if line is None else Insurer(database, line, own, settings)
    found: Insurer | None = database.ports["nhsa:line"]
    return found


def simulated(settings: Any, own: Settings) -> bool:
    """Whether the line leads to the simulated centre."""
    return bool(settings.simulate_payments and not own.url)


def _unmapped(settings: Any, own: Settings) -> Any:
    """What a line is that nobody mapped: at the simulated centre a code that says its level, else as the settings say."""
    if simulated(settings, own):
        return lambda line: (kind := outpatient.list_type(line), code_of(kind, line.code, line.level))
    return (lambda line: (outpatient.list_type(line), line.code)) if own.unmapped == "own" else (lambda _line: None)


def insurance(settings: Any, database: Any) -> Insurance | None:
    """The adapter of the port ``insurance``."""
    insurer = _insurer(settings, database)
    if insurer is None:
        return None
    return Insurance(insurer, _unmapped(settings, insurer.settings), lambda: database.ports.get(CARD))


def _line(database: Any) -> Insurer | None:
    found: Insurer | None = database.ports.get("nhsa:line")
    return found


def _national(database: Any) -> Any:
    """A drug that nobody mapped, as :func:`_unmapped` has it for lines."""
    insurer = _line(database)
    if insurer is not None and insurer.simulated:
        return code_of
    own = insurer is not None and insurer.settings.unmapped == "own"
    return lambda _list, code, _level: code if own else None


def _behind(make: Any) -> Any:
    def port(settings: Any, database: Any) -> Any:
        insurer = _insurer(settings, database)
        return None if insurer is None else make(insurer)
    return port


def _tidy(database: Any) -> int:
    insurer = _line(database)
    return asking.tidy_due(insurer) if insurer is not None else 0


module = Module(
    name="nhsa", title="国家医保", settings=Settings,
    ports={"insurance": insurance, "insurance:reconciliation": _behind(Reconciliation),
           CATALOG: _behind(Catalogues)},
    handlers=subscriptions.handlers(_line, _national),
    jobs=(Job("nhsa-tidy", "医保：撤销未结算的费用和就诊登记", _tidy, every=timedelta(minutes=1)),),
)
