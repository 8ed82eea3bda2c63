"""Orders: what doctors ask for."""

from his_server.module import LiveTopic, MenuItem, Module, Permission
from modules.kernel.orders import queries
from modules.kernel.orders.routes import routes
from modules.kernel.orders.service import PRESCRIPTION_SERIES, REQUEST_SERIES
from modules.kernel.orders.settings import Settings

module = Module(
    name="kernel.orders",
    title="医嘱",
    routes=(routes,),
    permissions=(
        Permission("orders.prescribe", "开具处方和申请", ("doctor",)),
        Permission("orders.view", "查看医嘱", ("doctor", "nurse", "infusion_nurse", "emergency_nurse", "pharmacist", "cashier",
                                           "medical_technician")),
        Permission("orders.oversee", "查看警示后仍开具的处方", ("medical_affairs", "pharmacist")),
        Permission("orders.perform", "确认执行检查检验治疗", ("medical_technician", "nurse")),
    ),
    menu=(
        MenuItem("医生", "门诊医生", "/doctor", "kernel/orders/doctor", "orders.prescribe", 30),
        MenuItem("医生", "越级补办", "/overrides", "kernel/orders/overrides", "orders.prescribe", 32),
        MenuItem("医务", "越级与警示处方", "/overridden", "kernel/orders/overrides", "orders.oversee", 82),
        MenuItem("医技", "执行确认", "/perform", "kernel/orders/perform", "orders.perform", 40),
    ),
    numbering=(PRESCRIPTION_SERIES, REQUEST_SERIES),
    settings=Settings,
    live={"perform-queue": LiveTopic("orders.perform", queries.perform_state),
          "doctor-inbox": LiveTopic("orders.prescribe", queries.notices_state)},
)
