"""``update``: from one release to the next while the hospital works (expand → hand over → check), and back when it fails.

``update PACKAGE`` installs a package by dpkg or rpm, whose script calls ``update --installed`` of the new program; when
that fails, the previous package is installed again, whose script hands over back. The database is only ever expanded, so
both releases work with it; what only the old one needed goes later, by ``migrate --contract``.

Implements: A2.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from his_server import __version__, running, startup
from his_server.cli.context import House, house
from his_server.db import migrate as migrations
from his_server.settings import Settings

KEPT = Path("/var/cache/his-server/packages")
"""Not below the data folder: that belongs to the service's account, and root installs what lies here."""
SYSTEMD = Path("/run/systemd/system")
INSTALL = {".deb": ["dpkg", "--force-confdef", "--force-confold", "-i"],
           ".rpm": ["rpm", "-U", "--oldpackage", "--replacepkgs"]}
"""The hospital's settings stay as they are, unasked, where a release comes with other ones: dpkg would stop half-way to ask."""
ASK_VERSION = {".deb": ["dpkg-deb", "-f", "FILE", "Version"], ".rpm": ["rpm", "-qp", "--nosignature", "--qf", "%{VERSION}",
                        "FILE"]}


class Failed(Exception):
    """The update didn't happen; the text is Chinese. The old processes serve on."""


@click.command()
@click.argument("package", required=False, type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--installed", is_flag=True, help="程序文件已由安装包换好：扩展数据库、交接进程、检查（安装包脚本调用）")
@click.option("--previous", type=click.Path(path_type=Path, dir_okay=False, exists=True),
              help="失败时装回的、正在使用的版本的安装包（默认取上次更新保存的）")
@click.option("--timeout", default=180, show_default=True, type=click.IntRange(10), help="等新进程就绪的秒数")
def update(package: Path | None, installed: bool, previous: Path | None, timeout: int) -> None:
    """更新到新版本：业务不停、不丢请求；新版本不就绪则退回原版本"""
    if bool(package) == installed:
        raise click.UsageError("请给出安装包，或 --installed")
    try:
        if package is not None:
            from_package(package, previous)
        else:
            for line in take_over(house(), timeout):
                click.echo(line)
    except Failed as error:
        raise click.ClickException(str(error)) from error


def take_over(found: House, timeout: int) -> Iterator[str]:
    """Expand the database and hand over every running web service to this program; restart workers; check.

    :raises Failed: the program isn't whole, the database isn't ours, or a new process wasn't ready.
    """
    settings = found.settings
    masters = running.masters(settings)
    if not masters:
        yield "没有运行中的服务：只换了程序文件。数据库在启动前用 his-server migrate 扩展"
        return
    with alone(settings):
        _prepare(found)
        yield "程序文件与签名清单一致，数据库已扩展"
        for master in masters:
            try:
                fresh = _hand_over(settings, master, timeout)
            except running.NotTakenOver as error:
                raise Failed(f"{master.bind} 的新进程没有就绪（{error}），原进程继续服务") from error
            if fresh.version != __version__:
                raise Failed(f"{master.bind} 启动的是版本 {fresh.version}，不是 {__version__}：请检查安装")
            yield f"{master.bind}：版本 {master.version} → {fresh.version}，没有中断"
        yield _restart_worker()


def _hand_over(settings: Settings, master: running.Master, timeout: int) -> running.Master:
    """By systemd where it started the service, so that it knows which process is the main one. :raises NotTakenOver:"""
    unit = running.unit_of(master.pid)
    if unit is None:
        return running.hand_over(settings, master, timeout)
    done = subprocess.run(["systemctl", "reload", unit], capture_output=True, text=True, check=False)
    fresh = next((found for found in running.masters(settings) if found.bind == master.bind and found.pid != master.pid), None)
    if done.returncode or fresh is None:
        raise running.NotTakenOver(f"{done.stderr.strip()[-300:]} 原因见 journalctl -u {unit}")
    return fresh


def _prepare(found: House) -> None:
    """Check the program and expand the database, in a child that becomes the data's owner: we stay root for systemd."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        message = ""
        try:
            startup.check_program(found.settings, found.database.sealer)
            found.everything  # noqa: B018  # all tables are known from here on
            _only_expand(found)
        except (startup.StartRefused, click.ClickException, Failed) as error:
            message = getattr(error, "message", str(error))
        except BaseException as error:  # whatever it is, the parent must hear it instead of running on as a second process
            message = f"{type(error).__name__}: {error}"
        os.write(writer, message.encode()[:4000])
        os._exit(bool(message))
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8", errors="replace") as said:
        message = said.read()
    _, status = os.waitpid(child, 0)
    if status:
        raise Failed(message or "检查程序和数据库时进程意外结束")


def _only_expand(found: House) -> None:
    left = migrations.pending(found.database)
    goal = migrations.target(migrations.phases())
    names = [name for name, _ in left]
    needed = left[:names.index(goal) + 1] if goal in names else []
    if any(phase == "contract" for _, phase in needed):
        raise Failed("跨过了一个含收缩步骤的版本，不能在业务运行时更新：请先逐版本更新，或停止服务后执行 his-server migrate")
    migrations.prepare(found.database)


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """One update at a time on this host. :raises Failed: another one runs."""
    place = running.folder(settings)
    place.mkdir(parents=True, exist_ok=True)
    with (place / "update.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failed("另一个更新正在进行") from None
        yield


def _restart_worker() -> str:
    """Messages wait in the database while the worker is away: nothing is lost."""
    if not SYSTEMD.is_dir():
        return "没有 systemd：请自行重启后台任务进程（消息在数据库里等待，不会丢）"
    if subprocess.run(["systemctl", "is-active", "-q", "his-worker.service"], check=False).returncode:
        return "后台任务进程没有运行"
    if subprocess.run(["systemctl", "restart", "his-worker.service"], check=False).returncode:
        raise Failed("后台任务进程没有起来，原因见 journalctl -u his-worker")
    return "后台任务进程已重启"


def from_package(package: Path, previous: Path | None) -> None:
    """Install a package; on failure install the previous one again. :raises Failed: with what was done.

    A running hospital isn't touched without a way back: the package of the release that runs, kept by the last update or
    named by ``previous``.
    """
    command = INSTALL.get(package.suffix)
    if command is None or os.geteuid() != 0:
        raise Failed("请以 root 身份给出 .deb 或 .rpm 安装包")
    candidates = [previous] if previous else sorted(KEPT.glob(f"*{package.suffix}"))
    fallback = next((path for path in candidates if path.suffix == package.suffix and version_of(path) == __version__), None)
    settings = house().settings
    were = running.masters(settings)
    if fallback is None and (were or previous):
        raise Failed(f"没有改动：正在使用的是版本 {__version__}，更新失败时须装回它的安装包，请用 --previous 指出"
                     + (f"（{previous.name} 不是这个版本）" if previous else ""))
    done = subprocess.run([*command, str(package)], check=False)
    now = running.masters(settings)
    if done.returncode == 0 and len(now) >= len(were) and not {master.pid for master in now} & {master.pid for master in were}:
        fallback = _keep(package, fallback)
        click.echo("已更新。确认不再退回后可执行 his-server migrate --contract"
                   + (f"；退回：his-server update {fallback}" if fallback else ""))
        return
    if fallback is None:
        raise Failed("安装没有完成，原因见上；当时没有运行中的服务")
    back = subprocess.run([*command, str(fallback)], check=False)
    left = running.masters(settings)
    if back.returncode or len(left) < len(were) or any(master.version != __version__ for master in left):
        raise Failed(f"更新没有完成，装回 {fallback.name} 也没有完成；原进程仍在内存里服务，请勿重启，立即联系维护人员")
    raise Failed(f"更新没有完成，原因见上；已装回 {fallback.name}，业务没有中断")


def version_of(package: Path) -> str:
    """The release that a package file holds; empty where the file can't be read as one."""
    done = subprocess.run([part if part != "FILE" else str(package) for part in ASK_VERSION[package.suffix]],
                          capture_output=True, text=True, check=False)
    return done.stdout.strip().partition("-")[0] if done.returncode == 0 else ""


def _keep(package: Path, before: Path | None) -> Path | None:
    """Remember what is installed, for the way back of the next update, and what was before, for going back now; returns where
    the latter lies."""
    KEPT.mkdir(parents=True, exist_ok=True, mode=0o755)
    wanted = [path for path in (package, before) if path is not None]
    for path in wanted:
        if not (KEPT / path.name).exists() or path.resolve().parent != KEPT.resolve():
            shutil.copy(path, KEPT / path.name)
    for old in KEPT.glob(f"*{package.suffix}"):
        if old.name not in {path.name for path in wanted}:
            old.unlink()
    return KEPT / before.name if before is not None else None
