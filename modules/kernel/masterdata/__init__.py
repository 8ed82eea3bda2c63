"""Master data: departments, staff, charge items, drugs, sets, diagnoses, regions, dictionaries."""

from his_server.module import MenuItem, Module, Permission
from his_server.security import directory
from modules.kernel.masterdata import models as models
from modules.kernel.masterdata.cli import import_
from modules.kernel.masterdata.routes import DICTIONARIES, EDIT, ORGANISE, VIEW, routes
from modules.kernel.masterdata.service.lookups import department_labels

directory.register_departments(department_labels)

module = Module(
    name="kernel.masterdata",
    title="基础数据",
    routes=(routes,),
    permissions=(
        Permission(VIEW, "查找目录", ("cashier", "registrar", "doctor", "nurse", "pharmacist", "medical_technician",
                                "finance", "insurance", "warehouse", "catalogue")),
        Permission(EDIT, "维护目录与价格", ("finance", "warehouse", "catalogue")),
        Permission(ORGANISE, "维护科室、病区、人员", ("catalogue",)),
        Permission(DICTIONARIES, "维护字典", ("catalogue",)),
    ),
    menu=(
        MenuItem("基础数据", "目录与价格", "/catalogue", "kernel/masterdata/catalogue", VIEW, 60),
        MenuItem("基础数据", "科室与人员", "/organisation", "kernel/masterdata/organisation", VIEW, 61),
        MenuItem("基础数据", "字典", "/dictionaries", "kernel/masterdata/dictionaries", DICTIONARIES, 63),
    ),
    cli=import_,
)
