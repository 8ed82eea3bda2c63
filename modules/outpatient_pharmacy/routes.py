"""Routes of the outpatient pharmacies."""

from __future__ import annotations

from typing import Any

from flask import Response, current_app

from his_server.http import Call, Routes
from modules.kernel.charging.service import count_print
from modules.outpatient_pharmacy import queries, schemas, service, vouchers

routes = Routes("outpatient_pharmacy", "/api/outpatient-pharmacy", tag="outpatient_pharmacy")
DISPENSE = "outpatient_pharmacy.dispense"
TAKE_BACK = "outpatient_pharmacy.take_back"
STOCK = "outpatient_pharmacy.stock"


@routes.get("/stores", permission=STOCK, out=schemas.StoresOut)
def stores(call: Call) -> dict[str, Any]:
    """药房列表"""
    return {"items": queries.stores(call.session)}


@routes.get("/queue", permission=DISPENSE, query=schemas.QueueQuery, out=schemas.QueueOut)
def queue(call: Call) -> dict[str, Any]:
    """发药队列"""
    store = call.query["store_id"]
    return {"items": queries.queue(call.session, store, call.query["state"]), "counts": queries.counts(call.session, store)}


@routes.get("/prescriptions", permission=DISPENSE, query=schemas.FindQuery, out=schemas.FoundOut)
def find(call: Call) -> dict[str, Any]:
    """按处方号查找"""
    return {"id": queries.find(call.session, call.query["number"])}


@routes.get("/prescriptions/<int:prescription_id>", permission=DISPENSE, out=schemas.PrescriptionOut)
def prescription(call: Call, prescription_id: int) -> dict[str, Any]:
    """处方明细（含应取批号）"""
    return queries.prescription(call.session, prescription_id)


@routes.post("/prescriptions/<int:prescription_id>/dispense", permission=DISPENSE, out=schemas.PrescriptionOut,
             value=True)
def dispense(call: Call, prescription_id: int) -> dict[str, Any]:
    """发药"""
    service.dispense(call.session, call.actor, prescription_id)
    return queries.prescription(call.session, prescription_id)


@routes.post("/prescriptions/<int:prescription_id>/print", permission=DISPENSE)
def print_slip(call: Call, prescription_id: int) -> Response:
    """打印发药单（可反复打印，第二次起标注补打）"""
    found = queries.prescription(call.session, prescription_id)
    copy = count_print(call.session, call.actor, "prescription", prescription_id)
    hospital = current_app.extensions["his_settings"].hospital
    return Response(vouchers.dispensing(found, hospital=hospital, copy=copy), mimetype="application/pdf")


@routes.get("/dispensed", permission=TAKE_BACK, query=schemas.DispensedQuery, out=schemas.DispensedOut)
def dispensed(call: Call) -> dict[str, Any]:
    """查找已发药的处方（退药用）"""
    return {"items": queries.dispensed(call.session, **call.query)}


@routes.post("/prescriptions/<int:prescription_id>/returns", permission=TAKE_BACK,
             body=schemas.ReturnIn, out=schemas.ReturnOut, value=True, status=201)
def take_back(call: Call, prescription_id: int) -> Any:
    """退药"""
    lines = {row["line_id"]: row["quantity"] for row in call.body["lines"]}
    return service.take_back(call.session, call.actor, prescription_id, lines=lines, reason=call.body["reason"])


@routes.get("/stock", permission=STOCK, query=schemas.StockQuery, out=schemas.StockOut)
def stock(call: Call) -> dict[str, Any]:
    """库存查询"""
    return queries.stock_list(call.session, **call.query)


@routes.post("/stock-ins", permission="outpatient_pharmacy.stock_in", body=schemas.StockInIn, out=schemas.NumberOut,
             value=True, status=201)
def stock_in(call: Call) -> dict[str, Any]:
    """入库"""
    return {"number": service.stock_in(call.session, call.actor, call.body["store_id"], call.body["lines"])}
