"""Routes of trace codes: look up, no-code list, uploads, coverage."""

from __future__ import annotations

from typing import Any

from his_server.http import Call
from his_server.security import scopes
from modules.kernel.stock.queries import traces as queries
from modules.kernel.stock.routes import ADJUST, TRACE, VIEW, WRITE, routes
from modules.kernel.stock.schemas import listed
from modules.kernel.stock.schemas import traces as schemas
from modules.kernel.stock.service import packing, tracing


@routes.get("/trace-codes", permission=VIEW, query=schemas.CodeQuery, out=schemas.CodeOut)
def code(call: Call) -> dict[str, Any]:
    """追溯码查询"""
    return queries.life(call.session, call.query["code"])


@routes.post("/trace-codes/uncollect", permission=ADJUST, body=schemas.UncollectIn, out=schemas.UncollectedOut, value=True)
def uncollect(call: Call) -> dict[str, Any]:
    """更正：曾当作一盒采集的箱码"""
    scopes.require(call.actor, ADJUST, queries.department_of(call.session, call.body["code"]))
    return tracing.uncollect(call.session, call.actor, call.body["code"], reason=call.body["reason"])


@routes.post("/packs", permission=WRITE, body=schemas.PackIn, out=schemas.PackOut, effect="manual")
def look_at_pack(call: Call) -> dict[str, Any]:
    """扫码：是一盒，还是一箱（列出其中的小码；不知道时询问追溯平台）"""
    return packing.look(call.database, call.actor, call.body["code"])


@routes.post("/packing-lists", permission=WRITE, body=schemas.PackingListIn, out=schemas.PackingListOut, value=True)
def import_packing_list(call: Call) -> dict[str, Any]:
    """导入供应商的装箱文件（大码、小码）"""
    return packing.import_list(call.session, call.actor, call.body["text"])


@routes.get("/trace-uploads", permission=TRACE, query=schemas.UploadsQuery, out=schemas.UploadPage)
def uploads(call: Call) -> dict[str, Any]:
    """未上传的追溯记录"""
    query = dict(call.query)
    return queries.uploads(call.session, state=query.pop("state") or None, **query)


@routes.post("/trace-uploads/resend", permission=TRACE, body=schemas.ResendIn, value=True)
def resend(call: Call) -> dict[str, Any]:
    """重新发送（批次流水号不变）"""
    return {"count": tracing.resend(call.session, call.actor, call.body["ids"])}


@routes.post("/trace-uploads/<int:upload_id>/delete", permission=TRACE, body=schemas.DeleteUploadIn, value=True, status=201)
def delete_upload(call: Call, upload_id: int) -> dict[str, Any]:
    """删除已上传的追溯记录（3507），删除后可重新发送"""
    return {"serial": tracing.withdraw_upload(call.session, call.actor, upload_id, reason=call.body["reason"]).serial}


@routes.get("/trace-coverage", permission=TRACE, query=schemas.CoverageQuery, out=schemas.CoverageList)
def coverage(call: Call) -> dict[str, Any]:
    """追溯码扫码率"""
    query = call.query
    rows = queries.coverage(call.session, query["start"], query["end"], store_id=query["store_id"])
    return {"items": rows, "lines": sum(r["lines"] for r in rows), "coded_lines": sum(r["coded_lines"] for r in rows),
            "exempt_lines": sum(r["lines"] for r in rows if r["no_code"] and not r["coded_lines"]),
            "unsent": queries.unsent(call.session, query["end"])}


@routes.get("/no-codes", permission=TRACE, out=listed(schemas.NoCodeOut))
def no_codes(call: Call) -> dict[str, Any]:
    """无码库"""
    return {"items": queries.no_codes(call.session)}


@routes.post("/no-codes", permission=TRACE, body=schemas.NoCodeIn, out=schemas.IdOut, value=True, status=201)
def enter_no_code(call: Call) -> Any:
    """登记无码药品"""
    return tracing.enter_no_code(call.session, call.actor, **call.body)


@routes.post("/no-codes/<int:entry_id>/end", permission=TRACE, value=True)
def end_no_code(call: Call, entry_id: int) -> dict[str, Any]:
    """移出无码库"""
    tracing.end_no_code(call.session, call.actor, entry_id)
    return {"id": entry_id}
