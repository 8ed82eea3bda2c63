"""Routes of stock papers: in, out, loss, adjustment, requisition, transfer."""

from __future__ import annotations

from typing import Any

from his_server.errors import Forbidden
from his_server.http import Call
from modules.kernel.stock.models import StockDocument
from modules.kernel.stock.queries import lists
from modules.kernel.stock.routes import ADJUST, SUPPLY, VIEW, WRITE, mine, routes
from modules.kernel.stock.schemas import ReasonIn
from modules.kernel.stock.schemas import papers as schemas
from modules.kernel.stock.service import documents, transfers

GUARDED = {"loss": ADJUST, "adjust": ADJUST}


def _paper(call: Call, document_id: int, permission: str = WRITE, *, other: bool = False) -> StockDocument:
    """The paper, if the actor may act in its store (``other``: in the store at its other end)."""
    found = documents.get(call.session, document_id)
    needed = GUARDED.get(found.kind, permission)
    if not call.actor.can(needed):
        raise Forbidden("permission.denied", "您没有报损、调整的权限，如需使用请联系安全管理员")
    store = found.other_store_id if other else found.store_id
    assert store is not None
    mine(call, store, needed)
    return found


@routes.get("/papers", permission=VIEW, query=schemas.PapersQuery, out=schemas.PaperPage)
def papers(call: Call) -> dict[str, Any]:
    """库存单据"""
    mine(call, call.query["store_id"], VIEW)
    return lists.papers(call.session, **call.query)


@routes.post("/papers", permission=WRITE, body=schemas.PaperIn, out=schemas.PaperOut, value=True, status=201)
def draft(call: Call) -> dict[str, Any]:
    """制单"""
    needed = GUARDED.get(call.body["kind"], WRITE)
    if not call.actor.can(needed):
        raise Forbidden("permission.denied", "您没有报损、调整的权限，如需使用请联系安全管理员")
    mine(call, call.body["store_id"], needed)
    return lists.paper(call.session, documents.draft(call.session, call.actor, **call.body).id)


@routes.get("/papers/<int:document_id>", permission=VIEW, out=schemas.PaperOut)
def paper(call: Call, document_id: int) -> dict[str, Any]:
    """单据明细（禁用、停用药品有提示）"""
    return lists.paper(call.session, document_id)


@routes.put("/papers/<int:document_id>", permission=WRITE, body=schemas.PaperChange, out=schemas.PaperOut)
def rewrite(call: Call, document_id: int) -> dict[str, Any]:
    """修改单据"""
    _paper(call, document_id)
    documents.rewrite(call.session, call.actor, document_id, **call.body)
    return lists.paper(call.session, document_id)


@routes.post("/papers/<int:document_id>/confirm", permission=WRITE, body=schemas.ConfirmBoxesIn, out=schemas.PaperOut,
             value=True)
def confirm(call: Call, document_id: int) -> dict[str, Any]:
    """确认单据，库存随之变动"""
    _paper(call, document_id)
    documents.confirm(call.session, call.actor, document_id, **call.body)
    return lists.paper(call.session, document_id)


@routes.post("/papers/<int:document_id>/cancel", permission=WRITE, body=ReasonIn, out=schemas.PaperOut, value=True)
def cancel(call: Call, document_id: int) -> dict[str, Any]:
    """作废未确认的单据"""
    _paper(call, document_id)
    documents.cancel(call.session, call.actor, document_id, reason=call.body["reason"])
    return lists.paper(call.session, document_id)


@routes.post("/papers/<int:document_id>/submit", permission=WRITE, body=schemas.ConfirmIn, out=schemas.PaperOut,
             value=True)
def submit(call: Call, document_id: int) -> dict[str, Any]:
    """提交请领单"""
    _paper(call, document_id)
    transfers.submit(call.session, call.actor, document_id, acknowledged=call.body["acknowledged"])
    return lists.paper(call.session, document_id)


@routes.post("/papers/<int:document_id>/approve", permission=SUPPLY, body=schemas.ApproveIn, out=schemas.PaperOut,
             value=True, status=201)
def approve(call: Call, document_id: int) -> dict[str, Any]:
    """批准请领单并按效期配货，生成调拨单"""
    _paper(call, document_id, SUPPLY, other=True)
    made = transfers.approve(call.session, call.actor, document_id, _quantities(call))
    return lists.paper(call.session, made.id)


def _quantities(call: Call) -> Any:
    lines = call.body["lines"]
    return None if lines is None else {line["line_id"]: line["quantity"] for line in lines}


@routes.post("/papers/<int:document_id>/refuse", permission=SUPPLY, body=ReasonIn, out=schemas.PaperOut,
             value=True)
def refuse(call: Call, document_id: int) -> dict[str, Any]:
    """拒绝请领单"""
    _paper(call, document_id, SUPPLY, other=True)
    transfers.refuse(call.session, call.actor, document_id, call.body["reason"])
    return lists.paper(call.session, document_id)


@routes.post("/papers/<int:document_id>/ship", permission=WRITE, body=schemas.ConfirmIn, out=schemas.PaperOut,
             value=True)
def ship(call: Call, document_id: int) -> dict[str, Any]:
    """调拨发出"""
    _paper(call, document_id)
    transfers.ship(call.session, call.actor, document_id, acknowledged=call.body["acknowledged"])
    return lists.paper(call.session, document_id)


@routes.post("/papers/<int:document_id>/receive", permission=WRITE, body=schemas.ReceiveIn, out=schemas.PaperOut,
             value=True)
def receive(call: Call, document_id: int) -> dict[str, Any]:
    """调拨接收，未收部分退回发出库房"""
    _paper(call, document_id, other=True)
    transfers.receive(call.session, call.actor, document_id, _quantities(call), frozenset(call.body["refused_codes"]))
    return lists.paper(call.session, document_id)


@routes.get("/return-proposal", permission=WRITE, query=schemas.ProposalQuery)
def return_proposal(call: Call) -> dict[str, Any]:
    """近效期退药库建议"""
    mine(call, call.query["store_id"], WRITE)
    return {"items": transfers.propose_return(call.session, **call.query)}
