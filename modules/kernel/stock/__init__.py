"""Stock: the second ledger, its papers, counts, trace codes and notices, for every store."""

from datetime import timedelta

from his_server.module import Check, Job, LiveTopic, MenuItem, Module, Permission
from his_server.security import events
from modules.kernel.stock.queries import invariants, notices
from modules.kernel.stock.routes import ADJUST, COUNT, NOTICES, SUPPLY, TRACE, VIEW, WRITE, routes
from modules.kernel.stock.routes import lists as lists
from modules.kernel.stock.routes import papers as papers
from modules.kernel.stock.routes import sheets as sheets
from modules.kernel.stock.routes import traces as traces
from modules.kernel.stock.service import documents, snapshots, stocktake
from modules.kernel.stock.service.notices import NOTICE_SERIES

events.name_events({
    "trace.none": "无追溯码发药", "trace.box": "确认未采集的追溯码为一盒", "trace.packing": "查询大码装箱关系",
    "trace.list": "导入装箱文件", "trace.large": "确认追溯码为箱码", "trace.uncollect": "更正当作一盒采集的箱码",
    "trace.delete_upload": "删除追溯上传", "stocktake.merge": "合并批号", "stocktake.cancel": "作废盘点单"})

module = Module(
    name="kernel.stock",
    title="库存",
    routes=(routes,),
    permissions=(
        Permission(VIEW, "查看库存与单据", ("pharmacist", "warehouse", "finance")),
        Permission(WRITE, "出入库、请领、调拨", ("pharmacist", "warehouse")),
        Permission(ADJUST, "报损、调整、盘点过账、上下限", ("pharmacist", "warehouse")),
        Permission(SUPPLY, "审批请领单并配货", ("warehouse",)),
        Permission(COUNT, "盘点", ("pharmacist", "warehouse")),
        Permission(TRACE, "追溯码上传、无码库、扫码率", ("pharmacist", "warehouse", "insurance")),
        Permission(NOTICES, "阅读缺药禁药通知", ("doctor", "nurse", "pharmacist", "warehouse")),
    ),
    menu=(
        MenuItem("药房", "库存", "/stock", "kernel/stock/stock", VIEW, 23),
        MenuItem("药房", "出入库单据", "/stock-papers", "kernel/stock/papers", WRITE, 24),
        MenuItem("药房", "盘点", "/stocktake", "kernel/stock/stocktake", COUNT, 25),
        MenuItem("药房", "追溯码", "/trace-codes", "kernel/stock/traces", TRACE, 26),
        MenuItem("药房", "药品通知", "/drug-notices", "kernel/stock/notices", NOTICES, 27),
    ),
    numbering=(NOTICE_SERIES, stocktake.SERIES, *documents.SERIES.values()),
    jobs=(Job("stock-snapshots", "库存月初结存", snapshots.take_due, every=timedelta(hours=6)),),
    checks=(
        Check("stock.moves", "进出合计等于结存", invariants.moves_equal_balances),
        Check("stock.reserved", "占用等于未完单据", invariants.reserved_equals_open),
        Check("stock.transit", "在途等于已发未收的调拨", invariants.transit_equals_shipped),
        Check("stock.snapshot", "月初结存等于此前进出合计", invariants.snapshot_equals_moves),
        Check("stock.trace", "追溯码剩余等于流水", invariants.traces_equal_moves),
    ),
    live={"drug-notices": LiveTopic(NOTICES, notices.unread)},
)
