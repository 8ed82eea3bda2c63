"""What makes the ordinary tests quick and changes nothing that they prove."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.routing import Rule


def remember_routes(patch: pytest.MonkeyPatch) -> None:
    """Each test makes the whole application anew; werkzeug compiles a URL builder per route each time (half of its
    making). A builder depends on its rule alone and gets the rule as ``self``, so one process needs it once."""
    compile_builder = Rule._compile_builder
    made: dict[Any, Callable[..., tuple[str, str]]] = {}

    def once(rule: Rule, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        key = (append_unknown, rule.rule, tuple(rule._trace), tuple(sorted(rule.arguments)), repr(rule.defaults))
        if key not in made:
            made[key] = compile_builder(rule, append_unknown)
        return made[key]

    patch.setattr(Rule, "_compile_builder", once)


def no_waiting_for_disks(patch: pytest.MonkeyPatch) -> None:
    """No test pulls the plug: what a killed process has written is there without fsync. Servers that tests start as
    processes of their own do wait."""
    patch.setattr(os, "fsync", lambda _file: None)
