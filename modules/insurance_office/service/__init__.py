"""What the insurance office does."""

from modules.insurance_office.service.comparing import (
    approve,
    compare,
    decline,
    propose,
    resolve,
)
from modules.insurance_office.service.failures import retry
from modules.insurance_office.service.mappings import (
    assign,
    refresh_catalogue,
    upload_mappings,
    withdraw_mapping,
)
from modules.insurance_office.service.statements import (
    build_day,
    build_month,
    confirm,
    delete,
    query,
    recover,
    upload,
)

__all__ = ["approve", "assign", "build_day", "build_month", "compare", "confirm", "decline", "delete", "propose", "query",
           "recover", "refresh_catalogue", "resolve", "retry", "upload", "upload_mappings", "withdraw_mapping"]
