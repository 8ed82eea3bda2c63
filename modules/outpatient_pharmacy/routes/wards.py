"""Routes of acting for a ward pharmacy at night."""

from __future__ import annotations

from typing import Any

from his_server.http import Call
from modules.outpatient_pharmacy import schemas
from modules.outpatient_pharmacy.queries import ward_returns as reads
from modules.outpatient_pharmacy.routes.base import ACT_FOR_WARD, routes
from modules.outpatient_pharmacy.service.ward_returns import take_for_ward


@routes.get("/ward-returns", permission=ACT_FOR_WARD, query=schemas.WardReturnsQuery, out=schemas.WardReturnsOut)
def ward_returns(call: Call) -> dict[str, Any]:
    """病区退药单（待收、今日代收）"""
    return reads.ward_returns(call.session, call.actor, call.query["store_id"], call.query["state"])


@routes.get("/ward-returns/<int:return_id>", permission=ACT_FOR_WARD, query=schemas.WardStoreQuery,
            out=schemas.WardReturnDetailOut)
def ward_return(call: Call, return_id: int) -> dict[str, Any]:
    """病区退药单明细（含转科）"""
    return reads.ward_return(call.session, call.actor, call.query["store_id"], return_id)


@routes.post("/ward-returns/<int:return_id>/take", permission=ACT_FOR_WARD, body=schemas.WardTakeIn,
             out=schemas.WardReturnDetailOut, value=True)
def take(call: Call, return_id: int) -> dict[str, Any]:
    """代病区药房收药，药品入病人现在病区的供药药房"""
    body = call.body
    take_for_ward(call.session, call.actor, return_id, acting_store_id=body["acting_store_id"], store_id=body["store_id"],
                  codes={row["line_id"]: row["codes"] for row in body["codes"]})
    return reads.ward_return(call.session, call.actor, body["acting_store_id"], return_id)
