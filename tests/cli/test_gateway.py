"""All modules in one process, or each as a service of its own behind the generated map: the same work succeeds (A1)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from his_server import registry
from his_server.app import create_app
from his_server.cli.gateway import Ambiguous, Service, read_service, render, routes
from his_server.clock import ManualClock
from his_server.db import Database
from his_server.settings import Settings
from tests.factories.hospital import World

WORKSTATIONS = tuple(name for name, path in registry.discover().items() if path.count(".") == 1 and path.startswith("modules."))


class Gateway:
    """What nginx does with the map: the first pattern that the path fits names the service."""

    def __init__(self, text: str, apps: dict[str, Any]) -> None:
        block = re.search(r"map \$uri \$his_service \{(.*?)\n\}", text, re.DOTALL)
        assert block is not None
        self.rules = re.findall(r"~(\^\S+) (\w+);", block[1])
        self.default = re.search(r"default (\w+);", block[1])[1]  # type: ignore[index]
        self.apps, self.answered = apps, dict.fromkeys(apps, 0)

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        name = next((service for pattern, service in self.rules if re.match(pattern, path)), self.default)
        self.answered[name] += 1
        answer: Iterable[bytes] = self.apps[name](environ, start)
        return answer


def work(world: World) -> None:
    """Registration, prescription, settlement, dispensing, an exam, and the cashier's shift."""
    person = world.person("龘𠮷")
    visit = world.encounter(world.register(person))
    prescription = world.prescribe(visit)
    world.request(visit)
    world.ok(world.pay_all(person))
    shown = f"/api/outpatient-pharmacy/prescriptions/{prescription['id']}"
    world.ok(world.post("pharmacist", f"{shown}/dispense", {}))
    assert world.ok(world.get("cashier", "/api/session"))
    assert world.findings() == []


@pytest.mark.requirement("A1")
@pytest.mark.parametrize("split", [False, True], ids=["one process", "each module a service"])
def test_the_same_work_in_one_process_and_in_many(world: World, settings: Settings, db: Database, clock: ManualClock,
                                                  split: bool) -> None:
    services = [Service(name, f"127.0.0.1:{8101 + n}", (name,)) for n, name in enumerate(WORKSTATIONS)] if split else []
    text = render(Service("web", "127.0.0.1:8000"), services)
    assert all(f"upstream his_{service.name} {{" in text for service in services)
    apps: dict[str, Any] = {"his_web": world.app.wsgi_app}
    for service in services:
        alone: Flask = create_app(replace(settings, modules=service.modules), database=db, clock=clock,
                                  hospital=registry.load(service.modules))
        assert not any(rule.rule.startswith("/api/outpatient-pharmacy") for rule in alone.url_map.iter_rules()) \
            or service.name == "outpatient_pharmacy"
        apps[f"his_{service.name}"] = alone.wsgi_app
    gateway = Gateway(text, apps)
    world.app.wsgi_app = gateway  # type: ignore[method-assign]
    work(world)
    assert gateway.answered["his_web"] > 0
    if split:
        assert gateway.answered["his_outpatient_billing"] >= 3 and gateway.answered["his_outpatient_pharmacy"] >= 1


def test_services_are_read_from_their_files_and_mistakes_are_told(tmp_path: Path) -> None:
    path = tmp_path / "cash.env"
    path.write_text("# 收费\nHIS_MODULES=outpatient_billing infusion\nWEB_OPTIONS=--bind 127.0.0.1:8101 --workers 2\n")
    assert read_service(path) == Service("cash", "127.0.0.1:8101", ("outpatient_billing", "infusion"))
    two = [Service("a", "127.0.0.1:1", ("infusion",)), Service("b", "127.0.0.1:2", ("infusion",))]
    with pytest.raises(Ambiguous, match="同时服务"):
        routes(two)
    path.write_text("HIS_MODULES=infusion\n")
    with pytest.raises(Ambiguous, match="没有 --bind"):
        read_service(path)
    path.write_text("WEB_OPTIONS=--bind 127.0.0.1:1\n")
    with pytest.raises(Ambiguous, match="没有写 HIS_MODULES"):
        read_service(path)
