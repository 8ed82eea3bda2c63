"""``gateway-map``: which service answers which path, as configuration of the gateway (A1).

The packages run all modules in one process or each as a service of its own (``his-module@NAME``); the gateway sends each module's
paths to the service that serves it. What no service claims goes to ``his-web``, which serves everything.

Implements: A1.
"""

from __future__ import annotations

import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import click

from his_server import registry
from his_server.settings import SettingsError

FOLDER = Path("/etc/his-server")
_TEMPLATES = (Path(sys.prefix).parent / "gateway", Path(__file__).resolve().parents[2] / "packaging" / "gateway")


class Ambiguous(Exception):
    """Two services claim a path, or a service doesn't say what it serves or where; the text is Chinese."""


@dataclass(frozen=True)
class Service:
    """One web service: its name, where it listens, and the modules that it serves (none: all)."""

    name: str
    bind: str
    modules: tuple[str, ...] = ()


def read_service(path: Path, default: bool = False) -> Service:
    """A service from its environment file. :raises Ambiguous: no address, or no modules where some are needed."""
    values = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        name, mark, value = line.partition("=")
        if mark and not line.lstrip().startswith("#"):
            values[name.strip()] = value.strip().strip('"').strip("'")
    words = shlex.split(values.get("WEB_OPTIONS", ""))
    bind = next((words[n + 1] for n, word in enumerate(words[:-1]) if word == "--bind"), "")
    modules = tuple(values.get("HIS_MODULES", "").replace(",", " ").split())
    if not bind:
        raise Ambiguous(f"{path} 的 WEB_OPTIONS 没有 --bind 地址")
    if not modules and not default:
        raise Ambiguous(f"{path} 没有写 HIS_MODULES：单独运行的服务须写明服务哪些模块")
    return Service(path.stem, bind, modules)


def routes(services: list[Service]) -> dict[str, Service]:
    """Path prefix → the service that serves it. :raises Ambiguous: two claim the same module. :raises SettingsError: unknown."""
    found: dict[str, Service] = {}
    for service in services:
        for module in registry.load(modules=service.modules).modules:
            if module.name not in service.modules:
                continue  # the kernel and the interfaces, which every process has
            for group in module.routes:
                prefix = str(group.blueprint.url_prefix)
                if prefix in found:
                    raise Ambiguous(f"{prefix} 由 {found[prefix].name} 和 {service.name} 同时服务，只能留一个")
                found[prefix] = service
    return found


def upstream(name: str, bind: str) -> str:
    """One upstream. No kept connections: a hand-over closes none that a request could be on."""
    return f"upstream {name} {{\n    server {bind} max_fails=0;\n}}\n"


def render(default: Service, services: list[Service]) -> str:
    """The text of the map for nginx (and what follows nginx's syntax, such as Tengine with Tongsuo)."""
    lines = ["# 由 his-server gateway-map 生成；增减模块服务后重新生成，再 nginx -t && nginx -s reload",
             upstream("his_web", default.bind)]
    lines += [upstream(_name(service), service.bind) for service in services]
    lines.append("map $uri $his_service {\n    default his_web;")
    for prefix, service in sorted(routes(services).items()):
        lines.append(f"    ~^{re.escape(prefix)}(/|$) {_name(service)};")
    lines.append("}")
    return "\n".join(lines) + "\n"


def _name(service: Service) -> str:
    return "his_" + re.sub(r"\W", "_", service.name)


def template(kind: str) -> str:
    """A gateway configuration that came with the product. :raises OSError: it isn't there."""
    for folder in _TEMPLATES:
        if (folder / f"{kind}.conf").is_file():
            return (folder / f"{kind}.conf").read_text(encoding="utf-8")
    raise FileNotFoundError(f"{kind}.conf")


@click.command("gateway-map")
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), default=FOLDER, show_default=True, help="设置目录")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="写到文件；不给则显示")
def gateway_map(folder: Path, out: Path | None) -> None:
    """按已设置的模块服务生成网关分流配置（nginx 语法）"""
    try:
        text = render(read_service(folder / "web.env", default=True),
                      [read_service(path) for path in sorted((folder / "modules").glob("*.env"))])
    except (Ambiguous, SettingsError, OSError) as error:
        raise click.ClickException(f"没有生成：{error}") from error
    if out is None:
        click.echo(text, nl=False)
        return
    out.write_text(text, encoding="utf-8")
    click.echo(f"已写入 {out}")
