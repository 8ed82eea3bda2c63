"""Routes of outpatient billing: one file per window."""

from modules.outpatient_billing.routes import insured as insured
from modules.outpatient_billing.routes import registrations as registrations
from modules.outpatient_billing.routes.charging import CHARGE, GRANT, LOOK, REFUND, REGISTER, routes

__all__ = ["CHARGE", "GRANT", "LOOK", "REFUND", "REGISTER", "routes"]
