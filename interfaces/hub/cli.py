"""The hub on the command line: ``his-server simulate``."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import click

from his_server import settings as platform
from his_server.cli.serving import SIMULATORS, serve
from interfaces.hub import simulating


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
