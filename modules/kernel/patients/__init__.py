"""Patients: one index of persons and of every number they ever had."""

from his_server.module import Module
from modules.kernel.patients import models as models

module = Module("kernel.patients", "病人管理")
