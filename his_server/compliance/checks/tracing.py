"""Trace codes from the shelf to the patient and back (TC-01 to 05, TC-07).

Drugs, packs and codes are the suite's own; what it puts on the shelf is booked in and stays there, so this is for a test
environment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from his_server.compliance.checks.journey import (
    PHARMACY,
    Bill,
    Patient,
    patient,
    ready,
    two_pharmacists,
    units,
)
from his_server.compliance.checks.prescribing import DRUGS, PACK, Catalogue, catalogue_of
from his_server.compliance.client import Answer, Visitor
from his_server.compliance.frame import Evidence, NotRun, check
from his_server.compliance.target import Target

NEEDS = ("http", "accounts", "command", "disturb")
STOCK = "/api/stock"
WHOLE = Decimal(PACK)


@dataclass
class Shelf:
    """A pharmacy's shelf with the suite's own packs on it."""

    target: Target
    catalogue: Catalogue
    store: int
    other: int | None
    """A second pharmacy, for transfers."""
    packs: int = 0

    def codes(self, count: int) -> list[str]:
        """Codes of twenty digits that no pack has: they begin with a zero, which must not get lost."""
        self.packs += count
        seed = self.target.number
        return [f"0{seed:08d}{n:011d}" for n in range(self.packs - count + 1, self.packs + 1)]

    def book_in(
        self, drug: str, codes: Sequence[Any], *, packs: int | None = None, lot: str | None = None
    ) -> Answer:
        """A stock-in paper of whole packs with their codes, drafted by one pharmacist and confirmed by another."""
        quantity = WHOLE * (len(codes) if packs is None else packs)
        line = {
            "drug_id": self.catalogue.drugs[drug],
            "lot_no": lot or self.target.mark.upper(),
            "quantity": str(quantity),
            "expiry": (date.today() + timedelta(days=400)).isoformat(),
            "pack_cost": "5",
            "codes": list(codes),
        }
        return self.paper("stock_in", "其他入库", [line])

    def paper(
        self, kind: str, purpose: str, lines: list[dict[str, Any]], *, act: str = "confirm", **more: Any
    ) -> Answer:
        """Draft a stock paper and confirm (or ship) it; the answer of the step that refused, or of the last."""
        first, second = two_pharmacists(self.target)
        made = first.post(
            f"{STOCK}/papers",
            {
                "kind": kind,
                "store_id": self.store,
                "purpose": purpose,
                "reason": "合规测试",
                "lines": lines,
                **more,
            },
        )
        if made.status != 201:
            return made
        said = {"acknowledged": True, "boxes": [code for line in lines for code in line.get("codes", ())]}
        return second.post(f"{STOCK}/papers/{made.json['id']}/{act}", said if act == "confirm" else {})

    @contextmanager
    def counting(self, drug: str) -> Iterator[tuple[str, dict[str, int]]]:
        """A count sheet of one drug, for as long as the block lasts: its path, and its lines by lot.

        :raises NotRun: the pharmacy is being counted already.
        """
        first = two_pharmacists(self.target)[0]
        made = first.post(
            f"{STOCK}/sheets", {"store_id": self.store, "drug_ids": [self.catalogue.drugs[drug]]}
        )
        if made.code == "stocktake.open":
            raise NotRun("药房正在盘点，请在盘点结束后再测")
        path = f"{STOCK}/sheets/{made.good('盘点制单')['id']}"
        try:
            page = first.get(f"{path}/lines").good("读取盘点单")
            lot, position = page["columns"].index("lot_no"), page["columns"].index("position")
            yield path, {row[lot]: row[position] for row in page["rows"]}
        finally:
            first.post(f"{path}/cancel", {"reason": "合规测试结束"})

    def state(self, code: str) -> str:
        """Where the product says that a pack is."""
        found = two_pharmacists(self.target)[0].get(f"{PHARMACY}/codes?code={code}").good("查询追溯码")
        return str(found["state"])

    def batch(self, drug: str) -> int:
        """The batch that lies there."""
        code = self.catalogue.code(list(DRUGS).index(drug))
        found = (
            two_pharmacists(self.target)[0]
            .get(f"{STOCK}/batches?store_id={self.store}&q={code}")
            .good("查询批号")["items"]
        )
        mine = (one for one in found if one["drug_id"] == self.catalogue.drugs[drug])
        return int(next(one["batch_id"] for one in mine if Decimal(one["on_hand"]) > 0))


def shelf_of(target: Target) -> Shelf:
    """The shelf; some packs without codes lie on it from the beginning, so that there is something to order.

    :raises NotRun: no pharmacy.
   """
    if "shelf" not in target.kept:
        stores = two_pharmacists(target)[0].get(f"{PHARMACY}/stores").good("药房")["items"]
        ours = next((one["id"] for one in stores if one["kind"] == "outpatient"), None)
        if ours is None:
            raise NotRun("没有门诊药房")
        other = next((one["id"] for one in stores if one["id"] != ours), None)
        shelf = Shelf(target, catalogue_of(target), ours, other)
        for drug in ("追溯", "麻醉片", "限制"):
            done = shelf.book_in(drug, (), packs=20)
            if done.status != 200:
                raise NotRun(f"不能为测试药品入库：{done.status} {done.json.get('message', '')}")
        target.kept["shelf"] = shelf
    found: Shelf = target.kept["shelf"]
    return found


def sold(who: Patient, shelf: Shelf, quantity: Decimal, drug: str = "追溯", **more: Any) -> Bill:
    """An order of the suite's drug, paid for."""
    one = {"id": shelf.catalogue.drugs[drug]}
    return who.pay(who.order(one, quantity, check_reason="合规测试", **more))


def hand_out(target: Target, bill: Bill, codes: Sequence[str], who: Visitor | None = None) -> Answer:
    """Hand out what was paid with these codes."""
    first, second = two_pharmacists(target)
    ready(bill.prescription, first)
    line = first.get(f"{PHARMACY}/prescriptions/{bill.prescription}").good("药房读取处方")["lines"][0]["id"]
    scanned = [{"line_id": line, "codes": list(codes)}] if codes else []
    return (who or second).post(f"{PHARMACY}/prescriptions/{bill.prescription}/dispense", {"codes": scanned})


def bring_back(target: Target, bill: Bill, quantity: Decimal, codes: Sequence[str]) -> Answer:
    """The patient brings drugs back: asked for, decided on by another and taken in, as far as this pharmacy wants it."""
    first, second = two_pharmacists(target)
    line = first.get(f"{PHARMACY}/prescriptions/{bill.prescription}").good("药房读取处方")["lines"][0]["id"]
    scanned = {"codes": [{"line_id": line, "codes": list(codes)}]}
    made = first.post(
        f"{PHARMACY}/prescriptions/{bill.prescription}/returns",
        {"lines": [{"line_id": line, "quantity": str(quantity)}], "reason": "合规测试", **scanned},
    )
    if made.status == 201 and made.json["state"] == "requested":
        second.post(
            f"{PHARMACY}/returns/{made.json['id']}/decide", {"approve": True, "note": "合规测试"}
        ).good("退药审核")
        return first.post(f"{PHARMACY}/returns/{made.json['id']}/accept", scanned)
    return made


def told(answer: Answer) -> str:
    """What the product said."""
    return f"{answer.status} {answer.json.get('message', '')}"


def at(target: Target) -> AbstractContextManager[Patient]:
    """A patient of today's clinic."""
    return patient(target)


@check("TC-01", *NEEDS, "database")
def form(target: Target, seen: Evidence) -> None:
    """Twenty digits with a leading zero, and codes of letters, are kept as text, sign by sign; what is no code is refused."""
    shelf = shelf_of(target)
    digits, letters = shelf.codes(1)[0], f"GS1-{target.mark.upper()}-A01"
    done = shelf.book_in("追溯", [digits, letters])
    seen.see(done.status == 200, "20 位数字码与字母码入库采集", told(done))
    for code in (digits, letters):
        kept = [row["code"] for row in target.db.rows("trace_code", code=code)]
        seen.see(kept == [code], f"{code} 按文本逐位保存（前导零不丢）", kept or "没有")
    for what, code in (
        ("过短", "123"),
        ("含汉字", f"{target.mark}追溯码一"),
        ("数字而不是文本", 81234567890123456789),
        ("空", ""),
    ):
        refused = shelf.book_in("追溯", [code])
        seen.see(
            refused.status == 422 and refused.json.get("errors"),
            f"不是追溯码的内容被拒绝（{what}）",
            told(refused),
        )
    twice = shelf.codes(1)[0]
    refused = shelf.book_in("追溯", [twice, twice])
    seen.see(refused.status == 422, "一次入库扫到同一个码两次被拒绝", told(refused))


@check("TC-02", *NEEDS)
def sold_once(target: Target, seen: Evidence) -> None:
    """A whole pack's code is sold once; the second sale is told who sold it and when."""
    shelf = shelf_of(target)
    mine, next_one = shelf.codes(2)
    booked = shelf.book_in("追溯", [mine, next_one])
    if not seen.see(booked.status == 200, "入库采集", told(booked)):
        return
    again = shelf.book_in("追溯", [mine])
    seen.see(again.status == 409, "在库的码不能再次入库", told(again))
    with at(target) as who:
        first = hand_out(target, sold(who, shelf, WHOLE), [mine])
        seen.see(
            first.status == 200 and shelf.state(mine) == "dispensed",
            "扫码发药",
            f"{told(first)}，{shelf.state(mine)}",
        )
        bill = sold(who, shelf, WHOLE)
        second = hand_out(target, bill, [mine])
        seen.see(
            second.status == 409 and mine in str(second.json.get("message")),
            "同一整盒的码再次发药被拒绝并说明去向",
            told(second),
        )
        right = hand_out(target, bill, [next_one])
        seen.see(right.status == 200, "换一盒即可发药", told(right))


@check("TC-03", *NEEDS, "database")
def insured(target: Target, seen: Evidence) -> None:
    """For an insured visit a drug goes out with its code or with an entry of the no-code list, not otherwise."""
    shelf, (keeper, _) = shelf_of(target), two_pharmacists(target)
    with at(target) as who:
        bill = sold(who, shelf, WHOLE)
        target.db.change("encounter", {"id": who.visit.encounter}, insurance="310")
        bare = hand_out(target, bill, [])
        seen.see(
            bare.status == 409 and "追溯码" in str(bare.json.get("message")),
            "医保就诊：没有扫码、也不在无码库的药品不能发",
            told(bare),
        )
        body = {"drug_id": shelf.catalogue.drugs["追溯"], "reason": "合规测试"}
        entry = keeper.post(f"{STOCK}/no-codes", body).good("登记无码库")["id"]
        done = hand_out(target, bill, [])
        seen.see(done.status == 200, "登记无码库后可以发", told(done))
        keeper.post(f"{STOCK}/no-codes/{entry}/end", {}).good("移出无码库")
        bill = sold(who, shelf, WHOLE)
        bare = hand_out(target, bill, [])
        seen.see(bare.status == 409, "移出无码库后又须扫码", told(bare))
        code = shelf.codes(1)
        seen.see(
            shelf.book_in("追溯", code).status == 200 and hand_out(target, bill, code).status == 200,
            "扫码即可发",
            code,
        )
    seen.note("怎样成为医保就诊", "测试就诊由 SQL 标为职工医保（310），没有经过医保结算")


@check("TC-04", *NEEDS, "database")
def comes_back(target: Target, seen: Evidence) -> None:
    """What comes back is scanned back, told to the insurer's platform under its code, and may be sold once more, not twice."""
    shelf = shelf_of(target)
    code = shelf.codes(1)[0]
    seen.see(shelf.book_in("追溯", [code]).status == 200, "入库采集", code)
    with at(target) as who:
        bill = sold(who, shelf, WHOLE)
        seen.see(hand_out(target, bill, [code]).status == 200, "扫码发药", shelf.state(code))
        foreign = bring_back(target, bill, WHOLE, shelf.codes(1))
        seen.see(foreign.status in (409, 422), "退回不是这张处方发出的码被拒绝", told(foreign))
        back = bring_back(target, bill, WHOLE, [code])
        seen.see(
            back.status in (200, 201) and shelf.state(code) == "in_stock",
            "扫码退药后该码回到在库",
            f"{told(back)}，{shelf.state(code)}",
        )
        row = target.db.rows("trace_code", code=code)[0]
        uploads = {one["upload_id"]: one["act"] for one in target.db.rows("trace_move", code_id=row["id"])}
        acts = [one["act"] for one in target.db.rows("trace_upload", id=[key for key in uploads if key])]
        seen.see({"use", "take_back"} <= set(acts), "销售与退货各有一条待传记录（3505、3506）", sorted(acts))
        line = bill.settlement["lines"][0]
        paid = who.refund(bill, line, units(line))
        seen.see(paid.status == 201, "退药之后可以退费", told(paid))
        once = hand_out(target, sold(who, shelf, WHOLE), [code])
        seen.see(once.status == 200, "退回的码可以再售一次", told(once))
        twice = hand_out(target, sold(who, shelf, WHOLE), [code])
        seen.see(twice.status == 409, "再售之后不能又售", told(twice))


@check("TC-05", *NEEDS, "database")
def one_pack_many_patients(target: Target, seen: Evidence) -> None:
    """A broken pack serves several patients until it is empty, never beyond."""
    shelf = shelf_of(target)
    code, part = shelf.codes(1)[0], WHOLE * 2 / 5
    seen.see(shelf.book_in("追溯", [code]).status == 200, "入库采集", code)
    for n in (1, 2):
        with at(target) as who:
            done = hand_out(target, sold(who, shelf, part), [code])
            seen.see(
                done.status == 200 and shelf.state(code) == "opened",
                f"第 {n} 名病人从同一盒取 {part:f} 片",
                f"{told(done)}，{shelf.state(code)}",
            )
    with at(target) as who:
        bill = sold(who, shelf, part)
        beyond = hand_out(target, bill, [code])
        seen.see(
            beyond.status in (409, 422), f"余 {WHOLE - 2 * part:f} 片时不能再发 {part:f} 片", told(beyond)
        )
        more = shelf.codes(1)
        shelf.book_in("追溯", more)
        rest = hand_out(target, bill, [code, *more])
        seen.see(rest.status == 200, "用完余下的，再开一盒补足", told(rest))
    row = target.db.rows("trace_code", code=code)[0]
    used = sum(
        (Decimal(str(one["quantity"])) for one in target.db.rows("trace_move", code_id=row["id"], act="use")),
        Decimal(0),
    )
    whole = Decimal(str(row["quantity"]))
    seen.see(
        used == whole and row["state"] == "dispensed", "各次之和恰为整盒", f"{used} / {whole}，{row['state']}"
    )


@check("TC-07", *NEEDS)
def moves(target: Target, seen: Evidence) -> None:
    """Loss, count and transfer take the code along; from a place where the pack isn't it can't be sold or booked in."""
    shelf = shelf_of(target)
    lost, moved = shelf.codes(2)
    if not seen.see((booked := shelf.book_in("追溯", [lost, moved])).status == 200, "入库采集", told(booked)):
        return
    line = {"batch_id": shelf.batch("追溯"), "quantity": str(WHOLE)}
    done = shelf.paper("loss", "破损", [{**line, "codes": [lost]}])
    seen.see(
        done.status == 200 and shelf.state(lost) == "lost",
        "报损带走追溯码",
        f"{told(done)}，{shelf.state(lost)}",
    )
    with at(target) as who:
        bill = sold(who, shelf, WHOLE)
        refused = hand_out(target, bill, [lost])
        seen.see(refused.status == 409, "已报损的码不能发药", told(refused))
        refused = shelf.book_in("追溯", [lost])
        seen.see(refused.status == 409, "已报损的码不能当作新到货入库", told(refused))
        _counted(shelf, seen, bill)
        if shelf.other is None:
            seen.lacks("调拨（没有第二个药房）")
            return
        sent = shelf.paper(
            "transfer", "调拨", [{**line, "codes": [moved]}], act="ship", other_store_id=shelf.other
        )
        seen.see(
            sent.status == 200 and shelf.state(moved) == "in_transit",
            "调拨发出后该码在途",
            f"{told(sent)}，{shelf.state(moved)}",
        )
        refused = hand_out(target, bill, [moved])
        seen.see(refused.status == 409, "在途的码不能发药", told(refused))
        if sent.status == 200:
            taken = two_pharmacists(target)[0].post(f"{STOCK}/papers/{sent.json['id']}/receive", {})
            seen.see(
                taken.status == 200 and shelf.state(moved) == "in_stock",
                "接收后该码在对方药房",
                f"{told(taken)}，{shelf.state(moved)}",
            )
            refused = hand_out(target, bill, [moved])
            seen.see(refused.status == 409, "在对方药房的码不能由本药房发出", told(refused))


def _counted(shelf: Shelf, seen: Evidence, bill: Bill) -> None:
    """Of two packs one is scanned at a count: the other's code goes with the loss, and comes back when it is scanned again."""
    first, second = two_pharmacists(shelf.target)
    (kept, gone), lot = shelf.codes(2), f"{shelf.target.mark.upper()}-PD"
    if not seen.see((booked := shelf.book_in("追溯", [kept, gone], lot=lot)).status == 200, "入库采集", told(booked)):
        return
    for codes, end, what in (
        ([kept, kept], "lost", "盘点只扫到一盒，过账后没扫到的码随盘亏报损"),
        ([kept, gone], "in_stock", "下次盘点扫到的码随盘盈找回"),
    ):
        with shelf.counting("追溯") as (path, _):
            scanned = first.post(f"{path}/scans", {"codes": codes}).good("扫码清点")
            counts = [Decimal(one["counted"]) for one in scanned["items"]]
            seen.see(counts == [WHOLE * len(set(codes))], "同一张盘点单一个码只计一次", counts)
            posted = second.post(f"{path}/post", {})
            seen.see(
                posted.status == 200 and (shelf.state(kept), shelf.state(gone)) == ("in_stock", end),
                what,
                f"{told(posted)}，{shelf.state(kept)}，{shelf.state(gone)}",
            )
        if end == "lost":
            refused = hand_out(shelf.target, bill, [gone])
            seen.see(refused.status == 409, "盘亏的码不能发药", told(refused))
