"""Reconciliation, catalogues, security of the line, contracts: the adapter against the strict centre."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from crypto import get_provider
from his_server import secrets
from his_server.db import Database
from his_server.messaging.outbox import LostAnswer
from interfaces.nhsa import contract
from interfaces.nhsa.client import wire
from interfaces.nhsa.client.catalogues import Catalogues
from interfaces.nhsa.client.messages import KEY
from interfaces.nhsa.client.reconciliation import Reconciliation
from interfaces.nhsa.mapping import answers
from interfaces.nhsa.mapping.errors import understood
from interfaces.nhsa.settings import Settings
from interfaces.nhsa.simulator import records
from interfaces.nhsa.simulator.catalogue import code_of
from modules.kernel.charging.ports import CONFIRMED, REFUSED, Credential, Scope, SettledRow, Totals
from modules.kernel.masterdata.ports import Mapped
from tests.factories import insured as make
from tests.factories.hospital import World
from tests.factories.insurer import Simulated, bind

sqlite = pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
SCOPE = Scope("310", "11", "320602", date(2026, 3, 2), date(2026, 3, 2))


def _settled(world: World, count: int) -> list[SettledRow]:
    """So many insured settlements, as the centre has them."""
    port: Simulated = world.db.ports["insurance"]
    for serial in range(1, count + 1):
        number = make.id_no(2, serial)
        person = make.insured_person(world, number)
        world.request(world.encounter(world.register(person)), "10")
        claim = world.ok(make.preview(world, person, make.show(number)))
        assert world.ok(make.settle(world, claim, make.show(number)))["state"] == "used"
    rows = []
    for row in port.books.rows("SELECT * FROM settlement ORDER BY setl_id"):
        info = json.loads(row["info"])
        rows.append(SettledRow(row["setl_id"], row["mdtrt_id"], row["psn_no"], False, Decimal(info["medfee_sumamt"]),
                               Decimal(info["fund_pay_sumamt"]), Decimal(info["acct_pay"])))
    return rows


def _totals(rows: list[SettledRow]) -> Totals:
    total, fund, account = (sum((getattr(row, name) for row in rows), Decimal(0)) for name in ("total", "fund", "account"))
    return Totals(total, fund, account, total - fund - account, Decimal(0), len(rows), 0)


@pytest.mark.requirement("YB-03", "H2")
@sqlite
def test_one_extra_one_missing_and_one_changed_are_each_found(world: World) -> None:
    rows = _settled(world, 3)
    port: Reconciliation = world.db.ports["insurance:reconciliation"]
    even = port.totals(SCOPE, _totals(rows))
    assert (even.state, even.even) == (CONFIRMED, True)
    assert port.details(SCOPE, _totals(rows), rows).rows == ()
    extra = SettledRow("S99999999999999", "M99999999999999", rows[0].member_no, False, Decimal("1.00"), Decimal("0.00"),
                       Decimal("0.00"))
    ours = [replace(rows[0], fund=rows[0].fund - 1), rows[1], extra]  # changed, even, ours only; the third is theirs only
    uneven = port.totals(SCOPE, _totals(ours))
    assert (uneven.state, uneven.even) == (CONFIRMED, False) and "基金" not in uneven.message
    found = port.details(SCOPE, _totals(ours), ours)
    assert {(row.peer_number, row.memo) for row in found.rows} == {
        (rows[0].peer_number, "金额不符"), (extra.peer_number, "中心无此记录"), ("", "医院无此记录")}
    only_theirs = next(row for row in found.rows if not row.peer_number)
    assert len(only_theirs.message_id) == 30 and only_theirs.total == rows[2].total
    # ours are never reversed from here; a stray of the centre is
    kept = port.undo_stray("DZ1", only_theirs.member_no, only_theirs.message_id, refund=False)
    assert kept.state == REFUSED and "本院有这笔医保结算" in kept.message
    with world.db.begin() as session:
        from sqlalchemy import delete

        from interfaces.nhsa.models import NhsaCase, NhsaMessage

        case = session.query(NhsaMessage).filter_by(msgid=only_theirs.message_id).one().case_id
        session.execute(delete(NhsaMessage).where(NhsaMessage.msgid == only_theirs.message_id))
        session.execute(delete(NhsaCase).where(NhsaCase.id == case))
    before = world.db.ports["insurance"].net()
    assert port.undo_stray("DZ2", only_theirs.member_no, only_theirs.message_id, refund=False).state == CONFIRMED
    assert world.db.ports["insurance"].net() == before - rows[2].fund - rows[2].account
    assert port.undo_stray("DZ2", only_theirs.member_no, only_theirs.message_id, refund=False).state == CONFIRMED
    assert world.db.ports["insurance"].net() == before - rows[2].fund - rows[2].account


@pytest.mark.requirement("H2")
@sqlite
def test_catalogues_come_down_by_version_and_mappings_go_up(db: Database, tmp_path: Path) -> None:
    made = bind(db, tmp_path)
    port = Catalogues(made.insurer)
    assert port.download("101", "").entries == ()
    codes = [code_of("101", f"YP{n}", "01") for n in range(3)]
    with (made.folder / "nhsa" / records.CATALOGUE).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(records.COLUMNS)
        for n, code in enumerate(codes):
            writer.writerow(["101", code, f"药品{n}", "0.25g*24", "某药厂", "盒", "12.50" if n else "", f"v{n + 1:04d}"])
    part = port.download("101", "")
    assert (part.state, part.version, [one.code for one in part.entries]) == (CONFIRMED, "v0003", codes)
    assert [one.limit_price for one in part.entries] == [None, Decimal("12.50"), Decimal("12.50")]
    assert [one.code for one in port.download("101", "v0002").entries] == codes[2:]
    assert port.download("999", "").state == REFUSED
    good = Mapped("YP1", "药品1", "101", codes[1], date(2026, 1, 1), None)
    wrong = replace(good, code="YP2", national="not-a-code")
    told = port.map((good, wrong, good))
    assert [one.state for one in told] == [CONFIRMED, REFUSED, CONFIRMED] and told[1].cause == "nhsa.unmapped"
    assert port.mapped(date(2026, 1, 1)) == (replace(good),)
    assert port.unmap(good).state == CONFIRMED and port.unmap(good).state == CONFIRMED
    assert port.mapped(date(2026, 1, 1)) == ()


def _identify(port: Simulated) -> Any:
    return port.identify(Credential("ecode", make.id_no(2) + "0000"), "")


@pytest.mark.requirement("H2")
@sqlite
def test_the_gateway_lets_nobody_in_without_the_signature(db: Database, tmp_path: Path) -> None:
    """The documented form of the signature, spelt out here by its own means."""
    own = Settings(access_key="AK1", secret_key=secrets.seal(db.sealer, "nhsa", "secret_key", "SK1"))
    port = bind(db, tmp_path, own=own)
    folder = port.folder / "nhsa"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gateway.json").write_text(json.dumps({"access_key": "AK1", "secret_key": "SK1"}))
    assert _identify(port).state == CONFIRMED
    headers = wire.gateway_headers(name="fsi", version="1.0.0", access_key="AK1", secret="SK1", at=db.clock.now())
    text = (f"_api_access_key=AK1&_api_name=fsi&_api_timestamp={headers['_api_timestamp']}&_api_version=1.0.0")
    import base64
    import hashlib
    import hmac

    assert headers["_api_signature"] == base64.b64encode(hmac.new(b"SK1", text.encode(), hashlib.sha1).digest()).decode()
    assert len(headers["_api_timestamp"]) == 13
    for change in ({"secret_key": "SK2"}, {"access_key": "AK2"}):
        (folder / "gateway.json").write_text(json.dumps({"access_key": "AK1", "secret_key": "SK1"} | change))
        port.insurer._signs.clear()
        answer = port.identify(Credential("ecode", make.id_no(4) + "0000"), "")
        assert answer.state == REFUSED and answer.cause == "nhsa.gateway"


@pytest.mark.requirement("H2", "YB-05")
@sqlite
def test_sm2_and_sm4_on_the_line(db: Database, tmp_path: Path) -> None:
    """Input signed and sealed, answers signed and sealed; a wrong key of either side is no answer."""
    provider = get_provider()
    private, public = provider.sm2_generate()
    sm4 = "0123456789abcdef"
    own = Settings(signtype="SM2", enc_type="SM4", centre_key=public.hex(),
                   sm4_key=secrets.seal(db.sealer, "nhsa", "sm4_key", sm4))
    port = bind(db, tmp_path, own=own)
    folder = port.folder / "nhsa"
    folder.mkdir(parents=True, exist_ok=True)
    ours = db.sealer.ring.active(KEY)
    agreed = {"hospital_key": ours.public.hex(), "private_key": private.hex(), "sm4_key": sm4}
    (folder / "sm.json").write_text(json.dumps(agreed))
    assert _identify(port).state == CONFIRMED
    other_private, other_public = provider.sm2_generate()
    (folder / "sm.json").write_text(json.dumps(agreed | {"private_key": other_private.hex()}))
    with pytest.raises(LostAnswer):  # signed by somebody else: not to be believed
        _identify(port)
    (folder / "sm.json").write_text(json.dumps(agreed | {"hospital_key": other_public.hex()}))
    refused = _identify(port)
    assert refused.state == REFUSED and "验签" in refused.message
    (folder / "sm.json").write_text(json.dumps(agreed | {"sm4_key": "fedcba9876543210"}))
    assert "解密" in _identify(port).message


@pytest.mark.requirement("H2")
def test_contracts_are_strict_when_asking_and_tolerant_when_reading() -> None:
    good = {"data": {"psn_no": "P1", "mdtrt_id": "M1", "setl_id": "S1", "exp_content": ""}}
    contract.check("2208", good)
    for change, said in (({"psn_no": ""}, "人员编号"), ({"psn_no": "P" * 31}, "超过 30"), ({"more": "1"}, "more"),
                         ({"psn_no": None}, "人员编号")):
        with pytest.raises(contract.ContractError, match=said):
            contract.check("2208", {"data": good["data"] | change})
    with pytest.raises(contract.ContractError, match="缺少节点 data"):
        contract.check("2208", {})
    with pytest.raises(contract.ContractError, match="没有代码 77"):
        contract.check("2601", {"data": {"psn_no": "P", "omsgid": "1", "oinfno": "2207"}}) or contract.check("2203", {
            "mdtrtinfo": {"mdtrt_id": "M", "psn_no": "P", "med_type": "77", "begntime": "2026-03-02 08:00:00"},
            "diseinfo": []})
    told = contract.read("2207", {"setlinfo": {"setl_id": 7, "medfee_sumamt": "3.10", "new_field": "x"}, "setldetail": None})
    assert told["setlinfo"]["medfee_sumamt"] == Decimal("3.10") and told["setlinfo"]["setl_id"] == "7"
    assert told["setlinfo"]["new_field"] == "x" and told["setldetail"] == []
    single = contract.read("1101", {"baseinfo": {"psn_no": "P"}, "insuinfo": {"insutype": "310", "balc": 5}})
    assert single["insuinfo"][0]["balc"] == Decimal(5)
    with pytest.raises(contract.ContractError):
        contract.read("2207", {"setlinfo": {"medfee_sumamt": "three"}})
    assert len(contract.transactions()) > 60


@pytest.mark.requirement("YB-01")
@pytest.mark.parametrize(("name", "value"), [
    ("fund_pay_sumamt", "6.99"), ("psn_part_amt", "2.99"), ("acct_pay", "1.01"), ("hifp_pay", "7.01"),
    ("medfee_sumamt", "10.01"), ("hosp_part_amt", "0.01"), ("psn_cash_pay", "2.001")])
def test_figures_that_do_not_hold_together_are_refused(name: str, value: str) -> None:
    info = dict.fromkeys((*answers.KEPT[7:],), Decimal(0)) | {
        "medfee_sumamt": Decimal("10.00"), "fund_pay_sumamt": Decimal("7.00"), "hifp_pay": Decimal("7.00"),
        "psn_part_amt": Decimal("3.00"), "acct_pay": Decimal("1.00"), "psn_cash_pay": Decimal("2.00"),
        "inscp_scp_amt": Decimal("10.00")}
    assert answers.split_of(answers.kept(info, [])).fund == Decimal("7.00")
    with pytest.raises(answers.BrokenAnswer):
        answers.split_of(answers.kept(info | {name: Decimal(value)}, []))


@pytest.mark.requirement("M5.3", "H2")
@pytest.mark.parametrize(("said", "cause"), [
    ("FSI-接收方: 签到编号无效", "nhsa.sign_in"), ("参保状态为暂停", "nhsa.suspended"),
    ("医疗目录编码不存在：X1", "nhsa.unmapped"), ("药品上传数量不能超过原始上传数量", "nhsa.quantity"),
    ("报文编号重复，该报文已受理", "nhsa.same_message"),
    ("医疗费总额与上传明细合计不符", "nhsa.amount"), ("姓名与参保信息不符", "nhsa.person"), ("??", "nhsa.other"),
    ("", "nhsa.other")])
def test_error_texts_get_a_cause_and_say_what_to_do(said: str, cause: str) -> None:
    found, message = understood(said)
    assert found == cause and "（" in message and len(message) < 200
