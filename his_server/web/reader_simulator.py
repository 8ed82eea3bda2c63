"""A stand-in for a workstation's card reader agent: ``python -m his_server.web.reader_simulator``.

The contract is docs/interfaces/reader-agent.md. Cards are put on the reader by ``--card FILE`` or by
``POST /v1/simulator/card`` with a card's JSON (null takes it off);
``POST /v1/simulator/fault {"code": "no_reader"}`` breaks it.
"""

from __future__ import annotations

import argparse
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PORT = 18700
SAMPLE = {
    "kind": "id_card",
    "id_no": "11010519491231002X",
    "name": "曾𠮷祥",
    "sex": "女",
    "birth_date": "1949-12-31",
    "address": "江苏省南通市崇川区人民东路 100 号",
}
FAULTS = {
    "no_card": (404, "没有读到卡，请把卡放在读卡器上再试"),
    "no_reader": (503, "读卡器没有连接，请检查 USB 线后再试"),
    "busy": (409, "读卡器正忙，请稍候再试"),
    "unreadable": (422, "这张卡读不出来，请擦拭后重放，或直接输入证件号码"),
}


class Reader:
    """What lies on the reader (``card``) and what is broken (``fault``, a key of FAULTS or '')."""

    def __init__(self, card: dict[str, Any] | None = None, origins: tuple[str, ...] = ("*",)) -> None:
        self.card = card
        self.fault = ""
        self.origins = origins

    def read(self) -> tuple[int, dict[str, Any]]:
        """Status and body of one reading."""
        code = self.fault or ("" if self.card else "no_card")
        if code:
            status, message = FAULTS[code]
            return status, {"code": code, "message": message}
        assert self.card is not None
        return 200, self.card


def handler(reader: Reader) -> type[BaseHTTPRequestHandler]:
    """Request handler class around one reader."""

    class Handler(BaseHTTPRequestHandler):
        server_version = "reader-simulator"
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            """Silent: a card's content must not reach a log."""

        def _answer(self, status: int, body: object = None) -> None:
            content = b"" if body is None else json.dumps(body, ensure_ascii=False).encode()
            self.send_response(status)
            origin = self.headers.get("Origin", "")
            if origin and ("*" in reader.origins or origin in reader.origins):
                self.send_header("Access-Control-Allow-Origin", origin)
                self.send_header("Vary", "Origin")
                self.send_header("Access-Control-Allow-Methods", "GET, POST, OPTIONS")
                self.send_header("Access-Control-Allow-Headers", "Content-Type")
                # Chromium asks this before a page may reach the workstation itself.
                self.send_header("Access-Control-Allow-Private-Network", "true")
                self.send_header("Access-Control-Allow-Local-Network", "true")
            self.send_header("Cache-Control", "no-store")
            if content:
                self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_OPTIONS(self) -> None:
            self._answer(204)

        def do_GET(self) -> None:
            path = self.path.split("?")[0]
            if path == "/v1/card/read":
                self._answer(*reader.read())
            elif path == "/v1/status":
                self._answer(
                    200,
                    {
                        "version": "1",
                        "reader": "simulator",
                        "ready": not reader.fault,
                        "card": bool(reader.card),
                    },
                )
            else:
                self._answer(404, {"code": "not_found", "message": "没有这个地址"})

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            try:
                body = json.loads(raw or b"null")
            except ValueError:
                return self._answer(400, {"code": "bad_json", "message": "不是 JSON"})
            if self.path == "/v1/simulator/card" and (body is None or isinstance(body, dict)):
                reader.card = body
                return self._answer(204)
            if (
                self.path == "/v1/simulator/fault"
                and isinstance(body, dict)
                and body.get("code", "") in ("", *FAULTS)
            ):
                reader.fault = body.get("code", "")
                return self._answer(204)
            return self._answer(404, {"code": "not_found", "message": "没有这个地址"})

    return Handler


def serve(reader: Reader, port: int = PORT) -> ThreadingHTTPServer:
    """A server on 127.0.0.1 (port 0: any free one); the caller runs ``serve_forever`` and ``shutdown``."""
    server = ThreadingHTTPServer(("127.0.0.1", port), handler(reader))
    server.daemon_threads = True
    return server


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="读卡器模拟程序")
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument("--card", type=Path, help="卡片内容（JSON 文件）；不给则放一张示例身份证")
    parser.add_argument("--origin", action="append", help="允许的来源，可多次；不给则任何来源")
    options = parser.parse_args()
    card = json.loads(options.card.read_text(encoding="utf-8")) if options.card else SAMPLE
    server = serve(Reader(card, tuple(options.origin or ("*",))), options.port)
    print(f"http://127.0.0.1:{server.server_port}/v1/card/read")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


if __name__ == "__main__":
    main()
