"""Patients: one index of persons and of every number they ever had."""

from his_server.module import Check, MenuItem, Module, Permission
from modules.kernel.masterdata.importing import OTHERS
from modules.kernel.patients import models as models
from modules.kernel.patients import settings
from modules.kernel.patients.cli import regions
from modules.kernel.patients.ports import NEED_TO_KNOW
from modules.kernel.patients.queries import NAMES
from modules.kernel.patients.routes import EDIT, MERGE, UNMASK, VIEW, routes
from modules.kernel.patients.service import OUTPATIENT_NO, access, importing

CARE = ("cashier", "registrar", "doctor", "nurse", "infusion_nurse", "emergency_nurse", "pharmacist",
        "medical_technician")

OTHERS["persons"] = importing.store

module = Module(
    name="kernel.patients",
    title="病人管理",
    routes=(routes,),
    permissions=(
        Permission(VIEW, "查找和查看病人", (*CARE, "finance", "insurance", "medical_affairs")),
        Permission(NAMES, "列表中显示姓名全称", CARE),
        Permission(EDIT, "建档和修改病人信息", ("cashier", "registrar", "nurse")),
        Permission(MERGE, "合并与拆分档案", ("registrar",)),
        Permission(access.DECIDE, "设定病人保护级别、封存，查看紧急调阅", ("medical_affairs",)),
        Permission(access.LOCKED, "调阅已封存的病人资料", ("medical_affairs",)),
        Permission(UNMASK, "查看脱敏信息原文", ("cashier", "registrar", "doctor", "finance")),
    ),
    menu=(MenuItem("病人", "病人档案", "/patients", "kernel/patients/patients", VIEW, 5),
          MenuItem("病人", "封存与保护", "/patients/protection", "kernel/patients/protection", access.DECIDE, 6)),
    numbering=(OUTPATIENT_NO,),
    settings=settings.Settings,
    ports={NEED_TO_KNOW: lambda house, _database: settings.of(house).need_to_know},
    checks=(Check("patients.protection", "病人保护：最新决定生效", access.in_force_is_newest),),
    cli=regions,
)
