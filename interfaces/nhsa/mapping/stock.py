"""Movements of packs as the insurer wants to hear of them: 3502 change, 3503 purchase, 3504 return, 3505 sale, 3506 return."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from his_server.clock import local

CHANGES = {"lose": "104", "take_out": "107", "find": "103", "uncollect": "107"}
"""inv_chg_type by what was done: 盘损、其他出、盘盈; a carton that had been collected as a box goes out as 其他出."""
TRANSACTIONS = {"collect": "3503", "send_back": "3504", "use": "3505", "take_back": "3506", **dict.fromkeys(CHANGES, "3502")}
DATA_TYPES = {"3501": "1", "3502": "2", "3503": "3", "3504": "4", "3505": "5", "3506": "6"}
"""inv_data_type of 3507."""
NO_CODE = "无码库药品"


@dataclass(frozen=True)
class Pack:
    """What is said of the drug and its batch in every one of them; ``quantity`` smallest units, ``cost`` yuan a pack."""

    national: str
    code: str
    name: str
    prescription_only: bool
    pack_size: int
    manufacturer: str
    supplier: str
    lot_no: str
    expiry: date | None
    cost: Decimal
    quantity: Decimal


@dataclass(frozen=True)
class Sale:
    """Whom a sale was to: the visit, the prescription and its doctor, the insurer's settlement where there is one."""

    visit: str
    prescription: str
    doctor: str
    setl_id: str = ""
    psn_no: str = ""


def body(act: str, serial: str, pack: Pack, codes: list[str], at: datetime, operator: str, sale: Sale | None
         ) -> dict[str, Any]:
    """The input of the transaction of ``act``; ``serial`` is fixmedins_bchno, the peer's key."""
    when, operator = f"{local(at):%Y-%m-%d %H:%M:%S}", operator or "系统"
    common = {
        "med_list_codg": pack.national, "fixmedins_hilist_id": pack.code[:30], "fixmedins_hilist_name": pack.name[:200],
        "fixmedins_bchno": serial[:30], "rx_flag": "1" if pack.prescription_only else "0",
        "memo": "" if codes else NO_CODE}
    lot = {"manu_lotnum": pack.lot_no[:30] or "不详", "manu_date": "",
           "expy_end": f"{pack.expiry:%Y-%m-%d}" if pack.expiry else ""}
    given = {"drugtracinfo": [{"drug_trac_codg": code} for code in codes]}
    if act in CHANGES:
        return {"invinfo": {**common, "inv_chg_type": CHANGES[act], "pric": _unit(pack), "cnt": pack.quantity,
                            "inv_chg_time": when, "inv_chg_opter_name": operator[:50], "trdn_flag": _split(pack)}, **given}
    if act in ("collect", "send_back"):
        bought = {"spler_name": pack.supplier or "不详", "finl_trns_pric": _unit(pack), "purc_retn_cnt": pack.quantity,
                  "purc_retn_stoin_time": when, "purc_retn_opter_name": operator[:50], "expy_end": lot["expy_end"]}
        if act == "collect":
            bought |= {"manu_lotnum": lot["manu_lotnum"], "prodentp_name": pack.manufacturer or "不详"}
        return {"purcinfo": {**common, **bought}, **given}
    assert sale is not None
    sold = {**lot, "setl_id": sale.setl_id, "psn_no": sale.psn_no, "mdtrt_sn": sale.visit[:30] or "无",
            "trdn_flag": _split(pack), "sel_retn_cnt": pack.quantity, "sel_retn_time": when,
            "sel_retn_opter_name": operator[:50]}
    if act == "use":
        sold |= {"prsc_dr_name": sale.doctor[:50] or "不详", "phar_name": operator[:50], "rxno": sale.prescription[:40],
                 "rtal_docno": (sale.prescription or serial)[:40]}
    return {"selinfo": {**common, **sold}, **given}


def counted(serial: str, pack: Pack, codes: list[str], at: datetime) -> dict[str, Any]:
    """3501: what was counted of one batch."""
    return {"invinfo": {
        "med_list_codg": pack.national, "fixmedins_hilist_id": pack.code[:30], "fixmedins_hilist_name": pack.name[:200],
        "rx_flag": "1" if pack.prescription_only else "0", "invdate": f"{local(at):%Y-%m-%d}",
        "inv_cnt": pack.quantity.quantize(Decimal("0.01")), "manu_lotnum": pack.lot_no[:30], "fixmedins_bchno": serial[:30],
        "manu_date": "", "expy_end": f"{pack.expiry:%Y-%m-%d}" if pack.expiry else "", "memo": "" if codes else NO_CODE},
        "drugtracinfo": [{"drug_trac_codg": code} for code in codes]}


def deletion(serial: str, act: str) -> dict[str, Any]:
    """3507 of an upload."""
    return {"data": {"fixmedins_bchno": serial, "inv_data_type": DATA_TYPES[TRANSACTIONS[act]]}}


def _unit(pack: Pack) -> Decimal:
    return (pack.cost / pack.pack_size).quantize(Decimal("0.000001"))


def _split(pack: Pack) -> str:
    """trdn_flag: less than whole packs left."""
    return "1" if pack.quantity % pack.pack_size else "0"
