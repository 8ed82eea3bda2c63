"""Routes of outpatient billing: one file per window."""

from modules.outpatient_billing.routes import insured as insured
from modules.outpatient_billing.routes import registrations as registrations
from modules.outpatient_billing.routes.charging import CHARGE, GRANT, LOOK, REFUND, REGISTER, routes
from modules.outpatient_billing.routes.insured import CONVERT

__all__ = ["CHARGE", "CONVERT", "GRANT", "LOOK", "REFUND", "REGISTER", "routes"]
