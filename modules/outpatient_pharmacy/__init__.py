"""Outpatient and emergency pharmacies: queue, dispensing, returns (M7)."""

from his_server.module import LiveTopic, MenuItem, Module, Permission
from modules.outpatient_pharmacy import queries
from modules.outpatient_pharmacy.routes import DISPENSE, routes
from modules.outpatient_pharmacy.service import RETURN_SERIES, STOCK_IN_SERIES

module = Module(
    name="outpatient_pharmacy",
    title="门急诊药房",
    routes=(routes,),
    permissions=(
        Permission(DISPENSE, "发药", ("pharmacist",)),
        Permission("outpatient_pharmacy.take_back", "退药", ("pharmacist",)),
        Permission("outpatient_pharmacy.stock", "库存查询", ("pharmacist", "warehouse")),
        Permission("outpatient_pharmacy.stock_in", "入库", ("pharmacist", "warehouse")),
    ),
    menu=(
        MenuItem("药房", "发药", "/dispense", "outpatient_pharmacy/dispense", DISPENSE, 20),
        MenuItem("药房", "退药", "/drug-returns", "outpatient_pharmacy/returns", "outpatient_pharmacy.take_back", 21),
        MenuItem("药房", "库存与入库", "/pharmacy-stock", "outpatient_pharmacy/stock", "outpatient_pharmacy.stock", 22),
    ),
    numbering=(RETURN_SERIES, STOCK_IN_SERIES),
    live={"pharmacy-queue": LiveTopic(DISPENSE, queries.queue_state)},
)
