"""The insurer's line cut at each transaction, and both sides' books compared (YB-02, 03, 04, 06; TC-06).

The other side is the stand-in of the product's own test environment (peers.py): its line is made to fail, its books are
read, and for the reconciliation altered and put back. Insured are examinations and a registration of the suite's own patients.
"""

from __future__ import annotations

import contextlib
import json
import re
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from his_server.compliance import peers
from his_server.compliance.checks.journey import CODE, WINDOW
from his_server.compliance.checks.members import DONE, INSURANCE, insure, member, papers
from his_server.compliance.checks.orders import open_session
from his_server.compliance.checks.tracing import STOCK, WHOLE, at, hand_out, shelf_of, sold, told
from his_server.compliance.frame import Evidence, check
from his_server.compliance.peers import Peer, peer, until
from his_server.compliance.tables import Row, Tables
from his_server.compliance.target import Target

NEEDS = ("http", "accounts", "database", "data", "command", "disturb")
OFFICE = "/api/insurance-office"
REASON = {"reason": "合规测试退号"}
FAULTS = (
    ("drop_after", "2201"), ("drop_before", "2203"), ("drop_after", "2204"), ("garbage", "2206"), ("drop_before", "2207"),
    ("drop_after", "2207"), ("duplicate", "2207"), ("short", "2207"),
)
"""How the line fails, and at which transaction: each is one patient's settlement."""
NATIONAL = {
    "西药、中成药": re.compile(r"[XZ][A-Z0-9]{19,22}"), "中药饮片": re.compile(r"T[A-Z0-9]{9,22}"),
    "医疗服务": re.compile(r"\d{15}(-\d{9})?"), "耗材": re.compile(r"C\d{19,26}"),
}
"""Forms of the insurer's codes (医保信息业务编码)."""
HOSPITAL = re.compile(r"[HP]\d{11}")
UPLOAD_SECONDS = 180
"""Within this the worker has tried again what was lost."""


@check("YB-02", *NEEDS)
def cut_lines(target: Target, seen: Evidence) -> None:
    """Whichever transaction's answer is lost: in the end settled on both sides or on neither, each message numbered once."""
    line = peer(target, "nhsa")
    before, uneven = target.db.count("nhsa_message"), _uneven(target)
    for fault, infno in FAULTS:
        what = f"{infno} {fault}"
        with member(target, line) as who:
            with line.failing((fault, infno)):
                who.previewed()
                first = who.settle()
            state, theirs = who.state(), who.theirs()
            both = len(theirs) == (state == "used")
            seen.see(state in DONE and both, f"{what}：最终两边一致（结清或未结算），没有重复结算",
                     f"首次应答 {first.status}，最终 {state}，中心有效结算 {len(theirs)} 笔")
            if theirs:
                total = Decimal(json.loads(theirs[0]["info"])["medfee_sumamt"])
                seen.see(total == Decimal(who.claim["total"]), f"{what}：两边金额相同", f"{total} / {who.claim['total']}")
            if (fault, infno) == ("drop_before", "2207"):
                undone = [row for row in target.db.rows("nhsa_message", number=who.claim["number"]) if row["infno"] == "2601"]
                seen.see(undone and state == "refused", "2207 无应答、中心查无结算：发 2601 冲正，判为未结算",
                         f"2601 {len(undone)} 次")
                who.previewed()
                again = who.settle()
                seen.see(again.status == 200 and who.state() == "used" and len(who.theirs()) == 1,
                         "冲正之后可以重新结算，中心只有一笔", told(again))
    _cut_reversal(target, line, seen)
    made = target.db.rows("nhsa_message")
    numbers = [row["msgid"] for row in made]
    wrong = [one for one in numbers if len(one) != 30 or not one[12:].isdigit() or not HOSPITAL.fullmatch(one[:12])]
    seen.see(len(made) > before and len(set(numbers)) == len(numbers) and not wrong,
             "报文编号唯一：机构编号＋时间＋序号，共 30 位", wrong[:3] or f"{len(numbers)} 个")
    more = sorted(_uneven(target) - uneven)
    seen.see(not more, "账目核对没有因此出现不平", more[:3] or "没有")


def _uneven(target: Target) -> set[str]:
    """What ``his-server balance`` finds."""
    out = target.his("balance").out.splitlines()
    return {line.strip() for line in out if line.strip() and not line.startswith(("平", "共"))}


def _cut_reversal(target: Target, line: Peer, seen: Evidence) -> None:
    """2208 and its answer lost: reversed once, refunded once."""
    with member(target, line) as who:
        who.previewed()
        who.settle()
        if not seen.see(who.state() == "used", "医保结算", who.claim.get("message")):
            return
        with line.failing(("drop_after", "2208")):
            case = who.refund().json
        go_on = f"{INSURANCE}/refunds/{case.get('id')}/continue"
        for _ in range(5):
            if case.get("state") in ("done", "undone"):
                break
            peers.pause()
            case = target.staff("cashier").post(go_on).json
        who.claim["state"] = "refunded"
        reversals = [row for row in who.settlements() if row["reverses"]]
        refunds = target.db.count("settlement", kind="refund", person_id=who.person)
        seen.see(case.get("state") == "done" and len(reversals) == refunds == 1, "2208 应答丢失：撤销一次，退费一次",
                 f"{case.get('state')}，中心撤销 {len(reversals)} 笔，本院退费 {refunds} 笔")


@check("YB-03", *NEEDS)
def reconciled(target: Target, seen: Evidence) -> None:
    """A day's statement is even; one settlement too many, one missing, one of another amount are each found and decided on."""
    line = peer(target, "nhsa")
    office = target.whoever("insurance_office.statements")
    with contextlib.ExitStack() as stack:
        members = [stack.enter_context(member(target, line)) for _ in range(3)]
        for who in members:
            who.previewed()
            who.settle()
            if not seen.see(who.state() == "used", "医保结算", who.claim.get("message")):
                return
        day = _a_free_day(target)
        centre, rows = members[0].centre, [who.theirs()[0] for who in members]
        for who, row in zip(members, rows, strict=True):
            claim = target.db.rows("insurance_claim", id=who.claim["id"])[0]
            noon = at_noon(claim["peer_settled_at"], day)
            stack.enter_context(target.db.altered("insurance_claim", {"id": claim["id"]}, peer_settled_at=noon))
            stack.enter_context(centre.altered("settlement", {"setl_id": row["setl_id"]}, setl_time=f"{day} 12:00:00"))
        made = office.post(f"{OFFICE}/statements", {"day": day.isoformat()}).good("生成日对账单")["ids"]
        if not seen.see(len(made) == 1, "按账生成一天的对账单", f"{day} {len(made)} 张"):
            return
        place = f"{OFFICE}/statements/{made[0]}"
        stack.callback(office.post, f"{place}/delete")
        uploaded = office.post(f"{place}/upload")
        seen.see(uploaded.status == 200, "上传对账单", told(uploaded))
        even = office.post(f"{place}/compare").good("对账")
        seen.see(even["state"] == "matched", "两边相同：3201 总账对平", f"{even['state']} {even.get('message') or ''}")
        _differ(target, seen, centre, rows, day, place)
        again = office.post(f"{place}/compare").good("对账")
        left = [one["kind"] for one in again["items"] if one["state"] == "open"]
        seen.see(again["state"] == "matched" and not left, "差异消除后重新对账为平", f"{again['state']} {left}")


def _differ(target: Target, seen: Evidence, centre: Tables, rows: list[Row], day: date, place: str) -> None:
    office, info = target.whoever("insurance_office.statements"), json.loads(rows[1]["info"])
    fen = Decimal("0.01")
    info["fund_pay_sumamt"] = f"{Decimal(info['fund_pay_sumamt']) - fen:.2f}"
    stray = {**rows[2], "setl_id": f"S{target.mark}", "setl_time": f"{day} 12:00:00",
             "msgid": rows[2]["msgid"][:18] + f"{target.number % 10**12:012d}"}
    with (
        centre.altered("settlement", {"setl_id": rows[1]["setl_id"]}, info=json.dumps(info, ensure_ascii=False)),
        centre.added("settlement", stray, setl_id=stray["setl_id"]),
        centre.removed("settlement", setl_id=rows[0]["setl_id"]),
    ):
        found = office.post(f"{place}/compare").good("对账")
        kinds = {one["kind"]: one for one in found["items"] if one["state"] == "open"}
        for what, kind, name, wanted in (
            ("中心少一笔", "HOSPITAL_ONLY", "peer_number", rows[0]["setl_id"]),
            ("一笔金额差一分", "AMOUNT_DIFF", "peer_number", rows[1]["setl_id"]),
            ("中心多一笔", "CENTRE_ONLY", "message_id", stray["msgid"]),
        ):
            seen.see(kinds.get(kind, {}).get(name) == wanted, f"{what}被 3202 找出", sorted(kinds))
        seen.see(found["state"] == "diff" and len(kinds) == 3, "恰有三条差异", f"{found['state']} {len(kinds)} 条")
        early = office.post(f"{place}/confirm")
        seen.see(early.status == 409, "差异没有处理完不能确认对账单", told(early))
        if "CENTRE_ONLY" in kinds:
            path = f"{OFFICE}/differences/{kinds['CENTRE_ONLY']['id']}"
            asked = office.post(f"{path}/propose", {"reason": "合规测试疑为超时"})
            own = office.post(f"{path}/approve")
            seen.see(asked.status == 200 and own.status in (403, 409), "冲正须他人审批，申请人自己不能批准", told(own))
            other = target.whoever("insurance_office.approve_reversal", but="insurance_office.statements")
            declined = other.post(f"{path}/decline", {"reason": "合规测试不同意"})
            seen.see(declined.status == 200, "他人审批（不同意）", told(declined))


def _a_free_day(target: Target) -> date:
    """A day long ago of which there is neither a statement nor a settlement."""
    first = date(2001, 1, 1) + timedelta(target.number % 5000)
    known = {str(row["begin_day"])[:10] for row in target.db.rows("insurance_statement")}
    return next(day for n in range(3000) if (day := first + timedelta(n)).isoformat() not in known)


def at_noon(moment: Any, day: date) -> Any:
    """The same instant's noon of another day, in the form in which the database holds it (UTC)."""
    if isinstance(moment, datetime):
        return moment.replace(year=day.year, month=day.month, day=day.day, hour=4)
    return f"{day.isoformat()}{str(moment)[10]}04{str(moment)[13:]}"


@check("YB-04", *NEEDS)
def coded(target: Target, seen: Evidence) -> None:
    """What goes to the insurer is coded as it demands; a code that its catalogue hasn't can't be assigned."""
    line = peer(target, "nhsa")
    with member(target, line) as who:
        who.previewed()
        visit = [row["mdtrt_id"] for row in who.centre.rows("visit", psn_no=who.psn())]
        sent = [row["code"] for row in who.centre.rows("fee", mdtrt_id=visit)]
        wrong = [one for one in sent if not _form(one)]
        seen.see(sent and not wrong, "上传明细的目录编码符合编码规则", wrong or sorted(set(sent)))
        seen.see(len(sent) == len(who.lines), "每一行费用都有编码，一行不少", f"{len(sent)} / {len(who.lines)} 行")
    rows = target.db.rows("insurance_mapping")
    wrong = [f"{row['code']} {row['national']}" for row in rows if not _form(row["national"])]
    seen.see(not wrong, "库中全部目录对照的编码符合编码规则", wrong[:5] or f"{len(rows)} 条")
    clerk = target.whoever("insurance_office.mappings")
    ours = target.db.rows("charge_item", 1, newest=True)[0]["code"]
    body = {"kind": "item", "code": ours, "list_type": "201", "national": f"{target.mark}没有的编码"}
    refused = clerk.post(f"{OFFICE}/mappings", body)
    seen.see(refused.status in (404, 409, 422), "目录中没有的编码不能对照", told(refused))
    seen.see(HOSPITAL.fullmatch(target.hospital_code), "定点机构编码 H＋11 位", target.hospital_code)
    seen.lacks("医师（D）、护士（N）代码与诊断国临版对照由医保办按国家平台下发的库核对")


def _form(code: str) -> str:
    return next((name for name, form in NATIONAL.items() if form.fullmatch(code)), "")


@check("YB-06", *NEEDS)
def mixed(target: Target, seen: Evidence) -> None:
    """A registration paid by the insurer and by scan goes back the same two ways, each to its own, and is shown so."""
    line, channel = peer(target, "nhsa"), peer(target, "scan_payment")
    cashier, about = target.staff("cashier"), papers(target)
    person = target.another_patient(**about)
    held = cashier.post(f"{WINDOW}/registrations/hold", {
        "person_id": person, "session_id": open_session(target)["id"]}).good("占号")
    place = f"{WINDOW}/registrations/{held['registration_id']}"
    with contextlib.ExitStack() as stack:
        stack.callback(cashier.post, f"{place}/cancel", REASON)
        who = insure(target, line, person, about["id_no"], held["line_ids"])
        who.previewed(use_account=False)
        cash = who.claim["cash"]
        if not seen.see(Decimal(cash) > 0 and Decimal(who.claim["fund"]) > 0, "医保与个人各付一部分",
                        f"基金 {who.claim['fund']}，个人 {cash}"):
            return
        intent = cashier.post(f"{WINDOW}/payment-intents", {
            "person_id": who.person, "channel": "scan", "amount": cash, "auth_code": CODE}).good("扫码支付")
        paid = who.settle({"method": "scan", "covers": cash, "intent_id": intent["id"]})
        if not seen.see(paid.status == 200 and who.state() == "used", "个人部分扫码支付", told(paid)):
            return
        bill = cashier.get(f"{WINDOW}/settlements/{who.claim['settlement_id']}").good("读取结算")
        case = cashier.post(f"{place}/cancel-insured", REASON).good("退号")
        for key in case.get("intent_ids") or ():
            cashier.post(f"{WINDOW}/payment-intents/{key}/send")
        seen.see(case["state"] == "done", "医保退号办完", f"{case['state']} {case.get('message') or ''}")
        back = cashier.get(f"{WINDOW}/settlements/{case['refund_id']}").good("读取退费") if case.get("refund_id") else {}
        ways = [{one["method"]: -Decimal(one["amount"]) * sign for one in part.get("payments", ())}
                for part, sign in ((bill, -1), (back, 1))]
        seen.see(ways[0] == ways[1] and len(ways[0]) > 1, "退费的支付方式与各自金额同收费一致（医保退医保，扫码退扫码）",
                 f"{ways[0]} / {ways[1]}")
        seen.see("cash" not in ways[1], "没有改退现金", sorted(ways[1]))
        seen.see(not who.theirs(), "医保部分经 2208 撤销，中心没有留下结算", f"{len(who.theirs())} 笔")
        books = channel.books("books.db")
        returned = until(lambda: books.rows("refund", original=intent["number"]), 60)
        seen.see([Decimal(row["amount"]) for row in returned] == [Decimal(cash)], "个人部分经原扫码渠道退回一次，金额相同",
                 [row["amount"] for row in returned])
    seen.note("退费类型＝支付类型（招标 1-14）", "测试的是窗口挂号；互联网医院的挂号由其系统经同一接口办理")


@check("TC-06", *NEEDS)
def uploaded_once(target: Target, seen: Evidence) -> None:
    """A sale whose upload's answer is lost is sent again under the same serial: the platform has it once, nothing waits."""
    line, shelf = peer(target, "nhsa"), shelf_of(target)
    keeper = target.whoever("stock.trace")
    code = shelf.codes(1)[0]
    with line.failing(("drop_after", "3505"), ("drop_before", "3503")):
        seen.see(shelf.book_in("追溯", [code]).status == 200, "入库采集", code)
        with at(target) as who:
            given = hand_out(target, sold(who, shelf, WHOLE), [code])
            seen.see(given.status == 200, "扫码发药", told(given))
        key = target.db.rows("trace_code", code=code)[0]["id"]

        def open_ones() -> list[Row]:
            ids = [row["upload_id"] for row in target.db.rows("trace_move", code_id=key) if row["upload_id"]]
            return target.db.rows("trace_upload", id=ids)

        until(lambda: all(row["state"] != "waiting" for row in open_ones()), UPLOAD_SECONDS)
    uploads = open_ones()
    seen.see(uploads and all(row["state"] == "sent" for row in uploads), "应答丢失后自动重传成功",
             [(row["act"], row["state"], row["message"]) for row in uploads])
    sale = next((row for row in uploads if row["act"] == "use"), None)
    if sale is None:
        seen.see(False, "销售有一条上传记录", "没有")
        return
    tries = target.db.count("interface_call", operation="3505", business_key=sale["serial"])
    seen.see(tries >= 2, "线路断过，确有重传（接口调用记录）", f"{tries} 次")
    kept = [row for row in line.books("centre.db").rows("stock", kind="3505") if code in str(row["body"])]
    seen.see(len(kept) == 1 and kept[0]["serial"] == sale["serial"], "重传用同一批次流水号，平台只有一条",
             [row["serial"] for row in kept])
    covered = keeper.get(f"{STOCK}/trace-coverage?start={target.today}&end={target.today}").good("扫码率")
    seen.see(covered["lines"] >= covered["coded_lines"] >= 1, "当日扫码率可查",
             f"发药 {covered['lines']} 行，扫码 {covered['coded_lines']} 行")
    waiting = until(lambda: not _unsent(target), UPLOAD_SECONDS)
    seen.see(waiting, "待传清零", f"未上传 {_unsent(target)} 条")


def _unsent(target: Target) -> int:
    """Uploads of this run's own drugs that the platform doesn't have."""
    mine = list(shelf_of(target).catalogue.drugs.values())
    return sum(row["state"] != "sent" for row in target.db.rows("trace_upload", drug_id=mine))
