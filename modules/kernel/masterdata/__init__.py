"""Master data: departments, staff, charge items, drugs, sets, diagnoses, regions, dictionaries."""

from his_server.module import MenuItem, Module, Permission
from his_server.security import directory, events
from modules.kernel.masterdata import models as models
from modules.kernel.masterdata.cli import import_
from modules.kernel.masterdata.importing import standard_tables
from modules.kernel.masterdata.routes import DICTIONARIES, EDIT, ORGANISE, VIEW, routes
from modules.kernel.masterdata.service.lookups import department_labels

directory.register_departments(department_labels)
events.name_events({
    "masterdata.create": "新增目录项", "masterdata.change": "修改目录项", "masterdata.stop": "停用目录项",
    "masterdata.activate": "恢复目录项", "masterdata.import": "导入目录", "price.change": "调价",
    "item_set.create": "新增组套", "item_set.change": "修改组套", "item_set.stop": "停用组套",
    "dictionary.create": "新增字典条目", "dictionary.change": "修改字典条目"})

module = Module(
    name="kernel.masterdata",
    title="基础数据",
    routes=(routes,),
    permissions=(
        Permission(VIEW, "查找目录", ("cashier", "registrar", "doctor", "nurse", "infusion_nurse",
                                "emergency_nurse", "pharmacist", "medical_technician",
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
    first_data=standard_tables,
)
