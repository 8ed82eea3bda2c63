"""Our drugs and items beside the insurer's codes: found, assigned, uploaded row by row, taken back (3301, 3302)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from his_server.clock import ManualClock
from modules.kernel.masterdata import service as masterdata
from modules.kernel.masterdata.models import ChargeItem, Drug
from modules.kernel.masterdata.ports import Answered, CatalogEntry, CatalogPart, Mapped
from tests.factories.hospital import World
from tests.modules.insurance_office.test_statements import office

API = "/api/insurance-office"
__all__ = ["office"]


@dataclass
class Catalogue:
    """The insurer's catalogue service: holds entries, remembers mappings, refuses ``refused`` codes."""

    held: dict[tuple[str, str], str] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    lost: int = 0

    def download(self, list_type: str, version: str) -> CatalogPart:
        entries = [("201", "001101000010000", "普通门诊诊察费", "01"), ("201", "002101000010000", "X线胸片", "02"),
                   ("101", "XJ01CAA040A001", "阿莫西林", "01")]
        made = tuple(CatalogEntry(kind, code, name, "", "", "次", level, None, None, None, True, "V2")
                     for kind, code, name, level in entries if kind == list_type and version < "V2")
        return CatalogPart("confirmed", version="V2", entries=made)

    def map(self, rows: tuple[Mapped, ...]) -> tuple[Answered, ...]:
        if self.lost:
            self.lost -= 1
            raise ConnectionError("lost")
        for row in rows:
            if row.national not in self.refused:
                self.held[row.code, row.list_type] = row.national
        return tuple(Answered("refused", "目录编码不在有效期") if row.national in self.refused else Answered("confirmed")
                     for row in rows)

    def unmap(self, row: Mapped) -> Answered:
        del self.held[row.code, row.list_type]
        return Answered("confirmed")


def _rows(world: World, **query: Any) -> dict[str, Any]:
    return world.ok(world.get("office", f"{API}/mappings?" + "&".join(f"{k}={v}" for k, v in query.items())))


def _assign(world: World, kind: str, code: str, list_type: str, national: str) -> Any:
    return world.post("office", f"{API}/mappings", {"kind": kind, "code": code, "list_type": list_type, "national": national})


@pytest.fixture
def centre(office: World) -> Catalogue:
    """A catalogue service, its catalogues fetched."""
    found = Catalogue()
    office.db.ports["insurance:catalog"] = found
    for list_type, count in (("201", 2), ("101", 1), ("201", 0)):
        fetched = office.ok(office.post("office", f"{API}/catalogue/refresh", {"list_type": list_type}))
        assert fetched["entries"] == count, "only what is newer"
    return found


@pytest.mark.requirement("H2")
def test_what_nobody_mapped_is_found_mapped_and_uploaded_in_bulk(office: World, centre: Catalogue, clock: ManualClock) -> None:
    with office.db.begin(write=False) as session:
        exam, drug = session.get_one(ChargeItem, office.ids["exam"]).code, session.get_one(Drug, office.ids["drug"]).code
    before = _rows(office, state="unmapped")
    assert {exam, drug} <= {row["code"] for row in before["items"]} and before["counts"]["unmapped"] == len(before["items"])
    found = office.ok(office.get("office", f"{API}/catalogue?q=X线&list_type=201"))["items"]
    assert [one["code"] for one in found] == ["002101000010000"]
    wrong = _assign(office, "drug", drug, "201", "002101000010000")
    assert (wrong.status_code, wrong.json["code"]) == (422, "mapping.kind")
    assert _assign(office, "item", exam, "201", "999").json["code"] == "mapping.entry"
    made = [office.ok(_assign(office, "item", exam, "201", "002101000010000")),
            office.ok(_assign(office, "drug", drug, "101", "XJ01CAA040A001"))]
    centre.refused.add("XJ01CAA040A001")
    centre.lost = 1
    ids = [one["id"] for one in made]
    lost = office.post("office", f"{API}/mappings/upload", {"ids": ids})
    assert (lost.status_code, lost.json["code"]) == (503, "catalog.no_answer")
    assert office.ok(office.post("office", f"{API}/mappings/upload", {"ids": ids})) == {
        "uploaded": 1, "refused": 1, "unknown": 0}
    (refused,) = _rows(office, state="refused")["items"]
    assert refused["code"] == drug and refused["message"] == "目录编码不在有效期"
    (uploaded,) = _rows(office, state="uploaded")["items"]
    assert uploaded["code"] == exam and centre.held == {(exam, "201"): "002101000010000"}
    with office.db.begin(write=False) as session:
        assert masterdata.national_codes(session, [exam], clock.today()) == {("item", exam): ("201", "002101000010000")}


@pytest.mark.requirement("H2")
def test_a_mapping_is_changed_from_today_on_and_taken_back(office: World, centre: Catalogue, clock: ManualClock) -> None:
    with office.db.begin(write=False) as session:
        exam = session.get_one(ChargeItem, office.ids["exam"]).code
    first = office.ok(_assign(office, "item", exam, "201", "002101000010000"))["id"]
    office.ok(office.post("office", f"{API}/mappings/upload", {"ids": [first]}))
    day = clock.today()
    clock.move(days=3)
    office.sign_in_again()
    second = office.ok(_assign(office, "item", exam, "201", "001101000010000"))["id"]
    assert second != first
    with office.db.begin(write=False) as session:
        codes = [masterdata.national_codes(session, [exam], on)["item", exam][1]
                 for on in (day + timedelta(days=2), clock.today())]
    assert codes == ["002101000010000", "001101000010000"], "old bills keep what they were made with"
    office.ok(office.post("office", f"{API}/mappings/upload", {"ids": [second]}))
    again = _assign(office, "item", exam, "201", "002101000010000")
    assert (again.status_code, again.json["code"]) == (409, "mapping.uploaded")
    assert office.ok(office.post("office", f"{API}/mappings/{second}/withdraw"))["state"] == "withdrawn"
    assert centre.held == {} and exam in {row["code"] for row in _rows(office, state="unmapped")["items"]}
    twice = office.post("office", f"{API}/mappings/{second}/withdraw")
    assert (twice.status_code, twice.json["code"]) == (409, "mapping.not_uploaded")
