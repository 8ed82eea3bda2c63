"""A stand-in for the PACS: per exam what is paid and not refunded; a message id that it knows changes nothing."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

from flask import Flask, jsonify, request
from marshmallow import ValidationError

from interfaces.hub.books import Books
from interfaces.pacs.contract import RequestIn

_TABLES = (
    "CREATE TABLE IF NOT EXISTS message (id TEXT PRIMARY KEY, action TEXT)",
    "CREATE TABLE IF NOT EXISTS exam (request TEXT, line INTEGER, name TEXT, paid TEXT, PRIMARY KEY (request, line))",
)


def create(folder: Path) -> Flask:
    """The PACS's service, and ``/exams`` of what may be performed."""
    app, books_of = Flask("pacs", static_folder=None), Books(folder, "pacs", _TABLES)

    @app.post("/v1/exams/<any(confirm, cancel):action>")
    def take(action: str) -> Any:
        body = RequestIn().load(request.get_json())
        with books_of.work() as books:
            if books.execute("SELECT 1 FROM message WHERE id = ?", (body["messageId"],)).fetchone():
                return jsonify(code="0", msg="重复消息，已处理过")
            held = {row["line"]: Decimal(row["paid"]) for row in books.execute(
                "SELECT line, paid FROM exam WHERE request = ?", (body["requestNo"],))}
            sign = 1 if action == "confirm" else -1
            after = {line["lineNo"]: held.get(line["lineNo"], Decimal(0)) + sign * line["quantity"]
                     for line in body["lines"]}
            if min(after.values()) < 0:
                return jsonify(code="1", msg="项目未确费或数量不足，不能取消")
            books.executemany(
                "INSERT INTO exam VALUES (?, ?, ?, ?) ON CONFLICT (request, line) DO UPDATE SET paid = excluded.paid",
                [(body["requestNo"], line["lineNo"], line["itemName"], str(after[line["lineNo"]]))
                 for line in body["lines"]])
            books.execute("INSERT INTO message VALUES (?, ?)", (body["messageId"], action))
        return jsonify(code="0", msg="成功")

    @app.get("/exams")
    def exams() -> Any:
        with books_of.work() as books:
            return jsonify([dict(row) for row in books.execute("SELECT * FROM exam ORDER BY request, line")])

    @app.get("/messages")
    def messages() -> Any:
        with books_of.work() as books:
            return jsonify([dict(row) for row in books.execute("SELECT * FROM message ORDER BY rowid")])

    @app.errorhandler(ValidationError)
    def wrong(error: ValidationError) -> Any:
        return jsonify(code="2", msg=f"参数错误：{error.messages}")

    return app
