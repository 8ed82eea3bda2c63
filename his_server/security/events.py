"""Chinese names of audited events, for the audit page. A module may name its own; an unnamed one shows its code."""

from __future__ import annotations

from collections.abc import Mapping

_titles = {
    "session.sign_in": "登录", "session.sign_out": "退出", "session.refused": "登录被拒绝",
    "permission.denied": "越权访问被拒绝", "request.refused": "操作被拒绝", "integrity.violation": "数据完整性异常",
    "integrity.accept": "认可受保护数据", "integrity.verify": "校验受保护数据",
    "user.create": "建立账户", "user.change": "修改账户", "user.unlock": "解除锁定", "user.password_reset": "重置密码",
    "user.password_change": "修改密码", "factor.enrol": "登记第二因素", "factor.remove": "解除第二因素",
    "grant.change": "授权变更", "role.change": "角色变更", "role.sync": "标准角色同步",
    "key.rotate": "轮换密钥", "key.reseal": "改用新密钥", "key.destroy": "销毁密钥", "program.sign": "签署程序清单",
    "partner.register": "登记外部系统密钥", "partner.revoke": "停用外部系统密钥", "partner.refused": "外部系统请求被拒绝",
    "audit.query": "查询审计记录", "audit.verify": "校验审计记录", "audit.archive": "审计归档",
    "patient.create": "建立病人档案", "patient.edit": "修改病人资料", "patient.view": "调阅病人",
    "patient.refused": "调阅被拒绝", "patient.protect": "设定病人保护", "patient.break_glass": "紧急调阅",
    "patient.unmask": "查看敏感信息", "patient.search": "按证件号或电话查找病人", "patient.recognise": "读卡识别病人",
    "signature.person": "本人证书签名", "signature.certificate": "登记签名证书", "signature.export": "导出电子签名",
    "signature.check": "检查电子签名",
    "patient.merge": "合并病人", "patient.unmerge": "撤销合并", "patient.identifier_add": "增加证件",
    "patient.identifier_end": "停用证件", "registration.make": "挂号", "registration.cancel": "退号",
    "prescription.issue": "开处方", "prescription.cancel": "作废处方", "prescription.dispense": "发药",
    "prescription.return": "退药", "request.issue": "开申请单", "request.cancel": "作废申请单",
    "request.perform": "执行项目", "request.unperform": "取消执行", "charge.settle": "收费", "charge.refund": "退费",
    "charge.supplement": "补记费用", "charge.void": "作废费用", "refund.request_approval": "申请退费审批",
    "refund.approve": "同意退费", "refund.decline": "驳回退费", "payment.begin": "发起支付",
    "payment.return_unused": "退回未用支付", "shift.close": "班次结账", "shift.hand_over": "班次交接", "print": "打印",
    "receipts.grant": "发放票据号段", "receipts.void": "作废票据",
    "stock.in": "药品入库", "report.screen": "查看报表", "report.xlsx": "导出报表", "report.pdf": "打印报表",
}


def name_events(titles: Mapping[str, str]) -> None:
    """Name the events that a module records: code → Chinese name."""
    _titles.update(titles)


def title_of(event: str) -> str:
    """The Chinese name of an event; its code when it has none."""
    return _titles.get(event, event)
