"""Printed documents of the cashier. The same settlement gives the same bytes but for the reprint mark (M1.6)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from his_server.clock import local
from his_server.reporting import Column, Document

METHOD_NAMES = {"cash": "现金", "scan": "扫码支付", "rounding": "现金舍入", "insurance": "医保",
                "insurance_fund": "医保基金", "insurance_account": "医保个人账户", "insurance_hospital": "医院负担",
                "ecny": "数字人民币", "med_mobile": "医保移动支付"}
CATEGORY_NAMES = {"01": "床位费", "02": "诊察费", "03": "检查费", "04": "化验费", "05": "治疗费", "06": "手术费",
                  "07": "护理费", "08": "卫生材料费", "09": "西药费", "10": "中药饮片费", "11": "中成药费",
                  "12": "一般诊疗费", "13": "挂号费", "14": "其他费"}
SEX = {"1": "男", "2": "女", "9": "未说明", "0": "未知"}
_LINES = (Column("name", "项目", width=24), Column("spec", "规格", width=14), Column("quantity", "数量", "quantity"),
          Column("unit", "单位", width=6), Column("price", "单价", "price"), Column("amount", "金额", "money", total=True))


def settlement(found: Mapping[str, Any], *, hospital: str, paper: str, copy: int) -> bytes:
    """收费凭证 or 退费凭证 of a settlement; zero-priced ones too (M1.1). ``copy`` 2 and more are marked 补打."""
    refund = found["kind"] == "refund"
    name = {"refund": "退费", "convert": "自费转医保"}.get(found["kind"], "收费")
    page = Document(paper, reprint="补打" if copy > 1 else None)
    page.title(f"{hospital}{name}凭证")
    page.pairs([
        ("姓名", found["name"]), ("性别", SEX.get(found["sex"], "")), ("门诊号", found["outpatient_no"]),
        ("结算号", found["number"]), ("时间", f"{local(found['settled_at']):%Y-%m-%d %H:%M:%S}"),
        ("收费员", found["cashier_name"]),
    ], columns=3)
    for receipt in found["receipts"]:
        mark = "（红字）" if receipt["colour"] == "red" else ""
        page.line(f"票据号 {receipt['number']}{mark}　{receipt['title']}　{receipt['amount']} 元", bold=True)
    page.table(_LINES, found["lines"])
    page.pairs([(METHOD_NAMES.get(p["method"], p["method"]), f"{p['amount']} 元") for p in found["payments"]] or
               [("支付", "无需支付")], columns=3)
    if refund and found["reason"]:
        page.line(f"退费原因：{found['reason']}")
    for place in dict.fromkeys(f"{p['store']}　{p['window'] or '窗口待叫号'}" for p in found["pickups"]):
        page.line(f"取药：{place}", bold=True)
    page.line(f"合计（{'退' if refund else '收'}）：{found['total']} 元", bold=True, align="right")
    page.barcode(found["number"])
    return page.to_bytes()


def shift(found: Mapping[str, Any], *, hospital: str, copy: int) -> bytes:
    """交账报表 of a shift, over as many pages as it needs (M1.11)."""
    figures = found["statement"]
    page = Document("A4", reprint="补打" if copy > 1 else None)
    page.title(f"{hospital}收费员交账报表")
    closed = f"{local(found['closed_at']):%Y-%m-%d %H:%M:%S}" if found["closed_at"] else "未结账"
    page.pairs([("班次", found["number"]), ("收费员", found["cashier_name"]),
                ("开始", f"{local(found['opened_at']):%Y-%m-%d %H:%M:%S}"), ("结账", closed),
                ("接收人", found["receiver_name"] or ""), ("应交现金", f"{figures['cash']} 元")], columns=2)
    page.line("一、收支汇总", bold=True)
    page.pairs([("收费", f"{figures['charges']['count']} 笔 {figures['charges']['amount']} 元"),
                ("退费", f"{figures['refunds']['count']} 笔 {figures['refunds']['amount']} 元"),
                *([("自费转医保", f"{figures['conversions']} 笔")] if figures.get("conversions") else []),
                ("净额", f"{figures['net']} 元"),
                ("长短款", "" if found["cash_difference"] is None else f"{found['cash_difference']} 元")], columns=2)
    page.line("二、支付方式", bold=True)
    page.table((Column("name", "方式", width=16), Column("income", "收入", "money", total=True),
                Column("refund", "退款", "money", total=True), Column("net", "净额", "money", total=True)),
               [{"name": METHOD_NAMES.get(p["method"], p["method"]), **{k: Decimal(str(p[k])) for k in
                 ("income", "refund", "net")}} for p in figures["payments"]])
    page.line("三、费用类别", bold=True)
    page.table((Column("name", "类别", width=16), Column("amount", "金额", "money", total=True)),
               [{"name": CATEGORY_NAMES.get(c["category"], c["category"]), "amount": Decimal(str(c["amount"]))}
                for c in figures["categories"]])
    receipts = figures["receipts"]
    page.line("四、票据", bold=True)
    page.line(f"蓝字 {receipts['blue']} 张，红字 {receipts['red']} 张，作废 {len(receipts['voids'])} 张，"
              f"净额 {receipts['amount']} 元")
    page.table((Column("first", "起号", width=20), Column("last", "止号", width=20), Column("count", "张数", "int",
                                                                                      total=True)),
               [{"first": first, "last": last, "count": count} for first, last, count in receipts["ranges"]])
    if receipts["reds"]:
        page.line("红字票据", bold=True)
        page.table((Column("number", "红字号码", width=24), Column("amount", "金额", "money", total=True)),
                   [{"number": number, "amount": Decimal(str(amount))} for number, amount in receipts["reds"]])
    if receipts["voids"]:
        page.line("作废票据", bold=True)
        page.table((Column("number", "作废号码", width=24), Column("reason", "原因", width=40)),
                   [{"number": number, "reason": reason} for number, reason in receipts["voids"]])
    if len(figures["days"]) > 1:
        page.line("五、按业务日期（跨零点班次）", bold=True)
        page.table((Column("day", "日期", width=14), Column("count", "笔数", "int", total=True),
                    Column("net", "净额", "money", total=True)),
                   [{"day": d["day"], "count": d["count"], "net": Decimal(str(d["net"]))} for d in figures["days"]])
    page.line("账目核对：" + ("费用＝票据＝支付，相符" if not figures["unbalanced"] else "不符"), bold=True)
    for finding in figures["unbalanced"]:
        page.line(finding)
    page.pairs([("收费员签名", ""), ("接收人签名", "")], columns=2)
    return page.to_bytes()
