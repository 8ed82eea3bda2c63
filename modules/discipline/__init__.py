"""Discipline office (纪检): the one place that may join doctor, drug and quantity, each time with a second person's consent
and on record (防统方); and what leaves for tests and research, without persons."""

from his_server.module import MenuItem, Module, Permission
from his_server.security import events
from modules.discipline.cli import anonymize
from modules.discipline.reports import SOURCES, STAFF_FILES, STATISTICS
from modules.discipline.routes import APPROVE, routes

events.name_events({"drug_statistics.ask": "申请医生用药统计", "drug_statistics.decide": "审批医生用药统计",
                    "drug_statistics.run": "查看医生用药统计", "research.export": "导出去标识化数据",
                    "staff_files.run": "查看职工病历调阅"})

module = Module(
    name="discipline",
    title="纪检监察",
    routes=(routes,),
    permissions=(
        Permission(STATISTICS, "申请、查看医生用药统计", ("discipline",)),
        Permission(APPROVE, "审批医生用药统计", ("discipline",)),
        Permission(STAFF_FILES, "查看职工病历调阅", ("discipline", "medical_affairs")),
    ),
    menu=(MenuItem("纪检", "医生用药统计", "/drug-statistics", "discipline/statistics", STATISTICS, 90),
          MenuItem("医务", "职工病历调阅", "/reports/staff-file-views", "web/report", STAFF_FILES, 84)),
    reports=SOURCES,
    cli=anonymize,
)
