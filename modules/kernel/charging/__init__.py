"""Charging: the first ledger."""

from datetime import timedelta

from his_server.module import Check, Handler, Job, MenuItem, Module, Permission
from modules.kernel.charging import queries
from modules.kernel.charging.routes import (
    CHECK_INVOICES,
    DECIDE,
    DEPOSITS,
    INSURE,
    INVOICES,
    REFUND_INSURED,
    WORKLIST,
    routes,
)
from modules.kernel.charging.service import (
    converting,
    insured,
    insured_refunds,
    invoice_checks,
    invoices,
    mobile,
    papers,
    payments,
    shifts,
)
from modules.kernel.charging.service.intents import INTENT_SERIES
from modules.kernel.charging.service.settling import SETTLEMENT_SERIES
from modules.kernel.charging.service.shifts import SHIFT_SERIES
from modules.kernel.charging.settings import Settings

module = Module(
    name="kernel.charging",
    title="收费账",
    routes=(routes,),
    settings=Settings,
    permissions=(
        Permission(INSURE, "医保结算", ("cashier", "registrar")),
        Permission(REFUND_INSURED, "医保退费", ("cashier",)),
        Permission(WORKLIST, "查看、查询未明往来", ("cashier", "finance")),
        Permission(INVOICES, "电子票据查询、重开、换开", ("cashier", "finance")),
        Permission(CHECK_INVOICES, "电子票据对账", ("finance",)),
        Permission(DEPOSITS, "清退门诊预交金余额", ("finance",)),
        Permission(DECIDE, "人工认定往来结果", ("finance",)),
        Permission("charging.refund_as_cash", "电子支付改退现金", ("finance",)),
        Permission("charging.approve_refund", "审批退费", ("finance",)),
    ),
    numbering=(SETTLEMENT_SERIES, INTENT_SERIES, SHIFT_SERIES),
    jobs=(Job("payment-recovery", "未明支付查询与退回", payments.recover, every=timedelta(seconds=10)),
          Job("insurance-recovery", "未明医保结算查询、完成或撤销", insured.recover, every=timedelta(seconds=10)),
          Job("insured-refund-recovery", "未办完的医保退费", insured_refunds.recover, every=timedelta(seconds=10)),
          Job("conversion-recovery", "未办完的自费转医保", converting.recover, every=timedelta(seconds=10)),
          Job("mobile-recovery", "医保移动支付：结算、撤回、退回", mobile.recover, every=timedelta(seconds=10)),
          Job("channel-day-end", "自助机、移动支付渠道日结", shifts.end_days, every=timedelta(minutes=5)),
          Job("einvoice-paper", "纸质票据换开、作废结果查询", papers.recover, every=timedelta(seconds=20)),
          Job("einvoice-check", "电子票据日对账", invoice_checks.check_yesterday, at="01:30"),
          Job("einvoice", "电子票据开具、冲红、查询", invoices.send_due, every=timedelta(seconds=5))),
    handlers=(Handler("ChargeSettled", "einvoice", invoices.on_settled),
              Handler("RefundMade", "einvoice", invoices.on_refunded),
              Handler("SettlementConverted", "einvoice", invoices.on_refunded)),
    menu=(MenuItem("收费", "电子票据", "/e-invoices", "kernel/charging/e-invoices", INVOICES, 16),
          MenuItem("收费", "电子票据对账", "/e-invoice-checks", "kernel/charging/e-invoice-checks", CHECK_INVOICES, 16),
          MenuItem("收费", "医保移动支付", "/mobile-orders", "kernel/charging/mobile-orders", INSURE, 16),
          MenuItem("收费", "未明往来", "/intents", "kernel/charging/intents", WORKLIST, 17),
          MenuItem("财务", "门诊预交金清退", "/old-deposits", "kernel/charging/old-deposits", DEPOSITS, 60)),
    checks=(
        Check("charging.settlement", "每次结算：费用＝票据＝支付", queries.settlements_balance),
        Check("charging.line_state", "每条费用：已退＝冲销", queries.line_states_agree),
        Check("charging.payment_state", "每笔支付：已退＝退款", queries.payment_states_agree),
        Check("charging.receipt_chain", "每张票据：净额＝费用净额", queries.receipt_chains),
        Check("charging.numbers", "票据号：不重、不漏", queries.numbers_complete),
        Check("charging.shift", "班次：结账后不变，每次结算只属于一个班次", queries.closed_shifts_frozen),
        Check("charging.intent", "电子支付：只入账一次", queries.intents_used_once),
        Check("charging.claim", "医保结算：入账＝有效结算，金额平衡", queries.claims_agree),
        Check("charging.conversion", "自费转医保：医保入账＝退还病人", queries.conversions_agree),
        Check("charging.invoice", "电子票据：一次结算一张有效，净额＝结算净额", queries.invoice_chains),
    ),
)
