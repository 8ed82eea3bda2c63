"""Encounters: visits of persons to departments."""

from his_server.module import Module
from modules.kernel.encounters import models as models
from modules.kernel.encounters import service

module = Module("kernel.encounters", "就诊", numbering=(service.VISIT_NO,))
