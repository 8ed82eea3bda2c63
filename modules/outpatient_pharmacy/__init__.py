"""Outpatient and emergency pharmacies: queue, review, dispensing, returns, the controlled-drug book (M7)."""

from his_server.module import Handler, LiveTopic, MenuItem, Module, Permission
from modules.outpatient_pharmacy import queries
from modules.outpatient_pharmacy.queries.places import screen
from modules.outpatient_pharmacy.queries.returns import returns_state
from modules.outpatient_pharmacy.queries.ward_returns import ward_returns_state
from modules.outpatient_pharmacy.reports import SOURCES
from modules.outpatient_pharmacy.routes import routes
from modules.outpatient_pharmacy.routes.base import (
    ACT_FOR_WARD,
    ANSWER,
    BOOK,
    DESTROY,
    DISPENSE,
    REVIEW,
    REVIEW_RETURN,
    SET_UP,
    STOCK,
    TAKE_BACK,
)
from modules.outpatient_pharmacy.service import RETURN_SERIES
from modules.outpatient_pharmacy.service.book import DESTRUCTION_SERIES, EMPTIES_SERIES
from modules.outpatient_pharmacy.service.checking import ask_on_arrival

module = Module(
    name="outpatient_pharmacy",
    title="门急诊药房",
    routes=(routes,),
    permissions=(
        Permission(DISPENSE, "调配、发药、叫号", ("pharmacist",)),
        Permission(REVIEW, "审方", ("pharmacist",)),
        Permission(ANSWER, "确认药房退回的处方", ("doctor",)),
        Permission(TAKE_BACK, "退药", ("pharmacist",)),
        Permission(REVIEW_RETURN, "退药审核、晨间复核", ("pharmacist",)),
        Permission(ACT_FOR_WARD, "夜间代收病区退药", ("pharmacist",)),
        Permission(BOOK, "麻精药品专册", ("pharmacist",)),
        Permission(DESTROY, "登记销毁纸质处方", ("pharmacist",)),
        Permission(SET_UP, "药房设置", ("pharmacist",)),
        Permission(STOCK, "药房与窗口查询", ("pharmacist", "warehouse")),
    ),
    menu=(
        MenuItem("药房", "发药", "/dispense", "outpatient_pharmacy/dispense", DISPENSE, 20),
        MenuItem("药房", "退药", "/drug-returns", "outpatient_pharmacy/returns", TAKE_BACK, 21),
        MenuItem("药房", "退药审核", "/return-review", "outpatient_pharmacy/return-review", TAKE_BACK, 21),
        MenuItem("药房", "代收病区退药", "/ward-returns", "outpatient_pharmacy/ward-returns", ACT_FOR_WARD, 22),
        MenuItem("药房", "麻精药品专册", "/controlled-book", "outpatient_pharmacy/book", BOOK, 23),
        MenuItem("药房", "纸质处方销毁", "/paper-destructions", "outpatient_pharmacy/destructions", DESTROY, 28),
        MenuItem("药房", "候药屏", "/pharmacy-screen", "outpatient_pharmacy/screen", DISPENSE, 24),
        MenuItem("药房", "药房设置", "/pharmacy-places", "outpatient_pharmacy/places", SET_UP, 25),
        MenuItem("药房", "取药高峰", "/reports/pharmacy-flow", "web/report", DISPENSE, 26),
        MenuItem("医生", "药房退回", "/bounced", "outpatient_pharmacy/bounced", ANSWER, 31),
    ),
    handlers=(Handler("PrescriptionReady", "medication-check", ask_on_arrival, network=True),),
    numbering=(RETURN_SERIES, EMPTIES_SERIES, DESTRUCTION_SERIES),
    reports=SOURCES,
    live={"pharmacy-queue": LiveTopic(DISPENSE, queries.queue_state),
          "pharmacy-returns": LiveTopic(TAKE_BACK, returns_state),
          "pharmacy-ward-returns": LiveTopic(ACT_FOR_WARD, ward_returns_state),
          "pharmacy-screen": LiveTopic(DISPENSE, screen)},
)
