"""Drug warehouse: suppliers, orders, receipts, prices, notices, reports, the sunshine platform (M6)."""

from his_server.module import Job, MenuItem, Module, Permission
from modules.drug_warehouse.reports import SOURCES
from modules.drug_warehouse.routes import (
    BUY,
    NOTICE,
    PAY,
    PRICE,
    RECEIVE,
    REPORT,
    VIEW,
    buying,
    office,
    platform,
    routes,
)
from modules.drug_warehouse.service import crediting as crediting
from modules.drug_warehouse.service import money, purchasing, receiving

__all__ = ["buying", "module", "office", "platform"]

module = Module(
    name="drug_warehouse",
    title="药库",
    routes=(routes,),
    permissions=(
        Permission(VIEW, "查看采购与入库", ("warehouse", "finance")),
        Permission(BUY, "供应商、采购订单、目录匹配", ("warehouse",)),
        Permission(RECEIVE, "到货验收、退货", ("warehouse",)),
        Permission(PRICE, "药品调价、限价", ("warehouse", "finance")),
        Permission(PAY, "发票与付款", ("finance",)),
        Permission(NOTICE, "发布缺药禁药通知", ("warehouse",)),
        Permission(REPORT, "进销存报表", ("warehouse", "finance", "pharmacist")),
    ),
    menu=(
        MenuItem("药库", "采购订单", "/purchase-orders", "drug_warehouse/orders", VIEW, 40),
        MenuItem("药库", "到货验收", "/goods-receipts", "drug_warehouse/receipts", VIEW, 41),
        MenuItem("药库", "供应商与证照", "/suppliers", "drug_warehouse/suppliers", VIEW, 42),
        MenuItem("药库", "进销存报表", "/drug-movement", "drug_warehouse/movement", REPORT, 43),
        MenuItem("药库", "调价与限价", "/drug-prices", "drug_warehouse/prices", VIEW, 44),
        MenuItem("药库", "阳光采购匹配", "/sunshine-matches", "drug_warehouse/matches", VIEW, 45),
        MenuItem("药库", "发票与应付", "/supplier-invoices", "drug_warehouse/invoices", PAY, 46),
    ),
    jobs=(Job("drug-revaluation", "调价生效与库存调价盈亏", money.revalue_due, at="00:10"),),
    numbering=(purchasing.SERIES, receiving.SERIES, money.PRICE_SERIES),
    reports=SOURCES,
)
