"""Insured patients of the suite's own, and what they and the stand-in of the insurer's centre do (YB-02 to 06)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from his_server.compliance import peers
from his_server.compliance.checks.journey import WINDOW, examined, patient
from his_server.compliance.client import Answer
from his_server.compliance.frame import NotRun
from his_server.compliance.peers import Peer, until
from his_server.compliance.tables import Row, Tables
from his_server.compliance.target import Target, invented

INSURANCE = "/api/charging/insurance"
BEYOND = "9999.00"
"""What a member has used of the year's deductible, so that the fund pays from the first yuan."""
DONE = ("used", "refused")


@dataclass
class Member:
    """An insured person with something to pay, for which the insurer is asked."""

    target: Target
    centre: Tables
    number: str
    person: int
    lines: list[int]
    claim: dict[str, Any] = field(default_factory=dict)

    @property
    def card(self) -> dict[str, str]:
        """The electronic credential that the member shows."""
        return {"kind": "ecode", "number": f"{self.number}0000"}

    def preview(self, **more: Any) -> Answer:
        """Ask what the insurer would pay."""
        body = {"person_id": self.person, "line_ids": self.lines, "credential": self.card, **more}
        answer = self.target.staff("cashier").post(f"{INSURANCE}/claims", body)
        if answer.status == 201:
            self.claim = answer.json
        return answer

    def previewed(self, **more: Any) -> None:
        """As a cashier does it: again after a failure. :raises NotRun: not in five tries."""
        for _ in range(4):
            if self.preview(**more).status == 201:
                return
            peers.pause()
        self.preview(**more).good("医保预结算")

    def settle(self, *payments: dict[str, Any]) -> Answer:
        """Settle what was previewed; the patient's part in cash unless told otherwise."""
        cash = Decimal(self.claim["cash"])
        own = list(payments) or ([{"method": "cash", "covers": self.claim["cash"]}] if cash else [])
        body = {"credential": self.card, "payments": own}
        return self.target.staff("cashier").post(f"{INSURANCE}/claims/{self.claim['id']}/settle", body)

    def state(self) -> str:
        """What became of the claim: asked again and again, as the recovery does."""
        place, cashier = f"{INSURANCE}/claims/{self.claim['id']}", self.target.staff("cashier")

        def asked() -> bool:
            self.claim.update(cashier.get(place).good("医保结算进展"))
            if self.claim["state"] not in DONE and (found := cashier.post(f"{place}/query")).status == 200:
                self.claim.update(found.json)
            return self.claim["state"] in DONE

        until(asked, 60)
        return str(self.claim["state"])

    def theirs(self) -> list[Row]:
        """What stands of this member in the centre's books: settled, neither undone nor reversed."""
        rows = self.settlements()
        gone = {row["reverses"] for row in rows if row["reverses"]}
        return [row for row in rows if not row["reverses"] and row["setl_id"] not in gone]

    def settlements(self) -> list[Row]:
        """Settlements and reversals of this member in the centre's books, without those that 2601 undid."""
        return self.centre.rows("settlement", psn_no=self.psn(), void=0)

    def psn(self) -> list[str]:
        """The member's number at the centre."""
        return [row["psn_no"] for row in self.centre.rows("member", id_no=self.number)]

    def refund(self) -> Answer:
        """All of it back, the insurer's part first."""
        paid = self.target.staff("cashier").get(f"{WINDOW}/settlements/{self.claim['settlement_id']}").good("读取结算")
        lines = [{"line_id": one["id"], "quantity": one["quantity"]} for one in paid["lines"]]
        body = {"settlement_id": paid["id"], "lines": lines, "reason": "合规测试"}
        return self.target.staff("cashier").post(f"{INSURANCE}/refunds", body)


def insure(target: Target, line: Peer, person: int, number: str, lines: list[int]) -> Member:
    """The insurer is told of the person, and pays from the first yuan. :raises NotRun: it isn't this stand-in."""
    card = {"kind": "ecode", "number": f"{number}0000", "name": f"参保{target.mark}"}
    target.staff("cashier").post(f"{INSURANCE}/identify", card).good("读医保凭证")
    centre = line.books("centre.db")
    if centre.change("member", {"id_no": number}, deductible=BEYOND) != 1:
        raise NotRun("被测服务没有向这个模拟器查询参保人")
    return Member(target, centre, number, person, lines)


def papers(target: Target) -> dict[str, Any]:
    """Name and papers of somebody insured whom nobody has heard of."""
    serial = target.kept["members"] = target.kept.get("members", 1) + 1
    number = invented(target.number, f"3201{serial:02d}")
    return {"name": f"参保{target.mark}", "id_type": "01", "id_no": number, "sex": "1" if int(number[16]) % 2 else "2",
            "birth_date": f"{number[6:10]}-{number[10:12]}-{number[12:14]}"}


@contextlib.contextmanager
def member(target: Target, line: Peer) -> Iterator[Member]:
    """A new insured patient who owes an examination; all is given back at the end. :raises NotRun: no clinic, or not insured."""
    about = papers(target)
    with patient(target, **about) as who:
        asked = examined(who)
        owed = [one["id"] for one in who.unpaid()["lines"]]
        made = insure(target, line, who.visit.person, about["id_no"], owed)
        try:
            yield made
        finally:
            if made.claim.get("state") == "used":
                made.refund()
            who.visit.doctor.post(f"/api/orders/requests/{asked}/cancel")
