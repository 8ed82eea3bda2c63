"""Payment channels: a day's statement against the books, and the insurer's mobile payment's envelope (FN-14, YB-05).

Both channels are the stand-ins of the product's own test environment (peers.py). The day is one long ago: payments of the
suite's own are dated there on both sides, altered on one, and put back.
"""

from __future__ import annotations

import base64
import contextlib
import json
import time
from datetime import date, timedelta
from typing import Any

from crypto import get_provider
from his_server.compliance.checks.insurance import NEEDS, at_noon
from his_server.compliance.checks.journey import CODE, WINDOW
from his_server.compliance.checks.tracing import told
from his_server.compliance.client import Answer
from his_server.compliance.frame import Evidence, check
from his_server.compliance.peers import peer
from his_server.compliance.tables import Row, Tables
from his_server.compliance.target import Target

FINANCE = "/api/finance"
UNPAID = CODE[:-4] + "0003"
"""A payer's code with which the stand-in takes nothing and gives no answer."""
OPEN = ("open", "pending")
NOTICE = "/api/open/med-mobile-pay/notify"
APP = "43AF047BBA47FC8A1AE8EFB232BDBBCB"
SECRET = "4117E877F5FA0A0188891283E4B617D5"
"""The platform's published test values, which the product uses towards its stand-in."""
SIGNED = ("appId", "data", "encType", "signType", "timestamp", "transType", "version")


@check("FN-14", *NEEDS)
def reconciled(target: Target, seen: Evidence) -> None:
    """Long and short of payments and refunds, another amount, another state, one twice: all found, none silently mended."""
    channel, finance = peer(target, "scan_payment"), target.whoever("finance.reconcile")
    with contextlib.ExitStack() as stack:
        paid = [_pay(target, CODE) for _ in range(4)]
        lost = _pay(target, UNPAID)
        books = channel.books("books.db")
        back = target.staff("cashier").post(f"{WINDOW}/payment-intents/{paid[3]['id']}/return").good("退回未用的收款")
        for one in paid[:3]:
            stack.callback(_give_back, target, one)
        day = _a_free_day(target)
        stack.callback(_fetch, target, day)  # once more when everything is back where it was: nothing is of that day
        numbers = [one["number"] for one in (*paid, lost, back)]
        rows = target.db.rows("intent", number=numbers)
        for row in rows:
            moved = at_noon(row["created_at"], day)
            stack.enter_context(target.db.altered("intent", {"id": row["id"]}, created_at=moved))
        for table in ("payment", "refund"):
            for row in books.rows(table, number=numbers):
                there = {"day": day.isoformat(), "at": f"{day} 12:00:00"}
                stack.enter_context(books.altered(table, {"number": row["number"]}, **there))
        made = [_fetch(target, one) for one in (day, day + timedelta(4))]
        if not seen.see(all(one.status == 200 for one in made), "下载对账单并核对", [told(one) for one in made]):
            return
        seen.see(not _found(target, numbers), "两边一致时没有差异", _found(target, numbers) or f"{len(numbers)} 笔")
        _differ(target, seen, books, [one["number"] for one in paid], lost["number"], back["number"], day)
        _fetch(target, day)
        left = _found(target, numbers)
        seen.see(not left, "差异消除后再核对，自动消除并留痕", left or "0 条")
    seen.see(finance.get(f"{FINANCE}/differences?state=settled").status == 200, "已处理的差异可查", 200)


def _differ(target: Target, seen: Evidence, books: Tables, paid: list[str], lost: str, back: str, day: date) -> None:
    """Seven kinds of differences on the channel's side."""
    model, returned = books.rows("payment", number=paid[0])[0], books.rows("refund", number=back)[0]
    long, long_back = f"{target.mark}P", f"{target.mark}R"
    with (
        books.removed("payment", number=paid[0]),
        books.altered("payment", {"number": paid[1]}, amount="0.99"),
        _paid_after_all(books, model, lost),
        books.added("payment", {**model, "number": long}, number=long),
        books.added("refund", {**returned, "number": paid[2], "original": paid[2], "at": f"{day} 12:00:01"}, number=paid[2]),
        books.added("refund", {**returned, "number": long_back}, number=long_back),
        books.removed("refund", number=back),
    ):
        before = target.db.rows("intent", number=[*paid, lost, back])
        seen.see(_fetch(target, day).status == 200, "再次下载", day)
        found = _found(target, [*paid, lost, back, long, long_back])
        for what, kind, number in (
            ("短款：本院有、渠道无", "HIS_ONLY", paid[0]), ("金额不一致", "AMOUNT_DIFF", paid[1]),
            ("状态不一致：渠道成功、本院未成功", "STATE_DIFF", lost), ("长款：渠道有、本院无", "CHANNEL_ONLY", long),
            ("渠道重复", "DUPLICATE", paid[2]), ("退款：渠道有、本院无", "CHANNEL_ONLY", long_back),
            ("退款：本院有、渠道无", "HIS_ONLY", back),
        ):
            seen.see(f"{kind} {number}" in found, f"{what}被找出", number)
        seen.see(len(found) == 7, "没有多报", sorted(found))
        after = target.db.rows("intent", number=[*paid, lost, back])
        seen.see(before == after, "核对本身不改动本院任何一笔", f"{len(after)} 笔")
        _settled(target, seen, found[f"CHANNEL_ONLY {long}"]["id"] if f"CHANNEL_ONLY {long}" in found else 0)


def _paid_after_all(books: Tables, model: Row, number: str) -> contextlib.AbstractContextManager[None]:
    """The channel has the payment that we think was refused: it may know the number as closed, or not at all."""
    if books.rows("payment", number=number):
        return books.altered("payment", {"number": number}, **{k: v for k, v in model.items() if k != "number"})
    return books.added("payment", {**model, "number": number}, number=number)


def _settled(target: Target, seen: Evidence, key: int) -> None:
    finance, path = target.whoever("finance.reconcile"), f"{FINANCE}/differences/{key}/settle"
    asked = {"decision": "explain", "reason": "合规测试"}
    seen.see((no := target.staff("cashier").post(path, asked)).status == 403, "收费员不能处理差异", told(no))
    seen.see((no := finance.post(path, {**asked, "reason": ""})).status == 422, "处理差异须写明原因", told(no))
    logged = target.db.count("security_audit", event="statement.settle")
    done, again = finance.post(path, asked), finance.post(path, asked)
    seen.see(done.status == 200 and again.status == 409, "处理一次，不能再改", told(again))
    more = target.db.count("security_audit", event="statement.settle") - logged
    seen.see(more >= 1, "处理差异留有审计", f"{more} 条")


def _pay(target: Target, code: str) -> Row:
    body = {"person_id": target.patient, "channel": "scan", "amount": "1.00", "auth_code": code}
    made: Row = target.staff("cashier").post(f"{WINDOW}/payment-intents", body).good("扫码支付")
    if made["state"] not in ("confirmed", "refused"):
        made = target.staff("cashier").post(f"{WINDOW}/payment-intents/{made['id']}/query").good("查询扫码支付")
    return made


def _give_back(target: Target, paid: Row) -> None:
    target.staff("cashier").post(f"{WINDOW}/payment-intents/{paid['id']}/return")


def _fetch(target: Target, day: date) -> Answer:
    return target.whoever("finance.reconcile").post(f"{FINANCE}/statements/fetch", {"channel": "scan", "day": day.isoformat()})


def _found(target: Target, numbers: list[str]) -> dict[str, Row]:
    rows = target.db.rows("statement_difference", number=numbers)
    return {f"{row['kind']} {row['number']}": row for row in rows if row["state"] in OPEN}


def _a_free_day(target: Target) -> date:
    """A day long ago with no statement on it or four days later."""
    known = {str(row["day"])[:10] for row in target.db.rows("channel_statement")}
    first = date(2001, 1, 1) + timedelta(target.number % 5000)
    days = (first + timedelta(n) for n in range(3000))
    return next(day for day in days if not {day.isoformat(), (day + timedelta(4)).isoformat()} & known)


@check("YB-05", *NEEDS)
def envelope(target: Target, seen: Evidence) -> None:
    """A notice in the insurer's envelope, made and opened here anew: believed as it is, not when anything of it is wrong."""
    peer(target, "med_mobile_pay")
    data: dict[str, Any] = {
        "payOrdId": f"ORD{target.mark}", "medOrgOrd": f"YD{target.mark}", "callType": "PAY_SUC", "feeSumamt": "10",
        "fundPay": "6", "psnAcctPay": "0", "ownpayAmt": "4", "traceTime": "20260101000000"}
    right = pack(data)
    answer = _told(target, right)
    body = answer.json
    seen.see(answer.status == 200 and "encData" in body, "签名加密正确的通知被验证并受理（没有这笔订单则答“没有”）", told(answer))
    opened, holds = unpack(body) if "encData" in body else ({}, False)
    seen.see(holds and opened.get("success") == "false", "应答的加密与签名可由对方打开、核验", opened)
    shuffled = pack(dict(reversed([*data.items(), ("revsToken", ""), ("hiDocSn", None)])))
    answer = _told(target, {**shuffled, "extra": "x"})
    seen.see(answer.status == 200, "键序不同、含空值、信封外带附加字段：排序去空后一致，受理", told(answer))
    other = base64.b64encode(get_provider("openssl").sm2_sign(_private(), b"x")).decode()
    flipped = right["encData"][:-2] + f"{int(right['encData'][-2:], 16) ^ 1:02X}"
    for what, wrong in (
        ("待签文本键序错误", pack(data, order=reversed)),
        ("没有附加 appSecret", pack(data, secret="")),
        ("内容签名后改动", {**right, "encData": pack({**data, "fundPay": "9999"})["encData"]}),
        ("密文改一比特", {**right, "encData": flipped}),
        ("时间戳改动", {**right, "timestamp": str(int(right["timestamp"]) + 1)}),
        ("签名不是这份报文的", {**right, "signData": other}),
        ("appId 不符", {**right, "appId": APP[::-1]}),
        ("没有签名", {name: value for name, value in right.items() if name != "signData"}),
    ):
        refused = _told(target, wrong)
        seen.see(refused.status == 422, f"{what}：拒绝", told(refused))
    logged = target.db.rows("interface_call", 20, newest=True, operation="6302")
    seen.see(sum(row["outcome"] == "refused" for row in logged) >= 8, "被拒的通知都有接口调用记录", f"{len(logged)} 条")
    seen.note("密钥", "产品对模拟器使用公开的测试密钥；加密信封由本套件另行实现")


def _told(target: Target, message: dict[str, Any]) -> Answer:
    return target.visitor().post(NOTICE, message)


def _private() -> bytes:
    return get_provider("openssl").sm3(b"the simulator of the mobile payment")


def canonical(value: Any) -> Any:
    """Keys sorted, empties gone, leaves as text."""
    if isinstance(value, dict):
        return {key: canonical(value[key]) for key in sorted(value) if value[key] not in (None, "")}
    return str(value)


def _text(message: dict[str, Any], data: str, secret: str, order: Any = list) -> bytes:
    parts = [f"{name}={ {**message, 'data': data}[name]}" for name in SIGNED if {**message, "data": data}.get(name)]
    return "&".join([*order(parts), *([f"key={secret}"] if secret else [])]).encode()


def _key() -> bytes:
    return get_provider("openssl").sm4_ecb_encrypt(APP[:16].encode(), SECRET.encode()).hex().upper()[:16].encode()


def pack(data: dict[str, Any], *, order: Any = list, secret: str = SECRET) -> dict[str, Any]:
    """A message as the platform sends it; ``order`` and ``secret`` for wrong ones."""
    provider, text = get_provider("openssl"), json.dumps(canonical(data), ensure_ascii=False, separators=(",", ":"))
    message = {"appId": APP, "encType": "SM4", "signType": "SM2", "version": "1.0.0", "timestamp": str(int(time.time() * 1000))}
    signature = provider.sm2_sign(_private(), _text(message, text, secret, order))
    return {**message, "encData": provider.sm4_ecb_encrypt(_key(), text.encode()).hex().upper(),
            "signData": base64.b64encode(signature).decode()}


def unpack(message: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """What the product answered, and whether its signature holds."""
    provider = get_provider("openssl")
    text = provider.sm4_ecb_decrypt(_key(), bytes.fromhex(message["encData"])).decode()
    hospital = provider.sm2_public(provider.sm3(b"the hospital, towards the simulator"))
    signed = _text(message, json.dumps(canonical(json.loads(text)), ensure_ascii=False, separators=(",", ":")), SECRET)
    opened: dict[str, Any] = json.loads(text)
    return opened, provider.sm2_verify(hospital, signed, base64.b64decode(message["signData"]))
