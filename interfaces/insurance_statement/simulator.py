"""A stand-in for the centre's statement service: strict about the contract, one statement per period and scope."""

from __future__ import annotations

import hmac
import json
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from marshmallow import ValidationError
from werkzeug import Request, Response

from interfaces.hub import simulating
from interfaces.insurance_statement import contract
from interfaces.insurance_statement.settings import SIMULATED

WINDOW = 300
"""Seconds by which a timestamp may be off."""
_TABLES = (
    "CREATE TABLE IF NOT EXISTS statement (number TEXT PRIMARY KEY, scope TEXT, content TEXT, state TEXT, handover TEXT)",
    "CREATE UNIQUE INDEX IF NOT EXISTS one_live ON statement (scope) WHERE state <> 'DELETED'",
    "CREATE TABLE IF NOT EXISTS nonce (nonce TEXT PRIMARY KEY)",
)
_SCOPE = ("statement_type", "fixmedins_code", "insutype", "clr_type", "setl_optins", "stmt_begndate", "stmt_enddate")


class _Refused(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def _open(folder: Path) -> sqlite3.Connection:
    books = simulating.open_books(folder / "statements.db")
    books.row_factory = sqlite3.Row
    for statement in _TABLES:
        books.execute(statement)
    return books


def transaction(path: str, _body: bytes) -> str:
    """What a request is called in the rules of faults."""
    return "confirm" if path.endswith("/confirm") else "statement"


def held(folder: Path) -> list[tuple[str, str]]:
    """Number and state of every statement, in order; for tests that compare both books."""
    with closing(_open(folder)) as books:
        return [(row["number"], row["state"]) for row in books.execute("SELECT * FROM statement ORDER BY rowid")]


def create(folder: Path) -> Any:
    """The service as a WSGI application; its books are in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    with closing(_open(folder)):
        pass

    @Request.application
    def application(request: Request) -> Response:
        try:
            with closing(_open(folder)) as books:
                books.execute("BEGIN IMMEDIATE")
                with books:
                    status, answer = 200, _answer(books, request, simulating.now(request.environ))
        except _Refused as refused:
            status, answer = refused.status, {"code": refused.code, "message": refused.message}
        return Response(json.dumps(answer, ensure_ascii=False), status, mimetype="application/json")

    return application


def _answer(books: sqlite3.Connection, request: Request, now: datetime) -> dict[str, Any]:
    body = request.get_data()
    _check_signature(books, request, body, now)
    tail = unquote(request.path.partition("/statements/")[2])
    number, _, act = tail.partition("/")
    row = books.execute("SELECT * FROM statement WHERE number = ?", (number,)).fetchone()
    if request.method == "PUT" and not act:
        _upload(books, number, row, body)
    elif row is None:
        raise _Refused(404, "NOT_FOUND", "没有这张对账单")
    elif request.method == "DELETE" and not act:
        if row["state"] == "CONFIRMED":
            raise _Refused(409, "CONFIRMED", "对账单已确认，不能删除")
        books.execute("UPDATE statement SET state = 'DELETED' WHERE number = ?", (number,))
    elif request.method == "POST" and act == "confirm":
        if row["state"] == "DELETED":
            raise _Refused(409, "DELETED", "对账单已删除，不能确认")
        books.execute("UPDATE statement SET state = 'CONFIRMED' WHERE number = ?", (number,))
    elif request.method != "GET" or act:
        raise _Refused(404, "NO_SUCH_CALL", "没有这个接口")
    row = books.execute("SELECT * FROM statement WHERE number = ?", (number,)).fetchone()
    return {"statement_no": number, "state": row["state"], "handover_no": row["handover"]}


def _check_signature(books: sqlite3.Connection, request: Request, body: bytes, now: datetime) -> None:
    app_id, secret = SIMULATED
    given = {name: request.headers.get(name, "") for name in (
        contract.H_APP, contract.H_TIME, contract.H_NONCE, contract.H_SIGNATURE)}
    expected = contract.signature(secret, request.method, request.path, given[contract.H_TIME], given[contract.H_NONCE], body)
    if given[contract.H_APP] != app_id or not hmac.compare_digest(expected, given[contract.H_SIGNATURE]):
        raise _Refused(401, "SIGNATURE", "签名校验未通过")
    if not given[contract.H_TIME].isdigit() or abs(int(given[contract.H_TIME]) - now.timestamp()) > WINDOW:
        raise _Refused(401, "TIMESTAMP", "时间戳超出范围")
    if books.execute("INSERT OR IGNORE INTO nonce VALUES (?)", (given[contract.H_NONCE],)).rowcount == 0:
        raise _Refused(401, "REPLAY", "请求重复")


def _upload(books: sqlite3.Connection, number: str, row: Any, body: bytes) -> None:
    try:
        told = contract.StatementIn().load(json.loads(body))
    except (ValueError, ValidationError) as error:
        raise _Refused(422, "CONTRACT", f"报文校验未通过：{getattr(error, 'messages', error)}") from error
    if told["statement_no"] != number:
        raise _Refused(422, "CONTRACT", "单号与地址不符")
    if told["medfee_sumamt"] != sum(told[name] for name in ("fund_pay_sumamt", "acct_pay", "psn_cash_pay", "hosp_part_amt")):
        raise _Refused(422, "AMOUNT", "总额≠基金＋个人账户＋个人现金＋医院负担")
    content = json.dumps({name: str(value) for name, value in told.items()}, sort_keys=True)
    if row is not None:
        if row["content"] != content:
            raise _Refused(409, "DIFFERENT", "该单号已上传过不同的内容")
        return
    scope = "|".join(str(told[name]) for name in _SCOPE)
    try:
        books.execute("INSERT INTO statement VALUES (?, ?, ?, 'UPLOADED', ?)", (number, scope, content, f"JJ{number}"))
    except sqlite3.IntegrityError as error:
        raise _Refused(409, "EXISTS", "该期间已有对账单，请先删除") from error
