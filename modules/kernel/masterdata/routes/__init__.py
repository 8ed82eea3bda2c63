"""Routes of master data."""

from modules.kernel.masterdata.routes import keeping as keeping
from modules.kernel.masterdata.routes import reading as reading
from modules.kernel.masterdata.routes.declared import DICTIONARIES, EDIT, ORGANISE, VIEW, routes

__all__ = ["DICTIONARIES", "EDIT", "ORGANISE", "VIEW", "routes"]
