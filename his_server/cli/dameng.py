"""``his-server dameng check``: what a hospital runs first on its DM8, and the report that it sends back (XC-06, XC-07).

The report is written after each answer: where the driver itself should crash, it names the question that did it.
"""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click
import sqlalchemy
from sqlalchemy import create_engine, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from dialects.dameng import check as checks
from dialects.dameng.check.asking import told
from his_server import __version__

UNSAFE, INCOMPLETE, UNREACHABLE = 1, 3, 2


@click.group("dameng")
def dameng() -> None:
    """达梦数据库：首次使用前的检查"""


@dameng.command("check")
@click.argument("url", required=False)
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), default=Path("."), show_default="当前目录",
              help="报告写到哪个目录（dameng-check.json 和 dameng-check.txt，请一并发回）")
@click.option("--only", multiple=True, help="只问指定的项目（可重复）")
def check(url: str | None, output: Path, only: tuple[str, ...]) -> None:
    """在达梦服务器上逐项核实本系统依赖的行为

    URL 形如 dm+dmpython://账户:密码@主机:5236/模式；不给时取环境变量 HIS_DATABASE_URL，这样密码不会留在命令行历史里。
    只在该账户的模式中建临时表（HIS_CHECK_ 开头），用完即删。

    退出码：0 可以使用；1 有不通过的必需项，不要上线；2 连不上；3 有必需项未能执行。
    """
    url = url or os.environ.get("HIS_DATABASE_URL")
    if not url:
        raise click.UsageError("请给出 URL，或设置环境变量 HIS_DATABASE_URL")
    strange = set(only) - {question.name for question in checks.QUESTIONS}
    if strange:
        raise click.UsageError(f"没有这样的项目：{'、'.join(sorted(strange))}")
    try:
        address = make_url(url)
        if address.get_backend_name() != "dm":
            raise click.UsageError("URL 须以 dm+dmpython:// 开头")
        engine = create_engine(address, pool_size=5, max_overflow=5)
    except (ArgumentError, ImportError) as error:
        raise click.UsageError(f"URL 或驱动有误：{error}") from error
    report = Report(output, address.render_as_string(hide_password=True))
    try:
        engine.connect().close()
    except SQLAlchemyError as error:
        report.end(f"连不上：{told(error)}")
        click.echo(f"连不上达梦服务器：{told(error)}\n请核对地址、端口、账户和密码，以及防火墙", err=True)
        raise SystemExit(UNREACHABLE) from error
    place = checks.Place(engine)
    for question in checks.QUESTIONS:
        if not only or question.name in only:
            report.asking(question)
            report.add(checks.put(question, place))
    engine.dispose()
    code, words = verdict(report.answers)
    report.end(words)
    click.echo(f"{words}\n报告：{report.json_path}、{report.text_path}，请一并发回")
    raise SystemExit(code)


def verdict(answers: list[checks.Answer]) -> tuple[int, str]:
    """Exit code and summary."""
    bad = [answer for answer in answers if answer.outcome == checks.FAILED]
    needed = [answer for answer in bad if answer.need == "must"]
    silent = [answer for answer in answers if answer.outcome == checks.NOT_ASKED]
    counts = f"共 {len(answers)} 项：通过 {len(answers) - len(bad) - len(silent)}，不通过 {len(bad)}，未执行 {len(silent)}"
    if needed:
        return UNSAFE, f"不可使用。{counts}。必须先解决：{'、'.join(answer.title for answer in needed)}"
    if any(answer.need == "must" for answer in silent):
        return INCOMPLETE, f"尚不能下结论，有必需项未执行。{counts}"
    return 0, f"可以使用。{counts}"


class Report:
    """The two files, rewritten after each answer."""

    def __init__(self, folder: Path, url: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.json_path, self.text_path = folder / "dameng-check.json", folder / "dameng-check.txt"
        self.answers: list[checks.Answer] = []
        self.head: dict[str, Any] = {
            "his_server": __version__, "sqlalchemy": sqlalchemy.__version__, "dmPython": _version("dmPython"),
            "python": platform.python_version(), "machine": platform.machine(), "system": platform.platform(),
            "url": url, "begun": datetime.now(UTC).isoformat(timespec="seconds"), "asking": None, "verdict": None}
        self._group = ""
        self._save()

    def asking(self, question: checks.Question) -> None:
        """Note what is asked next."""
        self.head["asking"] = question.name
        self._save()

    def add(self, answer: checks.Answer) -> None:
        """Show and keep an answer."""
        self.answers.append(answer)
        self.head["asking"] = None
        self._save()
        if answer.group != self._group:
            self._group = answer.group
            click.echo(f"【{answer.group}】")
        click.echo(line(answer))

    def end(self, words: str) -> None:
        """Write the verdict."""
        self.head["asking"] = None
        self.head["verdict"] = words
        self._save()

    def _save(self) -> None:
        data = {**self.head, "answers": [checks.as_dict(answer) for answer in self.answers]}
        self.json_path.write_text(json.dumps(data, ensure_ascii=False, indent=1), encoding="utf-8")
        head = [f"{name}: {value}" for name, value in self.head.items() if value is not None]
        groups = dict.fromkeys(answer.group for answer in self.answers)
        body = [part for group in groups
                for part in (f"【{group}】", *(line(answer) for answer in self.answers if answer.group == group))]
        self.text_path.write_text("\n".join([*head, "", *body]) + "\n", encoding="utf-8")


def line(answer: checks.Answer) -> str:
    """An answer on one line."""
    return f"  {answer.outcome}  {answer.title}：{answer.finding}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "未安装"
