"""Secrets and personal data where they mustn't be: processes, logs, databases, files (COMPLIANCE MP-12, MP-13, MP-16)."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import LargeBinary, String, func, select, update

from crypto import Sealer
from his_server.actor import SYSTEM
from his_server.db import Base, Database
from his_server.db.idempotency import IdempotencyKey
from his_server.registry import Hospital
from modules.kernel.orders.models import Request
from modules.kernel.patients import service as patients
from modules.kernel.patients.models import Person, PersonIdentifier
from tests.crypto.test_rules import imports, sources
from tests.factories.hospital import World
from tests.serving import make_house

ROOT = Path(__file__).parents[2]
CHANCE = {"his_server/messaging/worker.py": "jitter of waiting times", "his_server/web/dev-mock/mock.py": "invented rows",
          "interfaces/hub/simulating.py": "which of a simulator's answers are spoilt"}
"""Who may use the random module, and for what; nothing secret comes of it."""


@pytest.mark.requirement("MP-18")
def test_the_random_module_is_used_for_nothing_secret() -> None:
    found = {path.relative_to(ROOT).as_posix() for path in sources("his_server", "modules", "interfaces", "dialects")
             if "random" in imports(path)}
    assert {name for name in found if not name.startswith("interfaces/") or "/simulator" not in name} <= set(CHANCE)


def key_material(sealer: Sealer, master_file: Path) -> list[bytes]:
    """Every secret of the ring and the master key, raw and as text."""
    raw = [sealer.ring.master._secret()]
    raw += [key.material for key in sealer.ring.living() if isinstance(key.material, bytes)]
    # and what is derived from the roots, which is what the work is done with
    raw += [value[0] for value in sealer.ring.cache().values() if isinstance(value, tuple) and isinstance(value[0], bytes)]
    assert master_file.stat().st_mode & 0o077 == 0
    return [form for secret in raw for form in (secret, secret.hex().encode(), secret.hex().upper().encode())]


def environments(pids: list[int]) -> bytes:
    """Arguments and environments of the processes."""
    return b"".join(Path(f"/proc/{pid}/{name}").read_bytes() for pid in pids for name in ("environ", "cmdline"))


@pytest.mark.requirement("MP-16")
@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_no_key_in_processes_logs_database_or_files(tmp_path: Path, db_url: str, hospital: Hospital) -> None:
    with make_house(tmp_path / "data", db_url, hospital) as house:
        house.start_web(processes=1, threads=2)
        house.start_worker()
        person = house.world.person()
        caller = house.caller("cashier")
        assert caller.send("GET", f"/api/patients/{person}")[0] in (200, 403)
        assert caller.send("GET", "/api/nothing")[0] == 404
        assert house.web is not None and house.worker is not None
        seen = environments([house.web.pid, house.worker.pid, *house.children(), os.getpid()])
        sealer = house.world.db.sealer
        house.stop()
        places = {"processes": seen}
        for path in tmp_path.rglob("*"):
            if path.is_file() and path.name != "master.key":
                places[path.relative_to(tmp_path).as_posix()] = path.read_bytes()
        for path in (ROOT / "his_server" / "web" / "dist").rglob("*"):
            if path.is_file():
                places[path.name] = path.read_bytes()
    assert any(name.endswith(".db") for name in places) and any(name.endswith("ring.json") for name in places)
    for secret in key_material(sealer, tmp_path / "data" / "keys" / "master.key"):
        assert [name for name, content in places.items() if secret in content] == []


MARKERS = {"id_no": "110101199003074514", "phone": "13912345679", "insurance_no": "YB7788990011", "allergies": "青霉素标记敏",
           "home_detail": "标记路一百零一号", "household_detail": "标记路二百零二号", "birth_detail": "标记路三百零三号",
           "work_detail": "标记路四百零四号", "work_phone": "051399887766", "contact_phone": "13887654329"}


CLINICAL = {"diagnosis": "标记诊断肺结核", "drug note": "标记嘱咐饭前", "item note": "标记嘱咐空腹",
            "other diagnosis": "标记诊断待查", "why long": "标记慢病理由"}
"""What doctors write about a patient: as sensitive as the numbers."""


@pytest.fixture
def marked(world: World, db: Database) -> int:
    """A patient whose every sensitive field is a marker, after a journey through the house and a change of each."""
    with db.begin() as session:
        session.info["actor"] = SYSTEM
        person = patients.create_person(session, SYSTEM, name="标记", sex="1", birth_date=date(1990, 3, 7), id_type="01",
                                        confirmed=True, **MARKERS)
        key = person.id
    encounter = world.encounter(world.register(key))
    made = world.ok(world.post("doctor", "/api/orders/prescriptions", {
        "encounter_id": encounter, "diagnosis": CLINICAL["diagnosis"],
        "chronic_reason": CLINICAL["why long"], "lines": [
            {"drug_id": world.ids["drug"], "dose": "0.5", "usage": "口服", "frequency": "tid", "days": 4, "quantity": "24",
             "note": CLINICAL["drug note"]}]}))
    asked = world.ok(world.post("doctor", "/api/orders/requests", {
        "encounter_id": encounter, "diagnosis": CLINICAL["other diagnosis"],
        "performing_department_id": world.ids["radiology"],
        "lines": [{"item_id": world.ids["exam"], "quantity": "1", "note": CLINICAL["item note"]}]}))
    world.ok(world.pay_all(key))
    # whoever must read it does
    shown = world.ok(world.get("pharmacist", f"/api/outpatient-pharmacy/prescriptions/{made['id']}"))
    assert (shown["diagnosis"], shown["lines"][0]["note"]) == (CLINICAL["diagnosis"], CLINICAL["drug note"])
    assert (asked["diagnosis"], asked["lines"][0]["note"]) == (CLINICAL["other diagnosis"], CLINICAL["item note"])
    for q in (MARKERS["id_no"], MARKERS["phone"]):
        assert world.ok(world.get("cashier", f"/api/patients?q={q}"))["items"][0]["id"] == key
    return key


def text_cells(db: Database) -> list[tuple[str, Any]]:
    """Every value of every text or blob column of every table, with its place."""
    cells = []
    with db.engine.connect() as connection:
        for table in Base.metadata.sorted_tables:
            columns = [c for c in table.columns if isinstance(c.type, String | LargeBinary)]
            if columns:
                for row in connection.execute(select(*columns)):
                    cells += [(f"{table.name}.{c.name}", value) for c, value in zip(columns, row, strict=True)
                              if value is not None]
    return cells


@pytest.mark.requirement("MP-12")
def test_no_marker_in_any_column(marked: int, db: Database, tmp_path: Path) -> None:
    cells = text_cells(db)
    assert len({place for place, _ in cells}) > 60 and ("person.name", "标记") in cells  # the scan does find things
    for field, marker in {**MARKERS, **CLINICAL}.items():
        hits = {place for place, value in cells
                if (marker.encode() in bytes(value) if isinstance(value, bytes | memoryview) else marker in str(value))}
        assert hits == set(), field
    if db.single_writer:  # the file, its log and what else lies there
        for path in tmp_path.rglob("*"):
            if path.is_file():
                content = path.read_bytes()
                assert [f for f, marker in {**MARKERS, **CLINICAL}.items() if marker.encode() in content] == [], path


@pytest.mark.requirement("MP-12")
def test_a_stored_answer_is_sealed_and_still_replayed(world: World, db: Database) -> None:
    """The first answer of a submission names patient and diagnosis: it is kept sealed, its request by a keyed digest."""
    body = {"encounter_id": world.encounter(world.register(world.person())), "diagnosis": CLINICAL["diagnosis"],
            "performing_department_id": world.ids["radiology"], "lines": [{"item_id": world.ids["exam"], "quantity": "1"}]}
    first = world.post("doctor", "/api/orders/requests", body, key="sealed-answer")
    again = world.post("doctor", "/api/orders/requests", body, key="sealed-answer")
    assert (first.status_code, first.json) == (again.status_code, again.json) and first.json["diagnosis"] == CLINICAL["diagnosis"]
    other = world.post("doctor", "/api/orders/requests", {**body, "diagnosis": "别的"}, key="sealed-answer")
    assert other.status_code == 409 and other.json["code"] == "idempotency.reused"
    table = IdempotencyKey.__table__
    with db.engine.begin() as connection:
        row = connection.execute(select(table).where(table.c.key == "sealed-answer")).mappings().one()
        assert CLINICAL["diagnosis"].encode() not in bytes(row["body_sealed"])
        blob = bytes(row["body_sealed"])[:-1] + bytes((bytes(row["body_sealed"])[-1] ^ 1,))
        connection.execute(update(table).where(table.c.key == "sealed-answer").values(body_sealed=blob))
    altered = world.post("doctor", "/api/orders/requests", body, key="sealed-answer")
    assert altered.status_code == 409 and altered.json["code"] == "idempotency.unreadable"
    with db.begin(write=False) as session:  # and nothing was done twice
        assert session.scalar(select(func.count()).select_from(Request)) == 1


@pytest.mark.requirement("MP-12")
def test_equal_values_have_nothing_equal_in_the_database(marked: int, db: Database) -> None:
    with db.begin() as session:
        session.info["actor"] = SYSTEM
        patients.create_person(session, SYSTEM, name="另", sex="2", confirmed=True, home_detail=MARKERS["home_detail"],
                               birth_date=date(1980, 1, 1))
        blobs = [bytes(blob) for blob in session.scalars(select(Person.home_detail_sealed)
                                                         .where(Person.home_detail_sealed.is_not(None)))]
    assert len(blobs) == 2 and blobs[0][5:] != blobs[1][5:]
    assert blobs[0][5:17] != blobs[1][5:17]  # the nonces


@pytest.mark.requirement("MP-13")
def test_the_index_is_keyed_with_a_key_of_its_own(marked: int, db: Database) -> None:
    number = MARKERS["id_no"]
    with db.begin(write=False) as session:
        row = session.scalars(select(PersonIdentifier).where(PersonIdentifier.person_id == marked,
                                                             PersonIdentifier.kind == "id_no")).one()
        index, place = row.number_index, f"person_identifier.number:{number}"
        assert index == PersonIdentifier.number.blind(number)
    sm3 = db.sealer.provider.sm3
    for text in (number, place, f"number:{number}"):
        assert sm3(text.encode()).hex()[:56] not in index and sm3(text.encode()).hex()[8:] not in index
    roots = {purpose: db.sealer.ring.active(purpose).material for purpose in ("column", "index", "integrity", "session")}
    assert len(set(roots.values())) == len(roots)
    for purpose, root in roots.items():  # neither the root itself nor another purpose's key makes it
        assert isinstance(root, bytes)
        assert db.sealer.provider.hmac_sm3(root, place.encode()).hex()[:56] != index[8:], purpose
        if purpose != "index":
            assert db.sealer.blind_index(purpose, place)[8:] != index[8:], purpose
