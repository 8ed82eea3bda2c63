"""The demo hospital's catalogues are complete, consistent and refer only to what exists."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "demo" / "data"
MASTER = ROOT / "modules" / "kernel" / "masterdata" / "data"

Row = dict[str, str]


def read(path: Path) -> list[Row]:
    """Rows of one catalogue; every line must have exactly the header's columns and no stray blanks."""
    with path.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    for number, row in enumerate(rows, start=2):
        assert None not in row and None not in row.values(), f"{path.name}:{number} has the wrong columns"
        for column, value in row.items():
            assert value == value.strip() and "\n" not in value, f"{path.name}:{number} {column}"
    return rows


DICTIONARIES = read(MASTER / "dictionaries.csv")
CODES: dict[str, set[str]] = {}
for _entry in DICTIONARIES:
    CODES.setdefault(_entry["dictionary"], set()).add(_entry["code"])
DRUGS = read(DEMO / "drugs.csv")
ITEMS = read(DEMO / "charge_items.csv")
DIAGNOSES = read(DEMO / "diagnoses.csv")
DEPARTMENTS = read(DEMO / "departments.csv")
WARDS = read(DEMO / "wards.csv")
STAFF = read(DEMO / "staff.csv")
SETS = read(DEMO / "item_sets.csv")
SCHEDULES = read(DEMO / "schedules.csv")


def names_of(dictionary: str) -> dict[str, str]:
    return {row["code"]: row["name"] for row in DICTIONARIES if row["dictionary"] == dictionary}


@pytest.mark.parametrize("rows, least", [(DRUGS, 600), (ITEMS, 800), (DIAGNOSES, 1000), (DEPARTMENTS, 50),
                                         (WARDS, 20), (STAFF, 200)])
def test_there_is_enough_and_no_code_comes_twice(rows: list[Row], least: int) -> None:
    assert len(rows) >= least
    codes = Counter(row["code"] for row in rows)
    assert [code for code, times in codes.items() if times > 1] == []
    assert all(row["code"] and row["name"] for row in rows)


@pytest.mark.parametrize("rows, columns", [
    (DRUGS, ("name", "spec", "manufacturer")), (ITEMS, ("name",)), (DIAGNOSES, ("name",)), (DEPARTMENTS, ("name",)),
    (WARDS, ("name",)), (STAFF, ("name",)), (SETS, ("code", "item_code")),
    (SCHEDULES, ("staff_code", "weekday", "session")),
])
def test_nothing_is_there_twice(rows: list[Row], columns: tuple[str, ...]) -> None:
    seen = Counter(tuple(row[column] for column in columns) for row in rows)
    assert [key for key, times in seen.items() if times > 1] == []


@pytest.mark.parametrize("rows, column, dictionary, may_be_empty", [
    (DRUGS, "form", "dosage_form", False), (DRUGS, "category", "drug_category", False),
    (DRUGS, "control", "drug_control", False), (DRUGS, "antimicrobial", "antimicrobial_level", True),
    (DRUGS, "insurance_level", "chrgitm_lv", False), (DRUGS, "default_usage", "usage", False),
    (DRUGS, "default_frequency", "frequency", False), (ITEMS, "fiscal_category", "med_chrgitm_type", False),
    (ITEMS, "insurance_level", "chrgitm_lv", False), (ITEMS, "performing_kind", "performing_kind", False),
    (DEPARTMENTS, "kind", "department_kind", False), (DEPARTMENTS, "building", "building", False),
    (STAFF, "sex", "sex", False), (STAFF, "title", "staff_title", False), (STAFF, "role", "staff_role", False),
    (SCHEDULES, "session", "session", False), (SCHEDULES, "register_level", "register_level", False),
])
def test_every_code_is_in_its_dictionary(rows: list[Row], column: str, dictionary: str, may_be_empty: bool) -> None:
    used = {row[column] for row in rows} - ({""} if may_be_empty else set())
    assert used <= CODES[dictionary]


@pytest.mark.parametrize("rows, columns", [
    (DRUGS, ("tb", "skin_test", "splittable", "otc")), (DEPARTMENTS, ("outpatient", "emergency")),
])
def test_flags_are_0_or_1(rows: list[Row], columns: tuple[str, ...]) -> None:
    assert {row[column] for row in rows for column in columns} == {"0", "1"}


@pytest.mark.parametrize("rows, places", [(DRUGS, 4), (ITEMS, 2)])
def test_prices_are_exact_and_not_negative(rows: list[Row], places: int) -> None:
    for row in rows:
        assert re.fullmatch(rf"\d+\.\d{{{places}}}", row["price"]), row
    free = [row for row in rows if Decimal(row["price"]) == 0]
    assert 0 < len(free) < len(rows) / 50


# --- drugs --------------------------------------------------------------------------------------------------------

BASE_UNITS = {"片", "粒", "支", "袋", "瓶", "丸", "贴", "罐", "g"}
DOSE_UNITS = {"g", "mg", "μg", "ml", "U", "万U", "MBq", "吸", "泡"}


def test_a_specification_says_what_the_columns_say() -> None:
    """0.1g×100片/瓶 = 100 times 0.1 g in a 瓶; 2ml:0.1g×10支/盒 holds 0.1 g in 2 ml; 100片/瓶 has no dose."""
    for drug in DRUGS:
        match = re.fullmatch(r"(?:(?P<strength>.+)×)?(?P<size>\d+)(?P<base>\D+)/(?P<pack>\D+)", drug["spec"])
        assert match, drug
        assert (match["size"], match["base"], match["pack"]) == (
            drug["pack_size"], drug["base_unit"], drug["pack_unit"]), drug
        if match["strength"]:
            volume, _, strength = match["strength"].rpartition(":")
            assert strength == drug["dose_amount"] + drug["dose_unit"], drug
            assert not volume or re.fullmatch(r"[\d.]+(ml|g|揿|吸|喷)", volume), drug
            assert drug["dose_unit"] in DOSE_UNITS, drug
        else:
            assert (drug["dose_amount"], drug["dose_unit"]) == ("1", drug["base_unit"]), drug
        assert drug["base_unit"] in BASE_UNITS
        assert Decimal(drug["dose_amount"]) > 0


def test_a_pack_of_one_is_never_split() -> None:
    assert [drug for drug in DRUGS if drug["pack_size"] == "1" and drug["splittable"] == "1"] == []


def test_every_kind_of_drug_is_there() -> None:
    kinds = Counter(drug["category"] for drug in DRUGS)
    assert kinds["11"] >= 60 and kinds["10"] >= 80 and kinds["09"] >= 400
    assert {drug["control"] for drug in DRUGS} == CODES["drug_control"]
    assert {drug["antimicrobial"] for drug in DRUGS} == CODES["antimicrobial_level"] | {""}
    assert {drug["base_unit"] for drug in DRUGS if drug["category"] == "10"} == {"g"}
    assert {drug["form"] == "饮片" for drug in DRUGS if drug["category"] == "10"} == {True}
    assert any(drug["skin_test"] == "1" for drug in DRUGS) and any(drug["otc"] == "1" for drug in DRUGS)


#: 麻醉药品品种目录 and 精神药品品种目录 (2013, with the changes of 2019, 2023 and 2024); 处方管理办法.
CONTROLLED = {control: words.split() for control, words in {
    "麻醉": "吗啡 芬太尼 哌替啶 羟考酮缓释 羟考酮注射 美沙酮 布桂嗪 氢吗啡酮 阿桔片 罂粟壳",
    "精一": "氯胺酮 咪达唑仑注射液 哌甲酯 丁丙诺啡",
    "精二": "地西泮 艾司唑仑 阿普唑仑 劳拉西泮 氯硝西泮 奥沙西泮 佐匹克隆 唑吡坦 扎来普隆 苯巴比妥 曲马多 "
          "氨酚羟考酮 地佐辛 布托啡诺 纳布啡 瑞马唑仑 右美沙芬 地芬诺酯 喷他佐辛 复方磷酸可待因口服溶液",
    "易制毒": "麻黄碱 麦角新碱",
    "毒性": "A型肉毒毒素 三氧化二砷 生川乌 生草乌 生附子 生白附子 生半夏 生天南星 生马钱子 雄黄 斑蝥 蟾酥 洋金花",
    "放射": "碘[131I] 锝[99mTc] 碘[125I] 氟[18F]",
}.items()}


@pytest.mark.requirement("RX-04", "RX-05")
def test_controlled_drugs_have_their_class_and_no_other_drug_has_one() -> None:
    classed = {"磷酸可待因片": "麻醉"}
    for control, words in CONTROLLED.items():
        for word in words:
            found = {drug["name"]: drug["control"] for drug in DRUGS if word in drug["name"]}
            assert set(found.values()) == {control}, word
            classed |= found
    assert {drug["name"]: drug["control"] for drug in DRUGS if drug["control"] != "普通"} == classed


#: Levels of Jiangsu's graded list of antimicrobials.
ANTIMICROBIALS = {
    "非限制": "阿莫西林胶囊 注射用青霉素钠 注射用头孢唑林钠 注射用头孢呋辛钠 阿奇霉素片 左氧氟沙星片 甲硝唑片",
    "限制": "盐酸莫西沙星片 注射用头孢他啶 注射用哌拉西林钠他唑巴坦钠 注射用头孢哌酮钠舒巴坦钠 伊曲康唑胶囊",
    "特殊": "利奈唑胺片 注射用亚胺培南西司他丁钠 注射用美罗培南 注射用盐酸万古霉素 注射用替考拉宁 注射用替加环素 "
          "注射用醋酸卡泊芬净 注射用两性霉素B 注射用硫酸多黏菌素B",
}


@pytest.mark.requirement("RX-08")
def test_antimicrobials_have_their_level() -> None:
    for level, names in ANTIMICROBIALS.items():
        for name in names.split():
            assert {drug["antimicrobial"] for drug in DRUGS if drug["name"] == name} == {level}, name


TUBERCULOSIS = ("异烟肼 利福平 吡嗪酰胺 乙胺丁醇 链霉素 左氧氟沙星 莫西沙星 利奈唑胺 贝达喹啉 环丝氨酸 德拉马尼 "
                "氯法齐明 利福喷丁 丙硫异烟胺 对氨基水杨酸 卷曲霉素")


@pytest.mark.requirement("M1.1")
def test_the_tuberculosis_building_has_its_drugs_and_the_free_ones_cost_nothing() -> None:
    names = " ".join(drug["name"] for drug in DRUGS)
    for word in TUBERCULOSIS.split():
        assert word in names
    free = [drug for drug in DRUGS if drug["tb"] == "1"]
    assert len(free) >= 5 and {drug["price"] for drug in free} == {"0.0000"}
    assert {drug["name"] for drug in DRUGS if drug["price"] == "0.0000"} == {drug["name"] for drug in free}


# --- charge items -------------------------------------------------------------------------------------------------

def test_items_cover_the_categories_that_are_not_drugs() -> None:
    assert {item["fiscal_category"] for item in ITEMS} == CODES["med_chrgitm_type"] - {"09", "10", "11"}
    assert {item["performing_kind"] for item in ITEMS} == CODES["performing_kind"]
    kinds = {"检查": "03", "检验": "04", "护理": "07", "床位": "01", "材料": "08", "手术": "06"}
    for item in ITEMS:
        assert item["fiscal_category"] == kinds.get(item["performing_kind"], item["fiscal_category"]), item


def test_item_sets_are_of_existing_items_and_departments() -> None:
    items, departments = {row["code"] for row in ITEMS}, {row["code"] for row in DEPARTMENTS}
    assert {row["item_code"] for row in SETS} <= items
    assert {row["department_code"] for row in SETS} <= departments | {""}
    assert all(Decimal(row["quantity"]) > 0 for row in SETS)
    heads = {(row["code"], row["name"], row["department_code"]) for row in SETS}
    assert len(heads) == len({code for code, _, _ in heads}) >= 25


# --- diagnoses ----------------------------------------------------------------------------------------------------

def test_diagnoses_are_written_in_the_national_clinical_style() -> None:
    for row in DIAGNOSES:
        assert re.fullmatch(r"[A-Z]\d\d\.(x|\d)\d\d", row["code"]), row
    chapters = Counter(row["category"] for row in DIAGNOSES)
    assert len(chapters) >= 20 and chapters["结核病"] >= 50
    # A rubric is either divided (K35.3) or not (I10.x), never both.
    forms: dict[str, set[bool]] = {}
    for row in DIAGNOSES:
        forms.setdefault(row["code"][:3], set()).add(row["code"][4] == "x")
    assert [rubric for rubric, both in forms.items() if len(both) == 2] == []


@pytest.mark.parametrize("code, name", [
    ("A15.000", "肺结核,经显微镜下痰检查证实"), ("A17.000", "结核性脑膜炎"), ("J18.900", "肺炎"),
    ("I10.x00", "特发性(原发性)高血压"), ("E11.900", "2型糖尿病"), ("K29.500", "慢性胃炎"),
    ("J44.100", "慢性阻塞性肺病伴有急性加重"), ("B18.100", "慢性乙型病毒性肝炎"),
])
def test_well_known_codes_have_their_names(code: str, name: str) -> None:
    assert next(row["name"] for row in DIAGNOSES if row["code"] == code).startswith(name)


# --- people and places of the hospital ----------------------------------------------------------------------------

def test_departments_wards_staff_and_schedules_refer_to_each_other() -> None:
    departments = {row["code"]: row for row in DEPARTMENTS}
    assert {row["parent_code"] for row in DEPARTMENTS} <= set(departments) | {""}
    for row in WARDS:
        assert departments[row["department_code"]]["kind"] == "临床" and int(row["beds"]) > 0
    staff = {row["code"]: row for row in STAFF}
    assert {row["department_code"] for row in STAFF} <= set(departments)
    for row in SCHEDULES:
        doctor, department = staff[row["staff_code"]], departments[row["department_code"]]
        assert doctor["role"] == "doctor" and doctor["department_code"] == row["department_code"]
        assert department["outpatient"] == "1" and row["weekday"] in set("1234567") and int(row["capacity"]) > 0
        if row["register_level"] in ("专家", "上海专家"):
            assert doctor["title"] in ("主任医师", "副主任医师")
    assert {row["register_level"] for row in SCHEDULES} == CODES["register_level"]
    assert {row["building"] for row in DEPARTMENTS} >= {"门诊楼", "结核楼"}


def test_the_emergency_department_is_open_day_and_night() -> None:
    sessions = {(row["weekday"], row["session"]) for row in SCHEDULES if row["register_level"] == "急诊"}
    assert sessions == {(day, session) for day in "1234567" for session in CODES["session"]}


def test_staff_have_rights_that_fit_their_title() -> None:
    for row in STAFF:
        rights = set(row["rights"].split(";")) - {""}
        assert rights <= CODES["prescribing_right"], row
        if row["role"] != "doctor":
            assert rights <= {"麻精调剂"}, row
        if "抗菌特殊" in rights:
            assert row["title"] in ("主任医师", "副主任医师"), row
        if "抗菌限制" in rights:
            assert row["title"] not in ("住院医师",) and "抗菌非限制" in rights, row
    assert {row["role"] for row in STAFF} == CODES["staff_role"]


@pytest.mark.requirement("M7.4")
def test_staff_names_try_the_search_and_the_fonts() -> None:
    names = [row["name"] for row in STAFF]
    for surname in "单曾仇":
        assert any(name.startswith(surname) for name in names)
    for rare in "䶮𠮷𬭎":
        assert any(rare in name for name in names)
    assert any("·" in name for name in names)


# --- dictionaries -------------------------------------------------------------------------------------------------

def test_dictionary_codes_are_unique() -> None:
    keys = Counter((row["dictionary"], row["code"]) for row in DICTIONARIES)
    assert max(keys.values()) == 1
    assert all(row["code"] and row["name"] for row in DICTIONARIES)


@pytest.mark.requirement("HS-04", "HS-05", "HS-07")
def test_national_dictionaries_are_whole() -> None:
    assert list(names_of("ethnic")) == [f"{number:02d}" for number in range(1, 57)] + ["97", "98"]
    assert names_of("ethnic")["01"] == "汉族" and names_of("ethnic")["56"] == "基诺族"
    assert set(names_of("sex")) == {"0", "1", "2", "9"}
    assert list(names_of("marriage")) == ["10", "20", "21", "22", "23", "30", "40", "90"]
    assert list(names_of("med_chrgitm_type")) == [f"{number:02d}" for number in range(1, 15)]
    assert names_of("psn_cert_type")["16"] == "中国护照" and names_of("psn_cert_type")["17"] == "港澳台居民居住证"
    assert set(names_of("psn_cert_type")) == {f"{number:02d}" for number in range(1, 18)} | {"90", "91", "99"}
    assert list(names_of("relation")) == [str(number) for number in range(9)]
    assert names_of("nationality")["CHN"] == "中国" and len(names_of("nationality")) > 190
    assert all(len(code) == 3 for code in names_of("nationality"))
    assert list(names_of("insutype")) == ["310", "320", "330", "340", "390", "510"]
    for dictionary, count in (("fp_payment", 9), ("fp_admission_route", 4), ("fp_discharge_way", 6),
                              ("fp_admission_condition", 4), ("fp_blood_type", 6), ("fp_marriage", 5)):
        assert len(names_of(dictionary)) == count


@pytest.mark.requirement("HS-04")
def test_marriage_maps_onto_the_front_page() -> None:
    shared = ROOT.parent / "shared" / "data" / "codes.json"
    mapping = (json.loads(shared.read_text(encoding="utf-8"))["marriage_gbt2261_2_to_frontpage"] if shared.exists()
               else {"10": "1", "20": "2", "21": "2", "22": "2", "23": "2", "30": "3", "40": "4", "90": "9"})
    assert set(mapping) == CODES["marriage"] and set(mapping.values()) == CODES["fp_marriage"]


def test_frequencies_say_how_often() -> None:
    rows = {row["code"]: row for row in read(MASTER / "frequencies.csv")}
    assert {code: row["name"] for code, row in rows.items()} == names_of("frequency")
    assert [code for code, row in rows.items() if not row["interval_days"]] == ["st", "prn"]
    assert not rows["prn"]["times_per_day"]
    # "times_per_day" times in every "interval_days" days.
    assert (rows["q8h"]["times_per_day"], rows["q8h"]["interval_days"]) == ("3", "1")
    assert (rows["tiw"]["times_per_day"], rows["tiw"]["interval_days"]) == ("3", "7")
