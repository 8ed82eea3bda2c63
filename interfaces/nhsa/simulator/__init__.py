"""A stand-in for the national insurer's centre: stateful, and strict about what the specification demands.

Whoever has a Chinese ID number is insured here: with an even birth day as an employee (310: 70 % after 300 yuan a year,
an account of 800), else as a resident (390: 50 % after 100, no account). An electronic credential or a card is the ID
number and four digits, which decide what happens: ``0001`` settlement refused, ``0002`` settled and the answer lost,
``0003`` not settled and the answer lost, ``0004`` settled, and the first question can't be answered, ``0005`` pre-settled
and the answer lost, ``0006`` reversed and the answer lost, ``0007`` reversal refused, ``0008`` not reversed and the answer
lost, ``0009`` settled by other figures than pre-settled, ``0010`` the rest isn't settled anew after a reversal, ``0011`` it
is, the answer lost, ``0012`` suspended insurance. Anything else behaves; lines that fail are the host's (interfaces/hub).

With ``gateway.json`` in the folder (access_key, secret_key) the gateway's signature is demanded; with ``sm.json``
(hospital_key, private_key, sm4_key) input's SM2 signature, SM4, and answers are signed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from werkzeug.wrappers import Request, Response

from crypto import get_provider
from interfaces.hub import simulating
from interfaces.nhsa import contract
from interfaces.nhsa.client import wire
from interfaces.nhsa.simulator import desk, inpatient, outpatient, records
from interfaces.nhsa.simulator.ask import Ask, Lost
from interfaces.nhsa.simulator.books import Books, Refusal, number, one

HANDLERS = desk.HANDLERS | outpatient.HANDLERS | inpatient.HANDLERS | records.HANDLERS
LATE = 30 * 60
"""Seconds that a gateway time stamp may be off."""
ENVELOPE = {"infno": 5, "msgid": 30, "mdtrtarea_admvs": 6, "recer_sys_code": 10, "infver": 6, "opter_type": 3, "opter": 30,
            "opter_name": 50, "inf_time": 19, "fixmedins_code": 12, "fixmedins_name": 20}
"""Required fields of the envelope and how long they may be."""


def transaction(path: str, body: bytes) -> str:
    """What a request is called in fault rules: its infno."""
    try:
        return str(json.loads(body).get("infno", ""))[:4]
    except (ValueError, AttributeError):
        return ""


def create(folder: Path) -> Any:
    """The centre as a WSGI application; its books are in ``folder``."""
    return Centre(folder)


@dataclass
class Secrets:
    """What the centre and the hospital agreed on."""

    access_key: str = ""
    secret_key: str = ""
    hospital_key: bytes = b""
    private_key: bytes = b""
    sm4_key: bytes = b""


class Centre:
    """The application."""

    def __init__(self, folder: Path) -> None:
        self.books, self._folder = Books(folder), folder
        self._provider: Any = None

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        body = request.get_data()
        try:
            response = self._answer(environ, request, body)
        except Lost:
            return simulating.cut(environ)
        return response(environ, start_response)

    def _answer(self, environ: dict[str, Any], request: Request, body: bytes) -> Response:
        if request.method != "POST":
            return _json({"code": 405, "message": "POST only"}, 405)
        secrets = self._secrets()
        if secrets.access_key and (problem := self._gateway(environ, request, secrets)):
            return _json({"code": 401, "message": problem}, 401)
        try:
            message = json.loads(body)
        except ValueError:
            return _json({"infcode": "-1", "inf_refmsgid": "", "err_msg": "报文不是有效的 JSON", "output": {}})
        if not isinstance(message, dict):
            return _json({"infcode": "-1", "inf_refmsgid": "", "err_msg": "报文格式有误", "output": {}})
        return self._told(message, secrets)

    def _told(self, message: dict[str, Any], secrets: Secrets) -> Response:
        output: Any = {}
        lost, error = False, ""
        try:
            given = self._opened(message, secrets)
            _envelope(message)
            contract.check(str(message["infno"]), given)
            output, lost, error = self._work(message, given)
        except Refusal as refused:
            error = str(refused)
        except contract.ContractError as wrong:
            error = f"输入不符合规范：{wrong.message}"
        if lost:
            raise Lost
        if isinstance(output, bytes):
            return Response(output, mimetype="application/octet-stream")
        at = str(message.get("inf_time", "")).replace("-", "").replace(":", "").replace(" ", "")
        told: dict[str, Any] = {
            "infcode": "-1" if error else "0", "inf_refmsgid": f"320600{at}{str(message.get('msgid', ''))[-4:]:0>10}",
            "refmsg_time": f"{at}000", "respond_time": f"{at}001", "err_msg": error, "output": output,
            "enctype": message.get("enc_type", ""), "signtype": message.get("signtype", "")}
        if secrets.private_key and not error:
            told["cainfo"] = wire.sign(self._crypto(), secrets.private_key, output)
        if secrets.sm4_key and output:
            told["output"] = wire.seal(self._crypto(), secrets.sm4_key, output)
        return _json(told)

    def _work(self, message: dict[str, Any], given: Any) -> tuple[Any, bool, str]:
        """Do a transaction: the output, whether the answer gets lost, the error. A refusal undoes all but its msgid."""
        infno, msgid = str(message["infno"])[:4], str(message["msgid"])
        handler = HANDLERS.get(infno)
        if handler is None:
            return {}, False, f"没有开通交易 {infno}"
        with self.books.work() as books:
            known = one(books, "SELECT void FROM message WHERE msgid = ?", msgid)
            if known is not None:
                raise Refusal("报文已冲正，不再受理" if known["void"] else "报文编号重复，该报文已受理")
            books.execute("INSERT INTO message (msgid, infno) VALUES (?, ?)", (msgid, infno))
            if infno != "9001":
                _signed_in(books, message)
            books.execute("SAVEPOINT work")
            ask = Ask(books, infno, given, message, str(message["inf_time"]))
            try:
                output = handler(ask)
            except Refusal as refused:
                books.execute("ROLLBACK TO work")
                for statement, values in ask.kept:  # what stays although it was refused
                    books.execute(statement, values)
                return {}, ask.lost, str(refused)
            return output, ask.lost, ""

    # Security

    def _secrets(self) -> Secrets:
        found = Secrets()
        for name in ("gateway.json", "sm.json"):
            path = self._folder / name
            if path.exists():
                for key, value in json.loads(path.read_text()).items():
                    setattr(found, key, bytes.fromhex(value) if key in ("hospital_key", "private_key") else
                            value.encode() if key == "sm4_key" else value)
        return found

    def _crypto(self) -> Any:
        self._provider = self._provider or get_provider()
        return self._provider

    @staticmethod
    def _gateway(environ: dict[str, Any], request: Request, secrets: Secrets) -> str:
        given = {name: request.headers.get(name, "") for name in (*wire.SIGNED, "_api_signature")}
        if missing := [name for name, value in given.items() if not value]:
            return f"missing {', '.join(missing)}"
        stamp = given["_api_timestamp"]
        if not stamp.isdigit() or len(stamp) not in (10, 13):
            return "bad _api_timestamp"
        at = int(stamp) / (1000 if len(stamp) == 13 else 1)
        if abs(simulating.now(environ).timestamp() - at) > LATE:
            return "expired _api_timestamp"
        if given["_api_access_key"] != secrets.access_key:
            return "unknown _api_access_key"
        return "" if given["_api_signature"] == wire.gateway_signature(given, secrets.secret_key) else "bad _api_signature"

    def _opened(self, message: dict[str, Any], secrets: Secrets) -> Any:
        given = message.get("input")
        if secrets.sm4_key:
            if message.get("enc_type") != "SM4" or not isinstance(given, str):
                raise Refusal("输入没有加密（enc_type 应为 SM4）")
            try:
                given = wire.unseal(self._crypto(), secrets.sm4_key, given)
            except Exception as error:
                raise Refusal("输入无法解密，密钥不符") from error
        if secrets.hospital_key and not wire.verify(self._crypto(), secrets.hospital_key, given, str(message.get("cainfo", ""))):
            raise Refusal("cainfo 验签未通过")
        return given


def _envelope(message: dict[str, Any]) -> None:
    for name, longest in ENVELOPE.items():
        value = message.get(name)
        if not isinstance(value, str) or not value or len(value) > longest:
            raise Refusal(f"报文头 {name} 缺少或超过 {longest} 个字符")
    msgid = message["msgid"]
    if len(msgid) != 30 or not msgid.startswith(message["fixmedins_code"]) or not msgid[12:].isdigit():
        raise Refusal("报文头 msgid 应为机构编号＋时间＋4 位序号，共 30 位")
    if message["opter_type"] not in ("1", "2", "3"):
        raise Refusal("报文头 opter_type 没有这个代码")
    if message["infver"] not in ("V1.0", "1.0.0"):
        raise Refusal("报文头 infver 版本不支持")
    given = message.get("input")
    names_person = isinstance(given, dict) and any(isinstance(n, dict) and n.get("psn_no") for n in given.values())
    if names_person and not message.get("insuplc_admdvs"):
        raise Refusal("报文头 insuplc_admdvs 不能为空")


def _signed_in(books: Any, message: dict[str, Any]) -> None:
    found = one(books, "SELECT opter, day FROM sign WHERE sign_no = ?", str(message.get("sign_no", "")))
    if found is None or (found["opter"], found["day"]) != (message["opter"][:20], message["inf_time"][:10]):
        raise Refusal("签到编号无效或已过期，请重新签到")


def _json(told: dict[str, Any], status: int = 200) -> Response:
    return Response(wire.dumps(told), status, mimetype="application/json")


__all__ = ["Books", "Centre", "create", "number", "transaction"]
