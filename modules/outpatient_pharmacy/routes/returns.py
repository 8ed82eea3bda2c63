"""Routes of returns: request, review, take back, the morning's list."""

from __future__ import annotations

from typing import Any

from his_server.http import Call
from modules.outpatient_pharmacy import queries, schemas, service
from modules.outpatient_pharmacy.queries import returns as reads
from modules.outpatient_pharmacy.routes.base import REVIEW_RETURN, TAKE_BACK, routes
from modules.outpatient_pharmacy.service.scoping import store_for


@routes.get("/dispensed", permission=TAKE_BACK, query=schemas.DispensedQuery, out=schemas.DispensedOut)
def dispensed(call: Call) -> dict[str, Any]:
    """查找已发药的处方（退药用）"""
    return {"items": queries.dispensed(call.session, call.actor, **call.query)}


@routes.post("/prescriptions/<int:prescription_id>/returns", permission=TAKE_BACK,
             body=schemas.ReturnIn, out=schemas.ReturnOut, value=True, status=201)
def take_back(call: Call, prescription_id: int) -> Any:
    """申请退药（免审或夜间自动通过的随即收药）"""
    lines = {row["line_id"]: row["quantity"] for row in call.body["lines"]}
    codes = {row["line_id"]: row["codes"] for row in call.body["codes"]}
    made = service.take_back(call.session, call.actor, prescription_id, lines=lines, reason=call.body["reason"],
                             codes=codes)
    return reads.one_return(call.session, call.actor, made.id)


@routes.get("/returns", permission=TAKE_BACK, query=schemas.ReturnsQuery, out=schemas.ReturnsOut)
def list_returns(call: Call) -> dict[str, Any]:
    """退药单（待审核、待收药、待退费、晨间复核）"""
    store = call.query["store_id"]
    store_for(call.session, call.actor, TAKE_BACK, store)
    return {"items": reads.returns(call.session, call.actor, store, call.query["state"]),
            "counts": reads.return_counts(call.session, store)}


@routes.get("/returns/<int:return_id>", permission=TAKE_BACK, out=schemas.ReturnDetailOut)
def one_return(call: Call, return_id: int) -> dict[str, Any]:
    """退药单明细"""
    return reads.one_return(call.session, call.actor, return_id)


@routes.post("/returns/<int:return_id>/decide", permission=REVIEW_RETURN, body=schemas.DecideReturnIn,
             out=schemas.ReturnOut, value=True)
def decide_return(call: Call, return_id: int) -> dict[str, Any]:
    """退药审核"""
    service.decide_return(call.session, call.actor, return_id, **call.body)
    return reads.one_return(call.session, call.actor, return_id)


@routes.post("/returns/<int:return_id>/accept", permission=TAKE_BACK, body=schemas.CodesBody, out=schemas.ReturnOut,
             value=True)
def accept(call: Call, return_id: int) -> dict[str, Any]:
    """收回退药"""
    codes = {row["line_id"]: row["codes"] for row in call.body["codes"]}
    service.accept(call.session, call.actor, return_id, codes=codes)
    return reads.one_return(call.session, call.actor, return_id)


@routes.post("/returns/<int:return_id>/cancel", permission=TAKE_BACK, body=schemas.ReasonIn, out=schemas.ReturnOut,
             value=True)
def cancel_return(call: Call, return_id: int) -> dict[str, Any]:
    """撤回退药申请"""
    service.cancel_return(call.session, call.actor, return_id, **call.body)
    return reads.one_return(call.session, call.actor, return_id)


@routes.post("/returns/<int:return_id>/rereview", permission=REVIEW_RETURN, body=schemas.RereviewIn,
             out=schemas.ReturnOut, value=True)
def rereview(call: Call, return_id: int) -> dict[str, Any]:
    """晨间复核夜间自动通过的退药"""
    service.rereview(call.session, call.actor, return_id, **call.body)
    return reads.one_return(call.session, call.actor, return_id)
