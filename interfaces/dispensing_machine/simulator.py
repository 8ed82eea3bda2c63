"""A stand-in for the dispensing machine: what it was given stands in a journal, twice if it was given twice.

It is as strict as the contract and no kinder than the real one: nothing is de-duplicated. What it was given it has put out
:data:`PUT_OUT_SECONDS` later.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from flask import Flask, Response, abort, jsonify, request
from marshmallow import ValidationError

from interfaces.dispensing_machine import contract, mapping
from interfaces.hub import simulating

PUT_OUT_SECONDS = 30
"""So long it takes to pick."""
_TABLES = (
    "CREATE TABLE IF NOT EXISTS journal (at INTEGER PRIMARY KEY AUTOINCREMENT, number TEXT, lines TEXT, window TEXT, "
    "store TEXT)",
    "CREATE TABLE IF NOT EXISTS prescription (number TEXT PRIMARY KEY, step TEXT, window TEXT, store TEXT, lit INTEGER)",
    "CREATE TABLE IF NOT EXISTS picking (number TEXT PRIMARY KEY, ends INTEGER)",
    "CREATE TABLE IF NOT EXISTS drug (code TEXT PRIMARY KEY, name TEXT, price TEXT)",
)


class Books:
    """The machine's memory, in a file that many processes may share."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "machine.db"
        folder.mkdir(parents=True, exist_ok=True)
        with self.open() as books:
            for statement in _TABLES:
                books.execute(statement)

    @contextmanager
    def open(self) -> Iterator[sqlite3.Connection]:
        """A transaction of its own."""
        with closing(simulating.open_books(self.path, "DEFERRED")) as books, books:
            books.execute("BEGIN IMMEDIATE")
            yield books

    def take(self, rows: list[dict[str, Any]], at: int | None = None) -> str:
        """A prescription arrives: one more entry in the journal, whether it was there already or not. ``at``: when, in
        seconds; without it the picking never ends by itself."""
        first = rows[0]
        number, window, store = first["PresNO"], first["WindowNO"], first["YFcode"]
        with self.open() as books:
            books.execute("INSERT INTO journal (number, lines, window, store) VALUES (?, ?, ?, ?)",
                          (number, " ".join(sorted(row["MedID"] for row in rows)), window, store))
            books.execute("INSERT INTO prescription VALUES (?, '1', ?, ?, 0) ON CONFLICT (number) DO UPDATE "
                          "SET window = excluded.window", (number, window, store))
            if at is not None:
                books.execute("INSERT OR REPLACE INTO picking VALUES (?, ?)", (number, at + PUT_OUT_SECONDS))
        return str(window)

    def journal(self) -> list[tuple[str, str, str, str]]:
        """Everything that was ever pushed: number, line ids, window, pharmacy."""
        with self.open() as books:
            return books.execute("SELECT number, lines, window, store FROM journal ORDER BY at").fetchall()

    def step(self, number: str) -> tuple[str, str]:
        """How far a prescription is, and its window."""
        with self.open() as books:
            found = books.execute("SELECT step, window FROM prescription WHERE number = ?", (number,)).fetchone()
        return found or (contract.UNKNOWN_THERE, "")

    def put_out(self, at: int) -> None:
        """What was given long enough ago lies at its window."""
        with self.open() as books:
            books.execute("UPDATE prescription SET step = ? WHERE step = ? AND number IN "
                          "(SELECT number FROM picking WHERE ends <= ?)", (contract.READY, contract.ACCEPTED, at))
            books.execute("DELETE FROM picking WHERE ends <= ?", (at,))

    def go(self, number: str, step: str, before: tuple[str, ...] = (contract.ACCEPTED, contract.READY)) -> bool:
        """Bring a prescription forward."""
        with self.open() as books:
            return books.execute("UPDATE prescription SET step = ? WHERE number = ? AND step IN (SELECT value FROM json_each(?))",
                                 (step, number, json.dumps(before))).rowcount == 1


def create(folder: Path) -> Flask:
    """The machine's web service, and ``/journal`` of what it was given."""
    app, books = Flask("dispensing-machine", static_folder=None), Books(folder)

    def field(name: str) -> str:
        return request.form[name] if name in request.form else abort(400)

    @app.before_request
    def pick() -> None:
        books.put_out(int(simulating.now(request.environ).timestamp()))

    def said(text: str) -> Response:
        return Response(mapping.string(text), mimetype="text/xml")

    @app.post("/GetPresNoByXML")
    def push() -> Response:
        try:
            rows = mapping.read_rows("XMLPresInfo", field("XMLPresInfo"))
            loaded = [contract.PrescriptionRow().load(row) for row in rows]
        except (mapping.Garbled, ValidationError):
            return said("0")
        if not loaded or len({(row["PresNO"], row["WindowNO"], row["YFcode"], row["PatientID"]) for row in loaded}) != 1:
            return said("0")
        return said(books.take(loaded, int(simulating.now(request.environ).timestamp())))

    @app.post("/GetPresState")
    def state() -> Response:
        step, window = books.step(field("PresNO"))
        return said(f"{step}|{window}")

    @app.post("/CancelPres")
    def cancel() -> Response:
        number = field("PresNO")
        if books.go(number, contract.CANCELLED):
            return said(contract.CANCEL_DONE)
        step, _ = books.step(number)
        return said({contract.HANDED: contract.CANCEL_TOO_LATE, contract.CANCELLED: contract.CANCEL_DONE}.get(
            step, contract.CANCEL_UNKNOWN))

    @app.post("/MovePres")
    def move() -> Response:
        number, window = field("PresNO"), field("WindowNO")
        with books.open() as open_:
            done = open_.execute("UPDATE prescription SET window = ? WHERE number = ? AND step IN ('1', '2')",
                                 (window, number)).rowcount
        return said(str(done))

    @app.post("/ConfirmPres")
    def confirm() -> Response:
        field("windowNo")
        number = field("PID")
        done = books.go(number, contract.HANDED) or books.step(number)[0] == contract.HANDED
        return said("1" if done else "0")

    @app.post("/GetBoxInfo")
    def light() -> Response:
        field("windowNo")
        with books.open() as open_:
            done = open_.execute("UPDATE prescription SET lit = lit + 1 WHERE number = ?", (field("PID"),)).rowcount
        return said(str(done))

    @app.post("/GetMedInfo")
    def drugs() -> Response:
        try:
            rows = [contract.DrugRow().load(row) for row in mapping.read_rows("XMLMedInfo", field("XMLMedInfo"))]
        except (mapping.Garbled, ValidationError):
            return said("0")
        with books.open() as open_:
            open_.executemany("INSERT INTO drug VALUES (?, ?, ?) ON CONFLICT (code) DO UPDATE SET name = excluded.name, "
                              "price = excluded.price",
                              [(row["MedOnlyCode"], row["MedName"], str(row["MedUnitPrice"])) for row in rows])
        return said("1")

    @app.get("/journal")
    def journal() -> Any:
        return jsonify([dict(zip(("number", "lines", "window", "store"), row, strict=True)) for row in books.journal()])

    return app
