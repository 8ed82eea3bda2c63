"""Kiosks: a self-paid bill becomes insured without a window (N2)."""

from his_server.module import Module
from interfaces.kiosk.inbound import gateway
from interfaces.kiosk.settings import Settings

module = Module(name="kiosk", title="自助机", routes=(gateway.routes,), settings=Settings)
