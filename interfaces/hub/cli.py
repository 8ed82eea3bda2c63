"""The hub on the command line: ``his-server simulate`` and ``his-server hub``."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from his_server import settings as platform
from his_server.actor import SYSTEM
from his_server.cli.context import House, house
from his_server.cli.serving import SIMULATORS, serve
from his_server.clock import local
from his_server.errors import AppError
from his_server.messaging.queries import counts
from interfaces.hub import service, simulating, unknowns
from interfaces.hub.manifests import all_manifests
from interfaces.hub.settings import LineSettings

OPERATOR = replace(SYSTEM, login="console", name="服务器控制台", channel="console")
LINES = {"ok": "正常", "silent": "无应答", "resting": "暂停中", "": "未用过"}


@click.command()
@click.argument("names", nargs=-1)
@click.option("--bind", default=SIMULATORS, show_default=True, help="监听地址（只应是本机）")
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), help="数据目录，默认为 data_dir/simulators")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1), help="进程数")
@click.option("--threads", default=16, show_default=True, type=click.IntRange(1), help="每进程线程数")
@click.option("--child-of", type=int, hidden=True, help="父进程号；父进程结束则退出")
def simulate(names: tuple[str, ...], bind: str, folder: Path | None, workers: int, threads: int, child_of: int | None) -> None:
    """启动外部系统的模拟器（医保、支付、发药机……），供演示与测试"""
    place = folder or platform.load().data_dir / "simulators"
    try:
        app = simulating.host(place, names)
    except simulating.UnknownSimulator as error:
        raise click.ClickException(f"{error}；可用：{'、'.join(simulating.available()) or '无'}") from error

    def when_ready(server: Any) -> None:
        host, port = server.LISTENERS[0].sock.getsockname()[:2]
        click.echo(f"模拟器已启动：http://{host}:{port}/_control", err=True)
        if child_of is not None:
            threading.Thread(target=_end_with, args=(child_of,), daemon=True).start()

    serve(lambda: app, bind=bind, workers=workers, threads=threads, timeout=120, when_ready=when_ready)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), 15)


@click.group()
def hub() -> None:
    """接口平台：登记表、未明与滞留、重查、重发"""


def _bound() -> House:
    """The house with its interfaces' adapters bound, as a worker has them."""
    from his_server.app import bind_ports

    found = house()
    bind_ports(found.database, found.everything, found.settings)
    return found


def _said(error: AppError) -> click.ClickException:
    return click.ClickException("；".join([error.message, *(one.message for one in error.errors)]))


@hub.command(name="list")
def list_interfaces() -> None:
    """列出全部接口：版本、负责科室、地址、线路、待发与滞留消息"""
    found = house()
    found.everything  # noqa: B018  # every interface's tables
    with found.database.begin(write=False) as session:
        lines, open_ones = unknowns.overview(session), counts(session)["deliveries"]
    for package, manifest in all_manifests().items():
        at = lines[package]["last_at"]
        waiting, stuck = (sum(one["count"] for one in open_ones if one["destination"] == package and one["state"] in states)
                          for states in (("waiting", "sending"), ("asked", "dead")))
        click.echo("  ".join((manifest.id, package, manifest.name, f"版本 {manifest.version}", manifest.owner,
                              LineSettings.of(found.settings, package).url or "（未设地址）", LINES[lines[package]["line"]],
                              f"最近 {local(at):%Y-%m-%d %H:%M:%S}" if at else "", f"待发 {waiting}", f"滞留 {stuck}")))


@hub.command(name="unknowns")
@click.option("--kind", type=click.Choice(["intent", "delivery"]), help="只列往来或只列消息")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 1000))
def list_unknowns(kind: str | None, limit: int) -> None:
    """列出没有结果的往来与滞留的消息；有则以 1 退出"""
    found = _bound()
    with found.database.begin(write=False) as session:
        items = unknowns.listing(session, kind=kind, limit=limit, after=None)["items"]
    for one in items:
        again = f"  {local(one['next_at']):%m-%d %H:%M:%S} 自动重试" if one["next_at"] else ""
        click.echo(f"{one['kind']} {one['id']}  {local(one['at']):%m-%d %H:%M:%S}  {one['interface']}  {one['what']}  "
                   f"{one['number']}  {one['state_name']}  {one['tries']} 次{again}  {one['owner']}  {one['message']}")
    if items:
        raise SystemExit(1)
    click.echo("没有未明或滞留的业务")


@hub.command()
@click.argument("intent_id", type=int)
@click.option("--reason", required=True, help="原因，记入审计")
def ask(intent_id: int, reason: str) -> None:
    """向对方查询一笔往来的结果，有结果即办完"""
    try:
        click.echo(unknowns.ask(_bound().database, OPERATOR, intent_id, reason))
    except AppError as error:
        raise _said(error) from error


@hub.command()
@click.argument("delivery_id", type=int)
@click.option("--reason", required=True, help="原因，记入审计")
def retry(delivery_id: int, reason: str) -> None:
    """重新发送一条滞留的消息（由后台任务发出）"""
    found = house()
    found.everything  # noqa: B018
    try:
        with found.database.begin() as session:
            unknowns.DECISIONS["resend"](session, OPERATOR, delivery_id, reason)
    except AppError as error:
        raise _said(error) from error
    click.echo("已重新排队发送")


@hub.command()
@click.argument("call_id", type=int)
@click.option("--reason", required=True, help="原因，记入审计")
def replay(call_id: int, reason: str) -> None:
    """重查或重发一次接口调用所属的业务（从不盲目重付）"""
    try:
        click.echo(service.replay(_bound().database, OPERATOR, call_id, reason))
    except AppError as error:
        raise _said(error) from error
