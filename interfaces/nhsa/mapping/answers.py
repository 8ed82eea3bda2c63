"""The insurer's answers as ours: members, splits, settlements; its identities asserted (YB-01)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from his_server.clock import HOSPITAL_ZONE
from his_server.money import ZERO, round_money
from modules.kernel.charging.ports import Insurance, Member, Split

INSURANCES = {"310": "职工基本医疗保险", "320": "公务员医疗补助", "330": "大额医疗费用补助", "340": "离休人员医疗保障",
              "350": "一至六级残疾军人医疗补助", "360": "老红军医疗保障",
              "370": "企业补充医疗保险", "380": "新型农村合作医疗",
              "390": "城乡居民基本医疗保险", "391": "城镇居民基本医疗保险", "392": "城乡居民大病医疗保险",
              "399": "其他特殊人群医疗保障",
              "410": "长期护理保险", "510": "生育保险"}
FUNDS = ("hifp_pay", "cvlserv_pay", "hifes_pay", "hifmi_pay", "hifob_pay", "maf_pay", "hifdm_pay", "oth_pay")
"""The parts of fund_pay_sumamt."""
KEPT = ("setl_id", "mdtrt_id", "setl_time", "clr_type", "clr_optins", "clr_way", "medins_setl_id", "medfee_sumamt",
        "fulamt_ownpay_amt", "overlmt_selfpay", "preselfpay_amt", "inscp_scp_amt", "fund_pay_sumamt", "psn_part_amt",
        "acct_pay", "psn_cash_pay", "hosp_part_amt", "acct_mulaid_pay", "balc", *FUNDS)
"""What of setlinfo a case keeps: money and numbers, nothing that names the member."""


MONEY = KEPT[7:]


class BrokenAnswer(ValueError):
    """The insurer's figures don't hold together; nothing may be settled by them."""


def member(output: Mapping[str, Any]) -> tuple[Member, str]:
    """Whom 1101 told of, and their psn_type."""
    base, insured = output.get("baseinfo") or {}, output.get("insuinfo") or []
    if not base.get("psn_no"):
        raise BrokenAnswer("医保中心没有返回人员编号")
    insurances = tuple(Insurance(
        kind=one.get("insutype", ""), name=INSURANCES.get(one.get("insutype", ""), f"险种 {one.get('insutype', '')}"),
        member_kind=one.get("psn_type", ""), active=one.get("psn_insu_stas", "1") == "1",
        balance=round_money(one.get("balc") or ZERO), area=one.get("insuplc_admdvs", "")) for one in insured)
    kind = next((one.member_kind for one in insurances if one.active), insurances[0].member_kind if insurances else "")
    return Member(base["psn_no"], base.get("psn_name", ""), base.get("psn_cert_type", ""), base.get("certno", ""),
                  base.get("gend", ""), _day(base.get("brdy", "")), insurances), kind


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        return None


def instant(text: str) -> datetime | None:
    """A time of the insurer's, hospital time; None where it says none."""
    try:
        return datetime.fromisoformat(text[:19]).replace(tzinfo=HOSPITAL_ZONE)
    except ValueError:
        return None


def kept(info: Mapping[str, Any], details: Sequence[Mapping[str, Any]]) -> str:
    """What a case keeps of a settlement, as JSON."""
    found = {name: f"{info[name]:f}" if isinstance(info[name], Decimal) else str(info[name])
             for name in KEPT if info.get(name) not in (None, "")}
    funds = [[str(one.get("fund_pay_type", "")), f"{Decimal(one.get('fund_payamt') or 0):f}"] for one in details]
    return json.dumps({**found, "funds": funds}, ensure_ascii=False)


def split_of(text: str, *, strict: bool = True) -> Split:
    """The split that a case keeps. :raises BrokenAnswer: the identities of YB-01 don't hold (``strict``).

    What was settled by broken figures is told as it is: the kernel sees that they moved, and has it reversed.
    """
    told = json.loads(text)

    def amount(name: str) -> Decimal:
        return round_money(told.get(name) or ZERO)

    fund, cash, account = amount("fund_pay_sumamt"), amount("psn_cash_pay"), amount("acct_pay")
    total, part = amount("medfee_sumamt"), amount("psn_part_amt")
    parts = sum((amount(name) for name in FUNDS), ZERO)
    for broken, why in (
            (any(Decimal(told.get(name) or 0) != amount(name) for name in MONEY), "金额不是整分"),
            (part != account + cash, f"个人负担 {part}≠账户 {account}＋现金 {cash}"),
            (total != fund + part + amount("hosp_part_amt"), f"总额 {total}≠基金 {fund}＋个人 {part}＋医院负担"),
            (parts != fund, f"各项基金之和 {parts}≠基金支付总额 {fund}")):
        if broken and strict:
            raise BrokenAnswer(f"医保返回的金额不平（{why}），不能结算，请联系医保办")
    return Split(total=total, fund=fund, account=account, cash=cash, hospital=amount("hosp_part_amt"),
                 shared_account=amount("acct_mulaid_pay"), own_expense=amount("fulamt_ownpay_amt"),
                 over_limit=amount("overlmt_selfpay"), self_first=amount("preselfpay_amt"), in_scope=amount("inscp_scp_amt"),
                 balance=amount("balc") if "balc" in told else None,
                 funds=tuple((kind, round_money(value)) for kind, value in told["funds"] if Decimal(value)))


def from_query(info: Mapping[str, Any]) -> dict[str, Any]:
    """A row of 5203 in the words of 2207: it says psn_pay and cash_payamt, and leaves the hospital's part out."""
    total, fund = (round_money(info.get(name) or ZERO) for name in ("medfee_sumamt", "fund_pay_sumamt"))
    own = round_money(info.get("psn_pay") or info.get("psn_part_amt") or ZERO)
    cash = round_money(info.get("cash_payamt") or info.get("psn_cash_pay") or ZERO)
    parts = sum((round_money(info.get(name) or ZERO) for name in FUNDS), ZERO)
    return {**info, "psn_part_amt": own, "psn_cash_pay": cash, "hosp_part_amt": total - fund - own,
            "hifdm_pay": Decimal(info.get("hifdm_pay") or 0) + (fund - parts)}
