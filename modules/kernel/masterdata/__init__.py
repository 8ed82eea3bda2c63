"""Master data: departments, staff, charge items, drugs, sets, diagnoses, regions, dictionaries."""

from his_server.module import MenuItem, Module, Permission
from his_server.security import directory
from modules.kernel.masterdata import models as models
from modules.kernel.masterdata.cli import import_
from modules.kernel.masterdata.routes import EDIT, VIEW, routes
from modules.kernel.masterdata.service.lookups import department_labels

directory.register_departments(department_labels)

module = Module(
    name="kernel.masterdata",
    title="基础数据",
    routes=(routes,),
    permissions=(
        Permission(VIEW, "查找目录", ("cashier", "registrar", "doctor", "nurse", "pharmacist", "medical_technician",
                                "finance", "insurance", "warehouse")),
        Permission(EDIT, "维护目录与价格", ("finance", "warehouse")),
    ),
    menu=(MenuItem("基础数据", "目录与价格", "/catalogue", "kernel/masterdata/catalogue", VIEW, 60),),
    cli=import_,
)
