"""Pure rules of the warehouse: how alike a drug and a platform product are, whole packs, what a price change is worth."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from his_server.money import round_money

PAPER_KINDS = ("药品经营许可证", "营业执照", "GSP证书", "授权委托书", "购销合同")
REJECT_REASONS = ("包装破损", "效期过近", "与订单不符", "无检验报告", "冷链不合格", "追溯码无法识读")
ORDER_STATES = {"draft": "待发送", "sent": "已发送", "received": "已收齐", "closed": "已关闭", "cancelled": "已作废"}
RECEIPT_STATES = {"inspecting": "待验收", "accepted": "已验收", "cancelled": "已作废"}
_FORMS = re.compile(r"(肠溶|缓释|控释|分散|咀嚼|泡腾)?(片|胶囊|颗粒|注射液|口服液|软膏|乳膏|滴眼液|糖浆|栓|丸|散|粉针剂?)$")
_SALTS = re.compile(r"^(盐酸|硫酸|磷酸|枸橼酸|马来酸|富马酸|酒石酸|苯磺酸|甲磺酸|醋酸|碳酸|氢溴酸)|(钠|钾|钙)$")
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)\s*(mg|g|ug|μg|ml|l|iu|万单位|单位|片|粒|支|袋|瓶|丸|贴|枚|s)", re.IGNORECASE)
_COMPANY = re.compile(r"(有限责任公司|股份有限公司|有限公司|集团|制药厂|药厂|制药|药业|医药|公司|\(.*?\)|（.*?）)")


@dataclass(frozen=True)
class Described:
    """A drug as either side describes it."""

    name: str
    form: str
    spec: str
    manufacturer: str
    approval_no: str = ""


def plain(text: str) -> str:
    """Text as compared: NFKC, lower, without blanks."""
    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", text)).lower()


def core_name(name: str) -> str:
    """A drug's name without salt and form: 盐酸氨溴索片 → 氨溴索."""
    return _SALTS.sub("", _FORMS.sub("", plain(name)))


def amounts_of(spec: str) -> frozenset[tuple[Decimal, str]]:
    """The amounts in a specification, in one unit each: ``250mg*24粒`` → {(250, mg), (24, 粒)}."""
    found = set()
    for number, unit in _NUMBER.findall(plain(spec).replace("×", "*")):
        value, name = Decimal(number), unit.lower()
        if name == "g":
            value, name = value * 1000, "mg"
        elif name in {"ug", "μg"}:
            value, name = value / 1000, "mg"
        elif name == "l":
            value, name = value * 1000, "ml"
        elif name == "s":
            name = "粒"
        found.add((value.normalize(), name))
    return frozenset(found)


def _strength(amounts: frozenset[tuple[Decimal, str]]) -> frozenset[tuple[Decimal, str]]:
    return frozenset(one for one in amounts if one[1] in {"mg", "iu", "单位", "万单位"})


def core_company(name: str) -> str:
    """A manufacturer without its legal form."""
    return _COMPANY.sub("", plain(name))


def likeness(ours: Described, theirs: Described) -> tuple[int, list[str]]:
    """How alike two descriptions are, 0 to 100, and what speaks for it. An equal approval number decides."""
    if ours.approval_no and plain(ours.approval_no) == plain(theirs.approval_no):
        return 100, ["批准文号一致"]
    score, reasons = 0, []
    if plain(ours.name) == plain(theirs.name):
        score, reasons = 45, ["名称一致"]
    elif core_name(ours.name) and core_name(ours.name) == core_name(theirs.name):
        score, reasons = 30, ["通用名一致"]
    else:
        return 0, []
    mine, other = amounts_of(ours.spec), amounts_of(theirs.spec)
    if mine and mine == other:
        score, reasons = score + 30, [*reasons, "规格一致"]
    elif _strength(mine) and _strength(other) and not _strength(mine) & _strength(other):
        score, reasons = score - 25, [*reasons, "含量不同"]
    elif mine & other:
        score, reasons = score + 15, [*reasons, "规格部分一致"]
    if core_company(ours.manufacturer) and core_company(ours.manufacturer) == core_company(theirs.manufacturer):
        score, reasons = score + 20, [*reasons, "厂家一致"]
    if ours.form and plain(ours.form) == plain(theirs.form):
        score, reasons = score + 5, [*reasons, "剂型一致"]
    return score, reasons


def whole_packs(quantity: Decimal, pack_size: int) -> Decimal:
    """The least whole packs that hold a quantity, in smallest units."""
    return (quantity / pack_size).to_integral_value(ROUND_CEILING) * pack_size


def retail(quantity: Decimal, pack_price: Decimal, pack_size: int) -> Decimal:
    """What a quantity (smallest units) is worth at a retail price per pack."""
    return round_money(quantity * pack_price / pack_size)
