"""A stand-in for the calling system: one row per registration, whose newest version counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flask import Flask, abort, jsonify, request
from marshmallow import Schema, ValidationError, fields

from interfaces.hub.books import Books
from interfaces.queue_calling import contract
from interfaces.queue_calling.contract import CANCELLED

_LISTS = {"syncDept": ("depts", contract.DepartmentRow, "deptCode"),
          "syncDoctor": ("doctors", contract.DoctorRow, "doctorCode"),
          "syncDoctorDeptVisit": ("visits", contract.SlotRow, "visitId")}
_TABLES = (
    "CREATE TABLE IF NOT EXISTS entry (kind TEXT, code TEXT, row TEXT, PRIMARY KEY (kind, code))",
    "CREATE TABLE IF NOT EXISTS waiting (number TEXT PRIMARY KEY, version INTEGER, flag TEXT, row TEXT, arrivals INTEGER)",
)


def create(folder: Path) -> Flask:
    """The calling system's service, and ``/queue`` of who waits."""
    app, books_of = Flask("queue-calling", static_folder=None), Books(folder, "queue", _TABLES)

    def row_of(schema: type[Schema]) -> dict[str, Any]:
        found: dict[str, Any] = schema().load(request.get_json())
        return found

    @app.post("/<any(syncDept, syncDoctor, syncDoctorDeptVisit):name>")
    def dictionary(name: str) -> Any:
        field, schema, key = _LISTS[name]
        given = Schema.from_dict({field: fields.List(fields.Nested(schema), required=True)})().load(request.get_json())
        with books_of.work() as books:
            books.executemany("INSERT INTO entry VALUES (?, ?, ?) ON CONFLICT (kind, code) DO UPDATE SET row = excluded.row",
                              [(name, row[key], json.dumps(row, default=str, ensure_ascii=False)) for row in given[field]])
        return jsonify(code="0", msg="成功")

    @app.post("/syncRegistered")
    def registered() -> Any:
        row = row_of(contract.RegisteredRow)
        with books_of.work() as books:
            known = books.execute("SELECT 1 FROM entry WHERE kind = 'syncDept' AND code = ?", (row["deptCode"],)).fetchone()
            books.execute(
                "INSERT INTO waiting VALUES (?, ?, ?, ?, 1) ON CONFLICT (number) DO UPDATE SET arrivals = arrivals + 1, "
                "version = max(version, excluded.version), "
                "flag = CASE WHEN excluded.version >= version THEN excluded.flag ELSE flag END, "
                "row = CASE WHEN excluded.version >= version THEN excluded.row ELSE row END",
                (row["registrationNo"], row["version"], row["callingFlag"], json.dumps(row, default=str, ensure_ascii=False)))
        return jsonify(code="0", msg="成功" if known else "成功，科室尚未同步")

    @app.post("/resign")
    def resign() -> Any:
        row = row_of(contract.ResignRow)
        with books_of.work() as books:
            done = books.execute("UPDATE waiting SET flag = ?, version = max(version, ?) WHERE number = ? AND version <= ?",
                                 (CANCELLED, row["version"], row["registrationNo"], row["version"])).rowcount
            known = books.execute("SELECT 1 FROM waiting WHERE number = ?", (row["registrationNo"],)).fetchone()
        return jsonify(code="0", msg="成功") if done or known else jsonify(code="1", msg="没有该挂号")

    @app.get("/queue")
    def queue() -> Any:
        with books_of.work() as books:
            return jsonify([{**dict(row), "row": json.loads(row["row"])}
                            for row in books.execute("SELECT * FROM waiting ORDER BY number")])

    @app.get("/entries/<kind>")
    def entries(kind: str) -> Any:
        with books_of.work() as books:
            found = [json.loads(row["row"]) for row in
                     books.execute("SELECT row FROM entry WHERE kind = ? ORDER BY code", (kind,))]
        return jsonify(found) if found else abort(404)

    @app.errorhandler(ValidationError)
    def wrong(error: ValidationError) -> Any:
        return jsonify(code="2", msg=f"参数错误：{error.messages}")

    return app
