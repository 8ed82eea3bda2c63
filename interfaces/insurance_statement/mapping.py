"""Ours ↔ theirs: a statement's scope and sums as the contract names them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from interfaces.insurance_statement.contract import VERSION
from modules.kernel.charging.ports import Scope, Totals


def statement(number: str, monthly: bool, scope: Scope, totals: Totals, *, fixmedins_code: str, agencies: Mapping[str, str]
              ) -> dict[str, Any]:
    """A statement to hand in."""
    return {
        "schema_version": VERSION, "statement_no": number, "statement_type": "month" if monthly else "day",
        "fixmedins_code": fixmedins_code, "insutype": scope.insurance, "clr_type": scope.clearing,
        "setl_optins": agencies.get(scope.agency, scope.agency), "stmt_begndate": scope.begin, "stmt_enddate": scope.end,
        "fixmedins_setl_cnt": totals.count, "refd_setl_cnt": totals.refunds, "medfee_sumamt": totals.total,
        "fund_pay_sumamt": totals.fund, "acct_pay": totals.account, "psn_cash_pay": totals.cash,
        "hosp_part_amt": totals.hospital}
