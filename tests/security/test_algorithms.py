"""Only national algorithms, in what ships and in what is stored (COMPLIANCE MP-04); passwords at rest (MP-06)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from crypto import CryptoError
from his_server.compliance.algorithms import ALLOWED, HEX, KEYED, TEXT, scan, suspects
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



def shipped() -> Iterator[tuple[str, str]]:
    """Everything of ours that is installed: sources, pages, settings, and the pages as they were built. (What builds the
    packages isn't installed: it compares the digests that a distribution's sources come with.)"""
    for name in tracked():
        if name.endswith(TEXT) and not name.startswith(("tests/", "docs/", "packaging/", ".")) and "package-lock" not in name:
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
