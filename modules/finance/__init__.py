"""Finance: the channels' statements against our books, to the row (N5).

Implements: N5, FN-15
"""

from datetime import timedelta

from his_server.module import Job, MenuItem, Module, Permission
from his_server.security.events import name_events
from modules.finance.routes import RECONCILE, routes
from modules.finance.service import fetch_due

name_events({"statement.fetch": "下载支付对账单", "statement.settle": "处理支付对账差异"})

module = Module(
    name="finance",
    title="财务",
    routes=(routes,),
    permissions=(Permission(RECONCILE, "支付对账", ("finance",)),),
    menu=(MenuItem("财务", "支付对账", "/payment-statements", "finance/statements", RECONCILE, 61),),
    jobs=(Job("payment-statements", "支付对账单下载与核对", fetch_due, every=timedelta(minutes=30)),),
)
