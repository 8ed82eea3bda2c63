"""A tiny stand-in for the server's API, for work on the front end alone: ``dev-mock/mock.py [port]``.

Never shipped. Everything is in memory; sign in with any name and the password ``Demo@123``
(``second`` asks for code 123456, ``fresh`` for a new password).
"""

from __future__ import annotations

import io
import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

from flask import Flask, Response, jsonify, request

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
from crypto import get_provider
from his_server.web import serve

app = Flask(__name__)
CRYPTO = get_provider()
PRIVATE, PUBLIC = CRYPTO.sm2_generate()
STATE: dict[str, Any] = {"user": None, "nonce": "", "fail": "", "seen": {}, "drop": 0}
RNG = random.Random(6)
SURNAMES, GIVEN = "张王李赵单曾仇陈顾陆", ["建国", "桂英", "秀兰", "伟", "𠮷祥", "䶮", "文静", "海燕"]
PATIENTS = [
    {
        "id": 1000 + i,
        "name": RNG.choice(SURNAMES) + RNG.choice(GIVEN),
        "sex": RNG.choice("男女"),
        "age": f"{RNG.randint(1, 92)}岁",
        "birth_date": f"19{RNG.randint(40, 99)}-0{RNG.randint(1, 9)}-1{RNG.randint(0, 9)}",
        "outpatient_no": f"2611230{i:04d}",
        "masked_id": "320602********" + f"{i:03d}X",
        "masked_phone": f"138****{i:04d}",
        "insurance": RNG.choice(["自费", "职工医保", "居民医保"]),
        "allergies": ["青霉素"] if i % 7 == 0 else [],
    }
    for i in range(60)
]
ITEMS = [
    {"id": 1, "code": "110200001", "name": "普通门诊诊察费", "spec": "", "unit": "次", "price": "15.00"},
    {"id": 2, "code": "250101001", "name": "血常规（五分类）", "spec": "", "unit": "次", "price": "20.00"},
    {
        "id": 3,
        "code": "210102015",
        "name": "胸部正侧位片（DR）",
        "spec": "",
        "unit": "次",
        "price": "110.00",
    },
    {
        "id": 4,
        "code": "XA10BA",
        "name": "盐酸二甲双胍缓释片",
        "spec": "0.5g×30片",
        "unit": "盒",
        "price": "26.8300",
        "stock": "118",
    },
    {
        "id": 5,
        "code": "XJ04AC",
        "name": "异烟肼片（免费抗结核）",
        "spec": "100mg×100片",
        "unit": "瓶",
        "price": "0.00",
        "stock": "40",
    },
    {
        "id": 6,
        "code": "XC08CA",
        "name": "苯磺酸氨氯地平片",
        "spec": "5mg×28片",
        "unit": "盒",
        "price": "9.5240",
        "stock": "0",
    },
    {"id": 7, "code": "120400006", "name": "静脉输液", "spec": "", "unit": "组", "price": "6.00"},
]
MENU = [
    {
        "section": "收费",
        "items": [
            {"title": "门诊收费", "path": "/outpatient/cashier", "page": "demo/demo", "key": "Alt+1"},
            {
                "title": "挂号",
                "path": "/outpatient/register",
                "page": "outpatient_billing/register",
                "key": "Alt+2",
            },
            {"title": "退费", "path": "/outpatient/refund", "page": "outpatient_billing/refund"},
            {"title": "收费员日结", "path": "/reports/cashier_daily", "page": "web/report"},
        ],
    },
    {
        "section": "门诊药房",
        "items": [
            {"title": "配药发药", "path": "/pharmacy/queue", "page": "demo/queue"},
            {"title": "退药", "path": "/pharmacy/return", "page": "x/return"},
        ],
    },
    {
        "section": "查询统计",
        "items": [
            {"title": "收入分类统计", "path": "/reports/income", "page": "web/report"},
            {"title": "大表", "path": "/demo/big", "page": "demo/big"},
        ],
    },
    {
        "section": "系统管理",
        "items": [{"title": "用户与角色", "path": "/users", "page": "platform/security/users"}],
    },
]


def fail(
    status: int, code: str, message: str, errors: list[dict[str, str]] | None = None
) -> tuple[Response, int]:
    body = {
        "code": code,
        "status": status,
        "message": message,
        "errors": errors or [],
        "trace_id": "4f2a9c117e0b",
    }
    return jsonify(body), status


def session() -> dict[str, Any]:
    return {
        "user": {
            "id": 7,
            "code": STATE["user"],
            "name": "沈丽华",
            "department": {"id": 3, "name": "门诊收费处"},
            "roles": ["收费员"],
        },
        "permissions": ["charging.settle", "charging.refund"],
        "menu": MENU,
        "csrf": "token-1",
        "hospital": "南通市第六人民医院（演示）",
        "idle_seconds": STATE.get("idle", 900),
        "notices": [
            {
                "id": 1,
                "title": "今晚 22:00 系统升级",
                "body": "约 10 分钟，请提前保存。",
                "level": "warning",
                "at": "2026-11-23T01:00:00Z",
            },
            {
                "id": 2,
                "title": "医保目录已更新",
                "body": "新增 12 个品种。",
                "level": "info",
                "at": "2026-11-22T08:30:00Z",
            },
        ],
    }


def opened() -> dict[str, str]:
    body = request.get_json()
    content = json.loads(CRYPTO.sm2_decrypt(PRIVATE, bytes.fromhex(body["sealed"])))
    assert content["nonce"] == STATE["nonce"], "stale nonce"
    return content


@app.get("/api/session/challenge")
def challenge() -> Any:
    STATE["nonce"] = CRYPTO.random(16).hex()
    return {"nonce": STATE["nonce"], "public_key": PUBLIC.hex(), "kid": "k1"}


@app.get("/api/session")
def who() -> Any:
    return session() if STATE["user"] else fail(401, "session.none", "请先登录")


@app.post("/api/session")
def sign_in() -> Any:
    if opened()["password"] != "Demo@123":
        return fail(401, "session.refused", "工号或密码不对，还可再试 4 次；忘记密码请找安全管理员重置")
    login = request.get_json()["login"]
    if login == "second":
        return {"second_factor": True, "ticket": "t-1"}
    if login == "fresh":
        return {"must_change_password": True, "ticket": "t-2"}
    STATE["user"] = login
    return session()


@app.post("/api/session/second-factor")
def second() -> Any:
    if request.get_json()["code"] != "123456":
        return fail(401, "session.code", "动态口令不对或已过期，请输入新的口令")
    STATE["user"] = "second"
    return session()


@app.post("/api/session/password")
def new_password() -> Any:
    opened()
    STATE["user"] = "fresh"
    return session()


@app.delete("/api/session")
def sign_out() -> Any:
    STATE["user"] = None
    return "", 204


@app.get("/api/patients")
def patients() -> Any:
    q = request.args.get("q", "")
    found = [
        one
        for one in PATIENTS
        if q in one["name"]
        or q in one["outpatient_no"]
        or q in str(one["masked_phone"])
        or q.lower() in "zjg"
    ]
    return {"items": found[:50], "next": None}


@app.get("/api/items")
def items() -> Any:
    q = request.args.get("q", "").lower()
    return {
        "items": [
            one
            for one in ITEMS
            if q in one["name"] or one["code"].lower().startswith(q) or q in "abcdefghijklmnopqrstuvwxyz"
        ],
        "next": None,
    }


@app.post("/api/charges")
def charge() -> Any:
    key = request.headers.get("Idempotency-Key", "")
    if request.headers.get("X-CSRF-Token") != "token-1":
        return fail(403, "csrf", "页面已过期，请刷新")
    if STATE["drop"]:
        STATE["drop"] -= 1
        STATE["seen"].setdefault(key, len(STATE["seen"]) + 1)
        return "gateway", 504
    lines = request.get_json()["lines"]
    wrong = [
        {
            "field": f"lines.{i}.quantity",
            "message": f"第 {i + 1} 行：苯磺酸氨氯地平片库存只有 0 盒，请改数量或换药",
        }
        for i, line in enumerate(lines)
        if line.get("item") == 6
    ]
    if wrong:
        return fail(422, "charging.invalid", "有 1 处需要修改", wrong)
    number = STATE["seen"].setdefault(key, len(STATE["seen"]) + 1)
    return {"id": number, "receipt_no": f"SJ26112300{number:02d}"}, 201


@app.post("/api/charges/<int:number>/voucher")
def voucher(number: int) -> Any:
    if STATE["fail"] == "print":
        return fail(503, "print.failed", "打印服务没有回答，请稍后再打")
    from reportlab.pdfgen.canvas import Canvas

    out = io.BytesIO()
    page = Canvas(out, pagesize=(226, 300))
    page.drawString(20, 260, f"Receipt {number}")
    page.save()
    return Response(out.getvalue(), mimetype="application/pdf")


@app.get("/api/reports/<name>")
def report(name: str) -> Any:
    if request.args.get("format"):
        return Response(
            b"file",
            mimetype="application/octet-stream",
            headers={"Content-Disposition": "attachment; filename*=UTF-8''%E6%8A%A5%E8%A1%A8.xlsx"},
        )
    kinds = ["西药费", "中成药费", "检查费", "化验费", "治疗费", "诊察费", "材料费", "挂号费"]
    rows = [
        {
            "kind": kind,
            "count": str(RNG.randint(3, 300)),
            "amount": f"{RNG.randint(100, 99999)}.{RNG.randint(10, 99)}",
            "refund": f"-{RNG.randint(1, 99)}.50",
        }
        for kind in kinds * 3
    ]
    return {
        "title": "收费员日结明细" if name == "cashier_daily" else "收入分类统计",
        "subtitles": ["收费员：沈丽华", "2026-11-23"],
        "columns": [
            {"key": "kind", "title": "费用类别", "kind": "text", "width": 160, "fixed": True},
            {"key": "count", "title": "笔数", "kind": "number", "total": True, "width": 90},
            {"key": "amount", "title": "金额", "kind": "money", "total": True, "width": 130},
            {"key": "refund", "title": "其中退费", "kind": "money", "width": 120, "total": True},
        ],
        "chart": {"kind": "bar", "category": "kind", "series": ["amount"]},
        "rows": rows[:8] if name == "income" else rows,
        "totals": {"count": "1204", "amount": "423901.55", "refund": "-321.50"},
    }


@app.get("/api/queue")
def work() -> Any:
    rows = [
        {
            "id": i,
            "no": f"P{i:04d}",
            "name": PATIENTS[i]["name"],
            "drugs": RNG.randint(1, 6),
            "window": f"{i % 4 + 1} 号窗",
            "at": f"2026-11-23T02:1{i % 10}:00Z",
            "state": ["待配药", "配药中", "待发药"][i % 3],
        }
        for i in range(18 + STATE.get("more", 0))
    ]
    return {"items": rows, "counts": {"open": len(rows), "done": 231}, "next": None}


@app.get("/api/live/<topic>")
def live(topic: str) -> Any:
    mark = str(STATE.get("more", 0))
    text = "retry: 300\n"
    if request.headers.get("Last-Event-ID") != mark:
        text += f"id: {mark}\ndata: {json.dumps({'at': time.time()})}\n"
    return Response(text + "\n", mimetype="text/event-stream", headers={"Cache-Control": "no-store"})


@app.post("/mock/<name>/<value>")
def control(name: str, value: str) -> Any:
    """Levers for trials: drop/2 loses two answers, fail/print, idle/5, event/x."""
    if name == "event":
        STATE["more"] = STATE.get("more", 0) + 1
    else:
        STATE[name] = int(value) if value.isdigit() else value
    return {"ok": True}


app.register_blueprint(serve.blueprint)

if __name__ == "__main__":
    # The examples: HIS_WEB_DEMO=1 HIS_WEB_OUT=/tmp/demo-dist npm run build
    serve.DIST = Path(os.environ.get("HIS_WEB_OUT", serve.DIST))
    app.run(port=int(sys.argv[1]) if len(sys.argv) > 1 else 8765, threaded=True)
