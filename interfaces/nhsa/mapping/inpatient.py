"""A stay as the insurer's transactions want it (2401–2405, 2301–2305), from what the inpatient modules will tell us.

The data port: whoever keeps stays implements :class:`StayData`; everything else of the chain is here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from his_server.clock import local
from interfaces.nhsa.mapping.outpatient import Known, Shown
from modules.kernel.charging.ports import Split


@dataclass(frozen=True)
class StayDiagnosis:
    """A diagnosis of a stay; ``kind`` diag_type, the first one main."""

    code: str
    name: str
    main: bool
    at: datetime
    department: str
    doctor: tuple[str, str]
    kind: str = "1"
    condition: str = ""


@dataclass(frozen=True)
class Stay:
    """A stay: ``number`` ours and unique, ``stay_no`` 住院号 (ipt_no); ``med_type`` 21, 2102, 52 …; ``way`` dscg_way."""

    number: str
    stay_no: str
    member_no: str = field(repr=False)
    insurance: str
    area: str
    med_type: str
    admitted_at: datetime
    department: tuple[str, str]
    bed: str
    doctor: tuple[str, str]
    diagnoses: tuple[StayDiagnosis, ...]
    discharged_at: datetime | None = None
    way: str = "1"
    contact: str = ""
    phone: str = field(default="", repr=False)


@dataclass(frozen=True)
class StayLine:
    """A fee line of a stay. ``line_id`` is its feedetl_sn; a refund has negative quantity and amount and names the line
    that it takes back by ``reverses``."""

    line_id: int
    code: str
    national: str
    price: Decimal
    quantity: Decimal
    amount: Decimal
    charged_at: datetime
    department: tuple[str, str]
    doctor: tuple[str, str]
    order: str = ""
    performing: tuple[str, str] = ("", "")
    reverses: int | None = None
    take_home: bool = False


class StayData(Protocol):
    """What the inpatient modules provide; the port ``nhsa:stays``."""

    def stay(self, number: str) -> Stay:
        """A stay as it is now."""

    def lines(self, number: str, after: int) -> Iterator[StayLine]:
        """Its charge lines with ids above ``after``, in the order of their ids."""


def _time(at: datetime) -> str:
    return f"{local(at):%Y-%m-%d %H:%M:%S}"


def _diagnoses(stay: Stay, psn_no: str, mdtrt_id: str | None) -> list[dict[str, Any]]:
    return [{**({} if mdtrt_id is None else {"mdtrt_id": mdtrt_id}), "psn_no": psn_no, "diag_type": one.kind,
             "maindiag_flag": "1" if one.main else "0", "diag_srt_no": n, "diag_code": one.code[:20],
             "diag_name": one.name[:100], "diag_dept": one.department[:50], "dise_dor_no": one.doctor[0][:30],
             "dise_dor_name": one.doctor[1][:50], "diag_time": _time(one.at)} for n, one in enumerate(stay.diagnoses, 1)]


def _main(stay: Stay) -> StayDiagnosis:
    return next(one for one in stay.diagnoses if one.main)


def _place(stay: Stay) -> dict[str, Any]:
    main = _main(stay)
    return {"coner_name": stay.contact[:50], "tel": stay.phone[:50], "begntime": _time(stay.admitted_at),
            "med_type": stay.med_type, "medrcdno": stay.stay_no[:30], "atddr_no": stay.doctor[0][:30],
            "chfpdr_name": stay.doctor[1][:50], "adm_diag_dscr": main.name[:200], "adm_dept_codg": stay.department[0][:30],
            "adm_dept_name": stay.department[1][:100], "adm_bed": stay.bed[:30], "dscg_maindiag_code": main.code[:20],
            "dscg_maindiag_name": main.name[:300], "exp_content": ""}


def admit(stay: Stay, what: Shown, known: Known, area: str) -> dict[str, Any]:
    """2401."""
    return {"mdtrtinfo": {**_place(stay), "psn_no": known.psn_no, "insutype": stay.insurance, "mdtrt_cert_type": what.kind,
                          "mdtrt_cert_no": what.number, "card_sn": what.serial, "cert_type": known.psn_cert_type[:3],
                          "certno": known.certno[:20], "ipt_no": stay.stay_no[:30], "insuplc_admdvs": stay.area,
                          "mdtrtarea_admvs": area},
            "diseinfo": _diagnoses(stay, known.psn_no, None)}


def change(stay: Stay, what: Shown, psn_no: str, mdtrt_id: str) -> dict[str, Any]:
    """2403."""
    return {"adminfo": {**_place(stay), "mdtrt_id": mdtrt_id, "psn_no": psn_no, "mdtrt_cert_type": what.kind,
                        "ipt_otp_no": stay.stay_no[:30]},
            "diseinfo": _diagnoses(stay, psn_no, mdtrt_id)}


def discharge(stay: Stay, psn_no: str, mdtrt_id: str) -> dict[str, Any]:
    """2402. :raises ValueError: the stay hasn't ended."""
    if stay.discharged_at is None:
        raise ValueError("病人尚未出院，不能办理医保出院")
    return {"dscginfo": {"mdtrt_id": mdtrt_id, "psn_no": psn_no, "insutype": stay.insurance,
                         "endtime": _time(stay.discharged_at), "dscg_dept_codg": stay.department[0][:30],
                         "dscg_dept_name": stay.department[1][:100], "dscg_bed": stay.bed[:30], "dscg_way": stay.way,
                         "exp_content": ""},
            "diseinfo": _diagnoses(stay, psn_no, mdtrt_id)}


def fee(line: StayLine, stay: Stay, psn_no: str, mdtrt_id: str) -> dict[str, Any]:
    """One line of 2301, the same every time it is sent."""
    return {"feedetl_sn": str(line.line_id), "init_feedetl_sn": str(line.reverses or ""), "mdtrt_id": mdtrt_id,
            "drord_no": line.order[:30], "psn_no": psn_no, "med_type": stay.med_type, "fee_ocur_time": _time(line.charged_at),
            "med_list_codg": line.national, "medins_list_codg": line.code, "det_item_fee_sumamt": f"{line.amount:.2f}",
            "cnt": f"{line.quantity:f}", "pric": f"{line.price:f}", "bilg_dept_codg": line.department[0][:30],
            "bilg_dept_name": line.department[1][:100], "bilg_dr_codg": line.doctor[0][:30],
            "bilg_dr_name": line.doctor[1][:50], "acord_dept_codg": line.performing[0][:30],
            "acord_dept_name": line.performing[1][:100], "hosp_appr_flag": "0",
            "dscg_tkdrug_flag": "1" if line.take_home else "0", "exp_content": ""}


def settle(stay: Stay, what: Shown, known: Known, mdtrt_id: str, *, total: Decimal, area: str, psn_setlway: str,
           use_account: bool, interim: bool, split: Split | None = None) -> dict[str, Any]:
    """2303; with the split that it told, 2304. ``interim``: 中途结算."""
    data: dict[str, Any] = {
        "psn_no": known.psn_no, "mdtrt_cert_type": what.kind, "mdtrt_cert_no": what.number, "card_sn": what.serial,
        "psn_cert_type": known.psn_cert_type[:3], "certno": known.certno[:20], "psn_type": known.psn_type,
        "psn_name": known.psn_name[:20], "medfee_sumamt": total, "psn_setlway": psn_setlway, "mdtrt_id": mdtrt_id,
        "acct_used_flag": "1" if use_account else "0", "insutype": stay.insurance, "mid_setl_flag": "1" if interim else "0",
        "insuplc_admdvs": stay.area, "mdtrtarea_admvs": area, "exp_content": ""}
    if stay.discharged_at is not None and not interim:
        data["dscgTime"] = f"{local(stay.discharged_at):%Y-%m-%d}"
    if split is not None:
        data |= {"invono": "", "fulamt_ownpay_amt": split.own_expense, "overlmt_selfpay": split.over_limit,
                 "preselfpay_amt": split.self_first, "inscp_scp_amt": split.in_scope}
    return {"data": data}


def batches(lines: Sequence[int], size: int) -> list[list[int]]:
    """Line ids in batches, in order."""
    return [list(lines[start:start + size]) for start in range(0, len(lines), size)]
