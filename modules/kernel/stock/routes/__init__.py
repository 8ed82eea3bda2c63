"""Routes of stock, shared by every store: pharmacies, warehouse, later theatre and ward."""

from his_server.http import Call, Routes
from his_server.security import scopes
from modules.kernel.stock.service import documents

routes = Routes("kernel.stock", "/api/stock", tag="stock")
VIEW = "stock.view"
WRITE = "stock.write"
ADJUST = "stock.adjust"
SUPPLY = "stock.supply"
COUNT = "stock.count"
TRACE = "stock.trace"
NOTICES = "stock.notices"


def mine(call: Call, store_id: int, permission: str) -> int:
    """The store's id, if the actor may use it here. :raises NotFound: no such store, or outside the grant's department."""
    scopes.require(call.actor, permission, documents.store(call.session, store_id).department_id)
    return store_id
