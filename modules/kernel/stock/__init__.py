"""Stock: the second ledger."""

from his_server.module import Check, Module
from modules.kernel.stock.queries import invariants as queries
from modules.kernel.stock.service.notices import NOTICE_SERIES

module = Module(
    name="kernel.stock",
    title="库存",
    numbering=(NOTICE_SERIES,),
    checks=(
        Check("stock.moves", "进出合计等于结存", queries.moves_equal_balances),
        Check("stock.reserved", "占用等于未完单据", queries.reserved_equals_open),
    ),
)
