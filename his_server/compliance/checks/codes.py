"""Identity numbers and code tables of the health sector (HS-01…07), through the product's own registration and lists."""

from __future__ import annotations

from his_server.compliance.client import Answer
from his_server.compliance.frame import Evidence, check
from his_server.compliance.target import Target, id_number, invented

SEX = {"0", "1", "2", "9"}
MARRIAGE = {"10", "20", "21", "22", "23", "30", "40", "90"}
FIRST_PAGE = {"10": "1", "20": "2", "21": "2", "22": "2", "23": "2", "30": "3", "40": "4", "90": "9"}
_ETHNIC = (
    "汉 蒙古 回 藏 维吾尔 苗 彝 壮 布依 朝鲜 满 侗 瑶 白 土家 哈尼 哈萨克 傣 黎 傈僳 "
    "佤 畲 高山 拉祜 水 东乡 纳西 景颇 柯尔克孜 土 达斡尔 仫佬 羌 布朗 撒拉 毛南 仡佬 锡伯 阿昌 普米 "
    "塔吉克 怒 乌孜别克 俄罗斯 鄂温克 德昂 保安 裕固 京 塔塔尔 独龙 鄂伦春 赫哲 门巴 珞巴 基诺 "
)
ETHNIC = tuple(name for name in _ETHNIC.split(" ") if name)
CERTIFICATES = {"01": "居民身份证", "07": "永久居留", "08": "护照", "17": "港澳台居民居住证", "90": "社会保障卡", "99": "其他"}
INSURANCE = {"310", "320", "330", "340", "390", "510"}
BILL = {f"{n:02d}" for n in range(1, 15)}
REGIONS = {"320602": "320613", "320611": "320613", "320621": "320685", "320683": "320612", "320684": "320614"}
"""Regions of Nantong that ended → what they are today (COMPLIANCE 9.1)."""


def entries(target: Target, name: str) -> dict[str, str]:
    """Code → name of a dictionary of the product."""
    items = target.whoever("masterdata.view").get(f"/api/masterdata/dictionaries/{name}").good(f"字典 {name}")["items"]
    return {one["code"]: one["name"] for one in items}


class Numbers:
    """One patient whose number is set to this and that."""

    def __init__(self, target: Target) -> None:
        self.clerk, self.person = target.whoever("patients.edit"), target.another_patient()

    def try_number(self, kind: str, number: str, **more: object) -> Answer:
        """Give the patient this number."""
        revision = self.clerk.get(f"/api/patients/{self.person}").good("打开")["revision"]
        return self.clerk.put(
            f"/api/patients/{self.person}",
            {"revision": revision, "id_type": kind, "id_no": number, "birth_date": None, "sex": "0", **more},
        )


@check("HS-01", "http", "accounts")
def check_digits(target: Target, seen: Evidence) -> None:
    """Right numbers are taken, every wrong check digit, impossible date or length is refused with a reason."""
    numbers = Numbers(target)
    right = invented(target.number, "320613", leap=True)
    answer = numbers.try_number("01", right)
    seen.see(answer.status == 200, "正确号码（含闰日）被接受", f"{answer.status} {answer.code}")
    wrong = [
        digit for digit in "0123456789X" if digit != right[-1] and numbers.try_number("01", right[:-1] + digit).status != 422
    ]
    seen.see(not wrong, "其余十个校验码全部被拒绝", wrong or "10 个")
    for what, number in (
        ("不存在的日期 2-30", id_number("32061319900230" + "123")),
        ("非闰年 2-29", id_number("32061319890229" + "123")),
        ("未来日期", id_number("32061320990101" + "123")),
        ("17 位", right[:-1]),
        ("19 位", right + "1"),
        ("全角数字以外的字母", "A" + right[1:]),
    ):
        answer = numbers.try_number("01", number)
        reason = (answer.json.get("errors") or [{}])[0].get("message", "")
        seen.see(answer.status == 422 and reason, f"{what}被拒绝并说明原因", f"{answer.status} {reason}")
    with_x = next(one for n in range(200) if (one := invented(target.number + n, "320613"))[-1] == "X")
    answer = numbers.try_number("01", with_x.lower())
    found = numbers.clerk.get(f"/api/patients?q={with_x}").json.get("items") or []
    seen.see(
        answer.status == 200 and [one["id"] for one in found] == [numbers.person],
        "小写 x 归一为 X",
        f"{answer.status}，检索到 {len(found)}",
    )
    old = invented(target.number + 300, "320613")
    answer = numbers.try_number("01", old[:6] + old[8:17])
    seen.see(
        answer.status in (200, 422) and answer.status < 500,
        "15 位旧号码：接受（升位）或说明原因",
        f"{answer.status} {answer.code}",
    )
    told = numbers.try_number("01", right, sex="1" if int(right[16]) % 2 == 0 else "2")
    seen.see(told.status == 422, "性别与第 17 位不符时提示", f"{told.status} {told.code}", vital=False)


@check("HS-02", "http", "accounts")
def former_regions(target: Target, seen: Evidence) -> None:
    """Numbers that begin with a region that is gone are as good as ever; the address is another matter."""
    numbers = Numbers(target)
    for region in REGIONS:
        answer = numbers.try_number("01", invented(target.number + 400, region), home_region="320613")
        seen.see(answer.status == 200, f"证件号以 {region} 开头、现住址 320613：接受", f"{answer.status} {answer.code}")


@check("HS-03", "http", "accounts")
def other_certificates(target: Target, seen: Evidence) -> None:
    """Residence permits, permanent residents, passports, people without any number."""
    numbers = Numbers(target)
    mine = target.number
    for what, kind, number in (
        ("港澳台居民居住证（港）", "17", invented(mine, "810000")),
        ("港澳台居民居住证（澳）", "17", invented(mine, "820000")),
        ("港澳台居民居住证（台）", "17", invented(mine, "830000")),
        ("永久居留证（2023 版）", "07", invented(mine, "919840")),
        ("永久居留证（旧版）", "07", f"USA{mine:08d}0101"),
        ("护照", "08", f"E{mine:08d}"),
    ):
        answer = numbers.try_number(kind, number)
        seen.see(answer.status == 200, f"{what}：接受", f"{answer.status} {answer.code}")
    for what, number in (("9 开头", invented(mine, "919840")), ("81 开头", invented(mine, "810000"))):
        answer = numbers.try_number("01", number)
        reason = (answer.json.get("errors") or [{}])[0].get("message", "")
        seen.see(answer.status == 422 and "证件类型" in reason, f"{what}的号码按身份证登记：拒绝并提示改证件类型", reason)
    newborn = target.register(name=f"{target.mark}之子", sex="0")
    seen.see(newborn.status == 201, "新生儿无证件可以建档", f"{newborn.status} {newborn.code}")
    unknown = target.register(name="", unknown=True)
    seen.see(unknown.status == 201, "无名氏可以建档", f"{unknown.status} {unknown.code}")


@check("HS-04", "http", "accounts")
def sex_and_marriage(target: Target, seen: Evidence) -> None:
    """GB/T 2261.1 and 2261.2 exactly; an unknown code is refused; the first page's own codes exist."""
    sex, marriage, page = (entries(target, name) for name in ("sex", "marriage", "fp_marriage"))
    seen.see(set(sex) == SEX, "性别代码 0 1 2 9", sorted(sex))
    seen.see(set(marriage) == MARRIAGE, "婚姻代码 8 个", sorted(marriage))
    seen.see(set(page) == set(FIRST_PAGE.values()), "病案首页婚姻代码 1 2 3 4 9", sorted(page))
    answer = target.register(sex="5")
    seen.see(answer.status == 422, "未知性别代码被拒绝", f"{answer.status} {answer.code}")
    answer = target.register(marriage="77")
    seen.see(answer.status == 422, "未知婚姻代码被拒绝", f"{answer.status} {answer.code}")


@check("HS-05", "http", "accounts")
def ethnic_groups(target: Target, seen: Evidence) -> None:
    """The fifty-six of GB/T 3304, one by one."""
    found = entries(target, "ethnic")
    wrong = [
        f"{n:02d} {found.get(f'{n:02d}')}≠{name}"
        for n, name in enumerate(ETHNIC, 1)
        if not str(found.get(f"{n:02d}", "")).startswith(name)
    ]
    seen.see(len(ETHNIC) == 56 and not wrong, "56 个民族逐一核对", wrong[:5] or "56 个一致")
    seen.see(set(found) - {f"{n:02d}" for n in range(1, 57)} <= {"97", "98"}, "另只有 97 其他、98 外国血统", sorted(found)[-3:])


@check("HS-06", "http", "accounts")
def regions(target: Target, seen: Evidence) -> None:
    """Ended regions lead to today's, today's only are offered, what was entered is kept, nothing is defaulted."""
    clerk = target.whoever("masterdata.view")
    for code, now in REGIONS.items():
        found = [one["code"] for one in clerk.get(f"/api/masterdata/regions?q={code}").json.get("items", ())]
        seen.see(now in found and code not in found, f"{code} 今为 {now}，新登记只给出现行代码", found)
    children = {one["code"] for one in clerk.get("/api/masterdata/regions?parent=320600").json.get("items", ())}
    seen.see(
        {"320612", "320613", "320614", "320623", "320681", "320682", "320685"} <= children and not set(REGIONS) & children,
        "南通下级区划为现行七个",
        sorted(children),
    )
    old = target.register(home_region="320611")
    reason = (old.json.get("errors") or [{}])[0].get("message", "")
    seen.see(old.status == 422 and "崇川" in reason, "新登记填旧代码：拒绝并指出今天的区划", f"{old.status} {reason}")
    if target.tables is not None:
        kept = {row["code"]: row for row in target.db.rows("region", code=sorted(REGIONS))}
        wrong = [code for code, now in REGIONS.items() if code not in kept or kept[code]["successor"] != now]
        seen.see(not wrong, "旧代码与后继保留在区划表（历史数据按当时代码）", wrong or f"{len(kept)} 个")
    bare = target.whoever("patients.view").get(f"/api/patients/{target.another_patient()}").good("打开")
    seen.see(
        not bare.get("home_region") and not bare.get("household_region"), "没有填的地区为空，不默认", bare.get("home_region")
    )


@check("HS-07", "http", "accounts")
def insurance_codes(target: Target, seen: Evidence) -> None:
    """The insurer's code tables: certificates, kinds of insurance, categories."""
    certificates = entries(target, "psn_cert_type")
    wrong = [f"{code} {certificates.get(code)}" for code, word in CERTIFICATES.items() if word not in str(certificates.get(code))]
    seen.see(not wrong, "人员证件类型（16 护照、17 居住证未对调）", wrong or f"{len(certificates)} 个")
    seen.see("护照" in str(certificates.get("16")), "16 为中国护照", certificates.get("16"))
    seen.see(set(entries(target, "insutype")) >= INSURANCE, "险种类型", sorted(entries(target, "insutype")))
    seen.see(set(entries(target, "med_chrgitm_type")) == BILL, "费用类别 01～14", sorted(entries(target, "med_chrgitm_type")))
    seen.see(set(entries(target, "chrgitm_lv")) == {"01", "02", "03"}, "甲乙丙等级", sorted(entries(target, "chrgitm_lv")))
    seen.see(
        set(entries(target, "mdtrt_cert_type")) == {"01", "02", "03"}, "就诊凭证类型", sorted(entries(target, "mdtrt_cert_type"))
    )
