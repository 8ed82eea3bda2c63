"""The envelope and the gateway's signature, byte by byte; no state, no I/O (facts: nhsa, sections A and B; crypto).

The gateway's HMAC is the specification's, not our choice; integrity of the content is the SM2 layer's (``cainfo``).
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from crypto import CryptoError
from crypto.provider import KeyLike, Provider
from his_server.clock import local
from his_server.messaging.outbox import LostAnswer

SIGNED = ("_api_access_key", "_api_name", "_api_timestamp", "_api_version")
DEFAULT_UID = b"1234567812345678"


def gateway_headers(*, name: str, version: str, access_key: str, secret: str, at: datetime, unit: str = "ms"
                    ) -> dict[str, str]:
    """The five CSB headers; ``unit`` of the time stamp is ms (13 digits) or s."""
    stamp = int(at.timestamp() * (1000 if unit == "ms" else 1))
    headers = {"_api_name": name, "_api_version": version, "_api_timestamp": str(stamp), "_api_access_key": access_key}
    return headers | {"_api_signature": gateway_signature(headers, secret)}


def gateway_signature(headers: Mapping[str, str], secret: str) -> str:
    """Base64 of the HMAC-SHA1 over ``k=v&k=v`` of the four other headers, sorted by key."""
    text = "&".join(f"{name}={headers[name]}" for name in SIGNED)
    return base64.b64encode(hmac.digest(secret.encode(), text.encode(), "sha1")).decode()


def stamp(at: datetime) -> str:
    """yyyy-MM-dd HH:mm:ss in hospital time."""
    return f"{local(at):%Y-%m-%d %H:%M:%S}"


def canonical(value: Any) -> str:
    """Compact JSON, keys sorted, empties left out, Chinese as it is, leaves as strings: what SM2 signs."""
    return json.dumps(_leaves(value), ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _leaves(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _leaves(v) for k, v in value.items() if v not in (None, "", [], {})}
    if isinstance(value, list | tuple):
        return [_leaves(v) for v in value]
    return value if isinstance(value, str) else str(value)


def dumps(value: Any) -> bytes:
    """A message as bytes: UTF-8, numbers that are Decimal as strings, so that no float is ever made of them."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_plain).encode()


def _plain(value: Any) -> str:
    if isinstance(value, Decimal):
        return f"{value:f}"
    raise TypeError(f"{type(value).__name__} can't be sent")


def loads(body: bytes) -> dict[str, Any]:
    """A message from bytes; numbers as Decimal. :raises LostAnswer: it is none, so it says nothing about what happened."""
    try:
        found = json.loads(body.decode("utf-8-sig"), parse_float=Decimal, parse_int=Decimal)
    except (ValueError, RecursionError) as error:
        raise LostAnswer(f"医保中心的应答不是有效的 JSON（{len(body)} 字节）") from error
    if not isinstance(found, dict):
        raise LostAnswer("医保中心的应答不是一个报文")
    return found


def sign(provider: Provider, private: KeyLike, value: Any) -> str:
    """cainfo: base64 of r‖s over the canonical text, SM3withSM2."""
    return base64.b64encode(provider.sm2_sign(private, canonical(value).encode(), DEFAULT_UID)).decode()


def verify(provider: Provider, public: bytes, value: Any, signature: str) -> bool:
    """Whether a cainfo is of this content and by that key."""
    try:
        raw = base64.b64decode(signature, validate=True)
    except ValueError:
        return False
    return provider.sm2_verify(public, canonical(value).encode(), raw, DEFAULT_UID)


def seal(provider: Provider, key: KeyLike, value: Any) -> str:
    """An input under SM4 (ECB with PKCS7, hexadecimal capitals) as the insurer's platform seals it."""
    return provider.sm4_ecb_encrypt(key, dumps(value)).hex().upper()


def unseal(provider: Provider, key: KeyLike, text: str) -> Any:
    """What :func:`seal` hid. :raises LostAnswer: it doesn't open, so it says nothing."""
    try:
        return json.loads(provider.sm4_ecb_decrypt(key, bytes.fromhex(text)), parse_float=Decimal, parse_int=Decimal)
    except (ValueError, CryptoError) as error:
        raise LostAnswer("医保中心的应答无法解密，请核对 SM4 密钥") from error
