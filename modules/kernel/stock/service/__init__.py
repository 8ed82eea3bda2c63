"""What is done to stock: the ledger's movements, trace codes, notices."""

from modules.kernel.stock.service.ledger import (
    BatchQuantity,
    Document,
    Receipt,
    available,
    issue,
    issued_batches,
    put_back,
    receive,
    release,
    reserve,
    withdraw,
)
from modules.kernel.stock.service.notices import notice_text, notices_for, prohibited

__all__ = ["BatchQuantity", "Document", "Receipt", "available", "issue", "issued_batches", "notice_text", "notices_for",
           "prohibited", "put_back", "receive", "release", "reserve", "withdraw"]
