"""Routes of those who keep the catalogues: new rows, changes, stops, prices, versions of sets, dictionary entries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from marshmallow import Schema
from sqlalchemy import select

from his_server.http import Call
from modules.kernel.masterdata import queries, schemas
from modules.kernel.masterdata.models import DictionaryEntry, ItemSet
from modules.kernel.masterdata.routes.declared import DICTIONARIES, EDIT, ORGANISE, VIEW, routes
from modules.kernel.masterdata.service import dictionaries, keeping, prices, sets

listed = schemas.listed


@dataclass(frozen=True)
class Shelf:
    """How a catalogue is kept over the wire: path, kind of :data:`keeping.KEPT`, who may, its fields, code length."""

    path: str
    kind: str
    permission: str
    kept: type[Schema]
    code: int = 40
    priced: bool = False


SHELVES = (
    Shelf("drugs", "drug", EDIT, schemas.DrugFields, priced=True),
    Shelf("charge-items", "charge_item", EDIT, schemas.ItemFields, priced=True),
    Shelf("diagnoses", "diagnosis", EDIT, schemas.DiagnosisFields),
    Shelf("departments", "department", ORGANISE, schemas.DepartmentFields, code=20),
    Shelf("wards", "ward", ORGANISE, schemas.WardFields, code=20),
    Shelf("staff", "staff", ORGANISE, schemas.StaffFields, code=20),
)


def _named(name: str, view: Callable[..., Any]) -> Callable[..., Any]:
    view.__name__ = name
    return view


def _declare(shelf: Shelf) -> None:
    """The routes of one catalogue; all catalogues are kept in the same way."""
    kind, title = shelf.kind, keeping.KEPT[shelf.kind].title
    out, row = schemas.shown(shelf.kept), f"/{shelf.path}/<int:row_id>"

    def read(call: Call, row_id: int) -> dict[str, Any]:
        return queries.kept(call.session, kind, row_id)

    def create(call: Call) -> dict[str, Any]:
        made = keeping.create(call.session, call.actor, kind, call.body)
        return queries.kept(call.session, kind, made.id)

    def change(call: Call, row_id: int) -> dict[str, Any]:
        values = dict(call.body)
        keeping.change(call.session, call.actor, kind, row_id, revision=values.pop("revision"), values=values)
        return queries.kept(call.session, kind, row_id)

    def stop(call: Call, row_id: int) -> dict[str, Any]:
        return {"active": keeping.set_active(call.session, call.actor, kind, row_id, **call.body).active}

    def changes(call: Call, row_id: int) -> dict[str, Any]:
        keeping.kept_row(call.session, kind, row_id)
        return {"items": queries.changes(call.session, kind, row_id)}

    routes.get(row, permission=VIEW, out=out, summary=f"{title}详情")(_named(f"kept_{kind}", read))
    routes.post(f"/{shelf.path}", permission=shelf.permission, body=schemas.new(shelf.kept, shelf.code, priced=shelf.priced),
                out=out, value=True, status=201, summary=f"新增{title}")(_named(f"create_{kind}", create))
    routes.put(row, permission=shelf.permission, body=schemas.changed(shelf.kept), out=out,
               summary=f"修改{title}")(_named(f"change_{kind}", change))
    routes.post(f"{row}/active", permission=shelf.permission, body=schemas.ActiveIn,
                summary=f"停用或启用{title}")(_named(f"set_{kind}_active", stop))
    routes.get(f"{row}/changes", permission=VIEW, out=listed(schemas.ChangeOut),
               summary=f"{title}的修改记录")(_named(f"{kind}_changes", changes))


for _shelf in SHELVES:
    _declare(_shelf)


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


def _version(call: Call, found: ItemSet) -> dict[str, Any]:
    return next(one for one in queries.set_versions(call.session, found.id) if one["id"] == found.id)


@routes.post("/item-sets", permission=EDIT, body=schemas.SetNew, out=schemas.SetVersionOut, value=True, status=201)
def create_set(call: Call) -> dict[str, Any]:
    """新增组套"""
    return _version(call, sets.create_set(call.session, call.actor, **call.body))


@routes.post("/item-sets/<int:set_id>/versions", permission=EDIT, body=schemas.SetChange, out=schemas.SetVersionOut,
             value=True, status=201)
def change_set(call: Call, set_id: int) -> dict[str, Any]:
    """修改组套（保存为新版本，已收的费用不变）"""
    return _version(call, sets.change_set(call.session, call.actor, set_id, **call.body))


@routes.post("/item-sets/<int:set_id>/stop", permission=EDIT, body=schemas.StopIn, out=schemas.SetVersionOut)
def stop_set(call: Call, set_id: int) -> dict[str, Any]:
    """停用组套"""
    return _version(call, sets.stop_set(call.session, call.actor, set_id, call.body["reason"]))


@routes.get("/item-sets/<int:set_id>/versions", permission=VIEW, out=listed(schemas.SetVersionOut))
def set_versions(call: Call, set_id: int) -> dict[str, Any]:
    """组套的历次版本"""
    return {"items": queries.set_versions(call.session, set_id)}


@routes.get("/dictionaries", permission=VIEW, out=listed(schemas.DictionaryOut))
def all_dictionaries(call: Call) -> dict[str, Any]:
    """字典列表"""
    return {"items": dictionaries.dictionaries(call.session)}


@routes.get("/dictionaries/<name>/entries", permission=VIEW, out=listed(schemas.EntryKept))
def entries(call: Call, name: str) -> dict[str, Any]:
    """字典条目（含已停用）"""
    return {"items": dictionaries.entries(call.session, name)}


@routes.post("/dictionaries/<name>/entries", permission=DICTIONARIES, body=schemas.EntryNew, out=schemas.EntryKept,
             value=True, status=201)
def add_entry(call: Call, name: str) -> DictionaryEntry:
    """新增字典条目"""
    return dictionaries.add_entry(call.session, call.actor, name, **call.body)


@routes.put("/dictionary-entries/<int:entry_id>", permission=DICTIONARIES, body=schemas.EntryChange,
            out=schemas.EntryKept)
def change_entry(call: Call, entry_id: int) -> DictionaryEntry:
    """修改字典条目"""
    return dictionaries.change_entry(call.session, call.actor, entry_id, **call.body)


@routes.get("/dictionary-entries/<int:entry_id>/changes", permission=VIEW, out=listed(schemas.ChangeOut))
def entry_changes(call: Call, entry_id: int) -> dict[str, Any]:
    """字典条目的修改记录"""
    return {"items": queries.changes(call.session, "dictionary_entry", entry_id)}
