"""The one prefix of all routes of the pharmacies, and their permissions."""

from his_server.http import Routes
from modules.outpatient_pharmacy.service.book import BOOK, DESTROY
from modules.outpatient_pharmacy.service.dispensing import DISPENSE
from modules.outpatient_pharmacy.service.returning import REVIEW_RETURN, TAKE_BACK
from modules.outpatient_pharmacy.service.reviewing import REVIEW
from modules.outpatient_pharmacy.service.setting_up import SET_UP
from modules.outpatient_pharmacy.service.ward_returns import ACT_FOR_WARD

routes = Routes("outpatient_pharmacy", "/api/outpatient-pharmacy", tag="outpatient_pharmacy")
STOCK = "outpatient_pharmacy.stock"
ANSWER = "outpatient_pharmacy.answer_review"

__all__ = ["ACT_FOR_WARD", "ANSWER", "BOOK", "DESTROY", "DISPENSE", "REVIEW", "REVIEW_RETURN", "SET_UP", "STOCK", "TAKE_BACK",
           "routes"]
