"""Routes of a store's lists, levels and the notices about drugs."""

from __future__ import annotations

from typing import Any

from his_server.http import Call
from modules.kernel.stock import schemas
from modules.kernel.stock.queries import lists, notices
from modules.kernel.stock.routes import ADJUST, NOTICES, VIEW, mine, routes
from modules.kernel.stock.service import levels
from modules.kernel.stock.service import notices as notice_service

listed = schemas.listed


@routes.get("/stores", permission=VIEW, out=listed(schemas.StoreOut))
def stores(call: Call) -> dict[str, Any]:
    """库房列表"""
    return {"items": lists.stores(call.session)}


@routes.get("/batches", permission=VIEW, query=schemas.BatchesQuery, out=schemas.BatchPage)
def batches(call: Call) -> dict[str, Any]:
    """批号库存（近效期、已过期）"""
    mine(call, call.query["store_id"], VIEW)
    return lists.batches(call.session, **call.query)


@routes.get("/drugs", permission=VIEW, query=schemas.DrugsQuery, out=schemas.HeldPage)
def drugs(call: Call) -> dict[str, Any]:
    """药品库存（低于下限、高于上限、呆滞、可用天数）"""
    mine(call, call.query["store_id"], VIEW)
    call.query.pop("within_days")
    return lists.drugs(call.session, **call.query)


@routes.get("/drug-choices", permission=VIEW, query=schemas.ChoicesQuery, out=listed(schemas.DrugOut))
def drug_choices(call: Call) -> dict[str, Any]:
    """选择药品"""
    return {"items": lists.drug_choices(call.session, **call.query)}


@routes.get("/batch-choices", permission=VIEW, query=schemas.BatchChoicesQuery, out=listed(schemas.BatchOut))
def batch_choices(call: Call) -> dict[str, Any]:
    """选择批号"""
    mine(call, call.query["store_id"], VIEW)
    return {"items": lists.batch_choices(call.session, **call.query)}


@routes.put("/levels", permission=ADJUST, body=schemas.LevelsIn, out=schemas.CountOut)
def set_levels(call: Call) -> dict[str, Any]:
    """设置库存上下限"""
    store = mine(call, call.body["store_id"], ADJUST)
    return {"count": levels.set_levels(call.session, call.actor, store, [
        (line["drug_id"], line["least"], line["most"]) for line in call.body["levels"]])}


@routes.get("/notices", permission=NOTICES, query=schemas.NoticesQuery, out=schemas.NoticePage)
def notice_list(call: Call) -> dict[str, Any]:
    """缺药、禁药通知"""
    return notices.listed(call.session, call.actor, **call.query)


@routes.post("/notices/read", permission=NOTICES, body=schemas.ReadIn, out=schemas.CountOut)
def read_notices(call: Call) -> dict[str, Any]:
    """标记通知已读"""
    return {"count": notice_service.read(call.session, call.actor, call.body["notice_ids"])}
