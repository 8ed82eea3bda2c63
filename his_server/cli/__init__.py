"""``his-server``: one command for running, setting up, checking and building the house.

Commands are loaded when they are called, so that ``--help`` and the small tools stay quick. A module adds its
own by ``Module.cli``.
"""

from __future__ import annotations

import importlib
import importlib.util

import click

COMMANDS = {
    "run": "his_server.cli.serving:run",
    "worker": "his_server.cli.serving:worker",
    "handover": "his_server.cli.serving:handover",
    "ports": "his_server.cli.ports:ports",
    "gateway-map": "his_server.cli.gateway:gateway_map",
    "setup": "his_server.cli.install:setup",
    "update": "his_server.cli.update:update",
    "backup": "his_server.cli.backup:backup",
    "restore": "his_server.cli.backup:restore",
    "init": "his_server.cli.setup:init",
    "migrate": "his_server.cli.setup:migrate",
    "migration": "his_server.cli.setup:migration",
    "balance": "his_server.cli.checks:balance",
    "lint-layout": "his_server.cli.layout:lint_layout",
    "new-module": "his_server.cli.scaffold:new_module",
    "new-interface": "his_server.cli.scaffold:new_interface",
    "trace": "his_server.cli.trace:trace",
    "keys": "his_server.cli.keys:keys",
    "secret": "his_server.secrets:secret",
    "audit": "his_server.security.cli:audit",
    "integrity": "his_server.security.cli:integrity",
    "signatures": "his_server.security.signature_cli:signed_documents",
    "partner": "his_server.security.cli:partner",
    "dameng": "his_server.cli.dameng:dameng",
    "simulate": "interfaces.hub.cli:simulate",
    "hub": "interfaces.hub.cli:hub",
    "demo": "demo.cli:demo",
    "compliance": "his_server.compliance.cli:compliance",
}
"""Command → where it is; those whose package isn't installed are left out."""


class House(click.Group):
    """The platform's commands and those that modules and interfaces bring."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([name for name, place in COMMANDS.items() if _installed(place)] + list(_of_modules()))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = COMMANDS.get(cmd_name)
        if place is None or not _installed(place):
            return _of_modules().get(cmd_name)
        package, _, attribute = place.partition(":")
        command: click.Command = getattr(importlib.import_module(package), attribute)
        return command


def _installed(place: str) -> bool:
    try:
        return importlib.util.find_spec(place.partition(":")[0]) is not None
    except ModuleNotFoundError:
        return False


def _of_modules() -> dict[str, click.Command]:
    from his_server import registry

    return {module.cli.name: module.cli for module in registry.load().modules if module.cli is not None}


@click.group(cls=House)
def main() -> None:
    """医院信息系统服务器"""
