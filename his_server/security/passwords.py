"""Password verifiers: PBKDF2-HMAC-SM3 with a salt per account, then a MAC with the ring's key (COMPLIANCE MP-06).

The MAC binds the verifier to its account: a hash copied to another account, or made by someone who can write the
table but hasn't got the key ring, opens nothing.
"""

from __future__ import annotations

from typing import Any

from his_server.security import integrity

SALT = 16
LEAST_ROUNDS = 10_000


def make(sealer: Any, user_id: int, password: str, rounds: int) -> str:
    """A verifier ``pbkdf2-sm3$rounds$salt$mac``. :raises ValueError: fewer than 10,000 rounds."""
    if rounds < LEAST_ROUNDS:
        raise ValueError(f"PBKDF2 needs at least {LEAST_ROUNDS} rounds")
    salt = sealer.provider.random(SALT)
    return f"pbkdf2-sm3${rounds}${salt.hex()}${_bind(sealer, user_id, password, salt, rounds).hex()}"


def _bind(sealer: Any, user_id: int, password: str, salt: bytes, rounds: int) -> bytes:
    mac: bytes = sealer.mac(integrity.PURPOSE, _bound(sealer, user_id, password, salt, rounds))
    return mac


def _bound(sealer: Any, user_id: int, password: str, salt: bytes, rounds: int) -> bytes:
    key = sealer.provider.pbkdf2_sm3(password.encode("utf-8", "surrogatepass"), salt, rounds, 32)
    return integrity.encode(("password", user_id, key))


def holds(sealer: Any, user_id: int, password: str, verifier: str) -> bool:
    """Whether the password is the account's. A malformed verifier is simply False."""
    try:
        name, rounds, salt, mac = verifier.split("$")
        if name != "pbkdf2-sm3" or not LEAST_ROUNDS <= int(rounds) <= 10_000_000:
            return False
        bound = _bound(sealer, user_id, password, bytes.fromhex(salt), int(rounds))
        return bool(sealer.check_mac(integrity.PURPOSE, bound, bytes.fromhex(mac)))
    except ValueError:
        return False


def rounds_of(verifier: str) -> int:
    """The rounds that a verifier was made with."""
    return int(verifier.split("$")[1])


def decoy(sealer: Any, password: str, rounds: int) -> None:
    """The same work for an account that isn't there, so that time doesn't tell."""
    _bound(sealer, 0, password, bytes(SALT), rounds)
