"""A stand-in for the platform: keeps every registration and its history; a message id that it knows changes nothing."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from flask import Flask, Response, abort, jsonify, request

from interfaces.hub.books import Books
from interfaces.integration_platform import mapping
from interfaces.integration_platform.contract import (
    ACCEPTED,
    ACTIVE,
    ADD,
    CANCELLED,
    FAILED,
    REJECTED,
    UPDATE,
)

_TABLES = (
    "CREATE TABLE IF NOT EXISTS message (id TEXT PRIMARY KEY, at INTEGER, number TEXT, action TEXT, status TEXT, slot TEXT)",
    "CREATE TABLE IF NOT EXISTS registration (number TEXT PRIMARY KEY, status TEXT, slot TEXT, name TEXT)",
)
LOOKS = {"messages": "SELECT * FROM message ORDER BY at", "registrations": "SELECT * FROM registration ORDER BY number"}


def create(folder: Path) -> Flask:
    """The platform's service, and ``/registrations``, ``/messages`` of what it holds."""
    app, books_of = Flask("integration-platform", static_folder=None), Books(folder, "platform", _TABLES)

    @app.post("/")
    def serve() -> Response:
        try:
            action, text = (mapping.inner(request.get_data(), tag) for tag in ("action", "message"))
            said = _Said(mapping.tree(text))
        except (mapping.Garbled, LookupError) as error:
            return _answer(REJECTED, "", f"报文不符合规范：{error}")
        if problem := said.wrong(action):
            return _answer(REJECTED, said.id, problem)
        with books_of.work() as books:
            return _answer(*_take(books, action, said))

    @app.get("/<table>")
    def look(table: str) -> Any:
        if table not in LOOKS:
            abort(404)
        with books_of.work() as books:
            return jsonify([dict(row) for row in books.execute(LOOKS[table])])

    return app


class _Said:
    """What a message says. :raises LookupError: something is missing."""

    def __init__(self, root: ElementTree.Element) -> None:
        self.action = mapping.local_name(root)
        by_name: dict[str, list[ElementTree.Element]] = {}
        for element in root.iter():
            by_name.setdefault(mapping.local_name(element), []).append(element)
        self.id = root[0].attrib["extension"]
        ids = {element.get("root"): element.attrib["extension"] for element in by_name["id"]}
        self.number, self.visit = ids["registration"], ids["visit"]
        self.status = by_name["statusCode"][0].attrib["code"]
        self.name = by_name["name"][0].text or ""
        self.slot = _place(by_name["slot"][0])
        self.prior = _place(by_name["priorSlot"][0]) if "priorSlot" in by_name else ""

    def wrong(self, action: str) -> str:
        """What is not as it must be."""
        if action not in (ADD, UPDATE) or self.action != action:
            return f"未知或不一致的服务：{action}"
        if self.status not in (ACTIVE, CANCELLED) or not (self.id and self.number and self.name):
            return "状态、消息号、挂号单号、姓名不能为空"
        return ""


def _place(element: ElementTree.Element) -> str:
    return f"{element.attrib['id']}/{element.attrib['queueNo']}/{element.attrib['date']}"


def _take(books: sqlite3.Connection, action: str, said: _Said) -> tuple[str, str, str]:
    if books.execute("SELECT 1 FROM message WHERE id = ?", (said.id,)).fetchone():
        return ACCEPTED, said.id, "重复消息，已处理过"
    held = books.execute("SELECT * FROM registration WHERE number = ?", (said.number,)).fetchone()
    if action == ADD and held is not None:
        return FAILED, said.id, "该挂号已存在"
    if action == UPDATE and held is None:
        return FAILED, said.id, "没有该挂号，不能更新"
    if said.prior and held is not None and held["slot"] != said.prior:
        return FAILED, said.id, f"原号源不符：平台为 {held['slot']}"
    books.execute("INSERT INTO registration VALUES (?, ?, ?, ?) ON CONFLICT (number) DO UPDATE SET status = excluded.status, "
                  "slot = excluded.slot, name = excluded.name", (said.number, said.status, said.slot, said.name))
    books.execute("INSERT INTO message VALUES (?, (SELECT COUNT(*) FROM message), ?, ?, ?, ?)",
                  (said.id, said.number, action, said.status, said.slot))
    return ACCEPTED, said.id, "成功"


def _answer(code: str, message_id: str, text: str) -> Response:
    return Response(mapping.answer_envelope(mapping.acknowledgement(code, message_id, text)), mimetype="text/xml")
