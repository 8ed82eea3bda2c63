"""The electronic social-security card as a credential from the window to the settlement; its code is kept nowhere (N3)."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select, text

from his_server.clock import ManualClock
from interfaces.ecard.client import Reader
from interfaces.ecard.settings import Settings
from interfaces.hub.models import InterfaceCall
from interfaces.hub.simulating import Faults, Rule
from interfaces.hub.transport import in_process
from modules.kernel.charging.ports import CARD, CONFIRMED, REFUSED
from tests.factories import insured as make
from tests.factories.hospital import World

pytestmark = pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)


@pytest.fixture
def folder(world: World, tmp_path: Path) -> Path:
    """The card platform's folder; its reader is bound."""
    world.db.ports[CARD] = Reader(world.db, in_process("ecard", tmp_path, world.db.clock), Settings())
    return tmp_path / "ecard"


def _show(number: str, fresh: str = "n1") -> dict[str, str]:
    return {"kind": "ecard", "number": f"ECARD-{number}0000.{fresh}", "serial": ""}


@pytest.mark.requirement("N3", "M1.12")
def test_a_card_code_identifies_previews_and_settles(world: World, folder: Path) -> None:
    """One code, read once by the platform, serves the three steps of one bill; the insurer is shown card and card_sn."""
    number = make.id_no(2)
    person = make.insured_person(world, number)
    world.request(world.encounter(world.register(person)), "10")
    found = world.ok(world.post("cashier", f"{make.API}/identify", _show(number)))
    assert [one["id"] for one in found["items"]] == [person]
    claim = world.ok(make.preview(world, person, _show(number)))
    assert world.ok(make.settle(world, claim, _show(number)))["state"] == "used"
    with world.db.begin(write=False) as session:
        calls = session.scalars(select(InterfaceCall).where(InterfaceCall.interface == "ecard")).all()
        assert [call.outcome for call in calls] == ["ok"]
        types = session.scalars(select(InterfaceCall.request_masked).where(InterfaceCall.operation == "2207")).all()
        assert '"mdtrt_cert_type": "03"' in types[0]
        for table in session.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'")).scalars().all():
            assert "ECARD-" not in str(session.execute(text(f'SELECT * FROM "{table}"')).all()), table
    opened = [world.db.sealer.open("column", bytes(call.request_sealed), f"interface_call.request:{call.id}")
              for call in calls]
    assert all(b"ECARD-" not in body for body in opened)


@pytest.mark.requirement("N3")
def test_a_used_a_wrong_and_a_lost_code_say_what_to_do(world: World, folder: Path, clock: ManualClock) -> None:
    reader: Reader = world.db.ports[CARD]
    code = _show(make.id_no(2))["number"]
    first = reader.read("ecard_qr", code)
    assert first.state == CONFIRMED and first.serial and reader.read("ecard_qr", code) == first
    clock.move(minutes=16)
    again = reader.read("ecard_qr", code)  # our reading ran out, and the platform gives each code once
    assert again.state == REFUSED and "刷新" in again.message
    assert "不是电子社保卡" in reader.read("ecard_qr", "6217000000000000").message
    Faults(folder).write([Rule("drop_after", "read", count=1)])
    answer = world.post("cashier", f"{make.API}/identify", _show(make.id_no(2), "n2"))
    assert answer.status_code == 503 and "没有应答" in answer.json["message"]
    assert world.post("cashier", f"{make.API}/identify", _show(make.id_no(2), "n2")).status_code == 409
    assert world.ok(world.post("cashier", f"{make.API}/identify", _show(make.id_no(2), "n3")))
