"""What the law lets a doctor prescribe, asked at its limits (RX-03, 04, 05, 06, 11).

Drugs, diagnoses and doctors are the suite's own, marked, without stock until tracing.py needs some: whatever the rules let pass
ends at the empty shelf or is cancelled at once, so that no prescription is left behind. At the end the drugs are stopped.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from his_server.compliance.checks.orders import MOST, Visit, visit
from his_server.compliance.client import Answer, Visitor
from his_server.compliance.frame import Evidence, NotRun, check
from his_server.compliance.target import Target

NEEDS = ("http", "accounts", "command", "disturb")
COLUMNS = ("name", "form", "control", "antimicrobial", "tb", "splittable", "ingredient", "release", "dose_amount", "dose_unit",
           "max_daily")
DRUGS: dict[str, tuple[str, ...]] = {
    "异烟肼": ("异烟肼片", "片剂", "普通", "", "1", "1", "异烟肼", "", "", "", ""),
    "左氧氟沙星": ("左氧氟沙星片", "片剂", "普通", "限制", "0", "1", "左氧氟沙星", "", "", "", ""),
    "慢病药": ("慢病药片", "片剂", "普通", "", "0", "1", "慢病药", "", "", "", ""),
    "麻醉针": ("麻醉针", "注射剂", "麻醉", "", "0", "1", "吗啡", "", "", "", ""),
    "麻醉缓释": ("麻醉缓释片", "缓释片", "麻醉", "", "0", "1", "吗啡缓释", "缓释", "", "", ""),
    "麻醉片": ("麻醉片", "片剂", "麻醉", "", "0", "1", "吗啡片", "", "", "", ""),
    "哌替啶": ("哌替啶针", "注射剂", "麻醉", "", "0", "1", "哌替啶", "", "", "", ""),
    "哌甲酯": ("哌甲酯片", "片剂", "精一", "", "0", "1", "哌甲酯", "", "", "", ""),
    "精二": ("精二片", "片剂", "精二", "", "0", "1", "地西泮", "", "", "", ""),
    "毒性": ("毒性片", "片剂", "毒性", "", "0", "1", "阿托品", "", "1", "mg", "2"),
    "毒性无极量": ("毒性无极量片", "片剂", "毒性", "", "0", "1", "毒性", "", "1", "mg", ""),
    "非限制": ("非限制级抗菌药", "片剂", "普通", "非限制", "0", "1", "甲", "", "", "", ""),
    "限制": ("限制级抗菌药", "片剂", "普通", "限制", "0", "1", "乙", "", "", "", ""),
    "特殊": ("特殊级抗菌药", "片剂", "普通", "特殊", "0", "1", "丙", "", "", "", ""),
    "整盒": ("不可拆零片", "片剂", "普通", "", "0", "0", "丁", "", "", "", ""),
    "普通甲": ("普通甲片", "片剂", "普通", "", "0", "1", "己", "", "", "", ""),
    "普通乙": ("普通乙片", "片剂", "普通", "", "0", "1", "庚", "", "", "", ""),
    "追溯": ("追溯药片", "片剂", "普通", "", "0", "1", "戊", "", "", "", ""),
}
PLAIN = ("异烟肼", "慢病药", "整盒", "普通甲", "普通乙", "追溯")
PACK = 10
DIAGNOSES = {"结核": "A15.0", "肺炎": "J18.9", "肺癌": "C34.9", "多动症": "F90.0"}
REASON = {"chronic_reason": "慢性病病情稳定"}
LONG = {**REASON, "long_term": True, "assessment": "已评估病情稳定", "signed_by": "本人"}
SHORT = "orders.short"
"""The rules let it pass and there is nothing on the shelf: what a lawful prescription of a marked drug ends with."""


@dataclass
class Catalogue:
    """The suite's own drugs and doctors in the product under test."""

    target: Target
    drugs: dict[str, int] = field(default_factory=dict)
    doctors: dict[tuple[str, str], Visitor] = field(default_factory=dict)
    staff: list[int] = field(default_factory=list)

    def fill(self) -> None:
        """Import the drugs and diagnoses. :raises NotRun: the import was refused."""
        mark, code = self.target.mark, self.code
        self._bring("drugs", [
            dict(zip(COLUMNS, values, strict=True)) | {
                "name": f"{mark}{values[0]}", "code": code(n), "spec": "合规", "base_unit": "片", "pack_unit": "盒",
                "pack_size": PACK, "price": "10", "category": "09", "insurance_level": "01"}
            for n, values in enumerate(DRUGS.values())])
        self._bring("diagnoses", [{"code": f"{value}-{mark}", "name": f"{mark}{name}"} for name, value in DIAGNOSES.items()])
        clerk = self.target.whoever("masterdata.edit")
        for n, key in enumerate(DRUGS):
            found = clerk.get(f"/api/masterdata/drugs?q={code(n)}").good("查找测试药品")["items"]
            self.drugs[key] = next((one["id"] for one in found if one["code"] == code(n)), 0)
        self.target.endings.append(self.stop)

    def code(self, n: int) -> str:
        """The code of the nth drug."""
        return f"{self.target.mark}-{n:02d}".upper()

    def _bring(self, kind: str, rows: Sequence[dict[str, Any]]) -> None:
        with self.target.workplace() as folder:
            path = folder / f"{kind}.csv"
            with path.open("w", encoding="utf-8", newline="") as file:
                out = csv.DictWriter(file, list(rows[0]))
                out.writeheader()
                out.writerows(rows)
            done = self.target.his("import", kind, str(self.target.hand_over(path)))
        if done.code != 0:
            raise NotRun(f"不能导入测试目录：{done.out[-200:]}")

    def stop(self) -> bool:
        """Nobody may choose any of it any more; whether all was stopped."""
        clerk, keeper = self.target.whoever("masterdata.edit"), self.target.whoever("masterdata.organise")
        found = clerk.get(f"/api/masterdata/diagnoses?q={self.target.mark}").json.get("items", ())
        ended = [(clerk, f"drugs/{id}") for id in self.drugs.values()] + [(keeper, f"staff/{id}") for id in self.staff]
        ended += [(clerk, f"diagnoses/{one['id']}") for one in found if one["code"].endswith(self.target.mark)]
        over = {"active": False, "reason": "合规测试结束"}
        return all([who.post(f"/api/masterdata/{place}/active", over).status in (200, 409) for who, place in ended])

    def doctor(self, clinic: int, title: str, *rights: str) -> Visitor:
        """A doctor of a clinic with a title and prescribing rights. :raises NotRun: none could be made."""
        key = (title, ",".join(rights))
        if key not in self.doctors:
            keeper = self.target.whoever("masterdata.organise")
            body = {"code": f"{self.target.mark}{len(self.doctors)}", "name": "合规测试医生", "sex": "1", "department_id": clinic,
                    "title": title, "rights": list(rights)}
            made = keeper.post("/api/masterdata/staff", body).good("建立测试医生")["id"]
            self.staff.append(made)
            self.doctors[key] = self.target.fresh("doctor", staff_id=made, department_id=clinic)
        return self.doctors[key]


@dataclass
class Desk:
    """A patient before a doctor who asks for marked drugs."""

    catalogue: Catalogue
    visit: Visit
    seen: Evidence

    def doctor(self, title: str, *rights: str) -> Visitor:
        """A doctor of this clinic with a title and prescribing rights."""
        return self.catalogue.doctor(self.visit.department, title, *rights)

    def ask(self, doctor: Visitor, drug: str, days: int, *, diagnosis: str = "", usage: str = "口服", frequency: str = "qd",
            line: dict[str, Any] | None = None, **more: Any) -> Answer:
        """A prescription of one drug; what is issued after all is cancelled."""
        mark = self.catalogue.target.mark
        coded = {"diagnosis_code": f"{DIAGNOSES[diagnosis]}-{mark}"} if diagnosis else {}
        asked = {"drug_id": self.catalogue.drugs[drug], "dose": "1", "usage": usage, "frequency": frequency, "days": days}
        body = {"encounter_id": self.visit.encounter, "diagnosis": diagnosis or "合规测试", **coded, **more,
                "lines": [{**asked, **(line or {})}]}
        answer = doctor.post("/api/orders/prescriptions", body)
        if answer.status == 201:
            doctor.post(f"/api/orders/prescriptions/{answer.json['id']}/cancel", {"reason": "合规测试"}).good("作废测试处方")
        return answer

    def passes(self, what: str, answer: Answer) -> None:
        """The rules must let it through (to the empty shelf)."""
        self.seen.see(answer.status == 201 or answer.code == SHORT, f"{what}：可以开", told(answer))

    def refused(self, what: str, answer: Answer) -> None:
        """The rules must refuse it, saying which field."""
        self.seen.see(answer.status == 422 and answer.json.get("errors"), f"{what}：被拒绝", told(answer))


def told(answer: Answer) -> str:
    """What the product said to a prescription."""
    if answer.code == SHORT:
        return "规则放行（测试药无库存，处方未留下）"
    errors = answer.json.get("errors") or [{}]
    return f"{answer.status} {errors[0].get('message') or answer.json.get('message', '')}"


def catalogue_of(target: Target) -> Catalogue:
    """The suite's own drugs, brought in once."""
    if "catalogue" not in target.kept:
        made = Catalogue(target)
        made.fill()
        target.kept["catalogue"] = made
    found: Catalogue = target.kept["catalogue"]
    return found


@contextmanager
def desk(target: Target, seen: Evidence) -> Iterator[Desk]:
    """A patient of today's clinic and the marked drugs. :raises NotRun: no clinic, or it is night."""
    with visit(target) as today:
        yield Desk(catalogue_of(target), today, seen)


@check("RX-03", *NEEDS)
def long_term(target: Target, seen: Evidence) -> None:
    """Four weeks; twelve with evaluation and signature; no antimicrobial but for tuberculosis, nothing controlled."""
    with desk(target, seen) as at:
        doctor = at.doctor("主任医师", "抗菌非限制", "抗菌限制", "麻精")
        for days, more, good in ((28, REASON, True), (29, REASON, False), (29, LONG, True), (84, LONG, True), (85, LONG, False)):
            kind = "长期处方" if more is LONG else "有理由的普通处方"
            (at.passes if good else at.refused)(f"{kind} {days} 天", at.ask(doctor, "慢病药", days, **more))
        for name in ("assessment", "signed_by", "chronic_reason"):
            what = {"assessment": "病情评估", "signed_by": "病人签字", "chronic_reason": "理由"}[name]
            at.refused(f"超过四周而没有{what}", at.ask(doctor, "慢病药", 29, **{**LONG, name: ""}))
        at.passes("异烟肼 56 天（结核）", at.ask(doctor, "异烟肼", 56, diagnosis="结核", **LONG))
        at.refused("左氧氟沙星 28 天（肺炎）", at.ask(doctor, "左氧氟沙星", 28, diagnosis="肺炎", **LONG))
        at.refused("精二 28 天长期处方", at.ask(doctor, "精二", 28, **LONG))
        at.refused("麻醉药品 28 天长期处方", at.ask(doctor, "麻醉片", 28, **LONG))


@check("RX-04", *NEEDS)
def narcotics(target: Target, seen: Evidence) -> None:
    """Days of narcotics and psychotropics by form and disease, one more than allowed each time; and the right to write them."""
    with desk(target, seen) as at:
        doctor = at.doctor("主任医师", "抗菌非限制", "抗菌限制", "麻精")
        for drug, diagnosis, most in (("麻醉缓释", "", 7), ("麻醉片", "", 3), ("麻醉针", "肺癌", 3), ("麻醉缓释", "肺癌", 15),
                                      ("麻醉片", "肺癌", 7), ("哌甲酯", "多动症", 15), ("精二", "", 7)):
            usage = "肌注" if drug == "麻醉针" else "口服"
            what = f"{drug}{f'（{diagnosis}）' if diagnosis else ''}"
            at.passes(f"{what} {most} 日", at.ask(doctor, drug, most, diagnosis=diagnosis, usage=usage))
            at.refused(f"{what} {most + 1} 日", at.ask(doctor, drug, most + 1, diagnosis=diagnosis, usage=usage))
        at.passes("麻醉针剂一次", at.ask(doctor, "麻醉针", 1, usage="肌注", frequency="st"))
        at.refused("麻醉针剂两日", at.ask(doctor, "麻醉针", 2, usage="肌注"))
        at.passes("哌替啶一次，院内用", at.ask(doctor, "哌替啶", 1, usage="肌注", frequency="st"))
        at.refused("哌替啶口服带走", at.ask(doctor, "哌替啶", 1, usage="口服", frequency="st"))
        plain = at.doctor("主任医师", "抗菌非限制", "抗菌限制")
        at.refused("没有麻精处方权的主任医师", at.ask(plain, "麻醉片", 1))
    seen.lacks("住院逐日开具（住院医嘱在后续版本）")


@check("RX-05", *NEEDS)
def toxic(target: Target, seen: Evidence) -> None:
    """Two days' largest dose, not more; none where nobody entered what that is."""
    with desk(target, seen) as at:
        doctor = at.doctor("主任医师", "抗菌非限制", "抗菌限制", "麻精")
        at.passes("毒性药品 2 日极量（4 片）", at.ask(doctor, "毒性", 2, line={"quantity": "4"}))
        at.refused("毒性药品超过 2 日极量（5 片）", at.ask(doctor, "毒性", 2, line={"quantity": "5"}))
        at.refused("没有维护极量的毒性药品", at.ask(doctor, "毒性无极量", 1, line={"quantity": "1"}))


@check("RX-06", "http", "accounts")
def number_of_drugs(target: Target, seen: Evidence) -> None:
    """Five drugs, not six; the suite's own where the pharmacy has too few ordinary ones."""
    with visit(target) as before:
        try:
            drugs = before.drugs(MOST + 1)
        except NotRun:
            if target.missing(NEEDS):
                raise
            drugs = [{"id": catalogue_of(target).drugs[name]} for name in PLAIN]
        good, many = before.prescribe(drugs[:MOST], 3), before.prescribe(drugs, 3)
        fits = good.status == 201 or good.code == SHORT
        seen.see(fits, f"{MOST} 种药可以开", told(good))
        seen.see(many.status == 422, f"第 {MOST + 1} 种药被拒绝", told(many))


@check("RX-11", *NEEDS)
def whole_packs(target: Target, seen: Evidence) -> None:
    """A pack that may not be broken is prescribed whole; a part of a tablet is told."""
    with desk(target, seen) as at:
        doctor = at.doctor("主任医师", "抗菌非限制", "抗菌限制", "麻精")
        at.passes(f"不可拆零药品整盒（{PACK} 片）", at.ask(doctor, "整盒", 5, line={"quantity": str(PACK)}))
        at.refused("不可拆零药品半盒", at.ask(doctor, "整盒", 5, line={"quantity": str(PACK // 2)}))
        at.refused("发药数量 2.5 片", at.ask(doctor, "慢病药", 5, line={"quantity": "2.5"}))
        line = {"drug_id": at.catalogue.drugs["整盒"], "dose": "0.3", "usage": "口服", "frequency": "qd", "days": 5}
        shown = doctor.post("/api/orders/prescriptions/preview", {"lines": [line]}).good("试算")["lines"][0]
        seen.see(any("0.3" in text for text in shown["warnings"]), "每次 0.3 片有提示", shown["warnings"])
        seen.see(any("不可拆零" in text for text in shown["warnings"]), "按整包装取整有提示", shown["suggested"])
        seen.see(float(shown["quantity"]) == PACK, "试算数量取整到整盒", shown["quantity"])
