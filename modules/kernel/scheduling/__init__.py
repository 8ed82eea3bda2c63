"""Scheduling: who is there when, and who has a place."""

from datetime import timedelta
from typing import Any

from his_server.module import Check, Job, MenuItem, Module, Permission
from his_server.registry import module_settings
from his_server.security import events
from modules.kernel.scheduling import queries, service
from modules.kernel.scheduling.ports import HOURS
from modules.kernel.scheduling.routes import routes
from modules.kernel.scheduling.service import MANAGE, REGISTRATION_SERIES
from modules.kernel.scheduling.settings import Settings

events.name_events({
    "register_level.create": "新增号别", "register_level.change": "修改号别", "schedule.create": "新增排班",
    "schedule.change": "修改排班", "registration.change": "换号", "registration.extra": "加号",
    "registration.extra_withdraw": "撤回加号",
    "sessions.generate": "生成号源", "session.add": "新增临时出诊",
    "session.stop": "停诊", "session.resume": "恢复出诊", "session.capacity": "调整号数"})


def _open_coming_days(database: Any) -> int:
    with database.begin() as session:
        return service.open_coming_days(session)


def _hours(house: Any, _database: Any) -> Any:
    return module_settings(module, house)


module = Module(
    name="kernel.scheduling",
    title="排班与号源",
    routes=(routes,),
    permissions=(
        Permission("scheduling.view", "查看号源和挂号记录", ("registrar", "cashier", "doctor", "nurse", "catalogue")),
        Permission("scheduling.add_slot", "加号（本人号源）", ("doctor",)),
        Permission("scheduling.add_slot_for_others", "给他人号源加号", ("catalogue",)),
        Permission(MANAGE, "维护号别、排班和号源", ("catalogue",)),
    ),
    menu=(MenuItem("基础数据", "排班与号源", "/schedule", "kernel/scheduling/schedule", MANAGE, 62),
          MenuItem("医生", "加号", "/extra-slots", "kernel/scheduling/extra", "scheduling.add_slot", 31)),
    numbering=(REGISTRATION_SERIES,),
    settings=Settings,
    ports={HOURS: _hours},
    jobs=(Job("open-sessions", "生成未来号源", _open_coming_days, at="00:05"),
          Job("release-no-shows", "释放逾期未取的预约号", service.release_no_shows, every=timedelta(minutes=5))),
    checks=(Check("scheduling.slots", "号源已用数等于有效挂号", queries.slots_agree),
            Check("scheduling.counts", "挂号人次等于有效挂号", queries.counts_agree)),
)
