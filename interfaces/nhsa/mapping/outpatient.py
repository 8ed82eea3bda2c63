"""An outpatient bill as the insurer's transactions want it (2201–2208), from the kernel's :class:`Bill`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from his_server.clock import local
from modules.kernel.charging.ports import Bill, BillLine, Credential, Split

CERT_TYPES = {"ecode": "01", "id_no": "02", "card": "03"}
MED_TYPES = {"registration": "12", "outpatient": "11", "emergency": "13"}
HERB, MATERIAL = "10", "08"


class Unmapped(ValueError):
    """Lines whose code nobody mapped to the insurer's catalogue."""


class Uncoded(ValueError):
    """No diagnosis has a code."""


@dataclass(frozen=True)
class Shown:
    """What is shown to the insurer: mdtrt_cert_type, mdtrt_cert_no, card_sn."""

    kind: str
    number: str = field(repr=False)
    serial: str = field(default="", repr=False)


@dataclass(frozen=True)
class Known:
    """A member as 1101 told of them, to be repeated: psn_no, name, certificate, psn_type."""

    psn_no: str = field(repr=False)
    psn_name: str = field(repr=False)
    psn_cert_type: str
    certno: str = field(repr=False)
    psn_type: str


def shown(credential: Credential, known: Known | None, ecard_cert: str) -> Shown:
    """A credential in the insurer's words; who was identified before goes on by their certificate."""
    if credential.kind == "member":
        return Shown("02", known.certno if known else "")
    if credential.kind == "ecard":
        return Shown(ecard_cert, credential.number, credential.serial)
    return Shown(CERT_TYPES[credential.kind], credential.number, credential.serial)


def identify(what: Shown, name: str, at: str) -> dict[str, Any]:
    """1101."""
    by_card = what.kind == "02"
    return {"data": {"mdtrt_cert_type": what.kind, "mdtrt_cert_no": what.number, "card_sn": what.serial, "begntime": at,
                     "psn_cert_type": "01" if by_card else "", "certno": what.number if by_card else "",
                     "psn_name": name if by_card else ""}}


def otp_number(bill: Bill) -> str:
    """ipt_otp_no: the visit's number and our bill's serial, so that one visit's bills are told apart (5201)."""
    text = f"{bill.visit_no}.{bill.number[-9:].lstrip('0')}"
    return text if len(text) <= 30 else bill.number[:30]


def _who(what: Shown, known: Known) -> dict[str, Any]:
    return {"psn_no": known.psn_no, "mdtrt_cert_type": what.kind, "mdtrt_cert_no": what.number, "card_sn": what.serial,
            "psn_cert_type": known.psn_cert_type, "certno": known.certno[:20]}


def register(bill: Bill, what: Shown, known: Known, at: str) -> dict[str, Any]:
    """2201."""
    code, name = bill.department
    return {"data": {**_who(what, known), "insutype": bill.insurance, "begntime": at, "psn_type": known.psn_type,
                     "psn_name": known.psn_name[:20], "ipt_otp_no": otp_number(bill), "atddr_no": bill.doctor[0],
                     "dr_name": bill.doctor[1], "dept_code": code or "0000", "dept_name": name or "门诊",
                     "caty": (code or "0000")[:10], "exp_content": ""}}


def visit(bill: Bill, psn_no: str, mdtrt_id: str, at: str, operator: tuple[str, str]) -> dict[str, Any]:
    """2203: med_type and the diagnoses that have a code. :raises Uncoded: none has."""
    coded = [(code, name) for code, name in bill.diagnoses if code]
    if not coded:
        names = "、".join(name for _, name in bill.diagnoses[:3])
        raise Uncoded(f"诊断“{names}”没有编码，医保不能结算，请医师从诊断目录中选择诊断，或按自费收取")
    doctor = _somebody(bill.doctor, operator)
    return {"mdtrtinfo": {"mdtrt_id": mdtrt_id, "psn_no": psn_no, "med_type": MED_TYPES[bill.treatment], "begntime": at,
                          "main_cond_dscr": "", "exp_content": ""},
            "diseinfo": [{"diag_type": "1", "diag_srt_no": n, "diag_code": code[:20], "diag_name": name[:100],
                          "diag_dept": (bill.department[0] or "0000")[:50], "dise_dor_no": doctor[0][:30],
                          "dise_dor_name": doctor[1][:50], "diag_time": at, "vali_flag": "1"}
                         for n, (code, name) in enumerate(coded, 1)]}


def _somebody(*people: tuple[str, str]) -> tuple[str, str]:
    """The first who is named."""
    return next(((code or name, name or code) for code, name in people if code or name), ("", ""))


def fees(bill: Bill, psn_no: str, mdtrt_id: str, codes: Mapping[int, tuple[str, str]], operator: tuple[str, str]
         ) -> dict[str, Any]:
    """2204: every line, under the batch of our number. ``codes``: line id → (list_type, med_list_codg)."""
    return {"feedetail": [fee(line, bill, codes[line.line_id][1], operator) | {
        "mdtrt_id": mdtrt_id, "psn_no": psn_no, "chrg_bchno": bill.number[:30]} for line in bill.lines]}


def fee(line: BillLine, bill: Bill, national: str, operator: tuple[str, str]) -> dict[str, Any]:
    """One line of 2204."""
    department = _somebody(line.ordering_department, bill.department, ("0000", "门诊"))
    doctor = _somebody(line.ordering_staff, bill.doctor, operator)
    return {"feedetl_sn": str(line.line_id), "rxno": line.rx[:30], "rx_circ_flag": "0",
            "fee_ocur_time": f"{local(line.charged_at):%Y-%m-%d %H:%M:%S}", "med_list_codg": national,
            "medins_list_codg": line.code, "det_item_fee_sumamt": line.amount, "cnt": line.quantity, "pric": line.price,
            "bilg_dept_codg": department[0][:30], "bilg_dept_name": department[1][:100], "bilg_dr_codg": doctor[0][:30],
            "bilg_dr_name": doctor[1][:50], "acord_dept_codg": line.performing_department[0][:30],
            "acord_dept_name": line.performing_department[1][:100], "hosp_appr_flag": "0", "exp_content": ""}


def national_codes(bill: Bill, unmapped: Any) -> dict[int, tuple[str, str]]:
    """Line id → (list_type, med_list_codg). ``unmapped(line)`` says what else a line may be, or None.

    :raises Unmapped: naming the first lines that are nothing.
    """
    found, missing = {}, []
    for line in bill.lines:
        code = line.national or unmapped(line)
        if code is None:
            missing.append(line.name)
        else:
            found[line.line_id] = code
    if missing:
        more = f" 等 {len(missing)} 项" if len(missing) > 3 else ""
        raise Unmapped(f"{'、'.join(missing[:3])}{more}没有对照医保目录，请医保办完成对照，或将这些项目按自费收取")
    return found


def list_type(line: BillLine) -> str:
    """The catalogue that a line belongs to, by what it is."""
    if line.kind == "drug":
        return "102" if line.fiscal_category == HERB else "101"
    return "301" if line.fiscal_category == MATERIAL else "201"


def settle(bill: Bill, what: Shown, known: Known, mdtrt_id: str, psn_setlway: str, split: Split | None = None
           ) -> dict[str, Any]:
    """2206; with the split that 2206 told, 2207."""
    data = {**_who(what, known), "med_type": MED_TYPES[bill.treatment], "medfee_sumamt": bill.total,
            "psn_setlway": psn_setlway, "mdtrt_id": mdtrt_id, "chrg_bchno": bill.number[:30],
            "acct_used_flag": "1" if bill.use_account else "0", "insutype": bill.insurance, "exp_content": ""}
    if split is None:
        return {"data": {**data, "psn_type": known.psn_type, "psn_name": known.psn_name[:20]}}
    return {"data": {**data, "invono": "", "fulamt_ownpay_amt": split.own_expense, "overlmt_selfpay": split.over_limit,
                     "preselfpay_amt": split.self_first, "inscp_scp_amt": split.in_scope}}
