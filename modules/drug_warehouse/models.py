"""The drug warehouse: suppliers, orders, goods receipts, invoices, price changes, the sunshine catalogue (M6)."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from his_server.db import Instant, Keyed, Money, Price, Quantity
from his_server.search import make_search_table


class Supplier(Keyed):
    """Who sells to us; its licences and contracts have ends that are warned of."""

    __tablename__ = "supplier"
    __history__ = ("name", "contact", "phone", "active")
    code: Mapped[str] = mapped_column(String(20), unique=True)
    name: Mapped[str] = mapped_column(String(100))
    contact: Mapped[str] = mapped_column(String(60), default="")
    phone: Mapped[str] = mapped_column(String(40), default="")
    active: Mapped[bool] = mapped_column(default=True)


class SupplierPaper(Keyed):
    """A licence (经营许可证, 营业执照, GSP, 授权书) or a contract of a supplier, valid to the end of ``valid_to``."""

    __tablename__ = "supplier_paper"
    __history__ = ("number", "valid_from", "valid_to")
    __table_args__ = (Index("ix_supplier_paper_end", "valid_to"),)
    supplier_id: Mapped[int] = mapped_column(ForeignKey("supplier.id"), index=True)
    kind: Mapped[str] = mapped_column(String(20))
    number: Mapped[str] = mapped_column(String(60))
    valid_from: Mapped[date]
    valid_to: Mapped[date]
    note: Mapped[str] = mapped_column(String(200), default="")


class PurchaseOrder(Keyed):
    """An order: draft → sent → received | closed (the rest isn't waited for); cancelled. ``channel`` direct or sunshine.

    ``platform_number`` is the procurement platform's, once it has the order; ``end_reason`` why it was cancelled or closed.
    """

    __tablename__ = "purchase_order"
    __table_args__ = (Index("ix_purchase_order_store", "store_id", "made_at"),
                      Index("ix_purchase_order_state", "state", "made_at"))
    number: Mapped[str] = mapped_column(String(32), unique=True)
    supplier_id: Mapped[int] = mapped_column(ForeignKey("supplier.id"), index=True)
    store_id: Mapped[int] = mapped_column(BigInteger)
    channel: Mapped[str] = mapped_column(String(10))
    state: Mapped[str] = mapped_column(String(12))
    platform_number: Mapped[str] = mapped_column(String(60), default="")
    amount: Mapped[Decimal] = mapped_column(Money)
    note: Mapped[str] = mapped_column(String(200), default="")
    made_at: Mapped[datetime] = mapped_column(Instant)
    made_by_name: Mapped[str] = mapped_column(String(60))
    changed_at: Mapped[datetime] = mapped_column(Instant)
    changed_by_name: Mapped[str] = mapped_column(String(60))
    end_reason: Mapped[str | None] = mapped_column(String(200))


class PurchaseLine(Keyed):
    """A drug of an order; quantities in smallest units. More than was ordered is never received."""

    __tablename__ = "purchase_line"
    __table_args__ = (UniqueConstraint("order_id", "position"),
                      CheckConstraint("received >= 0 AND received <= quantity", name="received"))
    order_id: Mapped[int] = mapped_column(ForeignKey("purchase_order.id"))
    position: Mapped[int]
    drug_id: Mapped[int] = mapped_column(BigInteger, index=True)
    quantity: Mapped[Decimal] = mapped_column(Quantity)
    pack_cost: Mapped[Decimal] = mapped_column(Price)
    pack_size: Mapped[int]
    received: Mapped[Decimal] = mapped_column(Quantity)
    product_id: Mapped[int | None] = mapped_column(BigInteger)


class GoodsReceipt(Keyed):
    """Goods that arrived: inspecting → accepted (into stock, in part or not at all: each line says) | cancelled (why)."""

    __tablename__ = "goods_receipt"
    __table_args__ = (Index("ix_goods_receipt_store", "store_id", "made_at"),
                      Index("ix_goods_receipt_payable", "supplier_id", "invoice_id"))
    number: Mapped[str] = mapped_column(String(32), unique=True)
    order_id: Mapped[int | None] = mapped_column(ForeignKey("purchase_order.id"), index=True)
    supplier_id: Mapped[int] = mapped_column(ForeignKey("supplier.id"))
    store_id: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(12))
    strict: Mapped[bool]
    delivery_number: Mapped[str] = mapped_column(String(60), default="")
    amount: Mapped[Decimal] = mapped_column(Money)
    invoice_id: Mapped[int | None] = mapped_column(BigInteger)
    made_at: Mapped[datetime] = mapped_column(Instant)
    made_by: Mapped[int] = mapped_column(BigInteger)
    made_by_name: Mapped[str] = mapped_column(String(60))
    changed_at: Mapped[datetime] = mapped_column(Instant)
    changed_by_name: Mapped[str] = mapped_column(String(60))
    cancel_reason: Mapped[str | None] = mapped_column(String(200))


class GoodsReceiptLine(Keyed):
    """A lot that arrived: what was accepted went into stock, what was rejected did not, with the reason."""

    __tablename__ = "goods_receipt_line"
    __table_args__ = (UniqueConstraint("receipt_id", "position"),
                      CheckConstraint("accepted >= 0 AND accepted <= arrived", name="accepted"))
    receipt_id: Mapped[int] = mapped_column(ForeignKey("goods_receipt.id"))
    position: Mapped[int]
    order_line_id: Mapped[int | None] = mapped_column(BigInteger)
    delivery_id: Mapped[int | None] = mapped_column(BigInteger)
    drug_id: Mapped[int] = mapped_column(BigInteger)
    lot_no: Mapped[str] = mapped_column(String(40))
    expiry: Mapped[date]
    pack_cost: Mapped[Decimal] = mapped_column(Price)
    pack_size: Mapped[int]
    arrived: Mapped[Decimal] = mapped_column(Quantity)
    accepted: Mapped[Decimal] = mapped_column(Quantity)
    reject_reason: Mapped[str] = mapped_column(String(200), default="")
    batch_id: Mapped[int | None] = mapped_column(BigInteger)


class GoodsReceiptCode(Keyed):
    """A trace code scanned at the receipt of a line."""

    __tablename__ = "goods_receipt_code"
    __table_args__ = (UniqueConstraint("receipt_id", "code"),)
    receipt_id: Mapped[int] = mapped_column(ForeignKey("goods_receipt.id"))
    line_id: Mapped[int] = mapped_column(BigInteger)
    code: Mapped[str] = mapped_column(String(100))


class SupplierInvoice(Keyed):
    """A supplier's invoice over accepted receipts: ``open`` until it is paid."""

    __tablename__ = "supplier_invoice"
    __table_args__ = (UniqueConstraint("supplier_id", "number"), Index("ix_supplier_invoice_state", "state", "due_date"))
    number: Mapped[str] = mapped_column(String(40))
    supplier_id: Mapped[int] = mapped_column(ForeignKey("supplier.id"))
    amount: Mapped[Decimal] = mapped_column(Money)
    invoice_date: Mapped[date]
    due_date: Mapped[date]
    state: Mapped[str] = mapped_column(String(10))
    made_at: Mapped[datetime] = mapped_column(Instant)
    made_by_name: Mapped[str] = mapped_column(String(60))
    paid_at: Mapped[datetime | None] = mapped_column(Instant)
    paid_by_name: Mapped[str | None] = mapped_column(String(60))
    payment_note: Mapped[str] = mapped_column(String(100), default="")


class SupplierCredit(Keyed):
    """退货冲账: what goods that went back by a stock paper take off a supplier's bill; on one invoice at most."""

    __tablename__ = "supplier_credit"
    __table_args__ = (UniqueConstraint("document_id", "supplier_id"), CheckConstraint("amount >= 0", name="amount"),
                      Index("ix_supplier_credit_payable", "supplier_id", "invoice_id"))
    number: Mapped[str] = mapped_column(String(32))
    document_id: Mapped[int] = mapped_column(BigInteger)
    supplier_id: Mapped[int] = mapped_column(ForeignKey("supplier.id"))
    amount: Mapped[Decimal] = mapped_column(Money)
    invoice_id: Mapped[int | None] = mapped_column(BigInteger)
    made_at: Mapped[datetime] = mapped_column(Instant)
    made_by_name: Mapped[str] = mapped_column(String(60))


class PriceChange(Keyed):
    """A change of a drug's retail price per pack from a day on; ``planned`` until stock is revalued on that day."""

    __tablename__ = "drug_price_change"
    __table_args__ = (Index("ix_drug_price_change_due", "state", "valid_from"),
                      Index("ix_drug_price_change_drug", "drug_id", "valid_from"))
    number: Mapped[str] = mapped_column(String(32), unique=True)
    drug_id: Mapped[int] = mapped_column(BigInteger)
    old_price: Mapped[Decimal] = mapped_column(Price)
    new_price: Mapped[Decimal] = mapped_column(Price)
    valid_from: Mapped[date]
    reason: Mapped[str] = mapped_column(String(200))
    state: Mapped[str] = mapped_column(String(10))
    amount: Mapped[Decimal | None] = mapped_column(Money)
    made_at: Mapped[datetime] = mapped_column(Instant)
    made_by_name: Mapped[str] = mapped_column(String(60))


class Revaluation(Keyed):
    """What a price change made of a store's stock of the drug: quantity (smallest units), value before and after."""

    __tablename__ = "drug_revaluation"
    __table_args__ = (UniqueConstraint("change_id", "store_id"),)
    change_id: Mapped[int] = mapped_column(ForeignKey("drug_price_change.id"))
    store_id: Mapped[int] = mapped_column(BigInteger)
    quantity: Mapped[Decimal] = mapped_column(Quantity)
    before: Mapped[Decimal] = mapped_column(Money)
    after: Mapped[Decimal] = mapped_column(Money)


class PlatformProduct(Keyed):
    """A product of the sunshine-procurement catalogue (H003), as the platform names it. ``factor``: what the platform
    counts in one of its units, smallest units (convrat)."""

    __tablename__ = "platform_product"
    __table_args__ = (Index("ix_platform_product_name", "name"),)
    platform_id: Mapped[str] = mapped_column(String(60), unique=True)
    code: Mapped[str] = mapped_column(String(60), default="")
    name: Mapped[str] = mapped_column(String(120))
    form: Mapped[str] = mapped_column(String(40), default="")
    spec: Mapped[str] = mapped_column(String(80), default="")
    pack: Mapped[str] = mapped_column(String(80), default="")
    unit: Mapped[str] = mapped_column(String(20), default="")
    factor: Mapped[Decimal] = mapped_column(Quantity)
    manufacturer: Mapped[str] = mapped_column(String(120), default="")
    approval_no: Mapped[str] = mapped_column(String(60), default="")
    price: Mapped[Decimal] = mapped_column(Price)
    active: Mapped[bool] = mapped_column(default=True)
    seen_at: Mapped[datetime] = mapped_column(Instant)


class DrugMatch(Keyed):
    """A local drug is a platform product; one platform unit is ``ratio`` smallest units of ours. A person said so."""

    __tablename__ = "drug_match"
    __table_args__ = (UniqueConstraint("drug_id", "product_id"), Index("ix_drug_match_product", "product_id"))
    drug_id: Mapped[int] = mapped_column(BigInteger)
    product_id: Mapped[int] = mapped_column(ForeignKey("platform_product.id"))
    ratio: Mapped[Decimal] = mapped_column(Quantity)
    preferred: Mapped[bool]
    matched_at: Mapped[datetime] = mapped_column(Instant)
    matched_by_name: Mapped[str] = mapped_column(String(60))


class PlatformDelivery(Keyed):
    """What a distributor sent for an order line (H009), in platform units; ``received`` of it into stock (H010),
    ``returned`` of that (H011)."""

    __tablename__ = "platform_delivery"
    __table_args__ = (Index("ix_platform_delivery_order", "order_id"),
                      CheckConstraint("received >= 0 AND received <= quantity AND returned <= received", name="received"))
    platform_id: Mapped[str] = mapped_column(String(60), unique=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("purchase_order.id"))
    line_id: Mapped[int] = mapped_column(BigInteger)
    quantity: Mapped[Decimal] = mapped_column(Quantity)
    received: Mapped[Decimal] = mapped_column(Quantity)
    returned: Mapped[Decimal] = mapped_column(Quantity)
    price: Mapped[Decimal] = mapped_column(Price)
    lot_no: Mapped[str] = mapped_column(String(40), default="")
    expiry: Mapped[date | None]
    shipped_at: Mapped[datetime] = mapped_column(Instant)


class PlatformReturn(Keyed):
    """A return of a platform delivery, in platform units, that goes out by a stock paper; told when that is confirmed."""

    __tablename__ = "platform_return"
    __table_args__ = (CheckConstraint("quantity > 0", name="positive"),)
    delivery_id: Mapped[int] = mapped_column(ForeignKey("platform_delivery.id"), index=True)
    document_id: Mapped[int] = mapped_column(BigInteger, unique=True)
    quantity: Mapped[Decimal] = mapped_column(Quantity)
    reason: Mapped[str] = mapped_column(String(200))


class PlatformCall(Keyed):
    """Something the platform must be told, made with the work that causes it: ``waiting`` → ``done`` | ``refused``.

    ``our_key`` is unique and sent along, so that a repeat is recognised.
    """

    __tablename__ = "platform_call"
    __table_args__ = (Index("ix_platform_call_state", "state", "made_at"),)
    our_key: Mapped[str] = mapped_column(String(40), unique=True)
    act: Mapped[str] = mapped_column(String(20))
    order_id: Mapped[int] = mapped_column(BigInteger, index=True)
    payload: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(10))
    message: Mapped[str] = mapped_column(String(300), default="")
    made_at: Mapped[datetime] = mapped_column(Instant)
    ended_at: Mapped[datetime | None] = mapped_column(Instant)


supplier_search = make_search_table("supplier_search", Supplier.__table__)
