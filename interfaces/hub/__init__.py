"""The hub: registry of all interfaces, call log, limits (A2, A3).

Implements: A3
"""

from typing import Any

from his_server.module import Job, LiveTopic, MenuItem, Module, Permission
from his_server.security.events import name_events
from interfaces.hub import gateway, queries
from interfaces.hub.routes import PARTNERS, REPLAY, UNMASK, VIEW, routes
from interfaces.hub.service import archive
from interfaces.hub.settings import Settings

name_events({"hub.unmask": "查看完整报文", "hub.replay": "重查接口调用", "hub.ask": "查询未明往来",
             "open.partner_add": "登记外部系统", "open.partner_change": "修改外部系统", "open.grant": "授权外部系统",
             "open.denied": "外部系统越权被拒绝"})


def _archive(database: Any) -> int:
    from his_server import settings as platform

    settings = platform.load()
    return archive(database, settings.data_dir / "archive", Settings(**settings.extra.get("hub", {})).keep_days)


module = Module(
    name="hub",
    title="接口平台",
    routes=(routes,),
    permissions=(
        Permission(VIEW, "查看接口日志", ("integration",)),
        Permission(UNMASK, "查看接口完整报文", ("integration",)),
        Permission(PARTNERS, "登记外部系统、授权接口与字段", ("integration",)),
        Permission(REPLAY, "重查、重发接口业务", ("integration",)),
    ),
    menu=(
        MenuItem("接口", "接口日志", "/interface-calls", "interfaces/hub/calls", VIEW, 80),
        MenuItem("接口", "未明与滞留", "/interface-unknowns", "interfaces/hub/unknowns", VIEW, 82),
        MenuItem("接口", "外部系统", "/partners", "interfaces/hub/partners", PARTNERS, 83),
        MenuItem("接口", "接口登记与运行", "/interfaces", "interfaces/hub/registry", VIEW, 81),
    ),
    jobs=(Job("interface-call-archive", "接口日志归档", _archive, at="02:40"),),
    live={"interface-calls": LiveTopic(VIEW, lambda session, _actor, _args: queries.newest(session))},
    refusals={f"{gateway.PREFIX}/": gateway.refused},
    settings=Settings,
)
