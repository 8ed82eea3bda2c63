"""Serves the built front end: hashed files for a year, the page itself never cached, under a strict CSP."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Response, abort, send_from_directory

DIST = Path(__file__).resolve().parent / "dist"

# Reader and print agents run on the workstation itself; nothing else outside our own origin is reachable.
# blob: frames are the PDFs that lib/print.ts hands to the browser's print dialog.
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "font-src 'self'",
        "connect-src 'self' http://127.0.0.1:* ws://127.0.0.1:*",
        "frame-src 'self' blob:",
        "object-src 'self' blob:",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=()",
}

NOT_BUILT = (
    "<!doctype html><html lang=zh-CN><meta charset=utf-8><title>前端尚未构建</title>"
    "<p>前端页面尚未构建。请在服务器上运行：<code>python -m his_server.web.build</code></p></html>"
)

PREVIOUS = Path("/var/cache/his-server/assets")
"""The previous release's files, put there by the package: pages that were open during an update still ask for them."""

blueprint = Blueprint("web", __name__)


@blueprint.after_request
def _protect(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


@blueprint.get("/assets/<path:name>")
def asset(name: str) -> Response:
    """One hashed file of the build; its name changes with its content, so it may be kept for a year."""
    folder = DIST / "assets"
    if not (folder / name).is_file() and PREVIOUS.is_dir():
        folder = PREVIOUS
    response = send_from_directory(folder, name, max_age=31_536_000)
    response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return response


@blueprint.get("/", defaults={"path": ""})
@blueprint.get("/<path:path>")
def page(path: str) -> Response:
    """The page for every path that is not the API's (404 there); the browser's router does the rest."""
    if path == "api" or path.startswith("api/"):
        abort(404)
    if not (DIST / "index.html").is_file():
        return Response(NOT_BUILT, status=503, mimetype="text/html")
    response = send_from_directory(DIST, "index.html", max_age=0)
    response.headers["Cache-Control"] = "no-cache"
    return response
