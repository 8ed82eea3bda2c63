"""The composition root: settings → database, keys, modules → a Flask application."""

from __future__ import annotations

import json
import logging
import os
import secrets
from typing import Any

from flask import Flask, Response, current_app, g, request
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix

from crypto import DeviceLost
from dialects import portable
from his_server import __version__, keys, metrics, openapi, registry, startup
from his_server import settings as settings_module
from his_server.clock import Clock
from his_server.db import Database
from his_server.db.keys import key_block
from his_server.errors import AppError, Unavailable
from his_server.http import dumps
from his_server.logs import configure as configure_logs
from his_server.settings import Settings

log = logging.getLogger("his.app")

HTTP_MESSAGES = {
    400: "请求有误，请刷新页面后重试",
    404: "没有找到该页面或记录，请核对后重试",
    405: "不支持的操作方式",
    413: "提交内容过大，请减少后重试",
    415: "不支持的内容格式",
}


def create_app(settings: Settings | None = None, *, database: Database | None = None, clock: Clock | None = None,
               hospital: registry.Hospital | None = None) -> Flask:
    """Build the application. Tests hand in their database, clock or a part of the hospital."""
    from his_server.security import Security
    from his_server.web.serve import blueprint as web

    settings = settings or settings_module.load()
    configure_logs(settings.log_level)
    app = Flask("his_server", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    if settings.trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=settings.trusted_proxies,  # type: ignore[method-assign]
                                x_proto=settings.trusted_proxies)
    hospital = hospital or registry.load(settings.modules, settings.interfaces)
    if database is None:
        database = open_database(settings, clock=clock)
        startup.check_program(settings, database.sealer)
    bind_ports(database, hospital, settings)
    app.extensions.update(his_settings=settings, his_database=database, his_hospital=hospital,
                          his_security=Security(settings, database, hospital))
    app.extensions["his_refusals"] = {place: answer for m in hospital.modules for place, answer in m.refusals.items()}
    app.extensions["his_module_settings"] = {m.name: registry.module_settings(m, settings) for m in hospital.modules}
    app.before_request(_begin)
    app.after_request(_finish)
    app.register_error_handler(Exception, _on_error)
    for module in hospital.modules:
        for routes in module.routes:
            app.register_blueprint(routes.blueprint)
    _health(app)
    app.register_blueprint(web)
    return app


def open_database(settings: Settings, *, clock: Clock | None = None) -> Database:
    """The database of the settings with its key ring opened (made first where there is none) and known answers run.

    :raises StartRefused: the cryptography can't be used.
    """
    sealer = startup.open_checked(settings)
    return Database(keys.database_url(settings, sealer), clock=clock, sealer=sealer, pool_size=settings.database_pool_size)


def bind_ports(database: Database, hospital: registry.Hospital, settings: Settings) -> None:
    """Bind the adapters that interfaces offer to the ports that modules ask for (DESIGN section 5)."""
    for module in hospital.modules:
        for name, make in module.ports.items():
            if (adapter := make(settings, database)) is not None:
                database.ports[name] = adapter


def _begin() -> None:
    given = request.headers.get("X-Request-ID", "")
    g.trace_id = given if 8 <= len(given) <= 40 and given.isascii() and given.isalnum() else secrets.token_hex(8)
    if request.path.startswith("/api/"):
        g.actor = current_app.extensions["his_security"].authenticate(request)


def _finish(response: Response) -> Response:
    response.headers["X-Request-ID"] = g.get("trace_id", "")
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    if request.path.startswith("/api/"):
        response.headers.setdefault("Cache-Control", "no-store")
    metrics.responses.labels(str(response.status_code)).inc()
    return response


def error_body(error: AppError) -> dict[str, Any]:
    """The one error shape."""
    return {"code": error.code, "status": error.status, "message": error.message,
            "errors": [{"field": e.field, "message": e.message} for e in error.errors], "trace_id": g.get("trace_id")}


def told(error: Exception) -> AppError:
    """What the caller is told of an error, whatever it was; defects and lost databases are logged here."""
    if isinstance(error, HTTPException):
        status = error.code or 500
        return AppError(f"http.{status}", HTTP_MESSAGES.get(status, "请求无法处理，请稍后重试"), status=status)
    if isinstance(error, AppError):
        return error
    if isinstance(error, DeviceLost):
        log.critical("request refused: %s", error)
        return Unavailable("crypto.device_lost", "密码设备暂时不可用，本次操作没有保存，请稍后重试并通知信息科")
    if isinstance(error, SQLAlchemyError) and (portable.is_disconnect(error) or portable.is_lock_timeout(error)):
        log.error("database unavailable", exc_info=error)
        return Unavailable("database.unavailable", "数据库暂时没有响应，本次操作没有保存，请稍后重试")
    log.error("defect", exc_info=error)
    return AppError("internal", "系统内部错误，本次操作没有保存。请重试；若仍出现，请把追踪号告诉信息科", status=500)


def _on_error(error: Exception) -> Response:
    found = told(error)
    if isinstance(error, AppError) and g.get("actor") is not None:
        current_app.extensions["his_security"].refused(g.actor, request, error)
    for place, answer in current_app.extensions.get("his_refusals", {}).items():
        if request.path.startswith(place):
            response: Response = answer(found)
            return response
    return Response(json.dumps(error_body(found), ensure_ascii=False), status=found.status,
                    mimetype="application/json")


def _health(app: Flask) -> None:
    database: Database = app.extensions["his_database"]

    @app.after_request
    def who(response: Response) -> Response:
        """Which release and which server process answered: what a hand-over asks before it ends the old one."""
        if request.path in ("/readyz", "/healthz"):
            response.headers["X-His-Release"] = f"{__version__} {os.getppid()}"
        return response

    @app.get("/healthz")
    def healthz() -> Response:
        return Response("ok\n", mimetype="text/plain")

    @app.get("/readyz")
    def readyz() -> Response:
        try:
            with database.begin(write=False) as session:
                session.execute(select(key_block.c.next))
        except SQLAlchemyError:
            log.exception("not ready")
            return Response("database\n", status=503, mimetype="text/plain")
        return Response("ready\n", mimetype="text/plain")

    @app.get("/metrics")
    def prometheus() -> Response:
        return Response(metrics.exposition(), mimetype="text/plain; version=0.0.4")

    @app.get("/api/openapi.json")
    def document() -> Response:
        return Response(dumps(openapi.document(app.extensions["his_hospital"])), mimetype="application/json")
