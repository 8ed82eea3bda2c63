"""``run`` and ``worker``: the two long-running processes."""

from __future__ import annotations

import errno
import gc
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import click

from his_server import running

SIMULATORS = "127.0.0.1:8090"
"""Where the simulators listen."""


@click.command()
@click.option("--bind", default="127.0.0.1:8000", show_default=True, help="监听地址")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1), help="进程数")
@click.option("--threads", default=8, show_default=True, type=click.IntRange(1), help="每进程线程数")
@click.option("--timeout", default=60, show_default=True, help="请求超时（秒）")
@click.option("--with-worker", is_flag=True, help="同时启动后台任务进程")
@click.option("--with-simulators", is_flag=True, help="同时启动外部系统的模拟器（仅演示与测试）")
@click.option("--access-log", is_flag=True, help="输出访问日志")
def run(bind: str, workers: int, threads: int, timeout: int, with_worker: bool, with_simulators: bool, access_log: bool
        ) -> None:
    """启动 Web 服务"""
    refuse_if_taken(bind)
    if with_simulators:
        os.environ.setdefault("HIS_SIMULATORS", f"http://{SIMULATORS}")  # for this process's lines and the worker's
    metrics_dir = tempfile.mkdtemp(prefix="his-metrics-")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = metrics_dir  # read when prometheus_client is imported: below
    from his_server.cli.context import house
    from his_server.logs import configure

    found = house()
    configure(found.settings.log_level)
    found.check_program()
    from prometheus_client import multiprocess

    running.load_whole_program()

    background: list[subprocess.Popen[bytes]] = []

    def beside(*arguments: str) -> None:
        command = [sys.executable, "-m", "his_server", *arguments, "--child-of", str(os.getpid())]
        background.append(subprocess.Popen(command))

    def when_ready(server: Any) -> None:
        running.announce(found.settings, bind)
        if with_simulators:
            beside("simulate", "--bind", os.environ["HIS_SIMULATORS"].rpartition("/")[2])
        if with_worker:
            beside("worker")
        click.echo(f"服务已启动：http://{bind}/", err=True)

    def on_exit(server: Any) -> None:
        for process in background:
            process.terminate()
        for process in background:
            process.wait(20)
        running.retract(found.settings)
        shutil.rmtree(metrics_dir, ignore_errors=True)

    def child_exit(server: Any, worker: Any) -> None:
        multiprocess.mark_process_dead(worker.pid)

    def load() -> Any:
        from his_server.app import create_app

        app = create_app(found.settings, database=found.database, hospital=found.hospital)
        settle_memory()
        return app

    serve(load, bind=bind, workers=workers, threads=threads, timeout=timeout, preload_app=True,
          accesslog="-" if access_log else None, when_ready=when_ready, on_exit=on_exit, child_exit=child_exit)


def refuse_if_taken(bind: str) -> None:
    """Say at once, and in our own words, that another program listens there. A socket that was handed to us (systemd, a
    hand-over) is ours already. :raises ClickException: it is taken."""
    host, _, port = bind.rpartition(":")
    if not port.isdecimal() or {"LISTEN_FDS", "GUNICORN_FD"} & os.environ.keys():
        return
    host = host.strip("[]")
    for patience in range(4, -1, -1):  # who is being restarted may be about to let it go
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, int(port)))
                return
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise click.ClickException(
                        f"不能监听 {bind}：{error.strerror}，请核对地址；低于 1024 的端口由网关或 systemd 提供") from error
                if not patience:
                    raise click.ClickException(
                        f"地址 {bind} 已被其他程序占用：请停止占用它的程序（ss -lntp 可查），或用 --bind 换一个端口") from error
        time.sleep(1)


def settle_memory() -> None:
    """What is there once a program is loaded stays to its end: the garbage collector needn't look at it again (and a forked
    process shares its pages), and looks at what requests leave behind less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def serve(load: Callable[[], Any], **options: Any) -> None:
    """Serve the WSGI application that ``load`` makes, by gunicorn with our settings instead of its own files and
    arguments; returns when it is told to end."""
    from gunicorn.app.base import BaseApplication

    from his_server.arbiter import Arbiter

    class Server(BaseApplication):  # type: ignore[misc]
        """gunicorn without files and arguments of its own."""

        def load_config(self) -> None:
            for name, value in {
                "worker_class": "gthread", "graceful_timeout": 20, "keepalive": 30, "control_socket_disable": True,
                "proc_name": "his-server", "loglevel": "warning", "limit_request_line": 8190, "max_requests": 0, **options,
            }.items():
                self.cfg.set(name, value)

        def load(self) -> Any:
            return load()

    arbiter = Arbiter(Server())
    arbiter.START_CTX.update(running.own_command())  # what a hand-over starts: the installed program, not our old path
    arbiter.run()


@click.command()
@click.option("--pid", type=int, help="旧主进程号（systemd 给出 $MAINPID）；不给则处理本机本设置的全部 Web 主进程")
@click.option("--timeout", default=180, show_default=True, type=click.IntRange(5), help="等新进程就绪的秒数")
def handover(pid: int | None, timeout: int) -> None:
    """由新启动的进程接管监听端口，旧进程处理完手头请求后退出，不丢请求；新进程不就绪则保留旧进程并以 1 退出"""
    from his_server.cli.context import house

    found = house().settings
    masters = [master for master in running.masters(found) if pid in (None, master.pid)]
    if not masters:
        raise click.ClickException("没有找到运行中的 Web 主进程：请先启动 his-web")
    for master in masters:
        try:
            fresh = running.hand_over(found, master, timeout)
        except running.NotTakenOver as error:
            raise click.ClickException(f"新进程没有接管，旧进程（{master.pid}，版本 {master.version}）继续服务："
                                       f"{error}") from error
        click.echo(f"{master.bind}：进程 {master.pid}（版本 {master.version}）已由 {fresh.pid}（版本 {fresh.version}）接替")


@click.command()
@click.option("--threads", default=6, show_default=True, type=click.IntRange(1), help="并行线程数")
@click.option("--child-of", type=int, hidden=True, help="父进程号；父进程结束则退出")
def worker(threads: int, child_of: int | None) -> None:
    """运行后台任务：消息投递与定时任务"""
    from his_server.app import bind_ports
    from his_server.cli.context import house
    from his_server.logs import configure
    from his_server.messaging.worker import run_threads

    found = house()
    configure(found.settings.log_level)
    found.check_program()
    bind_ports(found.database, found.everything, found.settings)
    settle_memory()
    stop = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    threads_running = run_threads(found.database, found.hospital, found.everything, stop, threads)
    if child_of is None:
        running.notify("READY=1")  # systemd waits for it: an update learns of a worker that can't start
    while not stop.wait(1.0):
        if child_of is not None and os.getppid() != child_of:
            stop.set()
    for thread in threads_running:
        thread.join(30)
