"""Asking a DM8 what it does, by real statements in scratch tables: the frame. The questions are beside this file.

Implements: XC-06, XC-07. What the manual says and nobody has seen (docs/dameng.md, "not proved") is asked here.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sqlalchemy import Engine, MetaData, Table, text
from sqlalchemy.exc import SQLAlchemyError

from dialects.dameng.codes import error_code
from dialects.errors import driver_error

PASSED, FAILED, NOT_ASKED = "通过", "不通过", "未执行"
Need = Literal["must", "fact"]
WAIT_SECONDS = 20.0
"""How long a statement that should meet a lock or a deadlock is waited for."""


class Wrong(Exception):
    """The server answers otherwise than we need; the text says what, and what to do."""


class NotAsked(Exception):
    """The question couldn't be put, for this reason."""


@dataclass(frozen=True)
class Question:
    """``ask`` returns what the server said, or raises :class:`Wrong` or :class:`NotAsked`. ``need``: ``must`` where
    the product doesn't work or isn't safe without it, ``fact`` where we only want to know."""

    name: str
    group: str
    title: str
    need: Need
    ask: Callable[[Place], str]


@dataclass(frozen=True)
class Answer:
    """One question's outcome."""

    name: str
    group: str
    title: str
    need: Need
    outcome: str
    finding: str
    code: int | None = None


class Place:
    """A server and an account to ask; makes and drops scratch tables."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._mark = secrets.token_hex(3)
        self._count = 0

    def value(self, *statements: str) -> Any:
        """The value of the first statement that the server takes. :raises NotAsked: it takes none of them."""
        said = ""
        for statement in statements:
            try:
                with self.engine.connect() as connection:
                    return connection.scalar(text(statement))
            except SQLAlchemyError as error:
                said = told(error)
        raise NotAsked(f"服务器不接受查询语句：{said}")

    def values(self, *statements: str) -> list[Any]:
        """The first column of the first statement that the server takes. :raises NotAsked: it takes none of them."""
        said = ""
        for statement in statements:
            try:
                with self.engine.connect() as connection:
                    return list(connection.scalars(text(statement)))
            except SQLAlchemyError as error:
                said = told(error)
        raise NotAsked(f"服务器不接受查询语句：{said}")

    @contextmanager
    def scratch(self, *columns: Any, metadata: MetaData | None = None) -> Iterator[Table]:
        """A table that is dropped at the end, whatever happens."""
        self._count += 1
        table = Table(f"his_check_{self._mark}_{self._count}", metadata if metadata is not None else MetaData(), *columns)
        table.create(self.engine)
        try:
            yield table
        finally:
            table.drop(self.engine)


def told(error: BaseException) -> str:
    """What the server said, on one line."""
    return " ".join(str(driver_error(error) or error).split())[:300]


def code_of(error: BaseException) -> int | None:
    """The server's code of an error."""
    found = driver_error(error)
    return None if found is None else error_code(found)


def need(condition: bool, otherwise: str) -> None:
    """:raises Wrong: ``condition`` is false."""
    if not condition:
        raise Wrong(otherwise)


def refused(act: Callable[[], Any]) -> SQLAlchemyError | None:
    """The error that ``act`` meets, or None."""
    try:
        act()
    except SQLAlchemyError as error:
        return error
    return None


def together(*acts: Callable[[], Any]) -> list[SQLAlchemyError | None]:
    """Do all at once, in threads. :raises NotAsked: one doesn't end, so that the server lets it wait for ever."""
    errors: list[SQLAlchemyError | None] = [None] * len(acts)

    def run(number: int) -> None:
        errors[number] = refused(acts[number])

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_SECONDS)
    if any(thread.is_alive() for thread in threads):
        raise NotAsked(f"等待 {WAIT_SECONDS:.0f} 秒仍无结果，服务器可能让它一直等待")
    return errors


def put(question: Question, place: Place) -> Answer:
    """Put one question; whatever the server does becomes an answer."""
    code = None
    try:
        outcome, finding = PASSED, question.ask(place)
    except Wrong as wrong:
        outcome, finding = FAILED, str(wrong)
    except NotAsked as reason:
        outcome, finding = NOT_ASKED, str(reason)
    except SQLAlchemyError as error:
        outcome, finding, code = FAILED, f"服务器报错：{told(error)}", code_of(error)
    return Answer(question.name, question.group, question.title, question.need, outcome, finding, code)


def as_dict(answer: Answer) -> dict[str, Any]:
    """For the report's JSON."""
    return asdict(answer)
