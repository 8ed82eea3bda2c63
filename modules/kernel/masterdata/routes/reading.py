"""Routes that every workstation reads: what code boxes search, regions, dictionaries."""

from __future__ import annotations

from typing import Any

from his_server.http import SIGNED_IN, Call
from modules.kernel.masterdata import queries, schemas
from modules.kernel.masterdata.routes.declared import VIEW, routes

listed = schemas.listed


@routes.get("/drugs", permission=VIEW, query=schemas.CatalogueQuery, out=listed(schemas.DrugOut))
def drugs(call: Call) -> dict[str, Any]:
    """查找药品"""
    return {"items": queries.drugs(call.session, **call.query)}


@routes.get("/charge-items", permission=VIEW, query=schemas.ItemQuery, out=listed(schemas.ItemOut))
def charge_items(call: Call) -> dict[str, Any]:
    """查找收费项目"""
    return {"items": queries.charge_items(call.session, **call.query)}


@routes.get("/diagnoses", permission=VIEW, query=schemas.CatalogueQuery, out=listed(schemas.DiagnosisOut))
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
    return {"items": queries.staff(call.session, query["q"], query["limit"], query["kind"], query["state"])}


@routes.get("/wards", permission=VIEW, query=schemas.PlaceQuery, out=listed(schemas.WardOut))
def wards(call: Call) -> dict[str, Any]:
    """查找病区"""
    return {"items": queries.wards(call.session, **call.query)}


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
