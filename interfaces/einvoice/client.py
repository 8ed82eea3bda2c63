"""Calls to the electronic invoice platform: implements :class:`modules.kernel.charging.ports.InvoicePort` (H8)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Any, NoReturn
from uuid import uuid4

from marshmallow import Schema, ValidationError

from interfaces.einvoice import contract, envelope, mapping
from interfaces.einvoice.settings import Settings
from modules.kernel.charging.ports import (
    CONFIRMED,
    REFUSED,
    UNKNOWN,
    DayTotals,
    Invoice,
    InvoiceRequest,
    Outcome,
    Paper,
    PaperStock,
    PlatformInvoice,
)

HEADERS = {"Content-Type": "application/json; charset=UTF-8", "Accept": "application/json"}
ELECTRONIC, RED = "1", "2"
"""dataType of getBillByBusDate."""


class _Said(Exception):
    """The platform answered with an error: its code and text."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{text}（{code}）")
        self.code, self.text = code, str(self)


class Platform:
    """The platform behind a line. Amounts in yuan; what is not an answer raises, and is an unknown outcome."""

    def __init__(self, line: Any, settings: Settings, appid: str, key: str) -> None:
        self._line, self._settings, self._appid, self._key = line, settings, appid, key

    def _call(self, method: str, body: dict[str, Any], reply: type[Schema] | None) -> dict[str, Any]:
        """One call. :raises _Said: an error. :raises ContractError: nothing that may be believed."""
        message = envelope.pack(self._appid, self._key, uuid4().hex, envelope.dumps(body), self._settings.sign)
        answer = self._line.exchange("POST", f"{self._settings.path}/{method}", envelope.dumps(message).encode(), HEADERS)
        if answer.status != 200:
            raise envelope.ContractError(f"HTTP {answer.status}")
        told = envelope.loads(envelope.unpack(envelope.loads(answer.body), self._appid, self._key, self._settings.sign))
        try:
            head: dict[str, Any] = contract.Answer().load(told)
            if head["result"] != envelope.SUCCESS:
                raise _Said(head["result"], head["message"])
            if reply is None:
                return {}
            found: dict[str, Any] = reply().load(envelope.loads(envelope.decode(head["message"])))
        except ValidationError as error:
            raise envelope.ContractError(f"{method} 的应答不完整：{error.messages}") from error
        return found

    def _refusal(self, said: _Said) -> Invoice:
        """What an error means for an invoice: refused, or undecided where the code says so."""
        return Invoice(UNKNOWN if said.code in self._settings.uncertain else REFUSED, message=said.text)

    # Invoices

    def issue(self, request: InvoiceRequest) -> Invoice:
        """Issue; where the platform says that it knows the number already, what it issued then."""
        try:
            return mapping.issued(self._call(mapping.METHODS[request.kind], mapping.issue(request, self._settings),
                                             contract.Issued))
        except _Said as said:
            known = self.query(request.number, request.issued_at)
            return known if known.state == CONFIRMED else self._refusal(said)

    def query(self, number: str, issued_at: datetime) -> Invoice:
        """By our number, among what was issued for that very instant."""
        start, end = mapping.around(issued_at)
        for row in self._rows(start, end, ELECTRONIC):
            if row["busNo"] == number:
                return mapping.found(row)
        return Invoice(REFUSED, message="平台没有这张票据")

    def red(self, number: str, code: str, invoice_number: str, reason: str, operator: str, at: datetime) -> Invoice:
        """Red-reverse; an invoice that has its red one already answers with that."""
        try:
            return mapping.written_off(self._call("writeOffEBill", {
                "billBatchCode": code, "billNo": invoice_number, "reason": reason, "operator": operator,
                "busDateTime": mapping.stamp(at), "placeCode": self._settings.place_code}, contract.WrittenOff))
        except _Said as said:
            known = self.query_red(number, code, invoice_number)
            return known if known.state == CONFIRMED else self._refusal(said)

    def query_red(self, number: str, code: str, invoice_number: str) -> Invoice:
        """The red one of an invoice."""
        told = self._states(code, invoice_number)
        return mapping.scarlet(told) if told["isScarlet"] == "1" else Invoice(REFUSED, message="原票据尚未冲红")

    def _states(self, code: str, invoice_number: str) -> dict[str, Any]:
        return self._call("getEBillStatesByBillInfo", {"billBatchCode": code, "billNo": invoice_number}, contract.States)

    def image(self, code: str, invoice_number: str, check_code: str) -> bytes:
        """The picture, where the platform has a method for it. :raises ContractError: it hasn't, or sent none."""
        if not self._settings.picture_method:
            raise envelope.ContractError("平台没有提供票据图片接口")
        told = self._call(self._settings.picture_method, {
            "billBatchCode": code, "billNo": invoice_number, "random": check_code}, contract.Picture)
        try:
            content = base64.b64decode(told["fileData"], validate=True)
        except binascii.Error as error:
            raise envelope.ContractError("票据图片不是 Base64") from error
        if not content.startswith(b"\x89PNG"):
            raise envelope.ContractError("票据图片不是 PNG")
        return content

    # Paper

    def next_paper(self) -> Paper:
        """The next paper."""
        try:
            return mapping.paper(self._call("getPaperBillNo", {
                "placeCode": self._settings.place_code, "pBillBatchCode": self._settings.paper_code}, contract.PaperNo))
        except _Said as said:
            return Paper(REFUSED, message=said.text)

    def exchange(self, number: str, code: str, invoice_number: str, paper: tuple[str, str], operator: str, at: datetime,
                 *, again: bool = False) -> Outcome:
        """Exchange for this paper."""
        return self._paper_call("reTurnPaper" if again else "turnPaper", {
            "billBatchCode": code, "billNo": invoice_number, "pBillBatchCode": paper[0], "pBillNo": paper[1],
            "busDateTime": mapping.stamp(at), "placeCode": self._settings.place_code, "operator": operator}, number, paper[1])

    def void_paper(self, number: str, paper: tuple[str, str], operator: str, reason: str, at: datetime) -> Outcome:
        """Void an exchanged paper."""
        return self._paper_call("invalidPaper", {
            "pBillBatchCode": paper[0], "pBillNo": paper[1], "placeCode": self._settings.place_code, "author": operator,
            "reason": reason, "busDateTime": mapping.stamp(at)}, number, paper[1])

    def void_blank(self, number: str, paper: tuple[str, str], operator: str, reason: str, at: datetime) -> Outcome:
        """Void a blank paper."""
        return self._paper_call("invalidBlankBillNo", {
            "pBillBatchCode": paper[0], "pBillNoStart": paper[1], "pBillNoEnd": paper[1],
            "placeCode": self._settings.place_code, "author": operator, "reason": reason,
            "busDateTime": mapping.stamp(at)}, number, paper[1])

    def _paper_call(self, method: str, body: dict[str, Any], number: str, paper_number: str) -> Outcome:
        try:
            self._call(method, body, None)
        except _Said as said:
            return Outcome(UNKNOWN if said.code in self._settings.uncertain else REFUSED, message=said.text)
        return Outcome(CONFIRMED, paper_number, "办理成功")

    def query_paper(self, number: str, code: str, invoice_number: str) -> Paper:
        """The paper in force."""
        told = self._states(code, invoice_number)
        if told["isPrtPaper"] != "1":
            return Paper(REFUSED, message="没有有效的纸质票据")
        return Paper(CONFIRMED, told["pBillNo"], code=told["pBillBatchCode"] or "", paper_number=told["pBillNo"] or "")

    def paper_stock(self) -> Sequence[PaperStock]:
        """What paper is left."""
        told = self._or_raise("getValidBillBatchCode", {"placeCode": self._settings.place_code}, contract.PaperBatches)
        return [mapping.batch(row) for row in told["billBatchCodeList"]]

    # Reconciliation

    def day_totals(self, day: date) -> DayTotals:
        """Sums of a day."""
        body = {"busDate": f"{day:%Y%m%d}", "placeCode": self._settings.place_code, "isReturnList": "0", "pageNo": 1,
                "pageSize": 1}
        blue = self._or_raise("checkTotalData", body, contract.Totals)
        red = self._or_raise("checkWriteOffData", body, contract.Totals)
        return DayTotals(blue["allTotalNum"], blue["allTotalAmt"], red["allTotalNum"], -abs(red["allTotalAmt"]))

    def day_rows(self, day: date) -> Sequence[PlatformInvoice]:
        """Every invoice of a day."""
        start, end = mapping.day_bounds(day)
        return [mapping.day_row(row, colour) for kind, colour in ((ELECTRONIC, "blue"), (RED, "red"))
                for row in self._rows(start, end, kind)]

    def _rows(self, start: str, end: str, kind: str) -> Iterator[dict[str, Any]]:
        seen, page = 0, 1
        while True:
            told = self._or_raise("getBillByBusDate", {
                "busBgnDate": start, "busEndDate": end, "placeCode": self._settings.place_code, "dataType": kind,
                "pageNo": page, "pageSize": self._settings.page_size}, contract.DayPage)
            yield from told["billList"]
            seen += len(told["billList"])
            if not told["billList"] or seen >= told["total"]:
                return
            page += 1

    def _or_raise(self, method: str, body: dict[str, Any], reply: type[Schema]) -> dict[str, Any]:
        """A read: an error decides nothing. :raises ContractError: with what the platform said."""
        try:
            return self._call(method, body, reply)
        except _Said as said:
            _no_answer(said)


def _no_answer(said: _Said) -> NoReturn:
    raise envelope.ContractError(said.text) from said
