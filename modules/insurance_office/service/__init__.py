"""What the insurance office does."""

from modules.insurance_office.service.comparing import (
    approve,
    compare,
    decline,
    open_approval,
    propose,
    resolve,
)
from modules.insurance_office.service.failures import retry
from modules.insurance_office.service.mappings import (
    assign,
    refresh_catalogue,
    unmap,
    upload_mappings,
    withdraw_mapping,
)
from modules.insurance_office.service.statements import act, build_day, build_month, open_act, query, recover

__all__ = ["act", "approve", "assign", "build_day", "build_month", "compare", "decline", "open_act", "open_approval",
           "propose", "query", "recover", "refresh_catalogue", "resolve", "retry", "unmap", "upload_mappings",
           "withdraw_mapping"]
