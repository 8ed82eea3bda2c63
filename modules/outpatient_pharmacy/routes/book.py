"""Routes of the controlled-drug book."""

from __future__ import annotations

from typing import Any

from his_server.http import Call
from modules.outpatient_pharmacy import schemas
from modules.outpatient_pharmacy.queries import book as reads
from modules.outpatient_pharmacy.routes.base import BOOK, DESTROY, routes
from modules.outpatient_pharmacy.service import book as acts


@routes.get("/book/drugs", permission=BOOK, query=schemas.BookDrugsQuery, out=schemas.BookDrugsOut)
def book_drugs(call: Call) -> dict[str, Any]:
    """专册药品"""
    return {"items": reads.book_drugs(call.session, call.actor, call.query["store_id"], call.query["q"])}


@routes.get("/book", permission=BOOK, query=schemas.BookQuery, out=schemas.BookOut)
def book(call: Call) -> dict[str, Any]:
    """麻精药品专册"""
    return reads.book(call.session, call.actor, **call.query)


@routes.post("/book/empties", permission=BOOK, body=schemas.EmptiesIn, out=schemas.EmptiesOut, value=True, status=201)
def take_empties(call: Call) -> Any:
    """登记空安瓿、废贴、残余液回收"""
    return acts.take_empties(call.session, call.actor, **call.body)


@routes.get("/destructions", permission=BOOK, out=schemas.DestructionsOut)
def destructions(call: Call) -> dict[str, Any]:
    """纸质处方销毁登记"""
    return reads.destructions(call.session)


@routes.post("/destructions", permission=DESTROY, body=schemas.DestructionIn, out=schemas.DestructionOut, value=True,
             status=201)
def destroy_paper(call: Call) -> Any:
    """登记销毁到期纸质处方"""
    return acts.destroy_paper(call.session, call.actor, **call.body)
