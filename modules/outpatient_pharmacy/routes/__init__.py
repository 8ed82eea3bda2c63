"""Routes of the outpatient pharmacies."""

from modules.outpatient_pharmacy.routes import book, counter, places, returns, wards
from modules.outpatient_pharmacy.routes.base import routes

__all__ = ["book", "counter", "places", "returns", "routes", "wards"]
