"""How the platform's messages are wrapped and signed (facts: ebill, section 1)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

SUCCESS = "S0000"
VERSION = "1.0"


class ContractError(ValueError):
    """A message isn't what the specification says."""


def sign(appid: str, data: str, noise: str, key: str, version: str = VERSION, algorithm: str = "MD5") -> str:
    """UPPER(MD5("appid=…&data=…&noise=…&key=…&version=…")); SM3 where a platform wants that."""
    text = f"appid={appid}&data={data}&noise={noise}&key={key}&version={version}"
    name = "sm3" if algorithm == "SM3" else "md5"
    return hashlib.new(name, text.encode(), **({"usedforsecurity": False} if name == "md5" else {})).hexdigest().upper()


def dumps(value: Any) -> str:
    """JSON with amounts as plain numbers of their own places: no float comes near them."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_number)
    return re.sub(r'"\\u0000(-?[0-9.]+)\\u0000"', r"\1", text)


def _number(value: Any) -> str:
    if isinstance(value, Decimal):
        return f"\0{value:f}\0"
    raise TypeError(f"not JSON: {type(value).__name__}")


def loads(text: str | bytes) -> Any:
    """JSON with exact numbers. :raises ContractError: it is none."""
    try:
        return json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise ContractError("报文不是有效的 JSON") from error


def encode(text: str) -> str:
    """Base64 of UTF-8."""
    return base64.b64encode(text.encode()).decode()


def decode(text: Any) -> str:
    """The inverse. :raises ContractError: it isn't Base64 of UTF-8."""
    try:
        return base64.b64decode(str(text), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ContractError("data 不是 UTF-8 文本的 Base64") from error


def pack(appid: str, key: str, noise: str, body: str, algorithm: str = "MD5") -> dict[str, str]:
    """A signed request."""
    data = encode(body)
    return {"appid": appid, "data": data, "noise": noise, "version": VERSION,
            "sign": sign(appid, data, noise, key, VERSION, algorithm)}


def unpack(message: Any, appid: str, key: str, algorithm: str = "MD5") -> str:
    """The body of a signed message. :raises ContractError: the signature doesn't hold; nothing of it may be believed."""
    if not isinstance(message, Mapping) or not all(isinstance(message.get(n), str) for n in ("data", "noise", "sign")):
        raise ContractError("报文缺少 data、noise 或 sign")
    wanted = sign(appid, message["data"], message["noise"], key, VERSION, algorithm)
    if not hmac.compare_digest(wanted.encode(), message["sign"].encode()):
        raise ContractError("报文签名不符")
    return decode(message["data"])
