"""Reconciliation with the insurer: 3201, 9101 → 3202 → 9102, strays by 5203 and 2601.

Implements: N4, YB-03
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import select

from interfaces.nhsa import contract
from interfaces.nhsa.client.messages import Insurer, Reply
from interfaces.nhsa.mapping import files
from interfaces.nhsa.models import NhsaCase, NhsaMessage
from modules.kernel.charging.ports import (
    CONFIRMED,
    REFUSED,
    UNKNOWN,
    CentreRow,
    Detailed,
    Outcome,
    Reconciled,
    Scope,
    SettledRow,
    Totals,
)


def upload_file(insurer: Insurer, name: str, packed: bytes) -> Reply:
    """9101; the answer's file_qury_no names the file."""
    return insurer.call("9101", {"fsUploadIn": {"in": base64.b64encode(packed).decode(), "filename": name,
                                                "fixmedins_code": insurer.code}})


def download_file(insurer: Insurer, key: str, name: str, code: str) -> bytes:
    """9102. :raises LostAnswer: no file came. :raises files.BrokenFile: the insurer refuses."""
    reply = insurer.call("9102", {"fsDownloadIn": {"file_qury_no": key, "filename": name, "fixmedins_code": code}})
    if not reply.ok:
        raise files.BrokenFile(reply.message)
    body = reply.output.get("file", b"")
    return body if isinstance(body, bytes) else base64.b64decode(str(body))


def _amounts(totals: Totals) -> dict[str, Any]:
    return {"medfee_sumamt": totals.total, "fund_pay_sumamt": totals.fund, "fixmedins_setl_cnt": str(totals.count)}


class Reconciliation:
    """Implements :class:`modules.kernel.charging.ports.ReconciliationPort`."""

    def __init__(self, insurer: Insurer) -> None:
        self.insurer = insurer

    def totals(self, scope: Scope, totals: Totals) -> Reconciled:
        """3201."""
        reply = self.insurer.call("3201", {"data": {
            "insutype": scope.insurance, "clr_type": scope.clearing, "setl_optins": scope.agency,
            "stmt_begndate": f"{scope.begin:%Y-%m-%d}", "stmt_enddate": f"{scope.end:%Y-%m-%d}", **_amounts(totals),
            "acct_pay": totals.account, "refd_setl_flag": "", "fixmedins_refd_setl_flag": "0"}})
        if not reply.ok:
            return Reconciled(REFUSED, message=reply.message, cause=reply.cause)
        info = reply.output["stmtinfo"]
        return Reconciled(CONFIRMED, message=info.get("stmt_rslt_dscr", ""), even=info.get("stmt_rslt") == "0")

    def details(self, scope: Scope, totals: Totals, rows: Sequence[SettledRow]) -> Detailed:
        """Our rows go up as a file, the differences come down as one. A settlement and its refund are a row each."""
        names = contract.transactions()["3202"]
        told = [{"setl_id": row.peer_number, "mdtrt_id": row.peer_visit, "psn_no": row.member_no,
                 "medfee_sumamt": f"{row.total:.2f}", "fund_pay_sumamt": f"{row.fund:.2f}", "acct_pay": f"{row.account:.2f}",
                 "refd_setl_flag": "1" if row.refund else "0"} for row in rows]
        up = upload_file(self.insurer, "3202.zip", files.pack("3202", [[one[name] for name in names.rows_up] for one in told]))
        if not up.ok:
            return Detailed(REFUSED, message=up.message, cause=up.cause)
        reply = self.insurer.call("3202", {"data": {
            "setl_optins": scope.agency, "file_qury_no": up.output["file_qury_no"],
            "stmt_begndate": f"{scope.begin:%Y-%m-%d}", "stmt_enddate": f"{scope.end:%Y-%m-%d}", **_amounts(totals),
            "cash_payamt": totals.cash, "clr_type": scope.clearing, "refd_setl_flag": "", "fixmedins_refd_setl_flag": "0"}})
        if not reply.ok:
            return Detailed(REFUSED, message=reply.message, cause=reply.cause)
        info = reply.output["fileinfo"]
        try:
            packed = download_file(self.insurer, info["file_qury_no"], info["filename"], self.insurer.code)
            found = files.unpack(packed, names.rows_down)
        except files.BrokenFile as error:
            return Detailed(UNKNOWN, message=str(error))
        return Detailed(CONFIRMED, rows=tuple(_row(one) for one in found if one["stmt_rslt"] != "0"))

    def undo_stray(self, number: str, member_no: str, message_id: str, *, refund: bool) -> Outcome:
        """5203 first: what we take as settled is never reversed here; then 2601 under the msgid that made it."""
        if refund:
            return Outcome(REFUSED, message="退费结算不能冲正，请联系医保中心处理", cause="nhsa.order")
        insurer = self.insurer
        with insurer.database.begin(write=False) as session:
            row = session.execute(
                select(NhsaMessage.infno, NhsaMessage.case_id, NhsaCase.state, NhsaCase.mdtrt_id, NhsaCase.number)
                .outerjoin(NhsaCase, NhsaCase.id == NhsaMessage.case_id).where(NhsaMessage.msgid == message_id)).first()
        if row is not None and row.state in ("settled", "reversing", "settling"):
            return Outcome(REFUSED, message=f"本院有这笔医保结算（{row.number}），不能冲正，请先核对对账单", cause="nhsa.order")
        asked = insurer.call("5203", {"data": {"psn_no": member_no, "setl_id": "",
                                               "mdtrt_id": row.mdtrt_id if row is not None and row.mdtrt_id else ""}},
                             number=number)
        if not asked.ok:
            return Outcome(UNKNOWN, message=asked.message, cause=asked.cause)
        stands = [one for one in asked.output["setlinfo"] if one.get("medins_setl_id") == message_id]
        infno = row.infno if row is not None else "2304" if stands and str(stands[0].get("med_type", "")).startswith("2") \
            else "2207"
        reply = insurer.call("2601", {"data": {"psn_no": member_no, "omsgid": message_id, "oinfno": infno}}, number=number)
        if not reply.ok:
            return Outcome(REFUSED, message=reply.message, cause=reply.cause)
        return Outcome(CONFIRMED, message_id, "已冲正" if stands else "医保中心已没有这笔结算，冲正已受理")


def _row(one: dict[str, str]) -> CentreRow:
    def money(name: str) -> Decimal | None:
        return Decimal(one[name]) if one[name] else None

    return CentreRow(result=one["stmt_rslt"], message_id=one["msgid"], member_no=one["psn_no"], peer_number=one["setl_id"],
                     peer_visit=one["mdtrt_id"], refund=one["refd_setl_flag"] == "1", total=money("medfee_sumamt"),
                     fund=money("fund_pay_sumamt"), account=money("acct_pay"), memo=one["memo"])
