"""Splitting a secret into n shares of which any k restore it (Shamir over GF(2^8), per byte)."""

from __future__ import annotations

import hashlib
import hmac

from crypto.errors import CryptoError
from crypto.provider import Provider

_MAGIC = "hisks1"


def _multiply(a: int, b: int) -> int:
    result = 0
    for _ in range(8):
        result ^= a * (b & 1)
        a = (a << 1) ^ (0x11B * (a >> 7))
        b >>= 1
    return result


def _inverse(a: int) -> int:
    result = 1
    for _ in range(254):
        result = _multiply(result, a)
    return result


def _check(body: str) -> str:
    # Catches typing errors in a share; the shares themselves are secret, so no key is needed here.
    return hashlib.new("sm3", body.encode()).hexdigest()[:8]


def split(provider: Provider, secret: bytes, k: int, n: int) -> list[str]:
    """n printable shares; any k of them restore `secret` (2 ≤ k ≤ n ≤ 255)."""
    if not (2 <= k <= n <= 255 and secret):
        raise CryptoError("share counts refused")
    family = provider.random(4).hex()
    # The tag lets combine() notice a wrong share; it is keyed by the secret and split along with it.
    body = secret + hmac.digest(secret, family.encode(), "sm3")[:8]
    columns = [bytes((byte,)) + provider.random(k - 1) for byte in body]
    shares = []
    for x in range(1, n + 1):
        values = bytearray()
        for column in columns:
            y = 0
            for coefficient in reversed(column):
                y = _multiply(y, x) ^ coefficient
            values.append(y)
        text = f"{_MAGIC}-{family}-{k}-{x}-{values.hex()}"
        shares.append(f"{text}-{_check(text)}")
    return shares


def combine(shares: list[str]) -> bytes:
    """The secret from at least k distinct shares of one family; CryptoError for anything else."""
    points: dict[int, bytes] = {}
    families: set[tuple[str, int]] = set()
    for share in shares:
        try:
            text, check = share.strip().rsplit("-", 1)
            magic, family, k, x, values = text.split("-")
            known = magic == _MAGIC and hmac.compare_digest(_check(text).encode(), check.encode())
            number, point, needed = int(x), bytes.fromhex(values), int(k)
        except (ValueError, AttributeError):
            raise CryptoError("share refused") from None
        if not known or not 1 <= number <= 255 or number in points:
            raise CryptoError("share refused")
        points[number] = point
        families.add((family, needed))
    if len(families) != 1 or len({len(point) for point in points.values()}) != 1:
        raise CryptoError("shares don't belong together")
    family, needed = families.pop()
    if len(points) < needed:
        raise CryptoError(f"{needed} shares are needed")
    body = bytearray(len(next(iter(points.values()))))
    for own, point in points.items():
        weight = 1
        for other in points:
            if other != own:
                weight = _multiply(weight, _multiply(other, _inverse(other ^ own)))
        for index, value in enumerate(point):
            body[index] ^= _multiply(weight, value)
    secret, tag = bytes(body[:-8]), bytes(body[-8:])
    if not hmac.compare_digest(hmac.digest(secret, family.encode(), "sm3")[:8], tag):
        raise CryptoError("share refused")
    return secret
