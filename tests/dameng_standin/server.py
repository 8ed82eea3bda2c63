"""The stand-in's server: the driver's connections on one port, orders to misbehave on another."""

from __future__ import annotations

import argparse
import json
import re
import socket
import struct
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from psycopg import pq

from tests.dameng_standin import catalog, wire
from tests.dameng_standin.session import Prepared, Session, unpack_batch
from tests.dameng_standin.translate import Refused

_VERSION = "8.1.4.80"
_PAGE_BYTES = 28000


@dataclass
class Orders:
    """How to misbehave, set from the tests: see README.md."""

    mode: int = 0  # 0 standalone, 1 primary, 2 standby
    refuse: bool = False
    fail: list[dict[str, Any]] = field(
        default_factory=list
    )  # {"match": regex, "code": -6407, "message": …, "times": 1}
    drop: list[dict[str, Any]] = field(default_factory=list)  # {"match": regex, "after": bool, "times": 1}
    stall: list[dict[str, Any]] = field(default_factory=list)  # {"match": regex, "seconds": 1.0, "times": 1}
    statements: list[str] = field(default_factory=list)
    record: bool = False


class Server:
    """All sessions of one stand-in."""

    def __init__(self, conninfo: str, lock_seconds: int) -> None:
        self.conninfo = conninfo
        self.lock_seconds = lock_seconds
        self.orders = Orders()
        self.connections: set[socket.socket] = set()
        self.lock = threading.Lock()

    def serve(self, listener: socket.socket) -> None:
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.orders.refuse:
                connection.close()
                continue
            threading.Thread(target=self._session, args=(connection,), daemon=True).start()

    def drop_all(self) -> None:
        with self.lock:
            for connection in self.connections:
                connection.shutdown(socket.SHUT_RDWR)

    def order(self, kind: str, text: str) -> dict[str, Any] | None:
        """The first order of this kind that `text` matches; used up by one."""
        with self.lock:
            orders: list[dict[str, Any]] = getattr(self.orders, kind)
            for each in orders:
                if re.search(each["match"], text, re.IGNORECASE | re.DOTALL):
                    if each.get("skip", 0) > 0:
                        each["skip"] -= 1
                        continue
                    each["times"] = each.get("times", 1) - 1
                    if each["times"] <= 0:
                        orders.remove(each)
                    return each
        return None

    def _session(self, connection: socket.socket) -> None:
        with self.lock:
            self.connections.add(connection)
        worker = Worker(self, connection)
        try:
            while True:
                worker.answer(wire.receive(connection))
        except (wire.Closed, OSError):
            pass  # the driver, or an order to drop, ended it
        finally:
            with self.lock:
                self.connections.discard(connection)
            worker.close()
            connection.close()


class Worker:
    """Answers the frames of one connection."""

    def __init__(self, server: Server, connection: socket.socket) -> None:
        self.server = server
        self.connection = connection
        self.session: Session | None = None
        self.handles: dict[int, Prepared] = {}
        self.next_handle = 0

    def close(self) -> None:
        if self.session is not None:
            self.session.close()

    def answer(self, frame: wire.Frame) -> None:
        subject = self._subject(frame)
        stall = self.server.order("stall", subject) if subject else None
        if stall is not None:
            time.sleep(stall["seconds"])
        drop = self.server.order("drop", subject) if subject else None
        if drop is not None and not drop.get("after"):
            raise wire.Closed
        failure = self.server.order("fail", subject) if subject else None
        try:
            if failure is not None:
                raise Refused(failure["code"], failure.get("message", "替身服务器按指示报错"))
            reply = self._handle(frame)
        except Refused as refused:
            body = wire.error_body(refused.message)
            reply = wire.Frame(wire.REPLY, frame.handle, refused.code, body=body)
        if drop is not None:
            raise wire.Closed
        self.connection.sendall(wire.pack(reply))

    def _subject(self, frame: wire.Frame) -> str:
        """What orders match on: the SQL of an EXECUTE, or the name of the command."""
        if frame.command == wire.EXECUTE and frame.handle in self.handles:
            sql = self.handles[frame.handle].statement.sql
            if self.server.orders.record:
                self.server.orders.statements.append(sql)
            return sql
        return {
            wire.LOGIN: "LOGIN",
            wire.COMMIT: "COMMIT",
            wire.ROLLBACK: "ROLLBACK",
            wire.FETCH: "FETCH",
        }.get(frame.command, "")

    def _handle(self, frame: wire.Frame) -> wire.Frame:
        match frame.command:
            case wire.START:
                return wire.start_reply()
            case wire.LOGIN:
                return self._login(frame)
        session = self.session
        if session is None:
            raise Refused(-6030, "未登录")
        match frame.command:
            case wire.ALLOCATE:
                self.next_handle += 1
                return wire.Frame(wire.REPLY, self.next_handle)
            case wire.FREE:
                self.handles.pop(frame.handle, None)
            case wire.PREPARE:
                return self._prepare(session, frame)
            case wire.EXECUTE:
                return self._execute(session, frame)
            case wire.FETCH:
                return self._fetch(frame)
            case wire.COMMIT:
                session.commit()
            case wire.ROLLBACK:
                session.rollback()
            case wire.ISOLATION:
                session.level = struct.unpack_from("<i", frame.fields)[0]
            case wire.LOB_PUT:
                (identity,) = struct.unpack_from("<q", frame.body, 1)
                identity = session.put_lob(identity, frame.body[29:])
                return wire.Frame(wire.REPLY, frame.handle, body=wire.locator(identity))
            case wire.LOB_LENGTH:
                return self._lob_length(session, frame)
            case wire.LOB_READ:
                return self._lob_read(session, frame)
            case wire.ALIVE | wire.MORE_RESULTS | wire.LOB_BEGIN:
                pass
            case other:
                raise Refused(-7001, f"替身服务器不支持命令 {other}")
        return wire.Frame(wire.REPLY, frame.handle)

    def _login(self, frame: wire.Frame) -> wire.Frame:
        at, words = 0, []
        for _ in range(2):
            (length,) = struct.unpack_from("<i", frame.body, at)
            words.append(frame.body[at + 4 : at + 4 + length].decode())
            at += 4 + length
        user, password = words
        if password == "wrong":
            raise Refused(-2501, "用户名或密码错误")
        self.session = Session(self.server.conninfo, user.upper(), self.server.lock_seconds)
        return wire.login_reply(user.upper(), _VERSION, self.server.orders.mode)

    def _prepare(self, session: Session, frame: wire.Frame) -> wire.Frame:
        prepared = session.prepare(frame.body.rstrip(b"\0").decode())
        self.handles[frame.handle] = prepared
        fields = bytearray(wire.FIELDS)
        counts = (prepared.statement.kind, len(prepared.parameters), len(prepared.columns))
        struct.pack_into("<HHH", fields, 0, *counts)
        body = b"".join(map(wire.describe_parameter, prepared.parameters))
        body += b"".join(map(wire.describe_column, prepared.columns))
        return wire.Frame(wire.REPLY, frame.handle, fields=bytes(fields), body=body)

    def _execute(self, session: Session, frame: wire.Frame) -> wire.Frame:
        prepared = self.handles[frame.handle]
        (count,) = struct.unpack_from("<H", frame.fields, 1)
        (rows,) = struct.unpack_from("<i", frame.fields, 4)
        batch = unpack_batch(count, frame.body, rows, session.lobs)
        total, returned = session.execute(prepared, batch)
        if frame.fields[0]:
            session.commit()
        kind = prepared.statement.kind
        fields = bytearray(wire.FIELDS)
        struct.pack_into("<HHq", fields, 0, kind, 0, total)
        body = wire.ROWID if kind in (wire.KIND_INSERT, wire.KIND_UPDATE) else b""  # none for DELETE
        if returned:
            struct.pack_into("<H", fields, 12, len(returned))
            for values in returned:
                body += struct.pack("<i", len(values)) + b"".join(map(wire.pack_value, values))
        return wire.Frame(wire.REPLY, frame.handle, fields=bytes(fields), body=body)

    def _fetch(self, frame: wire.Frame) -> wire.Frame:
        prepared = self.handles[frame.handle]
        start, _wanted = struct.unpack_from("<qq", frame.fields)
        body, sent = bytearray(), 0
        for row in prepared.rows[start:]:
            packed = wire.pack_row(start + sent + 1, row)
            if sent and len(body) + len(packed) > _PAGE_BYTES:
                break
            body += packed
            sent += 1
        fields = bytearray(wire.FIELDS)
        struct.pack_into("<qi", fields, 0, len(prepared.rows), sent)
        return wire.Frame(wire.REPLY, frame.handle, fields=bytes(fields), body=bytes(body))

    @staticmethod
    def _lob_length(session: Session, frame: wire.Frame) -> wire.Frame:
        is_text, identity = struct.unpack_from("<Bq", frame.body)
        data = bytes(session.lobs[identity])
        length = len(data.decode()) if is_text else len(data)
        return wire.Frame(wire.REPLY, frame.handle, body=struct.pack("<q", length))

    @staticmethod
    def _lob_read(session: Session, frame: wire.Frame) -> wire.Frame:
        """A piece: offset and length, the last two numbers asked, count characters of text or bytes."""
        is_text, _table, _column, identity = struct.unpack_from("<Bihq", frame.body)
        start, wanted = struct.unpack_from("<ii", frame.body, len(frame.body) - 8)
        data = bytes(session.lobs[identity])
        piece = data.decode()[start : start + wanted].encode() if is_text else data[start : start + wanted]
        whole = len(data.decode()) if is_text else len(data)
        body = struct.pack("<BihiI", int(start + wanted >= whole), len(piece), 0, 0, start + wanted) + piece
        return wire.Frame(wire.REPLY, frame.handle, body=body)


def control(server: Server, listener: socket.socket) -> None:
    """One order per line, as JSON; an answer per line."""
    while True:
        connection, _ = listener.accept()
        with connection, connection.makefile("rw") as stream:
            for line in stream:
                order = json.loads(line)
                answer: Any = True
                for name, value in order.items():
                    if name == "drop_all":
                        server.drop_all()
                    elif name == "statements":
                        answer, server.orders.statements = server.orders.statements, []
                    elif name == "pending":
                        answer = server.orders.drop + server.orders.fail + server.orders.stall
                    elif name == "sessions":
                        answer = len(server.connections)
                    elif name == "reset":
                        server.orders = Orders()
                    elif isinstance(getattr(server.orders, name), list):
                        getattr(server.orders, name).append(value)
                    else:
                        setattr(server.orders, name, value)
                stream.write(json.dumps(answer) + "\n")
                stream.flush()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--postgres", required=True, help="conninfo of an empty database")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--lock-seconds", type=int, default=1, help="how long a lock is waited for (-6407)")
    arguments = parser.parse_args()
    setup = pq.PGconn.connect(arguments.postgres.encode())
    exists = setup.exec_(b"SELECT to_regnamespace('sys')").get_value(0, 0)
    if not exists:
        result = setup.exec_(catalog.SQL.encode())
        if result.status != pq.ExecStatus.COMMAND_OK:
            sys.exit("dictionary: " + setup.get_error_message())
    setup.finish()
    server = Server(arguments.postgres, arguments.lock_seconds)
    listeners = []
    for port in (arguments.port, 0):
        listener = socket.create_server(("127.0.0.1", port), backlog=128)
        listeners.append(listener)
    threading.Thread(target=control, args=(server, listeners[1]), daemon=True).start()
    print(json.dumps([listener.getsockname()[1] for listener in listeners]), flush=True)
    server.serve(listeners[0])


if __name__ == "__main__":
    main()
