"""What can be imported: columns with their Chinese names, conversions and references."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from sqlalchemy import Table

from modules.kernel.masterdata import models

Convert = Callable[[str], Any]


class Wrong(ValueError):
    """A cell can't be converted; the message is Chinese."""


@dataclass(frozen=True)
class Column:
    """A column: name in the file, attribute of the model, other accepted headers, conversion.

    ``needed``: may not be empty. ``default``: what an empty cell means. ``points_to``: the kind whose code it holds.
    ``dictionary``: the dictionary whose codes are allowed.
    """

    name: str
    titles: tuple[str, ...] = ()
    convert: Convert = str
    needed: bool = False
    default: Any = None
    attribute: str = ""
    points_to: str = ""
    dictionary: str = ""

    @property
    def target(self) -> str:
        """The attribute it goes to."""
        return self.attribute or self.name


@dataclass(frozen=True)
class Kind:
    """A catalogue: its model, what makes a row unique, its columns, where its search keys and prices go."""

    name: str
    title: str
    model: type[Any]
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    search: Table | None = None
    person: bool = False
    price: Price | None = None
    after: tuple[str, ...] = field(default=())
    """Kinds that have to be there first."""


@dataclass(frozen=True)
class Price:
    """Where a price column goes: model, foreign key, amount attribute."""

    column: str
    model: type[Any]
    owner: str
    amount: str


def text(limit: int) -> Convert:
    """Text of at most ``limit`` characters."""

    def convert(value: str) -> str:
        if len(value) > limit:
            raise Wrong(f"最多 {limit} 个字")
        if any(ord(c) < 32 for c in value):
            raise Wrong("含有控制字符")
        return value

    return convert


def number(low: int = 0, high: int = 10**9) -> Convert:
    """A whole number."""

    def convert(value: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,12}", value) or not low <= int(value) <= high:
            raise Wrong(f"应为 {low} 至 {high} 的整数")
        return int(value)

    return convert


def exact(places: int, *, positive: bool = False) -> Convert:
    """A Decimal with at most so many places."""

    def convert(value: str) -> Decimal:
        try:
            found = Decimal(value)
        except InvalidOperation as error:
            raise Wrong("应为数字") from error
        exponent = found.as_tuple().exponent
        if not found.is_finite() or found < 0 or (positive and found == 0):
            raise Wrong("应为大于 0 的数字" if positive else "不能为负")
        if not isinstance(exponent, int) or -exponent > places:
            raise Wrong(f"最多 {places} 位小数")
        return found

    return convert


def flag(value: str) -> bool:
    """1/0, 是/否."""
    if value not in ("0", "1", "是", "否", "Y", "N"):
        raise Wrong("应为 1（是）或 0（否）")
    return value in ("1", "是", "Y")


def day(value: str) -> date:
    """A date: 2026-01-31 or 20260131; a year alone is its first day, a month its first."""
    plain = value.replace("/", "-")
    for form, tail in ((r"\d{4}-\d{1,2}-\d{1,2}", ""), (r"\d{4}-\d{1,2}", "-1"), (r"\d{4}", "-1-1")):
        if re.fullmatch(form, plain):
            parts = [int(p) for p in (plain + tail).split("-")]
            break
    else:
        if not re.fullmatch(r"\d{8}", plain):
            raise Wrong("日期应为 2026-01-31")
        parts = [int(plain[:4]), int(plain[4:6]), int(plain[6:])]
    try:
        return date(*parts)
    except ValueError as error:
        raise Wrong("日期不存在") from error


def one_of(*choices: str) -> Convert:
    """One of these texts."""

    def convert(value: str) -> str:
        if value not in choices:
            raise Wrong("只能是：" + "、".join(c for c in choices if c))
        return value

    return convert


def some_of(*choices: str) -> Convert:
    """Some of these texts, joined by ; or , → joined by commas."""

    def convert(value: str) -> str:
        parts = rights(value)
        if set(parts.split(",")) - {"", *choices}:
            raise Wrong("只能是：" + "、".join(choices))
        return parts

    return convert


def rights(value: str) -> str:
    """Prescribing rights, joined by ; or , → joined by commas."""
    return ",".join(part.strip() for part in re.split(r"[;,；，]", value) if part.strip())


_CODE = Column("code", ("编码", "代码", "工号"), text(40), needed=True)
_NAME = Column("name", ("名称", "姓名"), text(120), needed=True)
_LEVEL = Column("insurance_level", ("医保等级",), needed=True, dictionary="chrgitm_lv")


def _department(name: str = "department_code", attribute: str = "department_id", **more: Any) -> Column:
    return Column(name, ("科室编码", "科室"), attribute=attribute, points_to="departments", **more)


KINDS: Mapping[str, Kind] = {kind.name: kind for kind in (
    Kind("dictionaries", "字典", models.DictionaryEntry, ("dictionary", "code"), (
        Column("dictionary", ("字典",), text(30), needed=True), Column("code", ("代码",), text(30), needed=True),
        Column("name", ("名称",), text(80), needed=True), Column("valid_from", ("启用日期",), day),
        Column("valid_to", ("停用日期",), day))),
    Kind("frequencies", "频次", models.Frequency, ("code",), (
        Column("code", ("编码",), text(20), needed=True), Column("name", ("名称",), text(40), needed=True),
        Column("times_per_day", ("每日次数",), number(1, 48)), Column("interval_days", ("间隔天数",), number(1, 365)))),
    Kind("regions", "区划", models.Region, ("code",), (
        Column("code", ("代码",), text(12), needed=True), Column("name", ("名称",), text(60), needed=True),
        Column("level", ("级别",), number(1, 5), needed=True), Column("parent_code", ("上级代码",), text(12), default=""),
        Column("valid_from", ("启用日期",), day), Column("valid_to", ("撤销日期",), day),
        Column("successor", ("后继代码",), text(12), default=""),
        Column("former_names", ("曾用名",), text(120), default="")), search=models.region_search),
    Kind("postcodes", "邮编", models.PostalArea, ("region_code", "postcode"), (
        Column("region_code", ("地区代码",), text(12), needed=True),
        Column("name", ("地名",), text(60), needed=True, attribute="place"),
        Column("postcode", ("邮政编码",), text(6), default=""), Column("area_code", ("区号",), text(5), default=""))),
    Kind("departments", "科室", models.Department, ("code",), (
        Column("code", ("编码",), text(20), needed=True), Column("name", ("名称",), text(60), needed=True),
        Column("kind", ("类别",), one_of("临床", "医技", "药房", "行政", "收费"), needed=True),
        Column("parent_code", ("上级编码",), attribute="parent_id", points_to="departments"),
        Column("outpatient", ("门诊",), flag, default=False), Column("emergency", ("急诊",), flag, default=False),
        Column("building", ("楼宇",), text(40), default="")), search=models.department_search),
    Kind("wards", "病区", models.Ward, ("code",), (
        Column("code", ("编码",), text(20), needed=True), Column("name", ("名称",), text(60), needed=True),
        _department(needed=True), Column("beds", ("床位数",), number(0, 500), needed=True)), after=("departments",)),
    Kind("staff", "人员", models.Staff, ("code",), (
        Column("code", ("工号",), text(20), needed=True), Column("name", ("姓名",), text(60), needed=True),
        Column("sex", ("性别",), needed=True, dictionary="sex"), _department(needed=True),
        Column("title", ("职称",), text(30), default=""), Column("role", ("岗位",), text(30), default=""),
        Column("rights", ("处方权",), rights, default="")), search=models.staff_search, person=True,
        after=("departments", "dictionaries")),
    Kind("charge_items", "收费项目", models.ChargeItem, ("code",), (
        _CODE, _NAME, Column("unit", ("单位",), text(20), needed=True), Column("price", ("单价",), exact(4), needed=True),
        Column("fiscal_category", ("财务分类",), needed=True, dictionary="med_chrgitm_type"), _LEVEL,
        Column("performing_kind", ("执行类别",), text(10), needed=True),
        Column("aliases", ("别名",), text(200), default="")), search=models.charge_item_search,
        price=Price("price", models.ChargeItemPrice, "item_id", "price"), after=("dictionaries",)),
    Kind("drugs", "药品", models.Drug, ("code",), (
        _CODE, _NAME, Column("form", ("剂型",), text(40), needed=True), Column("spec", ("规格",), text(80), needed=True),
        Column("dose_amount", ("单位含量",), exact(4, positive=True)), Column("dose_unit", ("剂量单位",), text(20), default=""),
        Column("base_unit", ("最小单位",), text(20), needed=True), Column("pack_unit", ("包装单位",), text(20), needed=True),
        Column("pack_size", ("包装数量",), number(1, 100_000), needed=True),
        Column("manufacturer", ("生产厂家",), text(120), default=""), Column("price", ("单价",), exact(4), needed=True),
        Column("category", ("财务分类",), one_of("09", "10", "11"), needed=True, attribute="fiscal_category"),
        Column("control", ("管制",), one_of("普通", "麻醉", "精一", "精二", "毒性", "放射", "易制毒"), default="普通"),
        Column("antimicrobial", ("抗菌级别",), one_of("", "非限制", "限制", "特殊"), default=""),
        Column("tb", ("结核免费",), flag, default=False), Column("skin_test", ("皮试",), flag, default=False),
        Column("splittable", ("可拆零",), flag, default=False), _LEVEL,
        Column("default_usage", ("默认用法",), text(20), default=""),
        Column("default_frequency", ("默认频次",), text(20), default=""), Column("otc", ("非处方药",), flag, default=False),
        Column("ingredient", ("有效成分",), text(60), default=""), Column("drug_class", ("药理类别",), text(30), default=""),
        Column("release", ("释放",), one_of("", "缓释", "控释"), default=""),
        Column("max_dose", ("单次极量",), exact(4, positive=True)), Column("max_daily", ("日极量",), exact(4, positive=True)),
        Column("chronic_infections", ("慢性感染",), some_of("结核", "细菌", "真菌"), default=""),
        Column("aliases", ("别名", "商品名"), text(200), default="")), search=models.drug_search,
        price=Price("price", models.DrugPrice, "drug_id", "pack_price"), after=("dictionaries",)),
    Kind("diagnoses", "诊断", models.Diagnosis, ("code",), (
        _CODE, _NAME, Column("category", ("分类",), text(60), default=""),
        Column("aliases", ("别名",), text(200), default="")), search=models.diagnosis_search),
)}
