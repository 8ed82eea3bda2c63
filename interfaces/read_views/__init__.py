"""Read views for partner systems (C6 of our contracts): departments, staff, clinic sessions and their slots, drug notices.

Implements: M6.2
"""

from his_server.module import Module
from interfaces.read_views.inbound import gateway
from interfaces.read_views.settings import Settings

module = Module(name="read_views", title="基础数据查询（对外）", routes=(gateway.routes,), settings=Settings)
