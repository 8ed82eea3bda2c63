"""The suite's own browser: HTTP with cookies, the CSRF token and sealed passwords, nothing of the server's code.

``Send`` is how a request gets there: :class:`Http` over a socket; the suite's own tests hand in another.
"""

from __future__ import annotations

import contextlib
import hmac
import http.client
import json
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import uuid4

from crypto import get_provider
from his_server.compliance.frame import NotRun

TIMEOUT = 60
CODES_AHEAD = 2
"""From the first code that we give to the newest that may have been used already."""


@dataclass(frozen=True)
class Answer:
    """What came back. ``headers``: names in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str:
        """The first header of that name, or nothing."""
        return next((value for key, value in self.headers if key == name), "")

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    @property
    def json(self) -> Any:
        """The body as JSON; an empty object where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return {}

    @property
    def code(self) -> str:
        """The product's error code, or the status."""
        found = self.json
        return str(found.get("code", self.status)) if isinstance(found, dict) else str(self.status)

    def good(self, what: str) -> Any:
        """The JSON of an answer that the check stands on. :raises NotRun: it was refused."""
        if self.status >= 300:
            raise NotRun(f"{what}未成功：{self.status} {self.code} {_message(self.json)}")
        return self.json


def _message(found: Any) -> str:
    if not isinstance(found, dict):
        return ""
    fields = "，".join(f"{one.get('field')}：{one.get('message')}" for one in found.get("errors") or ())
    return f"{found.get('message', '')} {fields}".strip()[:160]


Send = Callable[[str, str, Mapping[str, str], bytes | None], Answer]


class Http:
    """Requests to the product at ``base``, one connection for each thread."""

    def __init__(self, base: str, ca: str | None = None) -> None:
        parts = urlsplit(base)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise NotRun(f"{base} 不是 http:// 或 https:// 地址")
        self.secure, self.host, self.prefix = parts.scheme == "https", parts.hostname, parts.path.rstrip("/")
        self.port = parts.port or (443 if self.secure else 80)
        self.context = ssl.create_default_context(cafile=ca) if self.secure else None
        self._local = threading.local()

    def __call__(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        for attempt in (1, 2):
            kept = getattr(self._local, "connection", None)
            connection = kept or self._connect()
            try:
                # a body that is too large is answered, and the line closed, before all of it is sent
                with contextlib.suppress(BrokenPipeError, ConnectionResetError) if body else contextlib.nullcontext():
                    connection.request(method, self.prefix + path, body, dict(headers))
                with connection.getresponse() as answer:
                    return Answer(answer.status, tuple((k.lower(), v) for k, v in answer.getheaders()), answer.read())
            except (OSError, http.client.HTTPException):
                connection.close()
                self._local.connection = None
                if attempt == 2 or kept is None:  # a kept connection may have been closed meanwhile: once more
                    raise
        raise AssertionError

    def _connect(self) -> http.client.HTTPConnection:
        made: http.client.HTTPConnection
        if self.context is not None:
            made = http.client.HTTPSConnection(self.host, self.port, timeout=TIMEOUT, context=self.context)
        else:
            made = http.client.HTTPConnection(self.host, self.port, timeout=TIMEOUT)
        self._local.connection = made
        return made


@dataclass
class Account:
    """Somebody of the accounts file, or one that the suite made."""

    login: str
    password: str
    totp: bytes = b""
    id: int = 0
    step: int = 0

    def code(self) -> str:
        """The next one-time code: RFC 6238 with HMAC-SM3, each step once."""
        now = int(time.time()) // 30
        while max(now - 1, self.step + 1) > now + 1:
            time.sleep(1)
            now = int(time.time()) // 30
        self.step = max(now - 1, self.step + 1)
        mac = hmac.digest(self.totp, self.step.to_bytes(8, "big"), "sm3")
        at = mac[-1] & 15
        return str((int.from_bytes(mac[at : at + 4], "big") & 0x7FFFFFFF) % 10**6).zfill(6)


@dataclass
class Visitor:
    """A browser of its own: cookies, CSRF token, and whom it is signed in as."""

    transport: Send
    account: Account | None = None
    cookies: dict[str, str] = field(default_factory=dict)
    csrf: str = ""
    set_cookie: str = ""
    """The last Set-Cookie header, for its attributes."""

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        raw: bytes | None = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request; ``body`` as JSON, ``raw`` as it is. What writes carries an Idempotency-Key and the token."""
        sent = {"Content-Type": "application/json"}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if method != "GET":
            sent |= {"X-CSRF-Token": self.csrf, "Idempotency-Key": key or uuid4().hex}
        data = raw if raw is not None else None if body is None else json.dumps(body, ensure_ascii=False).encode()
        answer = self.transport(method, quote(path, safe="/?=&%:+,;@!'()*-._~"), {**sent, **(headers or {})}, data)
        for name, value in answer.headers:
            if name == "set-cookie":
                self.set_cookie = value
                for cookie in SimpleCookie(value).values():
                    self.cookies[cookie.key] = cookie.value
        return answer

    def get(self, path: str, **more: Any) -> Answer:
        """GET."""
        return self.send("GET", path, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> Answer:
        """POST."""
        return self.send("POST", path, {} if body is None else body, **more)

    def put(self, path: str, body: Any, **more: Any) -> Answer:
        """PUT."""
        return self.send("PUT", path, body, **more)

    def sealed(self, **content: str) -> dict[str, str]:
        """What the browser does with a password: sealed to the server's SM2 key with a fresh nonce."""
        challenge = self.get("/api/session/challenge").good("取登录随机数")
        text = json.dumps({"nonce": challenge["nonce"], **content}).encode()
        blob = get_provider("openssl").sm2_encrypt(bytes.fromhex(challenge["public_key"]), text)
        return {"kid": challenge["kid"], "sealed": blob.hex()}

    def enter(self, login: str, password: str) -> Answer:
        """The first step of signing in."""
        return self._entered(self.post("/api/session", {"login": login, **self.sealed(password=password)}))

    def _entered(self, answer: Answer) -> Answer:
        found = answer.json
        if answer.status == 200 and isinstance(found, dict) and "csrf" in found:
            self.csrf = found["csrf"]
        return answer

    def second_step(self, ticket: str, code: str) -> Answer:
        """The one-time code."""
        return self._entered(self.post("/api/session/second-factor", {"ticket": ticket, "code": code}))

    def _with_code(self, ticket: str, account: Account) -> Answer:
        """The second step; with the next code, as the product asks, where somebody has just used this one (an assessor who
        signed in by hand, an earlier run)."""
        answer = self.second_step(ticket, account.code())
        for _ in range(CODES_AHEAD):
            if answer.code != "session.code":
                break
            answer = self.second_step(ticket, account.code())
        return answer

    def new_password(self, old: str, new: str, ticket: str | None = None) -> Answer:
        """A change of one's own password."""
        body = {**({"ticket": ticket} if ticket else {}), **self.sealed(old_password=old, new_password=new)}
        return self._entered(self.post("/api/session/password", body))

    def sign_in(self, account: Account, change_to: str = "") -> Visitor:
        """Sign in completely, with the second factor and the first change of password where they are asked for.

        :raises NotRun: refused.
        """
        answer = self.enter(account.login, account.password)
        found = answer.good(f"账户 {account.login} 登录")
        if found.get("second_factor"):
            if not account.totp:
                raise NotRun(f"账户 {account.login} 须第二因素，账户文件中没有 totp")
            found = self._with_code(found["ticket"], account).good(f"账户 {account.login} 的动态口令")
        if found.get("must_change_password"):
            if not change_to:
                raise NotRun(f"账户 {account.login} 须先修改初始口令，请登录一次改好后再运行")
            self.new_password(account.password, change_to, found["ticket"] or None).good(f"账户 {account.login} 修改口令")
            account.password = change_to
        if not self.csrf:
            raise NotRun(f"账户 {account.login} 登录后没有会话")
        self.account = account
        return self
