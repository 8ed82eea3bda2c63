"""Stock put in by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from his_server.actor import Actor
from his_server.db import numbering, of, today
from his_server.errors import FieldError, Invalid, NotFound
from his_server.security import audit
from modules.kernel.masterdata import service as masterdata
from modules.kernel.stock import service as stock
from modules.kernel.stock.models import Store
from modules.kernel.stock.service import Document, Receipt

STOCK_IN_SERIES = numbering.Series("stock_in", "入库单号", "RK{date:%y%m%d}{n:05d}", per_day=True)


def stock_in(session: Session, actor: Actor, store_id: int, lines: Sequence[Mapping[str, Any]]) -> str:
    """Put batches into a store by hand; returns the document number. ``quantity`` in packs, ``pack_cost`` per pack."""
    if session.get(Store, store_id) is None:
        raise NotFound("pharmacy.store", "没有这个药房，请刷新后重试")
    drugs = masterdata.drugs(session, [line["drug_id"] for line in lines])
    errors = [FieldError(f"lines.{i}.drug_id", "没有这个药品") for i, line in enumerate(lines)
              if line["drug_id"] not in drugs]
    errors += [FieldError(f"lines.{i}.expiry", "已过有效期，不能入库") for i, line in enumerate(lines)
               if line["expiry"] <= today(session)]
    if errors:
        raise Invalid("pharmacy.stock_in", "入库内容有误，请按提示修改", errors)
    number = numbering.take(session, STOCK_IN_SERIES)
    document = Document("stock_in", of(session).keys.next())
    receipts = []
    for line in lines:
        size = drugs[line["drug_id"]].pack_size
        receipts.append(Receipt(line["drug_id"], line["lot_no"], line["expiry"], line["pack_cost"],
                                line["quantity"] * size, line.get("supplier"), size))
    stock.receive(session, actor, store_id, receipts, document)
    audit.record(session, actor, "stock.in", "stock_in", document.id, {"number": number, "lines": len(receipts)})
    return number
