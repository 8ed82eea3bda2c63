"""The wire of the drug warehouse: what comes in. What goes out are plain rows."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from his_server.wire import Choice, Day, Id, MoneyField, PageQuery, PriceField, QuantityField, QueryId, Text
from modules.drug_warehouse import rules
from modules.kernel.stock.rules import DOCUMENTS

PURPOSES = DOCUMENTS["supplier_return"].purposes

_LINES = validate.Length(1, 500, error="请录入 1 至 500 行")


class SearchQuery(Schema):
    """A search."""

    q = Text(load_default="", max=60)
    limit = fields.Integer(load_default=100, validate=validate.Range(1, 200, error="每次 1 至 200 行"))


class SupplierIn(Schema):
    """A supplier."""

    code = Text(required=True, min=1, max=20)
    name = Text(required=True, min=2, max=100)
    contact = Text(load_default="", max=60)
    phone = Text(load_default="", max=40)
    active = fields.Boolean(load_default=True)


class SupplierPaperIn(Schema):
    """A licence or contract."""

    kind = Choice(*rules.PAPER_KINDS, required=True)
    number = Text(required=True, min=1, max=60)
    valid_from = Day(required=True)
    valid_to = Day(required=True)
    note = Text(load_default="", max=200)


class StoreQuery(Schema):
    """A store."""

    store_id = QueryId(required=True)


class OrdersQuery(PageQuery):
    """Orders of a store; ``q``: number, supplier or drug, by any key."""

    store_id = QueryId(required=True)
    q = Text(load_default="", max=60)
    state = Choice("", *rules.ORDER_STATES, load_default="")


class ReceiptsQuery(PageQuery):
    """Receipts of a store; ``q``: number, order, delivery note, lot, supplier or drug, by any key."""

    store_id = QueryId(required=True)
    q = Text(load_default="", max=60)
    state = Choice("", *rules.RECEIPT_STATES, load_default="")


class OrderLineIn(Schema):
    """A drug to order: packs, cost per pack."""

    drug_id = Id(required=True)
    quantity = QuantityField(required=True, positive=True)
    pack_cost = PriceField(required=True, low="0")


class OrderIn(Schema):
    """An order."""

    supplier_id = Id(required=True)
    store_id = Id(required=True)
    channel = Choice("direct", "sunshine", load_default="direct")
    note = Text(load_default="", max=200)
    lines = fields.List(fields.Nested(OrderLineIn), required=True, validate=_LINES)


class ArrivalLineIn(OrderLineIn):
    """A lot that arrived."""

    order_line_id = Id(load_default=None, allow_none=True)
    lot_no = Text(required=True, min=1, max=40)
    expiry = Day(required=True)
    codes = fields.List(Text(max=100, min=1), load_default=list, validate=validate.Length(0, 2000, error="追溯码过多"))


class ArrivalIn(Schema):
    """Goods that arrived."""

    supplier_id = Id(required=True)
    store_id = Id(required=True)
    order_id = Id(load_default=None, allow_none=True)
    delivery_number = Text(load_default="", max=60)
    lines = fields.List(fields.Nested(ArrivalLineIn), required=True, validate=_LINES)


class SettleCodesIn(Schema):
    """What a person who looked says of codes that nobody knew: ``boxes``, or larger packs."""

    codes = fields.List(Text(max=100, min=1), required=True, validate=validate.Length(1, 2000, error="请选择追溯码"))
    boxes = fields.Boolean(required=True)


class RejectIn(Schema):
    """Packs of a line that are refused, why, and their trace codes as far as they were scanned."""

    line_id = Id(required=True)
    packs = QuantityField(required=True, positive=True)
    reason = Text(required=True, max=200)
    codes = fields.List(Text(max=100, min=1), load_default=list, validate=validate.Length(0, 2000, error="追溯码过多"))


class AcceptIn(Schema):
    """The inspection: what is refused; everything else goes into stock."""

    rejected = fields.List(fields.Nested(RejectIn), load_default=list)
    acknowledged = fields.Boolean(load_default=False)


class InvoiceIn(Schema):
    """A supplier's invoice."""

    supplier_id = Id(required=True)
    number = Text(required=True, min=1, max=40)
    amount = MoneyField(required=True)
    invoice_date = Day(required=True)
    due_date = Day(required=True)
    receipt_ids = fields.List(Id(), required=True, validate=validate.Length(1, 500, error="请选择入库单"))
    credit_ids = fields.List(Id(), load_default=list, validate=validate.Length(max=500, error="最多 500 张退货单"))


class InvoicesQuery(PageQuery):
    """Invoices."""

    state = Choice("", "open", "paid", load_default="open")


class PayIn(Schema):
    """How it was paid."""

    note = Text(required=True, min=2, max=100)


class PriceIn(Schema):
    """A new retail price per pack."""

    drug_id = Id(required=True)
    price = PriceField(required=True, low="0")
    valid_from = Day(required=True)
    reason = Text(required=True, min=2, max=200)


class LimitIn(Schema):
    """A limit price per pack."""

    drug_id = Id(required=True)
    limit = PriceField(required=True, low="0")
    valid_from = Day(required=True)
    reason = Text(required=True, min=2, max=200)


class NoticeIn(Schema):
    """A notice to doctors."""

    kind = Choice("shortage", "prohibition", required=True)
    drug_id = Id(required=True)
    reason = Text(required=True, min=2, max=300)
    substitute = Text(load_default="", max=200)
    valid_from = Day(load_default=None, allow_none=True)
    valid_to = Day(load_default=None, allow_none=True)


class ReasonIn(Schema):
    """Why."""

    reason = Text(required=True, min=2, max=200)


class MatchesQuery(PageQuery):
    """Drugs and their platform products."""

    q = Text(load_default="", max=60)
    view = Choice("unmatched", "matched", "all", load_default="unmatched")


class MatchIn(Schema):
    """A drug is a platform product."""

    drug_id = Id(required=True)
    product_id = Id(required=True)
    ratio = QuantityField(required=True, positive=True)


class DeliveryLineIn(Schema):
    """Goods of a delivery that are here; platform units."""

    delivery_id = Id(required=True)
    quantity = QuantityField(required=True, positive=True)
    lot_no = Text(required=True, min=1, max=40)
    expiry = Day(required=True)
    codes = fields.List(Text(max=100, min=1), load_default=list, validate=validate.Length(0, 2000, error="追溯码过多"))


class DeliveryIn(Schema):
    """Goods of deliveries that are here."""

    lines = fields.List(fields.Nested(DeliveryLineIn), required=True, validate=_LINES)


class GiveBackIn(Schema):
    """Goods of a delivery that go back."""

    delivery_id = Id(required=True)
    quantity = QuantityField(required=True, positive=True)
    purpose = Choice(*PURPOSES, load_default=PURPOSES[0])
    reason = Text(required=True, min=2, max=200)
    codes = fields.List(Text(min=1, max=100), load_default=list, validate=validate.Length(max=500, error="最多 500 个追溯码"))
