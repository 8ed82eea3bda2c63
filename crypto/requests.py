"""Signed requests and answers between systems: the contract of docs/interfaces/signing.md.

A request carries key id, timestamp, nonce and an SM2 signature over a canonical text of method, path, query, SM3 of
the body as sent, and those values. The body may be an SM4-GCM envelope to the receiver's SM2 key. Nothing here does
I/O: keys, clock and replay store are handed in.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

from crypto.errors import CryptoError, DeviceLost
from crypto.provider import KeyLike, Provider
from crypto.sm2 import DEFAULT_UID

SCHEME = "HIS-SM2-1"
ENCRYPTION = "SM2-SM4-GCM"
WINDOW = timedelta(minutes=5)
H_KEY, H_TIME, H_NONCE, H_SIGNATURE, H_ENCRYPTION = (
    "X-HIS-Key",
    "X-HIS-Timestamp",
    "X-HIS-Nonce",
    "X-HIS-Signature",
    "X-HIS-Encryption",
)
MAX_BODY = 64 << 20
_SAFE = "-._~"
KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
NONCE = re.compile(r"[A-Za-z0-9_-]{22,64}\Z")
_TIME = re.compile(r"[1-9][0-9]{9}\Z")
_METHOD = re.compile(r"[A-Za-z]{1,16}\Z")
_ENCRYPTION = re.compile(rf"(?:{ENCRYPTION};key=[A-Za-z0-9._-]{{1,64}})?\Z")

Remember = Callable[[str, str, datetime], bool]
"""(key id, nonce, until) → True when new. Must be atomic and shared by all processes (a unique row)."""


class RequestRefused(CryptoError):
    """A request or answer was not accepted. The text is always the same; `reason` is for our own log."""

    def __init__(self, reason: str) -> None:
        super().__init__("request refused")
        self.reason = reason


@dataclass(frozen=True)
class PeerKey:
    """A peer's public key (64 bytes) with its validity (aware) and agreed SM2 identity."""

    key_id: str
    public: bytes
    not_before: datetime | None = None
    not_after: datetime | None = None
    uid: bytes = DEFAULT_UID


FindKey = Callable[[str], PeerKey | None]


@dataclass(frozen=True)
class Accepted:
    """A verified request: who, when, and the body (decrypted if it was an envelope)."""

    key_id: str
    timestamp: datetime
    nonce: str
    body: bytes
    encrypted: bool


def canonical_path(path: str) -> str:
    """Percent-encoding normalised: everything but A-Z a-z 0-9 - . _ ~ and / as upper-case %XX of UTF-8."""
    try:
        return quote(unquote(path, errors="strict"), safe="/" + _SAFE)
    except UnicodeError:
        raise RequestRefused("path is not UTF-8") from None


def canonical_query(query: str) -> str:
    """Pairs decoded (+ is a space), encoded as in canonical_path without /, sorted by name then value."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=1000)
        encoded = sorted((quote(name, safe=_SAFE), quote(value, safe=_SAFE)) for name, value in pairs)
    except (UnicodeError, ValueError):
        raise RequestRefused("query refused") from None
    return "&".join(f"{name}={value}" for name, value in encoded)


def canonical_request(
    method: str, path: str, query: str, body_digest: str, timestamp: str, nonce: str, key_id: str, encryption: str
) -> bytes:
    """The signed text: nine lines joined by LF, no LF at the end."""
    lines = (
        SCHEME,
        method.upper(),
        canonical_path(path),
        canonical_query(query),
        body_digest,
        timestamp,
        nonce,
        key_id,
        encryption,
    )
    return "\n".join(lines).encode()


def canonical_answer(status: int, body_digest: str, timestamp: str, request_nonce: str, key_id: str) -> bytes:
    """The signed text of an answer; it names the request's nonce, so it fits no other request."""
    lines = (f"{SCHEME}-ANSWER", str(status), body_digest, timestamp, request_nonce, key_id)
    return "\n".join(lines).encode()


def sign_request(
    provider: Provider,
    private: KeyLike,
    key_id: str,
    method: str,
    path: str,
    query: str,
    body: bytes,
    now: datetime,
    nonce: str | None = None,
    uid: bytes = DEFAULT_UID,
    encryption: str = "",
) -> dict[str, str]:
    """The headers that sign a request. `body` as it is sent; for an envelope pass encryption from seal_body."""
    nonce = nonce or provider.random(16).hex()
    timestamp = str(int(now.timestamp()))
    formed = KEY_ID.match(key_id) and NONCE.match(nonce) and _TIME.match(timestamp)
    if not (formed and _METHOD.match(method) and _ENCRYPTION.match(encryption)):
        raise RequestRefused("key id, nonce or method malformed")
    digest = provider.sm3(body).hex()
    text = canonical_request(method, path, query, digest, timestamp, nonce, key_id, encryption)
    headers = {
        H_KEY: key_id,
        H_TIME: timestamp,
        H_NONCE: nonce,
        H_SIGNATURE: base64.b64encode(provider.sm2_sign(private, text, uid)).decode(),
    }
    if encryption:
        headers[H_ENCRYPTION] = encryption
    return headers


def verify_request(
    provider: Provider,
    find_key: FindKey,
    remember: Remember,
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    body: bytes,
    now: datetime,
    open_key: Callable[[str], KeyLike | None] = lambda key_id: None,
    window: timedelta = WINDOW,
) -> Accepted:
    """Check a request; RequestRefused for anything wrong.

    headers: names in any case. open_key: our private key for an envelope, by our key id. The nonce is remembered
    only after the signature held, so a stranger can't fill the store.
    """
    given = {name.lower(): value for name, value in headers.items()}
    key_id, timestamp, nonce = (given.get(name.lower(), "") for name in (H_KEY, H_TIME, H_NONCE))
    encryption = given.get(H_ENCRYPTION.lower(), "")
    formed = KEY_ID.match(key_id) and NONCE.match(nonce) and _TIME.match(timestamp)
    if not (formed and _METHOD.match(method) and _ENCRYPTION.match(encryption)):
        raise RequestRefused("headers missing or malformed")
    sent = datetime.fromtimestamp(int(timestamp), now.tzinfo)
    if abs(sent - now) > window:
        raise RequestRefused("timestamp outside the window")
    key = _living_key(find_key, key_id, now)
    signature = _base64(given.get(H_SIGNATURE.lower(), ""))
    digest = provider.sm3(body).hex()
    text = canonical_request(method, path, query, digest, timestamp, nonce, key_id, encryption)
    if not provider.sm2_verify(key.public, text, signature, key.uid):
        raise RequestRefused("signature wrong")
    if not remember(key_id, nonce, sent + 2 * window):
        raise RequestRefused("replayed")
    if encryption:
        body = open_body(provider, open_key, encryption, body, method, path)
    return Accepted(key_id, sent, nonce, body, bool(encryption))


def _living_key(find_key: FindKey, key_id: str, now: datetime) -> PeerKey:
    key = find_key(key_id)
    if key is None:
        raise RequestRefused("unknown key id")
    if (key.not_before and now < key.not_before) or (key.not_after and now > key.not_after):
        raise RequestRefused("key id not valid now")
    return key


def _base64(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise RequestRefused("base64 malformed") from None


def sign_answer(
    provider: Provider,
    private: KeyLike,
    key_id: str,
    status: int,
    body: bytes,
    now: datetime,
    request_nonce: str,
    uid: bytes = DEFAULT_UID,
) -> dict[str, str]:
    """The headers that sign our answer to the request with that nonce."""
    timestamp = str(int(now.timestamp()))
    text = canonical_answer(status, provider.sm3(body).hex(), timestamp, request_nonce, key_id)
    signature = base64.b64encode(provider.sm2_sign(private, text, uid)).decode()
    return {H_KEY: key_id, H_TIME: timestamp, H_NONCE: request_nonce, H_SIGNATURE: signature}


def verify_answer(
    provider: Provider,
    find_key: FindKey,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    now: datetime,
    request_nonce: str,
    window: timedelta = WINDOW,
) -> str:
    """The key id that signed the answer; RequestRefused for anything wrong."""
    given = {name.lower(): value for name, value in headers.items()}
    key_id, timestamp = given.get(H_KEY.lower(), ""), given.get(H_TIME.lower(), "")
    if not (KEY_ID.match(key_id) and _TIME.match(timestamp)):
        raise RequestRefused("headers missing or malformed")
    if abs(datetime.fromtimestamp(int(timestamp), now.tzinfo) - now) > window:
        raise RequestRefused("timestamp outside the window")
    key = _living_key(find_key, key_id, now)
    text = canonical_answer(status, provider.sm3(body).hex(), timestamp, request_nonce, key_id)
    if not provider.sm2_verify(key.public, text, _base64(given.get(H_SIGNATURE.lower(), "")), key.uid):
        raise RequestRefused("signature wrong")
    return key_id


def _aad(method: str, path: str) -> bytes:
    return "\n".join((SCHEME, ENCRYPTION, method.upper(), canonical_path(path))).encode()


def seal_body(
    provider: Provider, recipient_key_id: str, recipient_public: bytes, body: bytes, method: str, path: str
) -> tuple[bytes, str]:
    """(envelope, X-HIS-Encryption value): a fresh SM4 key encrypted to the recipient, the body under SM4-GCM."""
    if not KEY_ID.match(recipient_key_id):
        raise RequestRefused("key id malformed")
    key, nonce = provider.random(16), provider.random(12)
    sealed = provider.sm4_gcm_encrypt(key, nonce, body, _aad(method, path))
    parts = {"key": provider.sm2_encrypt(recipient_public, key), "nonce": nonce, "data": sealed}
    text = json.dumps({name: base64.b64encode(value).decode() for name, value in parts.items()})
    return text.encode(), f"{ENCRYPTION};key={recipient_key_id}"


def open_body(
    provider: Provider,
    open_key: Callable[[str], KeyLike | None],
    encryption: str,
    envelope: bytes,
    method: str,
    path: str,
) -> bytes:
    """The body of an envelope; RequestRefused for anything wrong."""
    kind, _, key_id = encryption.partition(";key=")
    private = open_key(key_id) if kind == ENCRYPTION and KEY_ID.match(key_id) else None
    if private is None or len(envelope) > MAX_BODY:
        raise RequestRefused("envelope for another key")
    try:
        document = json.loads(envelope)
        if not isinstance(document, dict) or set(document) != {"key", "nonce", "data"}:
            raise RequestRefused("envelope malformed")
        parts = {name: _base64(value) for name, value in document.items()}
        key = provider.sm2_decrypt(private, parts["key"])
        return provider.sm4_gcm_decrypt(key, parts["nonce"], parts["data"], _aad(method, path))
    except (RequestRefused, DeviceLost):
        raise
    except (ValueError, RecursionError, CryptoError):
        raise RequestRefused("envelope refused") from None
