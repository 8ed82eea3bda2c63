"""The wire of the outpatient pharmacies."""

from modules.outpatient_pharmacy.schemas.book import *  # noqa: F403
from modules.outpatient_pharmacy.schemas.counter import *  # noqa: F403
from modules.outpatient_pharmacy.schemas.places import *  # noqa: F403
from modules.outpatient_pharmacy.schemas.returns import *  # noqa: F403
from modules.outpatient_pharmacy.schemas.wards import *  # noqa: F403
