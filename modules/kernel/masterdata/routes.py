"""Routes of master data: what code boxes search, dictionaries, prices."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from his_server.http import SIGNED_IN, Call, Routes
from modules.kernel.masterdata import queries, schemas
from modules.kernel.masterdata.service import prices

routes = Routes("kernel.masterdata", "/api/masterdata", tag="masterdata")
VIEW, EDIT = "masterdata.view", "masterdata.edit"
listed = schemas.listed


@routes.get("/drugs", permission=VIEW, query=schemas.CatalogueQuery, out=listed(schemas.DrugOut))
def drugs(call: Call) -> dict[str, Any]:
    """查找药品"""
    return {"items": queries.drugs(call.session, **call.query)}


@routes.get("/charge-items", permission=VIEW, query=schemas.ItemQuery, out=listed(schemas.ItemOut))
def charge_items(call: Call) -> dict[str, Any]:
    """查找收费项目"""
    return {"items": queries.charge_items(call.session, **call.query)}


@routes.get("/diagnoses", permission=VIEW, query=schemas.SearchQuery, out=listed(schemas.DiagnosisOut))
def diagnoses(call: Call) -> dict[str, Any]:
    """查找诊断"""
    return {"items": queries.diagnoses(call.session, **call.query)}


@routes.get("/departments", permission=SIGNED_IN, query=schemas.KindQuery, out=listed(schemas.DepartmentOut))
def departments(call: Call) -> dict[str, Any]:
    """查找科室"""
    return {"items": queries.departments(call.session, **call.query)}


@routes.get("/staff", permission=VIEW, query=schemas.KindQuery, out=listed(schemas.StaffOut))
def staff(call: Call) -> dict[str, Any]:
    """查找职工"""
    query = call.query
    return {"items": queries.staff(call.session, query["q"], query["limit"], query["kind"])}


@routes.get("/item-sets", permission=VIEW, query=schemas.SetQuery, out=listed(schemas.SetOut))
def item_sets(call: Call) -> dict[str, Any]:
    """查找组套"""
    return {"items": queries.item_sets(call.session, **call.query)}


@routes.get("/regions", permission=VIEW, query=schemas.RegionQuery, out=listed(schemas.RegionOut))
def regions(call: Call) -> dict[str, Any]:
    """查找现行区划"""
    return {"items": queries.regions(call.session, **call.query)}


@routes.get("/postcodes", permission=VIEW, query=schemas.SearchQuery, out=listed(schemas.PostcodeOut))
def postcodes(call: Call) -> dict[str, Any]:
    """邮编与区号互查"""
    return {"items": queries.postcodes(call.session, **call.query)}


@routes.get("/dictionaries/<name>", permission=SIGNED_IN, out=listed(schemas.EntryOut))
def dictionary(call: Call, name: str) -> dict[str, Any]:
    """字典"""
    return {"items": queries.dictionary(call.session, name)}


@routes.get("/frequencies", permission=VIEW, out=listed(schemas.FrequencyOut))
def frequencies(call: Call) -> dict[str, Any]:
    """用药频次"""
    return {"items": queries.frequencies(call.session)}


def _periods(call: Call, kind: str, owner_id: int) -> list[dict[str, Any]]:
    _, model, owner, amount = prices.OF[kind]
    rows = call.session.scalars(select(model).where(getattr(model, owner) == owner_id)
                                .order_by(model.valid_from.desc()))
    return [{"price": getattr(r, amount), "valid_from": r.valid_from, "valid_to": r.valid_to, "reason": r.reason}
            for r in rows]


@routes.get("/charge-items/<int:item_id>/prices", permission=VIEW, out=listed(schemas.PriceOut))
def item_prices(call: Call, item_id: int) -> dict[str, Any]:
    """收费项目的历次价格"""
    return {"items": _periods(call, "charge_item", item_id)}


@routes.get("/drugs/<int:drug_id>/prices", permission=VIEW, out=listed(schemas.PriceOut))
def drug_prices(call: Call, drug_id: int) -> dict[str, Any]:
    """药品的历次价格"""
    return {"items": _periods(call, "drug", drug_id)}


@routes.post("/charge-items/<int:item_id>/prices", permission=EDIT, body=schemas.PriceIn, value=True, status=201)
def change_item_price(call: Call, item_id: int) -> dict[str, Any]:
    """收费项目调价"""
    made = prices.change_price(call.session, call.actor, "charge_item", item_id, **call.body)
    return {"id": made.id}


@routes.post("/drugs/<int:drug_id>/prices", permission=EDIT, body=schemas.PriceIn, value=True, status=201)
def change_drug_price(call: Call, drug_id: int) -> dict[str, Any]:
    """药品调价"""
    made = prices.change_price(call.session, call.actor, "drug", drug_id, **call.body)
    return {"id": made.id}


@routes.post("/charge-items/<int:item_id>/active", permission=EDIT, body=schemas.ActiveIn)
def set_item_active(call: Call, item_id: int) -> dict[str, Any]:
    """停用或启用收费项目"""
    return {"active": prices.set_active(call.session, call.actor, "charge_item", item_id, **call.body).active}


@routes.post("/drugs/<int:drug_id>/active", permission=EDIT, body=schemas.ActiveIn)
def set_drug_active(call: Call, drug_id: int) -> dict[str, Any]:
    """停用或启用药品"""
    return {"active": prices.set_active(call.session, call.actor, "drug", drug_id, **call.body).active}
