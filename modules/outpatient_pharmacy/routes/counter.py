"""Routes of the dispensing window: queue, review, picking, handing out, calling."""

from __future__ import annotations

from typing import Any

from flask import Response, current_app

from his_server.http import Call
from modules.kernel.charging.service import count_print
from modules.kernel.stock.schemas import traces as stock_schemas
from modules.kernel.stock.service import packing
from modules.outpatient_pharmacy import queries, schemas, service, vouchers
from modules.outpatient_pharmacy.routes.base import ANSWER, DISPENSE, REVIEW, STOCK, routes
from modules.outpatient_pharmacy.service import calling, checking, reviewing
from modules.outpatient_pharmacy.service.scoping import store_for

SCOPED = "/prescriptions/<int:prescription_id>"


def _codes(rows: list[dict[str, Any]]) -> dict[int, list[str]]:
    return {row["line_id"]: row["codes"] for row in rows}


@routes.get("/stores", permission=STOCK, query=schemas.StoresQuery, out=schemas.StoresOut)
def stores(call: Call) -> dict[str, Any]:
    """药房列表"""
    return {"items": queries.stores(call.session, call.actor, wards=call.query["wards"])}


@routes.get("/queue", permission=DISPENSE, query=schemas.QueueQuery, out=schemas.QueueOut)
def queue(call: Call) -> dict[str, Any]:
    """发药队列"""
    store, window = call.query["store_id"], call.query["window_id"]
    store_for(call.session, call.actor, DISPENSE, store)
    return {"items": queries.queue(call.session, store, call.query["state"], window_id=window),
            "counts": queries.counts(call.session, store, window_id=window)}


@routes.get("/prescriptions", permission=DISPENSE, query=schemas.FindQuery, out=schemas.FoundOut)
def find(call: Call) -> dict[str, Any]:
    """按处方号查找"""
    return {"id": queries.find(call.session, call.actor, call.query["number"])}


@routes.get("/prescriptions/<int:prescription_id>", permission=DISPENSE, out=schemas.PrescriptionOut)
def prescription(call: Call, prescription_id: int) -> dict[str, Any]:
    """处方明细（含应取批号）"""
    return queries.prescription(call.session, call.actor, prescription_id)


@routes.get("/codes", permission=DISPENSE, query=schemas.CodeQuery, out=schemas.CodeOut)
def code(call: Call) -> dict[str, Any]:
    """查追溯码（是哪种药、是否已售）"""
    return queries.trace_code(call.session, call.query["code"])


@routes.post("/packs", permission=DISPENSE, body=stock_schemas.PackIn, out=stock_schemas.PackOut, effect="manual")
def look_at_pack(call: Call) -> dict[str, Any]:
    """扫追溯码：是一盒，还是一箱（列出其中的小码；不知道时询问追溯平台）"""
    return packing.look(call.database, call.actor, call.body["code"])


@routes.post(f"{SCOPED}/check", permission=DISPENSE, out=schemas.PrescriptionOut, effect="manual")
def check(call: Call, prescription_id: int) -> dict[str, Any]:
    """合理用药审查（请求外部系统，结果或无应答都会记录）"""
    checking.ask(call.database, call.actor, prescription_id)
    with call.database.begin(write=False) as session:
        return queries.prescription(session, call.actor, prescription_id)


@routes.post(f"{SCOPED}/review", permission=REVIEW, body=schemas.NoteIn, out=schemas.PrescriptionOut, value=True)
def review(call: Call, prescription_id: int) -> dict[str, Any]:
    """审核通过"""
    reviewing.review(call.session, call.actor, prescription_id, note=call.body["note"])
    return queries.prescription(call.session, call.actor, prescription_id)


@routes.post("/reviews", permission=REVIEW, body=schemas.ManyIn, out=schemas.ManyOut, value=True)
def review_many(call: Call) -> dict[str, Any]:
    """批量审核通过（有提示的不通过，须逐张审核）"""
    refused = reviewing.review_many(call.session, call.actor, call.body["ids"])
    return {"passed": len(set(call.body["ids"])) - len(refused),
            "refused": [{"id": key, "message": message} for key, message in refused.items()]}


@routes.post(f"{SCOPED}/bounce", permission=REVIEW, body=schemas.ReasonIn, out=schemas.PrescriptionOut, value=True)
def bounce(call: Call, prescription_id: int) -> dict[str, Any]:
    """退回医师（拒绝调剂）"""
    reviewing.bounce(call.session, call.actor, prescription_id, reason=call.body["reason"])
    return queries.prescription(call.session, call.actor, prescription_id)


@routes.get("/bounced", permission=ANSWER, out=schemas.BouncedListOut)
def bounced(call: Call) -> dict[str, Any]:
    """药房退回给我的处方"""
    return {"items": queries.bounced(call.session, call.actor)}


@routes.post(f"{SCOPED}/answer", permission=ANSWER, body=schemas.ReasonIn, value=True)
def answer(call: Call, prescription_id: int) -> dict[str, Any]:
    """医师确认退回的处方"""
    task = reviewing.answer(call.session, call.actor, prescription_id, text=call.body["reason"])
    return {"state": task.state}


@routes.post(f"{SCOPED}/pick", permission=DISPENSE, body=schemas.CodesBody, out=schemas.PrescriptionOut, value=True)
def pick(call: Call, prescription_id: int) -> dict[str, Any]:
    """调配完成"""
    service.pick(call.session, call.actor, prescription_id, codes=_codes(call.body["codes"]))
    return queries.prescription(call.session, call.actor, prescription_id)


@routes.post(f"{SCOPED}/call", permission=DISPENSE, body=schemas.CallIn, out=schemas.PrescriptionOut, value=True)
def call_patient(call: Call, prescription_id: int) -> dict[str, Any]:
    """叫号、重呼"""
    calling.call(call.session, call.actor, prescription_id, window_id=call.body["window_id"])
    return queries.prescription(call.session, call.actor, prescription_id)


@routes.post(f"{SCOPED}/pass", permission=DISPENSE, out=schemas.PrescriptionOut, value=True)
def pass_over(call: Call, prescription_id: int) -> dict[str, Any]:
    """过号"""
    calling.pass_over(call.session, call.actor, prescription_id)
    return queries.prescription(call.session, call.actor, prescription_id)


@routes.post("/prescriptions/<int:prescription_id>/dispense", permission=DISPENSE, body=schemas.DispenseIn,
             out=schemas.PrescriptionOut, value=True)
def dispense(call: Call, prescription_id: int) -> dict[str, Any]:
    """核对发药（全部，或所选药品）"""
    service.dispense(call.session, call.actor, prescription_id, line_ids=call.body["line_ids"],
                     codes=_codes(call.body["codes"]), boxes=call.body["boxes"])
    return queries.prescription(call.session, call.actor, prescription_id)


@routes.post("/prescriptions/<int:prescription_id>/print", permission=DISPENSE)
def print_slip(call: Call, prescription_id: int) -> Response:
    """打印发药单（可反复打印，第二次起标注补打）"""
    found = queries.prescription(call.session, call.actor, prescription_id)
    copy = count_print(call.session, call.actor, "prescription", prescription_id)
    hospital = current_app.extensions["his_settings"].hospital
    return Response(vouchers.dispensing(found, hospital=hospital, copy=copy), mimetype="application/pdf")
