"""The insurer's catalogues and our mapping to them: 1301…1306 with 9102, 3301, 3302, 1317; 1318 for limit prices.

Implements: H2
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal, InvalidOperation

from his_server.db import today
from his_server.messaging.outbox import LostAnswer, NotSent
from interfaces.nhsa import contract
from interfaces.nhsa.client.messages import Insurer
from interfaces.nhsa.client.reconciliation import download_file
from interfaces.nhsa.mapping import files
from modules.kernel.charging.ports import CONFIRMED, REFUSED, UNKNOWN
from modules.kernel.masterdata.ports import Answered, CatalogEntry, CatalogPart, Mapped

START = "v0000"
"""The version of who has nothing yet."""
PLACE = "plc"
"""fixmedins_code that 9102 wants for catalogues."""
PAGE = 100
OPEN_END = date(2099, 12, 31)
COLUMNS = ("code", "name", "spec", "manufacturer", "unit", "limit_price", "version")
"""Of a downloaded catalogue by position; a province's own order is its settings' (``columns``)."""


class Catalogues:
    """Implements :class:`modules.kernel.masterdata.ports.InsuranceCatalogPort`."""

    def __init__(self, insurer: Insurer) -> None:
        self.insurer = insurer

    def download(self, list_type: str, version: str) -> CatalogPart:
        """What of a catalogue is newer than ``version``."""
        if list_type not in contract.CATALOGUES:
            return CatalogPart(REFUSED, message=f"没有目录 {list_type}", cause="nhsa.contract")
        reply = self.insurer.call(contract.CATALOGUES[list_type], {"data": {"ver": version or START}})
        if not reply.ok:
            return CatalogPart(REFUSED, message=reply.message, cause=reply.cause)
        if not reply.output.get("data_cnt"):
            return CatalogPart(CONFIRMED, message="没有更新", version=version)
        try:
            packed = download_file(self.insurer, reply.output["file_qury_no"], reply.output["filename"], PLACE)
            columns = tuple(self.insurer.settings.columns.get(list_type, " ".join(COLUMNS)).split())
            rows = files.unpack(packed, columns)
            entries = tuple(_entry(list_type, row) for row in rows)
        except (files.BrokenFile, InvalidOperation, ValueError) as error:
            return CatalogPart(UNKNOWN, message=f"目录文件不能读取：{error}")
        if len(entries) != int(reply.output["data_cnt"]):
            return CatalogPart(UNKNOWN, message=f"目录文件有 {len(entries)} 条，应有 {reply.output['data_cnt']} 条，请重新下载")
        return CatalogPart(CONFIRMED, version=max(entry.version for entry in entries), entries=entries)

    def map(self, rows: tuple[Mapped, ...]) -> tuple[Answered, ...]:
        """3301, a row a call, so that each has its own outcome; once the line is bad the rest is unknown."""
        answers: list[Answered] = []
        for row in rows:
            if answers and answers[-1].state == UNKNOWN:
                answers.append(answers[-1])
                continue
            try:
                reply = self.insurer.call("3301", {"data": [self._row(row)]}, number=row.code)
            except contract.ContractError as error:
                answers.append(Answered(REFUSED, f"对照不符合规范：{error.message}", "nhsa.contract"))
            except (LostAnswer, NotSent) as error:
                answers.append(Answered(UNKNOWN, str(error)))
            else:
                answers.append(Answered(CONFIRMED if reply.ok else REFUSED, reply.message, reply.cause))
        return tuple(answers)

    @staticmethod
    def _row(row: Mapped) -> dict[str, str]:
        return {"fixmedins_hilist_id": row.code, "fixmedins_hilist_name": row.name, "list_type": row.list_type,
                "med_list_codg": row.national, "begndate": f"{row.valid_from:%Y-%m-%d}",
                "enddate": f"{row.valid_to or OPEN_END:%Y-%m-%d}", "spec": row.spec, "dosform": row.form, "prcunt": row.unit}

    def unmap(self, row: Mapped) -> Answered:
        """3302; what the insurer doesn't have is gone too."""
        reply = self.insurer.call("3302", {
            "fixmedins_code": self.insurer.code, "fixmedins_hilist_id": row.code, "list_type": row.list_type,
            "med_list_codg": row.national}, number=row.code)
        gone = reply.ok or reply.cause == "nhsa.order"
        return Answered(CONFIRMED if gone else REFUSED, reply.message, reply.cause)

    def mapped(self, changed_since: date) -> tuple[Mapped, ...]:
        """1317, page by page. :raises LostAnswer: a page didn't come."""
        with self.insurer.database.begin(write=False) as session:
            day = today(session)
        found: list[Mapped] = []
        page = 1
        while True:
            reply = self.insurer.call("1317", {"data": {
                "query_date": f"{day:%Y-%m-%d}", "fixmedins_code": self.insurer.code, "vali_flag": "1",
                "updt_time": f"{changed_since:%Y-%m-%d}", "page_num": str(page), "page_size": str(PAGE)}})
            if not reply.ok:
                raise LostAnswer(reply.message)
            rows = reply.output["data"]
            found += [Mapped(row["medins_list_codg"], row.get("medins_list_name", ""), row["list_type"], row["med_list_codg"],
                             date.fromisoformat(row["begndate"]), _end(row.get("enddate", ""))) for row in rows]
            if len(rows) < PAGE:
                return tuple(found)
            page += 1


def _end(text: str) -> date | None:
    day = date.fromisoformat(text[:10]) if text else OPEN_END
    return None if day >= OPEN_END else day


def _entry(list_type: str, row: dict[str, str]) -> CatalogEntry:
    limit = Decimal(row["limit_price"]) if row.get("limit_price") else None
    return CatalogEntry(
        list_type=list_type, code=row["code"], name=row.get("name", ""), spec=row.get("spec", ""),
        manufacturer=row.get("manufacturer", ""), unit=row.get("unit", ""), level=row.get("level", ""), limit_price=limit,
        valid_from=date.fromisoformat(row["valid_from"][:10]) if row.get("valid_from") else None,
        valid_to=_end(row.get("valid_to", "")), active=row.get("vali_flag", "1") != "0", version=row["version"])
