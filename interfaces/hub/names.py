"""Chinese names of events, as the log's pages show them."""

from __future__ import annotations

EVENTS = {
    "ChargeSettled": "收费完成", "RefundMade": "退费完成", "SettlementConverted": "自费转医保", "RegistrationMade": "挂号",
    "RegistrationBooked": "预约挂号", "RegistrationChanged": "换号", "RegistrationCancelled": "退号", "PatientCalled": "叫号",
    "PrescriptionReady": "处方待发药", "PrescriptionReviewed": "审方通过",
    "PrescriptionChanged": "处方修改", "PrescriptionBounced": "处方退回医师",
    "PrescriptionDispensed": "已发药", "PickupMoved": "改取药窗口", "DrugsReturned": "退药", "WardDrugsReturned": "病区退药",
    "PersonCreated": "建立病人档案", "PersonChanged": "病人资料修改", "PersonMerged": "病人合并",
    "PersonUnmerged": "撤销病人合并",
    "DrugPriceChanged": "药品调价", "DrugNoticePublished": "药品通知发布", "DrugNoticeWithdrawn": "药品通知撤回",
    "DrugTraceReceived": "追溯码入库", "GoodsReceived": "到货验收", "PurchaseOrderSent": "采购订单发出",
    "DrugStatisticsAsked": "统方申请", "DrugStatisticsApproved": "统方批准", "EmergencyAccess": "紧急调阅",
    "InfusionFinished": "输液结束", "SkinTestConfirmed": "皮试结果确认",
}


def event_title(event: str) -> str:
    """The Chinese name of an event; its code when it has none yet."""
    return EVENTS.get(event, event)
