"""Master data: departments, staff, charge items, drugs, sets, diagnoses, regions, dictionaries."""

from his_server.module import Module
from modules.kernel.masterdata import models as models

module = Module("kernel.masterdata", "基础数据")
