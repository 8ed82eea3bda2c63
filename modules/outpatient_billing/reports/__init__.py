"""Reports of outpatient billing; each from the ledger alone."""

from his_server.module import ReportSource
from his_server.reporting_routes import DayRange
from modules.outpatient_billing.reports import money, registrations
from modules.outpatient_billing.reports.common import VIEW, DepartmentDays

SOURCES = tuple(ReportSource(name, title, VIEW, args, build) for name, title, args, build in (
    ("cashier-summary", "收费员汇总表", DayRange, money.cashier_summary),
    ("cashier-categories", "收费员费用分类汇总表", DayRange, money.cashier_categories),
    ("income-by-category", "收入分类汇总表", DayRange, money.income_by_category),
    ("income-by-department", "开单科室收入汇总表", DayRange, money.income_by_department),
    ("income-by-performer", "执行科室收入汇总表", DayRange, money.income_by_performer),
    ("income-by-doctor", "开单医生收入汇总表", DayRange, money.income_by_doctor),
    ("income-by-channel", "渠道收入汇总表", DayRange, money.income_by_channel),
    ("income-by-day", "每日收入汇总表", DayRange, money.income_by_day),
    ("payments-by-day", "支付方式日汇总表", DayRange, money.payments_by_day),
    ("refunds", "退费明细表", DayRange, money.refunds),
    ("zero-vouchers", "零元收费凭证清单", DayRange, money.zero_vouchers),
    ("registrations-by-department", "科室挂号统计表", DayRange, registrations.by_department),
    ("registered-patients", "科室已挂号病人明细表", DepartmentDays, registrations.patients),
    ("registrations-by-hour", "分时段挂号统计表", DayRange, registrations.by_hour),
    ("registration-counts", "挂号人次统计表", DayRange, registrations.counts),
))

__all__ = ["SOURCES", "VIEW"]
