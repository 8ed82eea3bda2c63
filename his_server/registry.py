"""Finds and loads the modules and interfaces that a process serves; knows none by name (DESIGN section 1)."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from his_server.http import Route
from his_server.module import Check, Handler, Job, LiveTopic, MenuItem, Module, Permission, ReportSource
from his_server.settings import Settings, SettingsError

PACKAGES = ("modules.kernel", "modules", "interfaces")
PLATFORM = ("his_server.security", "his_server.messaging.routes", "his_server.reporting_routes", "his_server.exports.routes",
            "his_server.preferences.routes")


@dataclass(frozen=True)
class Hospital:
    """All declarations of the loaded modules, joined."""

    modules: tuple[Module, ...]

    def _all(self, attribute: str) -> Iterator[Any]:
        for module in self.modules:
            yield from getattr(module, attribute)

    @cached_property
    def routes(self) -> tuple[Route, ...]:
        return tuple(route for group in self._all("routes") for route in group.routes)

    @cached_property
    def permissions(self) -> dict[str, Permission]:
        return {permission.code: permission for permission in self._all("permissions")}

    @cached_property
    def menu(self) -> tuple[MenuItem, ...]:
        return tuple(sorted(self._all("menu"), key=lambda item: (item.order, item.title)))

    @cached_property
    def handlers(self) -> tuple[Handler, ...]:
        return tuple(self._all("handlers"))

    @cached_property
    def jobs(self) -> tuple[Job, ...]:
        return tuple(self._all("jobs"))

    @cached_property
    def checks(self) -> tuple[Check, ...]:
        return tuple(self._all("checks"))

    @cached_property
    def reports(self) -> dict[str, ReportSource]:
        return {report.name: report for report in self._all("reports")}

    @cached_property
    def live(self) -> dict[str, LiveTopic]:
        return {name: topic for module in self.modules for name, topic in module.live.items()}

    def role_permissions(self) -> dict[str, set[str]]:
        """Permissions of each standard role, as the modules declare them."""
        roles: dict[str, set[str]] = {}
        for permission in self._all("permissions"):
            for role in permission.roles:
                roles.setdefault(role, set()).add(permission.code)
        return roles


def discover() -> dict[str, str]:
    """Installed modules and interfaces: short name → importable package."""
    found: dict[str, str] = {}
    for package in PACKAGES:
        for entry in pkgutil.iter_modules(importlib.import_module(package).__path__):
            if entry.ispkg and entry.name != "kernel":
                prefix = "kernel." if package == "modules.kernel" else ""
                found[prefix + entry.name] = f"{package}.{entry.name}"
    return found


def load(modules: Sequence[str] = (), interfaces: Sequence[str] = ()) -> Hospital:
    """Load the named modules and interfaces; all when none are named. The kernel and platform always.

    :raises SettingsError: a name is unknown.
    """
    available = discover()
    wanted = set(modules) | set(interfaces)
    if strange := wanted - set(available):
        raise SettingsError(f"unknown modules or interfaces: {', '.join(sorted(strange))}")
    chosen = []
    for name, path in available.items():
        is_interface = path.startswith("interfaces.")
        asked = interfaces if is_interface else modules
        if name.startswith("kernel.") or not asked or name in wanted:
            chosen.append(path)
    loaded = [importlib.import_module(path) for path in (*PLATFORM, *chosen)]
    return Hospital(tuple(package.module for package in loaded if hasattr(package, "module")))


def module_settings(module: Module, settings: Settings) -> Any:
    """The module's declared settings filled from ``[module.<name>]``. :raises SettingsError: unknown names."""
    if module.settings is None:
        return None
    given = dict(settings.extra.get(module.name, {}))
    known = {f.name for f in fields(module.settings)}
    if strange := set(given) - known:
        raise SettingsError(f"unknown settings of {module.name}: {', '.join(sorted(strange))}")
    return module.settings(**given)
