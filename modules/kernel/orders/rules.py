"""Pure rules of prescribing: quantities, limits, rights (处方管理办法, COMPLIANCE RX-02, RX-06, RX-08, RX-11)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from his_server.money import PRICE, round_money

MAX_DRUGS = 5
MAX_DAYS = 7
MAX_DAYS_EMERGENCY = 3
MAX_DAYS_CHRONIC = 28
HERB = "10"
NARCOTIC = frozenset({"麻醉", "精一"})


@dataclass(frozen=True)
class Dosage:
    """What a line needs. ``exact`` and ``quantity`` in smallest units; ``warnings`` are Chinese."""

    exact: Decimal
    quantity: Decimal
    warnings: tuple[str, ...]


def needed(*, dose: Decimal, dose_amount: Decimal | None, times_per_day: int | None, interval_days: int | None,
           days: int, pack_size: int, splittable: bool, base_unit: str) -> Dosage:
    """How much a dose, a frequency and a number of days need.

    ``dose_amount`` is what one smallest unit holds, in the dose unit; where nobody said, a dose is counted in
    smallest units. A frequency without a rhythm (st, prn) is one dose. Fractions are visible as warnings (RX-11,
    M8.9); a drug that may not be split is rounded up to whole packs.
    """
    units = dose if not dose_amount else dose / dose_amount
    turns = 1 if not interval_days else (times_per_day or 1) * -(-days // interval_days)
    exact = units * turns
    whole = exact.to_integral_value(rounding=ROUND_CEILING)
    warnings = []
    if units != units.to_integral_value():
        warnings.append(f"每次用量为 {units.normalize():.4g} {base_unit}，请确认能否分剂量")
    if not splittable and whole % pack_size:
        whole = (whole / pack_size).to_integral_value(rounding=ROUND_CEILING) * pack_size
        warnings.append("该药不可拆零，已按整包装取整")
    return Dosage(exact, whole, tuple(warnings))


@dataclass(frozen=True)
class Drugged:
    """What the limits need of a line."""

    name: str
    fiscal_category: str
    control: str
    antimicrobial: str
    form: str
    days: int
    tb: bool = False


def prescription_errors(lines: Sequence[Drugged], *, emergency: bool, chronic_reason: str, rights: frozenset[str]
                        ) -> list[tuple[str, str]]:
    """What is wrong with a prescription: (field, Chinese message). Empty = may be issued.

    ``chronic_reason``: why it is longer than the rule (慢病, 老年病, 特殊情况); ``rights``: the doctor's.
    """
    errors = []
    herbs = [line for line in lines if line.fiscal_category == HERB]
    if herbs and len(herbs) != len(lines):
        errors.append(("lines", "中药饮片须单独开具处方"))
    if not herbs and len({line.name for line in lines}) > MAX_DRUGS:
        errors.append(("lines", f"每张处方不得超过 {MAX_DRUGS} 种药品"))
    for index, line in enumerate(lines):
        limit = MAX_DAYS_EMERGENCY if emergency else MAX_DAYS
        if chronic_reason and line.control == "普通" and (not line.antimicrobial or line.tb):
            limit = MAX_DAYS_CHRONIC
        if line.days > limit:
            hint = "" if chronic_reason else "；慢性病、老年病或特殊情况须注明理由"
            errors.append((f"lines.{index}.days", f"{line.name} 最多开 {limit} 日用量{hint}"))
        if line.control in NARCOTIC and "麻精" not in rights:
            errors.append((f"lines.{index}.drug_id", f"{line.name} 为{line.control}药品，您没有麻精处方权"))
        if line.control in NARCOTIC and (line.days > (1 if "注射" in line.form else 3)):
            errors.append((f"lines.{index}.days", f"{line.name} 超过麻精一类处方限量（注射剂 1 次，其他 3 日）"))
        if line.antimicrobial == "特殊":
            errors.append((f"lines.{index}.drug_id", f"{line.name} 为特殊使用级抗菌药物，门诊不得使用"))
        elif line.antimicrobial and f"抗菌{line.antimicrobial}" not in rights:
            errors.append((f"lines.{index}.drug_id", f"{line.name} 为{line.antimicrobial}使用级抗菌药物，您没有相应处方权"))
    return errors


def prescription_kind(lines: Sequence[Drugged], *, emergency: bool) -> str:
    """Which kind of prescription form it is."""
    if any(line.control in NARCOTIC for line in lines):
        return "麻精一"
    if any(line.control == "精二" for line in lines):
        return "精二"
    if any(line.fiscal_category == HERB for line in lines):
        return "中药"
    return "急诊" if emergency else "普通"


@dataclass(frozen=True)
class Charged:
    """How a quantity in smallest units is charged: unit, quantity, price per unit, smallest units per unit."""

    unit: str
    quantity: Decimal
    price: Decimal
    factor: Decimal


def charge_unit(quantity: Decimal, *, pack_size: int, pack_unit: str, base_unit: str, pack_price: Decimal) -> Charged:
    """Whole packs are charged as packs; anything else in smallest units at the pack price's share, four places."""
    if quantity % pack_size == 0:
        return Charged(pack_unit, quantity / pack_size, pack_price, Decimal(pack_size))
    return Charged(base_unit, quantity, round_money(pack_price / pack_size, PRICE), Decimal(1))
