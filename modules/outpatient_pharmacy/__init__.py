"""Outpatient and emergency pharmacies: queue, dispensing, returns (M7)."""

from his_server.module import LiveTopic, MenuItem, Module, Permission
from modules.outpatient_pharmacy import queries
from modules.outpatient_pharmacy.routes import DISPENSE, STOCK, TAKE_BACK, routes
from modules.outpatient_pharmacy.service import RETURN_SERIES, STOCK_IN_SERIES

module = Module(
    name="outpatient_pharmacy",
    title="门急诊药房",
    routes=(routes,),
    permissions=(
        Permission(DISPENSE, "发药", ("pharmacist",)),
        Permission(TAKE_BACK, "退药", ("pharmacist",)),
        Permission(STOCK, "库存查询", ("pharmacist", "warehouse")),
        Permission("outpatient_pharmacy.stock_in", "入库", ("pharmacist", "warehouse")),
    ),
    menu=(
        MenuItem("药房", "发药", "/dispense", "outpatient_pharmacy/dispense", DISPENSE, 20),
        MenuItem("药房", "退药", "/drug-returns", "outpatient_pharmacy/returns", TAKE_BACK, 21),
        MenuItem("药房", "库存与入库", "/pharmacy-stock", "outpatient_pharmacy/stock", STOCK, 22),
    ),
    numbering=(RETURN_SERIES, STOCK_IN_SERIES),
    live={"pharmacy-queue": LiveTopic(DISPENSE, queries.queue_state)},
)
