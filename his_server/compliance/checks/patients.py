"""Patients' files: labels, treatment, sealing, exports, 统方, rights (PR-02, 03, 04, 06, 09, 10; MR-03, HS-08)."""

from __future__ import annotations

import time
from typing import Any

from his_server.compliance.checks.orders import visit
from his_server.compliance.client import Visitor
from his_server.compliance.frame import Evidence, NotRun, check
from his_server.compliance.target import ADMINISTRATORS, TEMPORARY, Target

STATISTICS = "discipline.drug_statistics"
REPORT = "doctor-drug-statistics"
PARTS = ("", "/timeline", "/identifiers", "/merges")


def _protect(target: Target, person: int, **decision: Any) -> None:
    target.whoever("patients.protect").post(
        f"/api/patients/{person}/protection", {"level": 3, "reason": "合规测试", **decision}
    ).good("设定保护级别")


def _looker(target: Target) -> Visitor:
    return target.whoever("patients.view", but="patients.protect")


@check("PR-02", "http", "accounts")
def labels(target: Target, seen: Evidence) -> None:
    """A file of level 5 is shut for who doesn't treat the person; an emergency opens it for a time, with a reason."""
    number = target.markers["phone"][:5] + "996" + target.markers["phone"][-3:]
    name = f"分级测试{target.mark}"
    person, looker = target.another_patient(name=name, phone=number), _looker(target)
    seen.see(looker.get(f"/api/patients/{person}").status == 200, "未加标记时可以打开", 200)
    _protect(target, person, level=5, kinds=["hiv"])
    listed = looker.get(f"/api/patients?q={number}").good("检索病人")["items"]
    shown = [one["name"] for one in listed]
    seen.see(name not in shown, "无诊疗关系者检索到五级病人时看不到完整姓名（封存者才不出现在名单）", shown, vital=False)
    for part in PARTS:
        answer = looker.get(f"/api/patients/{person}{part}")
        seen.see(answer.status == 403, f"五级病人：无诊疗关系者打不开 {part or '档案'}", f"{answer.status} {answer.code}")
    bare = looker.post(f"/api/patients/{person}/break-glass", {})
    seen.see(bare.status == 422, "紧急调阅必须填原因", f"{bare.status} {bare.code}")
    opened = looker.post(f"/api/patients/{person}/break-glass", {"reason": "合规测试紧急"})
    seen.see(opened.status < 300, "填写原因后可以紧急调阅", f"{opened.status} {opened.code}")
    seen.see(looker.get(f"/api/patients/{person}").status == 200, "紧急调阅期间可以打开", 200)
    found = target.whoever("patients.protect").get("/api/patients/emergencies").json.get("items", [])
    mine = [one for one in found if one["person_id"] == person]
    seen.see(mine and mine[0].get("until"), "医务可见紧急调阅及其时限", f"{len(mine)} 条")


@check("PR-03", "http", "accounts")
def who_looked(target: Target, seen: Evidence) -> None:
    """Who opened which part of whose file is told within three seconds."""
    person, looker = target.another_patient(), _looker(target)
    for part in PARTS:
        looker.get(f"/api/patients/{person}{part}").good("打开病人")
    began = time.monotonic()
    answer = target.admin("auditadmin").get(f"/api/audit?event=patient.view&object_type=person&object_id={person}")
    took = time.monotonic() - began
    rows = answer.good("查询调阅记录")["items"]
    seen.see(len(rows) >= len(PARTS), "每次调阅一条记录，含部分", f"{len(rows)} 条")
    one = rows[0] if rows else {}
    detail = str(one.get("detail"))
    seen.see(
        one.get("login") and one.get("name") and one.get("ip") and one.get("at") and "part" in detail,
        "记录写明谁、何时、从哪里、看了哪一部分",
        {k: one.get(k) for k in ("login", "roles", "ip", "event", "detail")},
    )
    seen.see(took < 3, "三秒内答复“谁看过该病人”", f"{took:.2f} 秒")
    _own_and_colleagues(target, seen)


def _own_and_colleagues(target: Target, seen: Evidence) -> None:
    """One of the staff opens a file of the same name and sex, and so does a colleague: the report tells which is which."""
    name, keeper = f"职工{target.mark}{len(target.made)}", target.whoever("masterdata.organise")
    place = target.admin("sysadmin").get("/api/security/departments").good("科室")["items"][0]["id"]
    made = keeper.post("/api/masterdata/staff", {
        "code": f"{target.mark}s{len(target.made)}", "name": name, "sex": "1", "department_id": place, "title": "主治医师",
        "rights": []})
    staff = int(made.good("建立测试职工")["id"])
    over = {"active": False, "reason": "合规测试结束"}
    target.endings.append(lambda: keeper.post(f"/api/masterdata/staff/{staff}/active", over).status in (200, 409))
    person, role = target.another_patient(name=name), _plain_role(target)
    for who in (target.fresh(role, name=name, staff_id=staff), target.fresh(role, name=f"同事{target.mark}")):
        who.get(f"/api/patients/{person}").good("打开职工的病历")
    reader = target.whoever("discipline.staff_files")
    began = time.monotonic()
    answer = reader.get(f"/api/reports/staff-file-views?from={target.today}&to={target.today}&search={name}")
    took = time.monotonic() - began
    rows = answer.good("职工病历调阅报表")["rows"]
    told = sorted((row["whose"], row["viewer"]) for row in rows)
    seen.see(told == [("同事", f"同事{target.mark}"), ("本人", name)], "本人查看与同事查看有专门报表，分别列出", told)
    seen.see(took < 3, "三秒内答复本人与同事查看", f"{took:.2f} 秒")
    stranger = target.staff("cashier").get(f"/api/reports/staff-file-views?from={target.today}&to={target.today}")
    seen.see(stranger.status == 403, "普通岗位看不到这张报表", f"{stranger.status} {stranger.code}")


def _plain_role(target: Target) -> str:
    """A role that may open files, decides on nothing and needs no second factor. :raises NotRun: there is none."""
    for code, about in target.roles.items():
        may = about["permissions"]
        if "patients.view" in may and "patients.protect" not in may and not about["second_factor"] and code not in TEMPORARY:
            return code
    raise NotRun("没有只能调阅病人的普通岗位")


@check("PR-04", "http", "accounts")
def need_to_know(target: Target, seen: Evidence) -> None:
    """A doctor without a visit of the person: refused where the hospital demands it of every file."""
    if "doctor" not in target.roles:
        seen.lacks("没有医生角色")
        return
    person = target.another_patient()
    answer = target.staff("doctor").get(f"/api/patients/{person}")
    seen.see(
        answer.status == 403,
        '无就诊关系的医生打不开普通病人（设置 need_to_know = "all"）',
        f"{answer.status} {answer.code}",
        vital=False,
    )
    _protect(target, person, level=4)
    answer = target.staff("doctor").get(f"/api/patients/{person}")
    seen.see(answer.status == 403, "无就诊关系的医生打不开四级病人", f"{answer.status} {answer.code}")


@check("PR-06", "http", "accounts")
def sealed_away(target: Target, seen: Evidence) -> None:
    """封存: nobody but those who decide sees the person, in the file, searches, lists, reports and interfaces."""
    name = f"封存测试{target.mark}"
    number = target.markers["phone"][:5] + "998" + target.markers["phone"][-3:]
    person = target.another_patient(name=name, phone=number)
    _protect(target, person, level=5, locked=True)
    looker = _looker(target)
    for part in PARTS:
        answer = looker.get(f"/api/patients/{person}{part}")
        seen.see(answer.status == 403, f"封存后打不开 {part or '档案'}", f"{answer.status} {answer.code}")
    changed = target.whoever("patients.edit", but="patients.protect").put(
        f"/api/patients/{person}", {"revision": 1, "work_unit": "x"}
    )
    seen.see(changed.status == 403, "封存后不能修改", f"{changed.status} {changed.code}")
    opened = looker.post(f"/api/patients/{person}/break-glass", {"reason": "合规测试紧急"})
    seen.see(opened.status == 403, "封存后不能紧急调阅", f"{opened.status} {opened.code}")
    for q in (name, number):
        found = looker.get(f"/api/patients?q={q}").json.get("items")
        seen.see(found == [], "封存后检索不到", f"{len(found or [])} 人")
    _lists_without(target, seen)
    if target.tables is not None:
        logged = target.db.count("security_audit", event="patient.refused", object_id=str(person))
        seen.see(logged >= len(PARTS), "被拒绝的调阅都有记录", f"{logged} 条")
    holder = target.whoever("patients.open_locked")
    seen.see(holder.get(f"/api/patients/{person}").status == 200, "有权者可以打开", holder.get(f"/api/patients/{person}").status)


def _lists_without(target: Target, seen: Evidence) -> None:
    """A patient of today's clinic is sealed: does a list or a report of an ordinary role still show the name?"""
    name = f"封存就诊{target.mark}"
    try:
        with visit(target, name=name) as today:
            shown = _showing(target, name, today.person)
            seen.see(shown, "封存前今日名单中有该病人（检查有效）", f"{len(shown)} 处")
            _protect(target, today.person, level=5, locked=True)
            left = _showing(target, name, today.person)
            seen.see(not left, "封存后各岗位的名单与报表中不再出现该病人", left or "未出现")
    except NotRun as error:
        seen.lacks(f"今日名单与报表（{error}）")


def _showing(target: Target, name: str, person: int) -> list[str]:
    return [
        f"{role} {path}"
        for role, about in target.roles.items()
        if role in target._signed_in and role not in ADMINISTRATORS and "patients.open_locked" not in about["permissions"]
        for path in _lists(target, role)
        if name in target.staff(role).get(f"{path}?person_id={person}").text or name in target.staff(role).get(path).text
    ]


def _lists(target: Target, role: str) -> list[str]:
    permissions = target.roles[role]["permissions"]
    return [
        path
        for method, path, about in target.routes()
        if method == "GET"
        and "{" not in path
        and about["x-permission"] in (*permissions, "signed_in")
        and not path.startswith(("/api/live", "/api/patients"))
    ]


@check("PR-09", "http", "accounts")
def statistics(target: Target, seen: Evidence) -> None:
    """Doctor × drug × quantity: only a special role, each time with another person's consent, all on record (防统方)."""
    holders = sorted(code for code, role in target.roles.items() if STATISTICS in role["permissions"])
    seen.see(
        holders and not {"doctor", "pharmacist", "finance", "vendor", *ADMINISTRATORS} & set(holders),
        "统方权限只在专门角色",
        holders,
    )
    name = (
        next(
            (
                one["name"]
                for one in target.fresh(*holders[:1]).get("/api/reports").json.get("items", ())
                if one["name"] == REPORT
            ),
            "",
        )
        if holders
        else ""
    )
    for role in ("doctor", "pharmacist", "finance", "sysadmin"):
        if role in target.roles:
            answer, report = (target.staff(role).get(path) for path in ("/api/discipline/grants", f"/api/reports/{REPORT}"))
            seen.see(answer.status == report.status == 403, f"{role} 不能统方", f"{answer.status} {report.status}")
    if not name:
        seen.lacks("没有找到统方报表")
        return
    asker, other = target.fresh(holders[0]), target.fresh(holders[0])
    bare = asker.get(f"/api/reports/{REPORT}")
    seen.see(bare.status == 422, "没有申请不能统方", f"{bare.status} {bare.code}")
    asked = asker.post(
        "/api/discipline/grants", {"first_day": "2026-01-01", "last_day": "2026-01-02", "reason": "合规测试"}
    ).good("申请")
    run = f"/api/reports/{REPORT}?grant={asked['id']}"
    early = asker.get(run)
    seen.see(early.status in (403, 422), "未经审批不能查看", f"{early.status} {early.code}")
    own = asker.post(f"/api/discipline/grants/{asked['id']}/decide", {"approve": True})
    seen.see(own.status == 403, "不能审批自己的申请", f"{own.status} {own.code}")
    other.post(f"/api/discipline/grants/{asked['id']}/decide", {"approve": True}).good("审批")
    seen.see(asker.get(run).status == 200, "他人审批后申请人可以查看", asker.get(run).status)
    foreign = other.get(run)
    seen.see(foreign.status == 403, "审批人不能借用他人的申请", f"{foreign.status} {foreign.code}")
    if target.tables is not None:
        runs = target.db.count("security_audit", event="drug_statistics.run", object_id=str(asked["id"]))
        seen.see(runs >= 1, "每次查看都有审计", f"{runs} 条")
    seen.lacks("厂商的数据库账户须由医院收回（数据库管理员出示）")


@check("PR-10", "http", "accounts")
def corrections(target: Target, seen: Evidence) -> None:
    """A correction keeps the former value; a file isn't deleted."""
    person, editor = target.another_patient(work_unit=f"{target.mark}旧单位"), target.whoever("patients.edit")
    revision = editor.get(f"/api/patients/{person}").good("打开")["revision"]
    editor.put(f"/api/patients/{person}", {"revision": revision, "work_unit": f"{target.mark}新单位"}).good("更正")
    items = editor.get(f"/api/patients/{person}/timeline").good("变更记录")["items"]
    change = next((one for one in items if one["field"] == "work_unit" and one["after"] == f"{target.mark}新单位"), {})
    seen.see(
        change.get("before") == f"{target.mark}旧单位" and change.get("changed_by_name"),
        "更正保留原值、时间与经手人",
        f"{change.get('changed_at')} {change.get('changed_by_name')}",
    )
    gone = editor.send("DELETE", f"/api/patients/{person}")
    seen.see(gone.status in (404, 405), "病人档案在保存期内不能删除", gone.status)
    seen.lacks("查阅与复制由医院病案科按申请办理")


@check("MR-03", "http", "accounts")
def history(target: Target, seen: Evidence) -> None:
    """Every change is kept with who, when, before and after; a change from an old screen is refused."""
    person, editor = target.another_patient(contact_name="甲"), target.whoever("patients.edit")
    revision = editor.get(f"/api/patients/{person}").good("打开")["revision"]
    for value in ("乙", "丙"):
        answer = editor.put(f"/api/patients/{person}", {"revision": revision, "contact_name": value})
        revision = editor.get(f"/api/patients/{person}").good("打开")["revision"] if answer.status == 200 else revision
    items = [
        one for one in editor.get(f"/api/patients/{person}/timeline").good("变更记录")["items"] if one["field"] == "contact_name"
    ]
    seen.see(
        len(items) >= 2 and all(one["changed_at"] and one["changed_by_name"] for one in items), "两次修改各留一条", len(items)
    )
    stale = editor.put(f"/api/patients/{person}", {"revision": 1, "contact_name": "丁"})
    seen.see(stale.status == 409, "旧页面提交的修改被拒绝（不覆盖他人）", f"{stale.status} {stale.code}")
    seen.lacks("归档病历（住院病历由电子病历系统承担）")


@check("HS-08", "http", "accounts")
def one_index(target: Target, seen: Evidence) -> None:
    """One person, one file: the same number twice is refused; merging is undone without loss; every number finds it."""
    known, markers = target.patient, target.markers
    twice = target.register(id_type="01", id_no=markers["id_no"])
    seen.see(twice.status in (409, 422), "同一证件号不能建两份档案", f"{twice.status} {twice.code}")
    clerk = target.whoever("patients.view")
    seen.see(
        [one["id"] for one in clerk.get(f"/api/patients?q={markers['id_no']}").json["items"]] == [known],
        "按证件号找到同一人",
        known,
    )
    seen.see(
        [one["id"] for one in clerk.get(f"/api/patients?q={markers['phone']}").json["items"]] == [known],
        "按手机号找到同一人",
        known,
    )
    first, second = (target.another_patient(phone=f"136{target.number % 10**6:06d}{n}1") for n in (1, 2))
    merger = target.whoever("patients.merge")
    merged = merger.post("/api/patients/merge", {"survivor_id": first, "merged_id": second, "reason": "合规测试"}).good("合并")
    phone = f"136{target.number % 10**6:06d}21"
    seen.see(
        [one["id"] for one in clerk.get(f"/api/patients?q={phone}").json["items"]] == [first], "合并后旧号码找到保留的档案", first
    )
    merger.post("/api/patients/unmerge", {"merge_id": merged["id"], "reason": "合规测试"}).good("撤销合并")
    seen.see([one["id"] for one in clerk.get(f"/api/patients?q={phone}").json["items"]] == [second], "撤销后恢复原状", second)
    trail = clerk.get(f"/api/patients/{first}/merges").json.get("items", [])
    seen.see(trail and trail[0]["undone_at"], "合并与撤销都有记录", f"{len(trail)} 条")
