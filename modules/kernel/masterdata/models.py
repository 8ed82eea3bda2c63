"""Master data: what the hospital is made of and what it sells. Codes are the hospital's own and unique.

``revision`` counts the edits of a row: who edits an older one than there is gets a 409 instead of overwriting.

Validity everywhere: from the day ``valid_from`` until before the day ``valid_to``; an empty one means open. Old
documents keep the ids, prices and versions they were made with (DESIGN section 3).
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from his_server.db import Instant, Keyed, Price, Quantity
from his_server.search import make_search_table


class Department(Keyed):
    """A department. ``kind``: dictionary department_kind (临床 医技 药房 行政 收费)."""

    __tablename__ = "department"
    __history__ = ("name", "kind", "parent_id", "outpatient", "emergency", "building", "active")
    code: Mapped[str] = mapped_column(String(20), unique=True)
    name: Mapped[str] = mapped_column(String(60))
    kind: Mapped[str] = mapped_column(String(10))
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("department.id"))
    outpatient: Mapped[bool] = mapped_column(default=False)
    emergency: Mapped[bool] = mapped_column(default=False)
    building: Mapped[str] = mapped_column(String(40), default="")
    active: Mapped[bool] = mapped_column(default=True)
    revision: Mapped[int] = mapped_column(default=1, server_default="1")


class Ward(Keyed):
    """A ward of a department with its number of beds."""

    __tablename__ = "ward"
    __history__ = ("name", "department_id", "beds", "active")
    code: Mapped[str] = mapped_column(String(20), unique=True)
    name: Mapped[str] = mapped_column(String(60))
    department_id: Mapped[int] = mapped_column(ForeignKey("department.id"), index=True)
    beds: Mapped[int]
    active: Mapped[bool] = mapped_column(default=True)
    revision: Mapped[int] = mapped_column(default=1, server_default="1")


class Staff(Keyed):
    """A member of staff. ``code`` is the staff number; ``rights`` are prescribing_right codes joined by commas."""

    __tablename__ = "staff"
    __history__ = ("name", "sex", "department_id", "title", "role", "rights", "active")
    code: Mapped[str] = mapped_column(String(20), unique=True)
    name: Mapped[str] = mapped_column(String(60))
    sex: Mapped[str] = mapped_column(String(1))
    department_id: Mapped[int] = mapped_column(ForeignKey("department.id"), index=True)
    title: Mapped[str] = mapped_column(String(30), default="")
    role: Mapped[str] = mapped_column(String(30), default="")
    rights: Mapped[str] = mapped_column(String(120), default="")
    active: Mapped[bool] = mapped_column(default=True)
    revision: Mapped[int] = mapped_column(default=1, server_default="1")

    @property
    def right_set(self) -> frozenset[str]:
        """The prescribing rights as a set."""
        return frozenset(self.rights.split(",")) - {""}


class ChargeItem(Keyed):
    """A charge item. ``fiscal_category`` med_chrgitm_type 01–14, ``insurance_level`` chrgitm_lv 01–03,
    ``performing_kind`` dictionary performing_kind. ``revision`` counts edits; price changes take their turn on it."""

    __tablename__ = "charge_item"
    __history__ = ("name", "unit", "fiscal_category", "insurance_level", "performing_kind", "aliases", "active")
    code: Mapped[str] = mapped_column(String(40), unique=True)
    name: Mapped[str] = mapped_column(String(120))
    unit: Mapped[str] = mapped_column(String(20))
    fiscal_category: Mapped[str] = mapped_column(String(4))
    insurance_level: Mapped[str] = mapped_column(String(4))
    performing_kind: Mapped[str] = mapped_column(String(10))
    aliases: Mapped[str] = mapped_column(String(200), default="")
    active: Mapped[bool] = mapped_column(default=True)
    revision: Mapped[int] = mapped_column(default=1)


class ChargeItemPrice(Keyed):
    """What an item costs per unit in yuan from one day until before another. Periods of one item never overlap."""

    __tablename__ = "charge_item_price"
    __table_args__ = (UniqueConstraint("item_id", "valid_from"),
                      CheckConstraint("valid_to IS NULL OR valid_to > valid_from", name="order"),
                      CheckConstraint("price >= 0", name="price"))
    item_id: Mapped[int] = mapped_column(ForeignKey("charge_item.id"))
    price: Mapped[Decimal] = mapped_column(Price)
    valid_from: Mapped[date]
    valid_to: Mapped[date | None]
    changed_by: Mapped[int] = mapped_column(BigInteger, default=0)
    changed_at: Mapped[datetime | None] = mapped_column(Instant)
    reason: Mapped[str] = mapped_column(String(200), default="")


class Drug(Keyed):
    """A drug of one specification, pack and manufacturer.

    ``dose_amount`` ``dose_unit`` are in one ``base_unit`` (0.25 g in a 片); ``pack_size`` base units are in one
    ``pack_unit`` (24 片 in a 盒). ``control`` drug_control (普通 麻醉 精一 …), ``antimicrobial`` 非限制/限制/特殊 or
    empty, ``splittable``: may leave the pharmacy in base units. What the law of prescriptions asks (RX-03, RX-04, RX-05,
    RX-10): ``ingredient`` the active ingredient, ``drug_class`` the class that allergies are told by (青霉素类),
    ``release`` 缓释/控释 or empty, ``max_dose`` and ``max_daily`` the largest single and daily dose in ``dose_unit``,
    ``chronic_infections`` which chronic infections it treats (结核, 细菌, 真菌; commas).
    """

    __tablename__ = "drug"
    __table_args__ = (CheckConstraint("pack_size > 0", name="pack_size"),)
    __history__ = ("name", "form", "spec", "dose_amount", "dose_unit", "base_unit", "pack_unit", "pack_size",
                   "manufacturer", "fiscal_category", "control", "antimicrobial", "tb", "skin_test", "splittable",
                   "insurance_level", "default_usage", "default_frequency", "otc", "aliases", "active", "ingredient",
                   "drug_class", "release", "max_dose", "max_daily", "chronic_infections")
    code: Mapped[str] = mapped_column(String(40), unique=True)
    name: Mapped[str] = mapped_column(String(120))
    form: Mapped[str] = mapped_column(String(40))
    spec: Mapped[str] = mapped_column(String(80))
    dose_amount: Mapped[Decimal | None] = mapped_column(Quantity)
    dose_unit: Mapped[str] = mapped_column(String(20), default="")
    base_unit: Mapped[str] = mapped_column(String(20))
    pack_unit: Mapped[str] = mapped_column(String(20))
    pack_size: Mapped[int]
    manufacturer: Mapped[str] = mapped_column(String(120), default="")
    fiscal_category: Mapped[str] = mapped_column(String(4))
    control: Mapped[str] = mapped_column(String(10), default="普通")
    antimicrobial: Mapped[str] = mapped_column(String(10), default="")
    tb: Mapped[bool] = mapped_column(default=False)
    skin_test: Mapped[bool] = mapped_column(default=False)
    splittable: Mapped[bool] = mapped_column(default=False)
    insurance_level: Mapped[str] = mapped_column(String(4))
    default_usage: Mapped[str] = mapped_column(String(20), default="")
    default_frequency: Mapped[str] = mapped_column(String(20), default="")
    otc: Mapped[bool] = mapped_column(default=False)
    ingredient: Mapped[str] = mapped_column(String(60), default="")
    drug_class: Mapped[str] = mapped_column(String(30), default="")
    release: Mapped[str] = mapped_column(String(10), default="")
    max_dose: Mapped[Decimal | None] = mapped_column(Quantity)
    max_daily: Mapped[Decimal | None] = mapped_column(Quantity)
    chronic_infections: Mapped[str] = mapped_column(String(20), default="")
    aliases: Mapped[str] = mapped_column(String(200), default="")
    active: Mapped[bool] = mapped_column(default=True)
    revision: Mapped[int] = mapped_column(default=1)


class DrugPrice(Keyed):
    """What a pack costs in yuan from one day until before another. Periods of one drug never overlap."""

    __tablename__ = "drug_price"
    __table_args__ = (UniqueConstraint("drug_id", "valid_from"),
                      CheckConstraint("valid_to IS NULL OR valid_to > valid_from", name="order"),
                      CheckConstraint("pack_price >= 0", name="price"))
    drug_id: Mapped[int] = mapped_column(ForeignKey("drug.id"))
    pack_price: Mapped[Decimal] = mapped_column(Price)
    valid_from: Mapped[date]
    valid_to: Mapped[date | None]
    changed_by: Mapped[int] = mapped_column(BigInteger, default=0)
    changed_at: Mapped[datetime | None] = mapped_column(Instant)
    reason: Mapped[str] = mapped_column(String(200), default="")


class InsuranceEntry(Keyed):
    """An entry of one of the insurer's catalogues as downloaded (1301…1315): ``list_type``, med_list_codg as ``code``."""

    __tablename__ = "insurance_entry"
    __table_args__ = (UniqueConstraint("list_type", "code"), Index("ix_insurance_entry_name", "list_type", "name", "id"))
    list_type: Mapped[str] = mapped_column(String(3))
    code: Mapped[str] = mapped_column(String(50))
    name: Mapped[str] = mapped_column(String(200))
    spec: Mapped[str] = mapped_column(String(200), default="")
    manufacturer: Mapped[str] = mapped_column(String(200), default="")
    unit: Mapped[str] = mapped_column(String(50), default="")
    level: Mapped[str] = mapped_column(String(3), default="")
    limit_price: Mapped[Decimal | None] = mapped_column(Price)
    valid_from: Mapped[date | None]
    valid_to: Mapped[date | None]
    active: Mapped[bool] = mapped_column(default=True)
    version: Mapped[str] = mapped_column(String(20))


class InsuranceMapping(Keyed):
    """Which entry of the insurer's catalogues a drug or item of ours is (3301). ``kind``: drug, item; ``code`` ours.

    ``state``: ``draft`` → ``uploaded`` | ``refused`` (``message`` says why); ``uploaded`` → ``withdrawn``. Lines are
    uploaded under ``national`` while it is valid, whatever its state; periods of one code never overlap.
    """

    __tablename__ = "insurance_mapping"
    __table_args__ = (UniqueConstraint("kind", "code", "valid_from"),
                      Index("ix_insurance_mapping_state", "state", "id"), Index("ix_insurance_mapping_national", "national"),
                      CheckConstraint("valid_to IS NULL OR valid_to > valid_from", name="order"))
    kind: Mapped[str] = mapped_column(String(4))
    code: Mapped[str] = mapped_column(String(40))
    list_type: Mapped[str] = mapped_column(String(3))
    national: Mapped[str] = mapped_column(String(50))
    valid_from: Mapped[date]
    valid_to: Mapped[date | None]
    state: Mapped[str] = mapped_column(String(10), default="draft")
    message: Mapped[str] = mapped_column(String(200), default="")
    changed_at: Mapped[datetime | None] = mapped_column(Instant)
    changed_by_name: Mapped[str] = mapped_column(String(60), default="")


class DrugPriceLimit(Keyed):
    """The most that a pack may cost in yuan (限价、医保支付标准) from one day until before another (FN-16)."""

    __tablename__ = "drug_price_limit"
    __table_args__ = (UniqueConstraint("drug_id", "valid_from"),
                      CheckConstraint("valid_to IS NULL OR valid_to > valid_from", name="order"))
    drug_id: Mapped[int] = mapped_column(ForeignKey("drug.id"))
    pack_price: Mapped[Decimal] = mapped_column(Price)
    valid_from: Mapped[date]
    valid_to: Mapped[date | None]
    reason: Mapped[str] = mapped_column(String(200), default="")
    changed_by: Mapped[int] = mapped_column(BigInteger, default=0)


class ItemSet(Keyed):
    """One version of a set of charge items. The present version has no ``valid_to``; versions are never edited."""

    __tablename__ = "item_set"
    __table_args__ = (UniqueConstraint("code", "version"),)
    code: Mapped[str] = mapped_column(String(40))
    name: Mapped[str] = mapped_column(String(80))
    department_id: Mapped[int | None] = mapped_column(ForeignKey("department.id"))
    version: Mapped[int] = mapped_column(default=1)
    valid_from: Mapped[datetime] = mapped_column(Instant)
    valid_to: Mapped[datetime | None] = mapped_column(Instant)
    changed_by: Mapped[int] = mapped_column(BigInteger, default=0)
    changed_by_name: Mapped[str] = mapped_column(String(60), default="")


class ItemSetLine(Keyed):
    """An item of one version of a set."""

    __tablename__ = "item_set_line"
    __table_args__ = (UniqueConstraint("set_id", "position"), CheckConstraint("quantity > 0", name="quantity"))
    set_id: Mapped[int] = mapped_column(ForeignKey("item_set.id"))
    position: Mapped[int]
    item_id: Mapped[int] = mapped_column(ForeignKey("charge_item.id"), index=True)
    quantity: Mapped[Decimal] = mapped_column(Quantity)
    optional: Mapped[bool] = mapped_column(default=False)


class Diagnosis(Keyed):
    """A diagnosis (ICD-10 code and name)."""

    __tablename__ = "diagnosis"
    __history__ = ("name", "category", "aliases", "active")
    code: Mapped[str] = mapped_column(String(40), unique=True)
    name: Mapped[str] = mapped_column(String(120))
    category: Mapped[str] = mapped_column(String(60), default="")
    aliases: Mapped[str] = mapped_column(String(200), default="")
    active: Mapped[bool] = mapped_column(default=True)
    revision: Mapped[int] = mapped_column(default=1, server_default="1")


class Region(Keyed):
    """An administrative region (GB/T 2260). ``level`` 1 province … 4 township.

    ``name`` is the last one under this code, ``former_names`` the earlier ones (comma). ``successor`` is what the
    state named next; ``present_code`` follows it to the end (itself while valid), kept by the import.
    ``full_name`` is the name with its parents.
    """

    __tablename__ = "region"
    code: Mapped[str] = mapped_column(String(12), unique=True)
    name: Mapped[str] = mapped_column(String(60))
    level: Mapped[int]
    parent_code: Mapped[str] = mapped_column(String(12), default="", index=True)
    valid_from: Mapped[date | None]
    valid_to: Mapped[date | None]
    successor: Mapped[str] = mapped_column(String(12), default="")
    present_code: Mapped[str] = mapped_column(String(12), index=True)
    full_name: Mapped[str] = mapped_column(String(120))
    former_names: Mapped[str] = mapped_column(String(120), default="")


class PostalArea(Keyed):
    """Postcode and telephone area code of a place (M3.3); searched in both directions."""

    __tablename__ = "postal_area"
    __table_args__ = (UniqueConstraint("region_code", "postcode"), Index("ix_postal_area_postcode", "postcode"))
    place: Mapped[str] = mapped_column(String(60))
    region_code: Mapped[str] = mapped_column(String(12))
    postcode: Mapped[str] = mapped_column(String(6))
    area_code: Mapped[str] = mapped_column(String(5), default="")


class DictionaryEntry(Keyed):
    """A value of a dictionary (sex, marriage, ethnic, usage …)."""

    __tablename__ = "dictionary_entry"
    __table_args__ = (UniqueConstraint("dictionary", "code"),)
    __history__ = ("name", "position", "valid_from", "valid_to")
    dictionary: Mapped[str] = mapped_column(String(30))
    code: Mapped[str] = mapped_column(String(30))
    name: Mapped[str] = mapped_column(String(80))
    position: Mapped[int] = mapped_column(default=0)
    valid_from: Mapped[date | None]
    valid_to: Mapped[date | None]
    revision: Mapped[int] = mapped_column(default=1, server_default="1")


class Frequency(Keyed):
    """How often: ``times_per_day`` doses on each of the days that are ``interval_days`` apart (biw: 2 within 7);
    both empty for single and as-needed doses."""

    __tablename__ = "frequency"
    code: Mapped[str] = mapped_column(String(20), unique=True)
    name: Mapped[str] = mapped_column(String(40))
    times_per_day: Mapped[int | None]
    interval_days: Mapped[int | None]


drug_search = make_search_table("drug_search", Drug.__table__)
charge_item_search = make_search_table("charge_item_search", ChargeItem.__table__)
diagnosis_search = make_search_table("diagnosis_search", Diagnosis.__table__)
department_search = make_search_table("department_search", Department.__table__)
staff_search = make_search_table("staff_search", Staff.__table__)
item_set_search = make_search_table("item_set_search", ItemSet.__table__)
region_search = make_search_table("region_search", Region.__table__)
