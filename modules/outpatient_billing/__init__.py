"""Outpatient billing: registration, charging, refunds, shifts (M1)."""

from his_server.module import MenuItem, Module, Permission
from modules.outpatient_billing.reports import SOURCES, VIEW
from modules.outpatient_billing.routes import CHARGE, CONVERT, GRANT, LOOK, REFUND, REGISTER, routes
from modules.outpatient_billing.settings import Settings

module = Module(
    name="outpatient_billing",
    title="门急诊收费",
    routes=(routes,),
    permissions=(
        Permission(REGISTER, "挂号、退号", ("registrar", "cashier")),
        Permission(CHARGE, "收费、班次", ("cashier", "registrar")),
        Permission(LOOK, "查看结算、班次", ("cashier", "registrar", "finance")),
        Permission(REFUND, "退费", ("cashier",)),
        Permission(CONVERT, "自费转医保", ("cashier", "registrar")),
        Permission("outpatient_billing.receive_shift", "接收交账", ("finance",)),
        Permission(GRANT, "发放票据号段", ("finance",)),
        Permission(VIEW, "收费报表", ("cashier", "finance")),
    ),
    menu=(
        MenuItem("收费", "挂号", "/register", "outpatient_billing/register", REGISTER, 10),
        MenuItem("收费", "收费", "/cashier", "outpatient_billing/cashier", CHARGE, 11),
        MenuItem("收费", "挂号查询与退号", "/registrations", "outpatient_billing/registrations", REGISTER, 12),
        MenuItem("收费", "退费与补打", "/settlements", "outpatient_billing/settlements", LOOK, 12),
        MenuItem("收费", "日结交账", "/shifts", "outpatient_billing/shifts", LOOK, 13),
        MenuItem("收费", "退费审批", "/approvals", "outpatient_billing/approvals", "charging.approve_refund", 14),
        MenuItem("收费", "票据号段", "/receipts", "outpatient_billing/receipts", LOOK, 16),
        MenuItem("收费", "收费报表", "/billing-reports", "outpatient_billing/reports", VIEW, 15),
    ),
    reports=SOURCES,
    settings=Settings,
)
