"""The demo's wards at night (M7.8): a ward pharmacy with stock, patients in beds, return slips, one of a patient who was
transferred since. The wards are the stand-in's until the inpatient modules exist."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import select

from demo.drugs import Keepers
from his_server.clock import ManualClock
from his_server.db import Database
from interfaces.ward_standin import simulator
from modules.kernel.masterdata.models import Drug, Ward
from modules.kernel.stock.models import StockBalance
from modules.kernel.stock.service import documents, transfers
from modules.outpatient_pharmacy.service import setting_up

RULE = {"review_first": True, "return_review": True, "night_start": "", "night_end": "", "night_amount": Decimal("0.00"),
        "opens": "07:30", "closes": "17:30"}
REASONS = ("医嘱停药", "病情变化，更换药物", "转科停药", "皮疹，停药")


def fill(database: Database, keepers: Keepers, stores: dict[str, int], persons: Sequence[int], until: datetime) -> None:
    """Stock of the ward pharmacy, four stays and their slips, up to a moment."""
    clock = database.clock
    assert isinstance(clock, ManualClock)
    clock.set(until - timedelta(minutes=50))
    with database.begin() as session:
        session.info["actor"] = keepers.first
        setting_up.set_rule(session, keepers.pharmacist, stores["ward"], RULE)
        rows = [row for row in session.execute(
            select(StockBalance.batch_id, StockBalance.drug_id, StockBalance.on_hand, Drug.pack_size)
            .join(Drug, Drug.id == StockBalance.drug_id)
            .where(StockBalance.store_id == stores["warehouse"], Drug.control == "普通", Drug.fiscal_category == "09")
            .order_by(StockBalance.id).limit(200)) if row.on_hand > row.pack_size * 60][:40]
        paper = documents.draft(session, keepers.first, kind="transfer", store_id=stores["warehouse"], purpose="调拨",
                                other_store_id=stores["ward"], lines=[
                                    {"batch_id": row.batch_id, "quantity": Decimal(20 * row.pack_size)} for row in rows])
        transfers.ship(session, keepers.first, paper.id)
        transfers.receive(session, keepers.pharmacist, paper.id)
        packs = {row.drug_id: row.pack_size for row in rows}
        wards = list(session.scalars(select(Ward.id).order_by(Ward.code)))
        for ward in wards:
            simulator.supply(session, ward, stores["ward"])
        drugs = list(packs)
        for n, person in enumerate(persons[:4]):
            stay = simulator.admit(session, person_id=person, number=f"ZY{26000101 + n}", ward_id=wards[n],
                                   bed=f"{7 * n + 5:02d}")
            given = simulator.hand_out(session, keepers.pharmacist, stay, [
                (drug, Decimal(3 * packs[drug])) for drug in drugs[2 * n:2 * n + 2]])
            clock.move(minutes=6)
            simulator.ask_back(session, stay_id=stay, asked_by=f"值班护士{n + 1}", reason=REASONS[n], lines=[
                {**line, "quantity": Decimal((1 + n % 2) * packs[line["drug_id"]])} for line in given])
            if n == 2:
                clock.move(minutes=6)
                simulator.transfer(session, stay, wards[7], "31")
    clock.set(until)
