"""A stand-in for the trace platform: checks the signature and knows cartons whose 20 digits begin with 8910.

A carton is 8910, twelve digits that name it, and 0000; the eleventh of the twelve says how many middle packs lie in it (0:
none, boxes lie in it directly), the twelfth how many boxes in each (0: ten). Middle packs begin with 8920 and boxes with
8930, named after their carton. ``89109…`` is signed off (已注销); ``89108…`` is answered level by level. Nothing else is known.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from werkzeug.wrappers import Request, Response

from his_server.clock import HOSPITAL_ZONE, Clock
from interfaces.hub import simulating
from interfaces.trace_platform import contract
from interfaces.trace_platform.settings import Settings

SKEW = timedelta(minutes=10)


def create(folder: Path) -> Any:
    """The platform as a WSGI application; it keeps nothing, so ``folder`` isn't used."""
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        at = environ.get(simulating.NOW) or Clock().now()
        body = json.dumps(_answer(Request(environ).form.to_dict(), at), ensure_ascii=False)
        return Response(body, mimetype="application/json")(environ, start_response)

    return app


def _answer(given: dict[str, str], now: datetime) -> dict[str, Any]:
    own = Settings()
    if given.get("app_key") != own.app_key:
        return _error(29, "Invalid app Key", "AppKey 不存在")
    method = given.get("sign_method", "")
    if method not in contract.SIGNS or given.get("sign") != contract.sign(given, own.app_secret, method):
        return _error(25, "Invalid signature", "签名有误")
    try:
        at = datetime.strptime(given.get("timestamp", ""), "%Y-%m-%d %H:%M:%S").replace(tzinfo=HOSPITAL_ZONE)
    except ValueError:
        return _error(41, "Invalid arguments", "timestamp 有误")
    if abs(now - at) > SKEW:
        return _error(31, "Invalid timestamp", "时间相差超过 10 分钟")
    if given.get("method") != contract.METHOD or not given.get("ref_ent_id"):
        return _error(40, "Missing required arguments", "缺少参数")
    rows = _rows(given.get("code", ""))
    result: dict[str, Any] = {"response_success": bool(rows), "msg_code": "" if rows else "CODE_NOT_EXIST",
                              "msg_info": "" if rows else "码不存在"}
    if rows:
        result["model_list"] = {"code_relation_dto": [{"code_relation_list": {"code_info": rows}}]}
    return {contract.ANSWER: {"request_id": "r1", "result": result}}


def _rows(code: str) -> list[dict[str, str]]:
    """The rows of a code: itself and what lies in it."""
    if len(code) != 20 or not code.isdigit() or code[:4] not in ("8910", "8920", "8930"):
        return []
    named = code[4:16]
    carton, middles, boxes = f"8910{named}0000", int(named[10]), int(named[11]) or 10
    status = "C" if named.startswith("9") else "I"
    tree = [_row(carton, "", 3 if middles else 2, status)]
    for middle in range(middles or 1):
        parent = carton
        if middles:
            tree.append(_row(f"8920{named}{middle:02d}00", parent, 2, status))
            parent = f"8920{named}{middle:02d}00"
        tree += [_row(f"8930{named}{middle:02d}{box:02d}", parent, 1, status) for box in range(boxes)]
    if code not in {row["code"] for row in tree}:
        return []
    shown, layer = [row for row in tree if row["code"] == code], {code}
    while layer:
        inner = [row for row in tree if row["parent_code"] in layer]
        shown += inner
        layer = set() if named.startswith("8") else {row["code"] for row in inner}
    return shown


def _row(code: str, parent: str, level: int, status: str) -> dict[str, str]:
    return {"code": code, "parent_code": parent, "code_level": str(4 - level), "code_pack_level": str(level), "status": status}


def _error(code: int, message: str, words: str) -> dict[str, Any]:
    return {"error_response": {"code": code, "msg": message, "sub_msg": words}}
