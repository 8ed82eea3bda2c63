"""The infusion room of the outpatient and emergency departments: skin tests, seats, bottles, rounds (M10)."""

from his_server.module import LiveTopic, MenuItem, Module, Permission
from modules.infusion import queries
from modules.infusion.routes import CHARGE, SCREEN, SEATS, WORK, routes
from modules.infusion.service import BOTTLE_SERIES, INFUSION_SERIES
from modules.infusion.settings import Settings

NURSES = ("infusion_nurse", "emergency_nurse")

module = Module(
    name="infusion",
    title="门急诊输液",
    routes=(routes,),
    permissions=(
        Permission(WORK, "输液、皮试", NURSES),
        Permission(CHARGE, "输液室补录费用", NURSES),
        Permission(SCREEN, "输液叫号屏", NURSES),
        Permission(SEATS, "维护输液座位", ("infusion_nurse",)),
    ),
    menu=(
        MenuItem("输液", "输液室", "/infusion", "infusion/room", WORK, 50),
        MenuItem("输液", "皮试", "/skin-tests", "infusion/skin", WORK, 51),
        MenuItem("输液", "输液叫号屏", "/infusion-screen", "infusion/screen", SCREEN, 52),
    ),
    numbering=(INFUSION_SERIES, BOTTLE_SERIES),
    live={"infusion": LiveTopic(WORK, queries.state), "infusion-screen": LiveTopic(SCREEN, queries.screen)},
    settings=Settings,
)
