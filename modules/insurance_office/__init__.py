"""The insurance office (医保科): statements and reconciliation, what failed, catalogue mapping (M5, N4)."""

from datetime import timedelta

from his_server.module import Check, Job, MenuItem, Module, Permission
from his_server.security import events
from modules.insurance_office import queries, service
from modules.insurance_office.routes import APPROVE, FAILURES, MAPPINGS, STATEMENTS, routes

events.name_events({
    "statement.upload": "上传医保对账单", "statement.delete": "删除医保对账单", "statement.confirm": "确认医保对账单",
    "statement.compare": "医保对账", "difference.propose": "申请冲正", "difference.decline": "不同意冲正",
    "difference.approve": "同意冲正", "difference.resolve": "登记差异处理", "mapping.assign": "医保目录对照",
    "mapping.upload": "上传目录对照", "mapping.withdraw": "撤销目录对照", "catalogue.refresh": "下载医保目录"})

module = Module(
    name="insurance_office",
    title="医保科",
    routes=(routes,),
    permissions=(
        Permission(STATEMENTS, "医保对账", ("insurance",)),
        Permission(APPROVE, "审批医保冲正", ("finance",)),
        Permission(FAILURES, "医保失败日报、重试", ("insurance",)),
        Permission(MAPPINGS, "医保目录对照", ("insurance",)),
    ),
    menu=(
        MenuItem("医保", "医保对账", "/insurance-statements", "insurance_office/statements", STATEMENTS, 40),
        MenuItem("医保", "对账差异", "/insurance-differences", "insurance_office/differences", STATEMENTS, 41),
        MenuItem("财务", "医保冲正审批", "/insurance-reversals", "insurance_office/reversals", APPROVE, 59),
        MenuItem("医保", "医保失败日报", "/insurance-failures", "insurance_office/failures", FAILURES, 42),
        MenuItem("医保", "目录对照", "/insurance-mappings", "insurance_office/mappings", MAPPINGS, 43),
    ),
    jobs=(Job("insurance-statement-recovery", "没有应答的对账单上传、确认", service.recover, every=timedelta(minutes=1)),),
    checks=(Check("insurance_office.statement", "确认的医保对账单＝账", queries.drifted),),
)
