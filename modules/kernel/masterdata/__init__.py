"""Master data: departments, staff, charge items, drugs, sets, diagnoses, regions, dictionaries."""

from his_server.module import Module
from his_server.security import directory
from modules.kernel.masterdata import models as models
from modules.kernel.masterdata.service.lookups import department_labels

directory.register_departments(department_labels)

module = Module("kernel.masterdata", "基础数据")
