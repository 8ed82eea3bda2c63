"""The demo's drug house: suppliers sell to the warehouse, the warehouse supplies the pharmacies; all by the services.

Every pack comes by a goods receipt that was inspected, goes on by a transfer that was received; some bear trace codes.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from his_server.actor import Actor
from his_server.db import Database, today
from modules.drug_warehouse.ports import Product
from modules.drug_warehouse.service import money, purchasing, receiving, sunshine, suppliers
from modules.kernel.masterdata.models import Drug, DrugPrice
from modules.kernel.stock.models import StockBalance
from modules.kernel.stock.service import documents, levels, notices, tracing, transfers

SUPPLIERS = (("G001", "江苏通江医药有限公司"), ("G002", "南通濠河医药物流有限公司"), ("G003", "上海申北药业有限公司"))
CODED = 60
"""So many drugs bear trace codes on their packs; as many again are on the no-code list."""
LINES = 400


@dataclass(frozen=True)
class Keepers:
    """Who works in the drug house: two of the warehouse (controlled drugs need both), and the pharmacists."""

    first: Actor
    second: Actor
    pharmacist: Actor
    finance: Actor


def fill(database: Database, keepers: Keepers, stores: dict[str, int], rng: random.Random, visits: int) -> None:
    """Stock everything: receipts into the warehouse, transfers to both pharmacies. ``visits``: so many a day must be served."""
    with database.begin() as session:
        session.info["actor"] = keepers.first
        sellers = _suppliers(session, keepers.first)
        drugs = _drugs(session)
        coded = {drug.id for drug in drugs if drug.control == "普通" and drug.pack_size <= 60}
        coded = set(sorted(coded)[:CODED])
        for start in range(0, len(drugs), LINES // 2):
            _receive(session, keepers, sellers[start // 200 % len(sellers)], stores["warehouse"],
                     drugs[start:start + LINES // 2], coded, rng, max(1, visits // 400))
        for kind in ("outpatient", "emergency"):
            _supply(session, keepers, stores["warehouse"], stores[kind], 1 if kind == "outpatient" else 2)
        for drug in [d for d in drugs if d.id not in coded and d.control == "普通"][:CODED]:
            tracing.enter_no_code(session, keepers.first, drug_id=drug.id, batch_id=None, reason="生产厂家未赋追溯码")
        for store, least in (("outpatient", 20), ("emergency", 10), ("warehouse", 60)):
            levels.set_levels(session, keepers.pharmacist, stores[store], [
                (d.id, Decimal(least * d.pack_size), Decimal(4 * least * d.pack_size))
                for d in drugs[::7] if d.price and d.price < 60])


def _drugs(session: Session) -> list[Any]:
    prices = select(DrugPrice.pack_price).where(DrugPrice.drug_id == Drug.id, DrugPrice.valid_to.is_(None)).scalar_subquery()
    return list(session.execute(select(Drug.id, Drug.code, Drug.name, Drug.form, Drug.spec, Drug.manufacturer, Drug.control,
                                       Drug.pack_size, Drug.pack_unit, Drug.base_unit, prices.label("price"))
                                .where(Drug.active).order_by(Drug.code)))


def _suppliers(session: Session, actor: Actor) -> list[int]:
    made = []
    for n, (code, name) in enumerate(SUPPLIERS):
        found = suppliers.save(session, actor, None, code=code, name=name, contact="业务部", phone="0513-8500010" + str(n))
        for kind, days in (("药品经营许可证", 75 + 300 * n), ("营业执照", 900), ("GSP证书", 60 + 40 * n), ("购销合同", 400)):
            suppliers.add_paper(session, actor, found.id, kind=kind, number=f"苏{code}-{len(kind)}", valid_from=today(session)
                                - timedelta(days=400), valid_to=today(session) + timedelta(days=days))
        made.append(found.id)
    return made


def _receive(session: Session, keepers: Keepers, seller: int, store: int, drugs: Sequence[Any], coded: set[int],
             rng: random.Random, times: int) -> None:
    """Two lots of each drug, inspected by the second keeper: money rather than packs is alike, as in a hospital of 1,500
    beds, whose stock is worth 10 to 20 million yuan."""
    day = today(session)
    lines = []
    for drug in drugs:
        for lot in range(2):
            wanted = Decimal(rng.randrange(4_000, 12_000)) / (drug.price or Decimal(30))
            packs = times * max(20, min(600, int(wanted)))
            lines.append({
                "drug_id": drug.id, "lot_no": f"{day:%y%m}{rng.randrange(100, 999)}{lot}",
                "expiry": day + timedelta(days=rng.choice((75, 200, 400, 700)) + 31 * lot), "quantity": Decimal(packs),
                "pack_cost": ((drug.price or Decimal(0)) * Decimal("0.87")).quantize(Decimal("0.01")),
                "codes": [f"8{drug.id % 10**6:06d}{rng.randrange(10**13):013d}" for _ in range(6)] if drug.id in coded else []})
    made = receiving.arrive(session, keepers.first, supplier_id=seller, store_id=store, lines=lines)
    if codes := [code for line in lines for code in line["codes"]]:
        receiving.settle_codes(session, keepers.second, made.id, codes=codes, boxes=True)
    receiving.accept(session, keepers.second, made.id, rejected={})


def _supply(session: Session, keepers: Keepers, warehouse: int, store: int, share: int) -> None:
    """A third of every lot to a pharmacy (a sixth to the smaller one), with half of the trace codes that the warehouse has."""
    packs = {drug.id: drug.pack_size for drug in _drugs(session)}
    rows = session.execute(select(StockBalance.batch_id, StockBalance.drug_id, StockBalance.on_hand).where(
        StockBalance.store_id == warehouse, StockBalance.on_hand > 0).order_by(StockBalance.id)).all()
    codes: dict[int, list[str]] = {}
    for code in session.scalars(select(tracing.TraceCode).where(tracing.TraceCode.store_id == warehouse)
                                .order_by(tracing.TraceCode.id)):
        codes.setdefault(code.batch_id or 0, []).append(code.code)
    for start in range(0, len(rows), LINES):
        paper = documents.draft(session, keepers.first, kind="transfer", store_id=warehouse, other_store_id=store,
                                purpose="调拨", lines=[{
            "batch_id": row.batch_id, "quantity": row.on_hand // packs[row.drug_id] // (3 * share) * packs[row.drug_id],
            "codes": codes.get(row.batch_id, [])[:3 if share == 1 else 1]} for row in rows[start:start + LINES]])
        transfers.ship(session, keepers.first, paper.id)
        transfers.receive(session, keepers.pharmacist, paper.id)


def present(database: Database, keepers: Keepers, stores: dict[str, int]) -> None:
    """What a guest finds open: orders, a delivery to inspect, requisitions, notices, a price change, the catalogue."""
    with database.begin() as session:
        session.info["actor"] = keepers.first
        drugs = [d for d in _drugs(session) if d.price and d.control == "普通"]
        sunshine.take_products(session, [_product(drug, n) for n, drug in enumerate(drugs[:400])])
        for drug in drugs[:60]:
            found = sunshine.suggest(session, drug.id, limit=1)
            if found:
                sunshine.match(session, keepers.first, drug_id=drug.id, product_id=found[0]["id"], ratio=Decimal(drug.pack_size))
        seller = session.scalars(select(suppliers.Supplier.id).order_by(suppliers.Supplier.code)).first()
        assert seller is not None
        plan = [line for line in purchasing.plan(session, stores["warehouse"]) if line["pack_cost"]][:8]
        wanted = [{"drug_id": d.id, "quantity": Decimal(100), "pack_cost": d.price * Decimal("0.87")} for d in drugs[3:9]]
        sent = purchasing.write(session, keepers.first, supplier_id=seller, store_id=stores["warehouse"], lines=[
            {**line, "pack_cost": line["pack_cost"].quantize(Decimal("0.01"))} for line in wanted])
        purchasing.send(session, keepers.first, sent.id)
        receiving.arrive(session, keepers.first, supplier_id=seller, store_id=stores["warehouse"], order_id=sent.id, lines=[
            {"order_line_id": line.id, "drug_id": line.drug_id, "quantity": line.quantity / line.pack_size,
             "pack_cost": line.pack_cost, "lot_no": f"{today(session):%y%m}77{n}", "expiry": today(session)
             + timedelta(days=500), "codes": [f"8999{n:016d}", f"8999{n:015d}7"] if n < 2 else []}
            for n, line in enumerate(purchasing.lines_of(session, sent.id)[:4])])
        if plan:
            purchasing.write(session, keepers.first, supplier_id=seller, store_id=stores["warehouse"], lines=[
                {"drug_id": line["drug_id"], "quantity": line["packs"], "pack_cost": line["pack_cost"]} for line in plan])
        asked = documents.draft(session, keepers.pharmacist, kind="requisition", store_id=stores["outpatient"],
                                purpose="日常请领", other_store_id=stores["warehouse"], lines=[
            {"drug_id": d.id, "quantity": Decimal(40 * d.pack_size)} for d in drugs[20:26]])
        transfers.submit(session, keepers.pharmacist, asked.id)
        notices.publish(session, keepers.first, kind="shortage", drug_id=drugs[150].id, reason="厂家停产检修，预计下月到货",
                        substitute=drugs[151].name)
        money.change_price(session, keepers.finance, drug_id=drugs[200].id, valid_from=today(session),
                           price=(drugs[200].price * Decimal("0.92")).quantize(Decimal("0.01")), reason="集采降价")


def _product(drug: Any, number: int) -> Product:
    """A platform product that describes a drug in the platform's words."""
    maker = drug.manufacturer if number % 3 else drug.manufacturer.replace("有限公司", "股份有限公司")
    return Product(platform_id=f"P{number:06d}", code=f"YP{number:05d}", name=drug.name, form=drug.form,
                   spec=drug.spec.split("×")[0], pack=f"{drug.pack_size}{drug.base_unit}/{drug.pack_unit}", unit=drug.pack_unit,
                   factor=Decimal(drug.pack_size), manufacturer=maker, approval_no=f"国药准字H2026{number:04d}",
                   price=(drug.price * Decimal("0.87")).quantize(Decimal("0.01")))
