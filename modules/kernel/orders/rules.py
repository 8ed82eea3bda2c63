"""Pure rules of prescribing: quantities, limits, rights (处方管理办法, 长期处方管理规范, 卫生部令第 84 号).

Implements: R3, RX-01, RX-02, RX-03, RX-04, RX-05, RX-06, RX-08, RX-10, RX-11, M7.8, M8.9
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import Literal

from his_server.money import PRICE, round_money

Place = Literal["outpatient", "emergency", "inpatient"]
MAX_DRUGS = 5
MAX_DAYS = 7
MAX_DAYS_EMERGENCY = 3
LONG_DAYS, LONG_DAYS_MOST = 28, 84
EXTENSION_MOST = 3
TOXIC_DAYS = 2
OVERRIDE_DAYS = 1
HERB = "10"
NARCOTIC = frozenset({"麻醉", "精一"})
CONTROLLED = frozenset({"毒性", "放射", "易制毒", "精二"}) | NARCOTIC
"""Classes that a long-term prescription may not have, but for antimicrobials, which depend on the diagnosis (RX-03)."""
ONCE_IN_HOSPITAL = ("二氢埃托啡", "哌替啶")
LEVELS = ("非限制", "限制", "特殊")
TITLE_LEVELS = {"主任医师": 3, "副主任医师": 3, "主治医师": 2, "住院医师": 1, "医师": 1}
UNDIVIDABLE = ("胶囊", "肠溶", "缓释", "控释", "滴丸", "舌下")
INFUSION_USAGES = ("静滴", "静注", "泵入")

_GROUPS = (
    ("癌症", tuple(f"C{n:02d}" for n in range(98))), ("慢性疼痛", ("R52.1", "R52.2")), ("多动症", ("F90",)),
    ("结核", (*(f"A{n}" for n in range(15, 20)), "B90")),
    ("细菌", ("A23", "A30", "A31", "A42", "A43", "M86.3", "M86.4", "M86.5", "M86.6")),
    ("真菌", tuple(f"B{n}" for n in range(35, 50))))


def diagnosis_groups(code: str) -> frozenset[str]:
    """Which of the law's exceptions a diagnosis (ICD-10 code) opens: 癌症, 慢性疼痛, 多动症, 结核, 细菌, 真菌."""
    return frozenset(name for name, starts in _GROUPS if code and code.upper().startswith(starts))


def valid_until(issued: date, extension: int = 0) -> date:
    """The last day of a prescription: the day it is issued, or ``extension`` (at most 3) days later (RX-01)."""
    if not 0 <= extension <= EXTENSION_MOST:
        raise ValueError(f"a prescription is extended by 0 to {EXTENSION_MOST} days, not {extension}")
    return issued + timedelta(days=extension)


def is_night(at: time, begins: str, ends: str) -> bool:
    """Whether a local time is in the night from ``begins`` until before ``ends`` (HH:MM; over midnight; empty = never)."""
    if not begins or not ends:
        return False
    first, last = time.fromisoformat(begins), time.fromisoformat(ends)
    return first <= at < last if first <= last else at >= first or at < last


@dataclass(frozen=True)
class Dosage:
    """What a line needs. ``exact`` and ``quantity`` in smallest units; ``warnings`` are Chinese."""

    exact: Decimal
    quantity: Decimal
    warnings: tuple[str, ...]


def doses(times_per_day: int | None, interval_days: int | None, days: int) -> int:
    """How many doses a frequency makes in so many days; a frequency without a rhythm (st, prn) is one."""
    return 1 if not interval_days else (times_per_day or 1) * -(-days // interval_days)


def needed(*, dose: Decimal, dose_amount: Decimal | None, times_per_day: int | None, interval_days: int | None,
           days: int, pack_size: int, splittable: bool, base_unit: str, form: str = "") -> Dosage:
    """How much a dose, a frequency and a number of days need.

    ``dose_amount`` is what one smallest unit holds, in the dose unit; where nobody said, a dose is counted in
    smallest units. A frequency without a rhythm (st, prn) is one dose. Fractions are visible as warnings (RX-11,
    M8.9); a drug that may not be split is rounded up to whole packs.
    """
    units = dose if not dose_amount else dose / dose_amount
    turns = doses(times_per_day, interval_days, days)
    exact = units * turns
    whole = exact.to_integral_value(rounding=ROUND_CEILING)
    warnings = []
    if units != units.to_integral_value():
        whole_only = next((word for word in UNDIVIDABLE if word in form), "")
        hint = f"{form}不能掰开或分剂量，请改用其他规格" if whole_only else "请确认能否分剂量"
        warnings.append(f"每次用量为 {units.normalize():.4g} {base_unit}，{hint}")
    if not splittable and whole % pack_size:
        whole = (whole / pack_size).to_integral_value(rounding=ROUND_CEILING) * pack_size
        warnings.append("该药不可拆零，已按整包装取整")
    return Dosage(exact, whole, tuple(warnings))


@dataclass(frozen=True)
class Drugged:
    """What the limits need of a line. ``dose`` single dose and ``amount`` whole quantity, both in the drug's dose unit;
    ``turns`` how many doses; ``infections`` the chronic infections that the drug treats."""

    name: str
    fiscal_category: str
    control: str
    antimicrobial: str
    form: str
    days: int
    turns: int = 1
    usage: str = ""
    ingredient: str = ""
    drug_class: str = ""
    release: str = ""
    dose: Decimal | None = None
    daily: Decimal | None = None
    amount: Decimal | None = None
    max_dose: Decimal | None = None
    max_daily: Decimal | None = None
    dose_unit: str = ""
    infections: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Case:
    """For whom, where and by whom a prescription is written.

    ``reason``: why it is longer than the rule (慢性病, 老年病, 特殊情况). ``long_term`` with ``assessment`` (evaluation
    record) and ``signed_by`` (the patient or who signs for them). ``consulted``: a senior expert's consent to
    special-use antimicrobials. ``override``: why a rescue goes beyond one's level. ``level_2``: a hospital of the
    second level or above.
    """

    place: Place = "outpatient"
    groups: frozenset[str] = frozenset()
    reason: str = ""
    long_term: bool = False
    assessment: str = ""
    signed_by: str = ""
    night: bool = False
    rights: frozenset[str] = frozenset()
    title: str = ""
    consulted: bool = False
    override: str = ""
    psychotropic_days: int = 14
    level_2: bool = True

    @property
    def usual_days(self) -> int:
        """Days without a reason: 7, in an emergency and at night 3 (RX-02, M7.8)."""
        return MAX_DAYS_EMERGENCY if self.place == "emergency" or self.night else MAX_DAYS


def is_injection(form: str) -> bool:
    """Injections, infusions, powders for injection."""
    return "注射" in form or "粉针" in form


def excluded(line: Drugged, case: Case) -> bool:
    """Whether a line may not be prescribed long-term: controlled, or antimicrobial for no chronic infection (RX-03)."""
    return line.control in CONTROLLED or bool(line.antimicrobial and not line.infections & case.groups)


def narcotic_days(line: Drugged, case: Case) -> int | None:
    """Days of a narcotic or class 1 psychotropic; None = one single dose (RX-04)."""
    if case.place == "inpatient":
        return 1
    if line.ingredient.startswith(ONCE_IN_HOSPITAL):
        return None
    if line.ingredient.startswith("哌甲酯") and "多动症" in case.groups:
        return 15
    pain = bool(case.groups & {"癌症", "慢性疼痛"})
    if is_injection(line.form):
        days = 3 if pain else None
    elif line.release:
        days = 15 if pain else 7
    else:
        days = 7 if pain else 3
    return days if days is None or pain else min(days, case.usual_days)


def day_limit(line: Drugged, case: Case) -> int:
    """The most days of a line that is no narcotic (RX-02, RX-03, RX-04)."""
    if line.control == "精二" and case.reason and case.place == "outpatient" and not case.night:
        return case.psychotropic_days
    if excluded(line, case) or not case.reason or case.night:
        return case.usual_days
    if case.place != "outpatient":
        return MAX_DAYS
    return LONG_DAYS_MOST if case.long_term else LONG_DAYS


def prescription_errors(lines: Sequence[Drugged], case: Case) -> list[tuple[str, str]]:
    """What is wrong with a prescription: (field, Chinese message). Empty = may be issued."""
    errors = _whole(lines, case)
    for index, line in enumerate(lines):
        at = f"lines.{index}"
        errors += [(f"{at}.{name}", f"{line.name} {text}") for name, text in (
            *_narcotic(line, case), *_days(line, case), *_toxic(line), *_antimicrobial(line, case))]
        if line.antimicrobial == "特殊" and case.place != "outpatient" and not case.consulted and not case.override:
            errors.append(("consultant_id", f"{line.name} 为特殊使用级抗菌药物，须经高级职称专家会诊同意，请填写会诊医师"))
    return errors


def _whole(lines: Sequence[Drugged], case: Case) -> list[tuple[str, str]]:
    errors = []
    herbs = [line for line in lines if line.fiscal_category == HERB]
    if herbs and len(herbs) != len(lines):
        errors.append(("lines", "中药饮片须单独开具处方"))
    if not herbs and len({line.name for line in lines}) > MAX_DRUGS:
        errors.append(("lines", f"每张处方不得超过 {MAX_DRUGS} 种药品"))
    if case.night and (case.reason or case.long_term):
        errors.append(("chronic_reason", "夜间只能开临时医嘱（急诊药房，3 日以内），不能开长期处方"))
    if case.long_term and case.place != "outpatient":
        errors.append(("long_term", "长期处方只能在门诊开具"))
    if case.long_term and not case.reason:
        errors.append(("chronic_reason", "长期处方须注明理由"))
    if case.long_term and any(line.days > LONG_DAYS for line in lines):
        if not case.assessment:
            errors.append(("assessment", "超过 4 周的长期处方须填写病情评估记录"))
        if not case.signed_by:
            errors.append(("signed_by", "超过 4 周的长期处方须由病人（或代理人）签字确认"))
    return errors


def _narcotic(line: Drugged, case: Case) -> list[tuple[str, str]]:
    if line.control not in NARCOTIC:
        return []
    errors = []
    if "麻精" not in case.rights:
        errors.append(("drug_id", f"为{line.control}药品，您没有麻精处方权"))
    if line.ingredient.startswith(ONCE_IN_HOSPITAL) and line.usage == "口服":
        errors.append(("usage", "仅限院内使用，不能带药回家"))
    if line.ingredient.startswith("二氢埃托啡") and not case.level_2:
        errors.append(("drug_id", "仅限二级以上医院使用"))
    days = narcotic_days(line, case)
    if days is None and (line.days > 1 or line.turns > 1):
        errors.append(("days", "每张处方限 1 次常用量"))
    elif days is not None and line.days > days:
        errors.append(("days", f"每张处方不得超过 {days} 日常用量"))
    return errors


def _days(line: Drugged, case: Case) -> list[tuple[str, str]]:
    errors = []
    if case.long_term and excluded(line, case):
        why = f"{line.control}药品" if line.control in CONTROLLED else "抗菌药物（非结核等慢性感染）"
        errors.append(("drug_id", f"属于{why}，不得开具长期处方"))
    if line.control in NARCOTIC:
        return errors
    limit = day_limit(line, case)
    if line.days > limit:
        if limit == LONG_DAYS and not case.long_term:
            hint = "；超过 4 周须开具长期处方，最长 12 周"
        elif not case.reason and not case.night and (line.control == "精二" or not excluded(line, case)):
            hint = "；慢性病、老年病或特殊情况须注明理由"
        else:
            hint = ""
        errors.append(("days", f"最多开 {limit} 日用量{hint}"))
    return errors


def _toxic(line: Drugged) -> list[tuple[str, str]]:
    if line.control != "毒性":
        return []
    if line.max_daily is None or line.amount is None:
        return [("drug_id", "为毒性药品，但未维护日极量或单位含量，不能开具，请联系药剂科")]
    if line.amount > TOXIC_DAYS * line.max_daily:
        most = (TOXIC_DAYS * line.max_daily).normalize()
        return [("quantity", f"为毒性药品，每次处方不得超过 2 日极量（{most:f}{line.dose_unit}）")]
    return []


def _antimicrobial(line: Drugged, case: Case) -> list[tuple[str, str]]:
    if line.antimicrobial not in LEVELS:
        return []
    level = LEVELS.index(line.antimicrobial) + 1
    if level == len(LEVELS) and case.place == "outpatient":
        return [("drug_id", "为特殊使用级抗菌药物，门诊不得使用")]
    if antimicrobial_level(case.rights, case.title) >= level:
        return []
    if not case.override:
        return [("drug_id", f"为{line.antimicrobial}使用级抗菌药物，您没有相应处方权；抢救可写明理由越级使用，24 小时内补办")]
    if line.days > OVERRIDE_DAYS:
        return [("days", f"越级使用抗菌药物限 {OVERRIDE_DAYS} 日用量")]
    return []


def antimicrobial_level(rights: frozenset[str], title: str) -> int:
    """The highest level (0 none … 3 special) that a doctor may prescribe: granted, and fit for the title (RX-08)."""
    granted = max((n for n, name in enumerate(LEVELS, 1) if f"抗菌{name}" in rights), default=0)
    return min(granted, TITLE_LEVELS.get(title, 0))


def beyond_level(lines: Iterable[Drugged], case: Case) -> str:
    """The highest antimicrobial level of the lines that is beyond the doctor's own; empty if none is."""
    mine = antimicrobial_level(case.rights, case.title)
    beyond = [LEVELS.index(line.antimicrobial) for line in lines if line.antimicrobial in LEVELS[mine:]]
    return LEVELS[max(beyond)] if beyond else ""


@dataclass(frozen=True)
class Warned:
    """What a check of the drugs found. ``level`` stop (a written reason is needed) or warn; ``kind`` allergy, duplicate,
    interaction, dose, notice or check (the check itself failed)."""

    level: str
    kind: str
    field: str
    message: str


def check_drugs(lines: Sequence[Drugged], *, allergies: str, taking: Mapping[str, str],
                interactions: Mapping[frozenset[str], str]) -> list[Warned]:
    """Allergy, repeated drug, interaction and dose, as far as the hospital's own data tell (RX-10).

    ``allergies`` as the person's file says; ``taking``: ingredients of other prescriptions in force → their numbers;
    ``interactions``: pairs of ingredients → what happens.
    """
    found: list[Warned] = []
    seen: dict[str, int] = {}
    for index, line in enumerate(lines):
        name, at = line.ingredient or line.name, f"lines.{index}"
        if (allergy := _allergic(line, allergies)):
            found.append(Warned("stop", "allergy", f"{at}.drug_id", f"{line.name}：病人对“{allergy}”过敏"))
        if name in seen:
            found.append(Warned("warn", "duplicate", f"{at}.drug_id", f"{line.name}：与第 {seen[name] + 1} 行成分相同"))
        elif line.ingredient in taking:
            found.append(Warned("warn", "duplicate", f"{at}.drug_id",
                                f"{line.name}：与处方 {taking[line.ingredient]} 的药品成分相同，请核对是否重复用药"))
        seen.setdefault(name, index)
        found += [Warned("stop", "dose", f"{at}.dose", f"{line.name}：{title} {given.normalize():f}{line.dose_unit} 超过"
                                                       f"{limit} {most.normalize():f}{line.dose_unit}")
                  for title, given, limit, most in (("每次", line.dose, "单次极量", line.max_dose),
                                                    ("每日", line.daily, "日极量", line.max_daily))
                  if given is not None and most is not None and given > most]
    for pair, text in interactions.items():
        if len(pair) > 1 and (both := [i for i, line in enumerate(lines) if line.ingredient in pair]) and {
                lines[i].ingredient for i in both} == pair:
            found.append(Warned("warn", "interaction", f"lines.{both[-1]}.drug_id", f"{'与'.join(sorted(pair))}：{text}"))
    return found


def allergens(allergies: str) -> list[str]:
    """What a person's file names as allergies, word by word; not what it says of having none."""
    return [word for word in re.split(r"[,，;；、/\s]+", allergies or "")
            if len(word) > 1 and word not in ("不详", "否认", "没有", "未知")]


def _allergic(line: Drugged, allergies: str) -> str:
    """What the file's allergies say that this drug is, or belongs to; by its name too, for catalogues name no ingredients."""
    kin = line.drug_class.removesuffix("类")
    known = next((word for word in (line.ingredient, line.drug_class, kin) if len(word) > 1 and word in allergies), "")
    return known or next((word for word in allergens(allergies) if word.removesuffix("类") in line.name), "")


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


@dataclass(frozen=True)
class LabTest:
    """A paid or ordered laboratory test: its line, item, specimen (静脉血, 尿 …), container, test group and where it is drawn."""

    line_id: int
    item: str
    specimen: str
    container: str
    group: str = ""
    site: str = ""


@dataclass(frozen=True)
class CollectionFee:
    """A fee that comes with laboratory tests: the charge item, how often, and the lines whose tests it is for. The refund of
    the last of these lines refunds it. ``key`` makes it unique within a visit."""

    key: str
    item: str
    covers: tuple[int, ...]


def collection_fees(tests: Iterable[LabTest], tubes: Mapping[str, str], drawing: Sequence[str]) -> list[CollectionFee]:
    """采血费、试管费 of the tests of one patient (H7). ``tubes``: container → charge item; ``drawing``: the items charged once
    per drawing (采血费, 采血针费).

    Only blood costs anything: a drawing once per collection site, a tube once per tube. Tests of one specimen, container and
    group share a tube; the same test twice never does. The answer depends on what is ordered, not on the order of it.
    """
    blood = sorted((test for test in tests if "血" in test.specimen), key=lambda test: test.line_id)
    fees = [CollectionFee(f"draw:{site}:{item}", item, tuple(t.line_id for t in blood if t.site == site))
            for site in sorted({test.site for test in blood}) for item in drawing]
    filled: dict[tuple[str, str, str, int], list[LabTest]] = {}
    for test in blood:
        turn = sum(1 for key, inside in filled.items() if key[:3] == (test.specimen, test.container, test.group)
                   and any(other.item == test.item for other in inside))
        filled.setdefault((test.specimen, test.container, test.group, turn), []).append(test)
    return fees + [CollectionFee(f"tube:{specimen}:{container}:{group}:{turn}", tubes[container],
                                 tuple(t.line_id for t in inside))
                   for (specimen, container, group, turn), inside in sorted(filled.items()) if container in tubes]
