"""How the insurer's mobile payment wraps and signs its messages (facts: crypto, "How peers sign"; nhsa, section E).

``data`` is compact JSON, keys sorted at every depth, empties left out, leaves as strings. The signed text is the sorted
``k=v`` of appId, data, encType, signType, timestamp, [transType], version, then ``&key=`` and the app secret; SM3withSM2.
encData is upper-case hex of SM4-ECB-PKCS7 under the first 16 characters of the upper-case hex of the app secret, encrypted
under the first 16 of the appId. ECB and leaves as strings are the peer's specification, nobody's choice.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from crypto import CryptoError, Provider

ENC, SIGN = "SM4", "SM2"
SIGNED = ("appId", "data", "encType", "signType", "timestamp", "transType", "version")
"""What of a message is signed; everything else is left out."""


class EnvelopeError(ValueError):
    """A message can't be opened or its signature doesn't hold; nothing of it may be believed."""


@dataclass(frozen=True)
class Keys:
    """What two sides share and own. ``private``: ours, 32 bytes; ``peer``: theirs, 64 bytes; ``uid`` of both."""

    app_id: str
    app_secret: str = field(repr=False)
    private: bytes = field(repr=False)
    peer: bytes
    uid: bytes = b"1234567812345678"
    version: str = "1.0.0"


def plain(value: Any) -> Any:
    """A value as it is signed: empties gone, keys sorted, leaves as text; None where nothing is left of it."""
    if isinstance(value, Mapping):
        kept = {str(key): plain(value[key]) for key in sorted(value, key=str)}
        return {key: inner for key, inner in kept.items() if inner is not None} or None
    if isinstance(value, list | tuple):
        return [inner for inner in map(plain, value) if inner is not None] or None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if value is None or value == "":
        return None
    return str(value)


def canonical(data: Any) -> str:
    """``data`` as it is signed and encrypted."""
    return json.dumps(plain(data) or {}, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def signed_text(message: Mapping[str, Any], secret: str) -> str:
    """The text under a signature; ``data`` is the canonical text already."""
    parts = [f"{name}={message[name]}" for name in SIGNED if message.get(name) not in (None, "")]
    return "&".join([*parts, f"key={secret}"])


def cipher_key(crypto: Provider, app_id: str, secret: str) -> bytes:
    """The SM4 key: 16 characters. :raises EnvelopeError: the appId is too short."""
    if len(app_id) < 16:
        raise EnvelopeError("appId 不足 16 位")
    return crypto.sm4_ecb_encrypt(app_id[:16].encode(), secret.encode()).hex().upper()[:16].encode()


def pack(crypto: Provider, keys: Keys, data: Any, at: datetime, trans_type: str = "", **more: Any) -> dict[str, Any]:
    """A signed and encrypted message. ``more`` stands beside it unsigned (code, message, success of an answer)."""
    text = canonical(data)
    message: dict[str, Any] = {"appId": keys.app_id, "encType": ENC, "signType": SIGN, "version": keys.version,
                               "timestamp": str(int(at.timestamp() * 1000))}
    if trans_type:
        message["transType"] = trans_type
    signature = crypto.sm2_sign(keys.private, signed_text({**message, "data": text}, keys.app_secret).encode(), keys.uid)
    body = crypto.sm4_ecb_encrypt(cipher_key(crypto, keys.app_id, keys.app_secret), text.encode())
    return {**message, **more, "encData": body.hex().upper(), "signData": base64.b64encode(signature).decode()}


def unpack(crypto: Provider, keys: Keys, message: Any) -> dict[str, Any]:
    """The data of a message. :raises EnvelopeError: it is another's, can't be opened, or its signature doesn't hold."""
    if not isinstance(message, Mapping) or not all(isinstance(message.get(n), str) for n in (
            "appId", "encData", "signData", "timestamp")):
        raise EnvelopeError("报文缺少 appId、encData、signData 或 timestamp")
    if message["appId"] != keys.app_id:
        raise EnvelopeError("appId 不符")
    try:
        text = crypto.sm4_ecb_decrypt(cipher_key(crypto, keys.app_id, keys.app_secret),
                                      bytes.fromhex(message["encData"])).decode()
        data = json.loads(text, parse_float=Decimal, parse_int=Decimal)
        signature = base64.b64decode(message["signData"], validate=True)
    except (CryptoError, ValueError, RecursionError, binascii.Error) as error:
        raise EnvelopeError("报文无法解密") from error
    if not isinstance(data, dict):
        raise EnvelopeError("报文内容不是对象")
    told = signed_text({**message, "data": canonical(data)}, keys.app_secret)
    if not crypto.sm2_verify(keys.peer, told.encode(), signature, keys.uid):
        raise EnvelopeError("报文签名不符")
    return data
