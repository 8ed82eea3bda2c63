"""Only national algorithms, in what ships and in what is stored (COMPLIANCE MP-04); passwords at rest (MP-06)."""

from __future__ import annotations

import ast
import base64
import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from crypto import CryptoError
from his_server.db import Database
from his_server.security import passwords
from his_server.security.models import PasswordHistory, Role, User
from his_server.settings import Settings
from tests.crypto.test_rules import tracked
from tests.factories.hospital import World
from tests.security.conftest import GOOD, sealed
from tests.security.test_secrets import CLINICAL, MARKERS, marked, text_cells

ROOT = Path(__file__).parents[2]
DIST = ROOT / "his_server" / "web" / "dist"
ALLOWED: dict[str, str] = {
    "his_server/web/build.py": "sha256 tells whether the front end must be built anew; a build tool, nothing is protected by it",
    "demo/people.py": "a comment on how Python seeds the generator of invented people; no use",
}
"""File → why a foreign algorithm's name may stand in it. An entry that isn't needed any more fails the test."""
FOREIGN = re.compile(
    r"(?<![A-Za-z0-9_])(md[245]|sha-?1|sha-?(?:224|256|384|512)|sha3|blake2[bs]?|hmac-?sha\d*|3?des|triple_?des|rc[245]|arc4|aes"
    r"(?:-?(?:128|192|256))?|blowfish|cast5|idea|rsa|dsa|ecdsa|ed25519|x25519|secp\d+[rk]1|chacha20)(?![A-Za-z0-9_])", re.I)
WORDS = {"idea", "des"}
"""Names that are also words of a natural language: in text they count in capitals only."""
NATIONAL = {"sm3"}
TEXT = (".py", ".vue", ".ts", ".js", ".mjs", ".css", ".html", ".toml", ".cfg", ".ini", ".json", ".mako", ".csv", ".sql")
HASHLIB = {"new", "pbkdf2_hmac", "scrypt", "file_digest"}


def foreign_calls(source: str) -> list[str]:
    """Uses of other than national algorithms in Python: by hashlib, hmac, cryptography, Crypto, ssl."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found += [a.name for a in names if a.name.split(".")[0] in ("Crypto", "Cryptodome", "nacl", "OpenSSL", "rsa")]
            case ast.ImportFrom(module=str(module), names=names):
                if module.split(".")[0] in ("Crypto", "Cryptodome", "nacl", "OpenSSL", "rsa"):
                    found.append(module)
                if module == "hashlib":
                    found += [a.name for a in names if a.name not in HASHLIB]
                if module.startswith("cryptography.hazmat.primitives"):
                    found += [f"{module}.{a.name}" for a in names if FOREIGN.fullmatch(a.name)]
                if module.startswith("cryptography.hazmat.primitives.asymmetric"):
                    found.append(module)
            case ast.Attribute(value=ast.Name(id="hashlib"), attr=name) if name not in HASHLIB:
                found.append(f"hashlib.{name}")
            case ast.Attribute(value=ast.Name(id="algorithms" | "hashes"), attr=name) if name not in ("SM3", "SM4"):
                found.append(name)
            case ast.Call(func=ast.Attribute(value=ast.Name(id="hashlib" | "hmac"), attr=name), args=args, keywords=given):
                found += _digest_of(name, args, given)
    return found


def _digest_of(name: str, args: list[ast.expr], given: list[ast.keyword]) -> list[str]:
    place = {"new": 0, "pbkdf2_hmac": 0, "digest": 2}.get(name)
    if name == "compare_digest" or name not in (*HASHLIB, "digest"):
        return []
    named = {each.arg: each.value for each in given}
    chosen = named.get("digestmod") or named.get("digest") or named.get("name") or named.get("hash_name")
    if chosen is None and place is not None and len(args) > place:
        chosen = args[place]
    if isinstance(chosen, ast.Constant) and chosen.value in NATIONAL:
        return []
    return [f"{name}({ast.unparse(chosen) if chosen else '?'})"]


def foreign_names(name: str, text: str) -> list[str]:
    """Names of other algorithms in a text that ships; in Python those of the code, not of the prose."""
    found = [hit.group() for hit in FOREIGN.finditer(text)]
    return [hit for hit in found if hit.lower() not in WORDS or hit.isupper()] if not name.endswith(".csv") else []


def scan(files: Iterator[tuple[str, str]]) -> dict[str, list[str]]:
    """File → what in it is foreign."""
    found = {}
    for name, text in files:
        hits = foreign_names(name, text) + (foreign_calls(text) if name.endswith(".py") else [])
        if hits:
            found[name] = hits
    return found


def shipped() -> Iterator[tuple[str, str]]:
    """Everything of ours that is installed: sources, pages, settings; and the pages as they were built."""
    for name in tracked():
        if name.endswith(TEXT) and not name.startswith(("tests/", "docs/", ".")) and "package-lock" not in name:
            yield name, (ROOT / name).read_text("utf-8")
    for path in DIST.rglob("*"):
        if path.suffix in (".js", ".html", ".css"):
            yield path.relative_to(ROOT).as_posix(), path.read_text("utf-8")


@pytest.mark.requirement("MP-04")
def test_no_foreign_algorithm_ships() -> None:
    files = dict(shipped())
    assert len(files) > 400 and "crypto/software.py" in files and any("/dist/" in name for name in files)
    found = scan(iter(files.items()))
    assert {name: hits for name, hits in found.items() if name not in ALLOWED} == {}
    assert {name for name in ALLOWED if name not in found} == set()  # no entry outlives its reason


PLANTED = {
    "a.py": "import hashlib\nx = hashlib.md5(b'')", "b.py": "import hashlib\nx = hashlib.new('sh' 'a1', b'')",
    "c.py": "import hashlib\nx = hashlib.new(algorithm, b'')", "d.py": "import hmac\nx = hmac.new(k, d)",
    "e.py": "import hmac\nx = hmac.digest(k, d, 'sha256')", "f.py": "from hashlib import sha256",
    "g.py": "from Crypto.Cipher import Salsa20", "h.py": "import Cryptodome.Cipher",
    "i.py": "from cryptography.hazmat.primitives.asymmetric import padding",
    "j.py": "from cryptography.hazmat.primitives.ciphers import algorithms\nx = algorithms.AES(k)",
    "k.py": "import hashlib\nx = hashlib.pbkdf2_hmac('sha512', p, s, 1)", "l.py": "import hashlib\nx = hashlib.scrypt(p)",
    "m.ts": "const x = crypto.subtle.digest('SHA-256', data)", "n.vue": "<script>import md5 from 'md5'</script>",
    "o.toml": 'signature = "RSA"', "p.sql": "SELECT MD5(password) FROM u", "q.py": 'MODE = "3DES"',
}


@pytest.mark.requirement("MP-04")
def test_the_scan_finds_what_is_planted() -> None:
    """Negative control: every planted use is found, and national ones aren't."""
    assert set(scan(iter(PLANTED.items()))) == set(PLANTED)
    assert scan(iter({"a.py": "import hashlib, hmac\nx = hashlib.new('sm3', b'')\ny = hmac.digest(k, d, 'sm3')\n"
                              "z = hmac.compare_digest(a, b)\nt = hashlib.pbkdf2_hmac('sm3', p, s, 1)",
                      "b.ts": "import { sm3 } from 'sm-crypto-v2' // a good idea, des Landes"}.items())) == {}


# Stored values

HEX = re.compile(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{40}|[0-9a-fA-F]{64}")
KEYED = {
    "person_identifier.number_index": "key id and HMAC-SM3", "security_session.token": "key id and HMAC-SM3",
    "idempotency_key.request_hash": "HMAC-SM3 of the request's SM3", "integrity_set.mac": "HMAC-SM3",
    "integrity_head.digest": "HMAC-SM3", "security_seal.mac": "HMAC-SM3", "security_seal.row_mac": "HMAC-SM3",
    "security_seal.members": "HMAC-SM3", "security_spent_nonce.nonce": "random", "security_signed_nonce.nonce": "random",
    "security_installation.name": "random", "security_installation.mac": "HMAC-SM3",
    "idempotency_key.key": "chosen by the browser at random",
    "security_certificate.fingerprint": "SM3 of a public certificate", "security_signature.key_id": "ring key id, or SM3",
}
"""Columns that hold values of a digest's length, and what they are. Every ``row_mac`` is an HMAC-SM3 besides."""


def suspects(cells: list[tuple[str, Any]]) -> set[str]:
    """Columns with values of a digest's length (32, 40, 64 hex digits) that nobody has declared."""
    return {place for place, value in cells if isinstance(value, str) and HEX.fullmatch(value)
            and place not in KEYED and not place.endswith(".row_mac")}


@pytest.mark.requirement("MP-04")
@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_no_column_holds_a_foreign_digest(marked: int, world: World, db: Database, client: Any, enter: Callable[..., Any],
                                          make: Callable[..., User]) -> None:
    from his_server.security import seals

    make("li", roles=["cashier"])
    assert enter("li", GOOD).status_code == 200
    seals.seal_all(db)
    cells = text_cells(db)
    declared = {place for place, value in cells if isinstance(value, str) and HEX.fullmatch(value)} & set(KEYED)
    assert declared >= {"person_identifier.number_index", "security_session.token", "security_seal.mac"}  # it does look
    assert suspects(cells) == set()
    # and whatever the column: no plain digest of anything that is secret, of any algorithm, whole or cut
    known = {text.encode() for text in (*MARKERS.values(), *CLINICAL.values(), GOOD, "li", "标记")}
    digests = {hashlib.new(name, text).hexdigest()[:size] for name in ("md5", "sha1", "sha256", "sm3") for text in known
               for size in (16, 32, 40, 56, 64)}
    held = [(place, value) for place, value in cells if isinstance(value, str) and len(value) >= 16]
    assert [place for place, value in held if any(digest in value.lower() for digest in digests)] == []
    with db.engine.begin() as connection:  # negative control
        connection.execute(update(Role.__table__).values(declared=hashlib.md5(b"x").hexdigest()))
    assert suspects(text_cells(db)) == {"security_role.declared"}


# Passwords

@pytest.mark.requirement("MP-06")
def test_passwords_at_rest(sign_in: Any, db: Database, enter: Callable[..., Any], client: Any, sealer: Any,
                           settings: Settings) -> None:
    """Through the API: two accounts with one password, then a change; then the tables, as an assessor reads them."""
    boss = sign_in("sysadmin")
    for login in ("li", "wang"):
        body = {"login": login, "name": "李明", **sealed(boss, sealer, password=GOOD)}
        assert boss.post("/api/security/users", json=body).status_code == 201
    ticket = enter("li", GOOD).get_json()["ticket"]
    new = "Wenig9+Licht"
    assert client.post("/api/session/password", json={"ticket": ticket, **sealed(
        client, sealer, old_password=GOOD, new_password=new)}).status_code == 200
    assert enter("li", new).status_code == 200 and enter("li", GOOD).status_code == 401
    with db.engine.connect() as connection:
        users = {row.login: row.password for row in connection.execute(select(User.__table__))}
        former = list(connection.scalars(select(PasswordHistory.__table__.c.password)))
    assert len(former) >= 1
    stored = [users["li"], users["wang"], *former]
    assert len(set(stored)) == len(stored)  # one password, and never the same verifier twice
    salts = set()
    for verifier in stored:
        name, rounds, salt, mac = verifier.split("$")
        assert name == "pbkdf2-sm3" and int(rounds) == settings.password_rounds >= 10_000
        assert len(bytes.fromhex(salt)) == 16 and len(bytes.fromhex(mac)) == 32
        salts.add(salt)
        for word in (GOOD, new):  # not the bare PBKDF2 either: without the ring nobody can even try words
            assert hashlib.pbkdf2_hmac("sm3", word.encode(), bytes.fromhex(salt), int(rounds), 32).hex() != mac
    assert len(salts) == len(stored)
    assert Settings().password_rounds >= 100_000  # what a hospital gets
    with pytest.raises(ValueError, match="10000"):
        passwords.make(sealer, 1, GOOD, 9_999)


@pytest.mark.requirement("MP-06")
@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_no_password_can_be_got_back(make: Callable[..., User], enter: Callable[..., Any], db: Database, sealer: Any) -> None:
    """Nothing stored, opened with every key that there is, holds the password in any form."""
    make("li", roles=["cashier"])
    assert enter("li", GOOD).status_code == 200
    raw = GOOD.encode()
    forms = [raw, raw[::-1], GOOD.encode("utf-16-le"), raw.hex().encode(), base64.b64encode(raw), base64.b64encode(raw)[:-4],
             base64.b64encode(raw[::-1])]
    forms += [hashlib.new(name, raw).digest() for name in ("sm3", "md5", "sha1", "sha256")]
    forms += [form.hex().encode() for form in forms[-4:]]
    contents = []
    for place, value in text_cells(db):
        data = bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
        contents.append((place, data))
        table, column = place.split(".")
        for purpose in ("column", "cookie", "export"):
            for row in range(1, 3000) if len(data) >= 33 and data[:1] == b"\1" else ():
                try:
                    contents.append((place, sealer.open(purpose, data, f"{table}.{column.removesuffix('_sealed')}:{row}")))
                except CryptoError:
                    continue
    assert any(place == "security_user.password" for place, _ in contents)
    assert [place for place, data in contents if any(form in data for form in forms)] == []


__all__ = ["marked"]
