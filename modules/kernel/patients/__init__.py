"""Patients: one index of persons and of every number they ever had."""

from his_server.module import MenuItem, Module, Permission
from modules.kernel.masterdata.importing import OTHERS
from modules.kernel.patients import models as models
from modules.kernel.patients.cli import regions
from modules.kernel.patients.queries import NAMES
from modules.kernel.patients.routes import EDIT, MERGE, UNMASK, VIEW, routes
from modules.kernel.patients.service import OUTPATIENT_NO, importing

CARE = ("cashier", "registrar", "doctor", "nurse", "pharmacist", "medical_technician")

OTHERS["persons"] = importing.store

module = Module(
    name="kernel.patients",
    title="病人管理",
    routes=(routes,),
    permissions=(
        Permission(VIEW, "查找和查看病人", (*CARE, "finance", "insurance")),
        Permission(NAMES, "列表中显示姓名全称", CARE),
        Permission(EDIT, "建档和修改病人信息", ("cashier", "registrar", "nurse")),
        Permission(MERGE, "合并与拆分档案", ("registrar",)),
        Permission(UNMASK, "查看脱敏信息原文", ("cashier", "registrar", "doctor", "finance")),
    ),
    menu=(MenuItem("病人", "病人档案", "/patients", "kernel/patients/patients", VIEW, 5),),
    numbering=(OUTPATIENT_NO,),
    cli=regions,
)
