"""What other parts ask of the master data, and what its keepers do with it."""

from modules.kernel.masterdata.service.lookups import (
    current_set,
    department,
    department_by_code,
    departments,
    drug_prices,
    drugs,
    item_by_code,
    item_prices,
    items,
    national_codes,
    set_lines,
    staff,
    staff_by_code,
    staff_members,
)
from modules.kernel.masterdata.service.regions import (
    RegionName,
    code_names,
    current_region,
    current_regions,
    refused_codes,
    refused_regions,
)

__all__ = ["RegionName", "code_names", "current_region", "current_regions", "current_set", "department", "department_by_code",
           "departments", "drug_prices", "drugs", "item_by_code", "item_prices", "items", "national_codes",
           "refused_codes", "refused_regions", "set_lines", "staff", "staff_by_code", "staff_members"]
