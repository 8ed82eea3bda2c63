"""Documents that nobody may deny: signed in their transaction, proved offline (COMPLIANCE MP-15)."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import delete, select, update

from crypto import CryptoError, Sealer, pem, x509
from crypto.ca import CertificateAuthority
from his_server.actor import SYSTEM
from his_server.clock import ManualClock
from his_server.db import Database
from his_server.keys import DOCUMENT
from his_server.security import accounts, anchor, proof, seals, signature_cli, signatures
from his_server.security.models import User
from his_server.settings import Settings
from modules.kernel.charging.models import RefundApproval
from modules.kernel.dispensing.models import DrugReturnBatch
from modules.kernel.orders.models import Prescription, PrescriptionLine
from tests.factories.hospital import World
from tests.factories.security import signed_in_client
from tests.security.conftest import one

pytestmark = pytest.mark.requirement("MP-15")
SQLITE = pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)


@pytest.fixture
def signed(world: World, db: Database, tmp_path: Path) -> dict[str, int]:
    """A journey with one document of each kind; kind → document id."""
    anchor.place(db, tmp_path)
    person = world.person()
    encounter = world.encounter(world.register(person))
    made = world.prescribe(encounter, quantity="2400", note="饭后")
    paid = world.ok(world.pay_all(person))
    world.ok(world.post("pharmacist", f"/api/outpatient-pharmacy/prescriptions/{made['id']}/dispense"))
    back = world.ok(world.post("pharmacist", f"/api/outpatient-pharmacy/prescriptions/{made['id']}/returns", {
        "lines": [{"line_id": made["lines"][0]["id"], "quantity": "2400"}], "reason": "停药"}))
    asked = world.ok(world.post("cashier", "/api/outpatient-billing/approvals", {
        "settlement_id": paid["id"], "amount": paid["total"], "reason": "停药"}))
    world.ok(world.post("finance", f"/api/outpatient-billing/approvals/{asked['id']}/decide", {"approve": True}))
    refunded = world.ok(world.post("cashier", f"/api/outpatient-billing/settlements/{paid['id']}/refunds", {
        "lines": [{"line_id": made["lines"][0]["charge_line_id"], "quantity": "100"}], "reason": "停药"}))
    with db.begin(write=False) as session:
        red = one(session, select(signatures.DocumentSignature.document_id).where(
            signatures.DocumentSignature.kind == "red_receipt"))
    assert refunded["id"]
    return {"prescription": made["id"], "drug_return": back["id"], "refund_approval": asked["id"], "red_receipt": red}



def told(db: Database, kind: str) -> dict[str, Any]:
    """The signed content of the only document of a kind."""
    with db.begin(write=False) as session:
        found: dict[str, Any] = json.loads(one(session, select(signatures.DocumentSignature).where(
            signatures.DocumentSignature.kind == kind)).content)
    return found


def test_each_document_is_signed_and_says_all_that_matters(signed: dict[str, int], world: World, db: Database) -> None:
    doctor, finance = world.ids["user_doctor"], world.ids["user_finance"]
    prescription = told(db, "prescription")
    with db.begin(write=False) as session:
        stored = session.get(Prescription, signed["prescription"])
        assert stored is not None
        assert prescription["id"] == stored.id and prescription["signed_at"] == "2026-03-02T00:30:00.000000Z"
        assert prescription["signer"] == {"user_id": doctor, "login": f"u{doctor}", "name": "单文渊",
                                          "staff_id": world.ids["doctor"]}
        assert prescription["document"].items() >= {"person_id": stored.person_id, "number": stored.number,
                                                    "doctor_name": "单文渊", "diagnosis": "急性支气管炎",
                                                    "issued_at": "2026-03-02T00:30:00.000000Z"}.items()
    assert len(prescription["document"]["lines"]) == 1
    assert prescription["document"]["lines"][0].items() >= {
        "position": 0, "drug_id": world.ids["drug"], "name": "阿莫西林胶囊", "spec": prescription["document"]["lines"][0]["spec"],
        "dose": "0.5", "dose_unit": "g", "usage": "口服", "frequency": "tid", "days": 4, "quantity": "2400",
        "base_unit": prescription["document"]["lines"][0]["base_unit"], "note": "饭后"}.items()
    approval = told(db, "refund_approval")
    assert approval["signer"]["user_id"] == finance and approval["signer"]["name"] == "冯财务"
    assert approval["document"].items() >= {"approved": True, "amount": "2400", "reason": "停药",
                                            "requested_by_name": "李收费", "decided_by": finance}.items()
    red = told(db, "red_receipt")
    assert red["document"].items() >= {"amount": "-2400", "refund_total": "-2400", "reason": "停药",
                                       "approver_id": finance}.items()
    assert [line["amount"] for line in red["document"]["lines"]] == ["-2400"] and red["document"]["cancels_number"]
    back = told(db, "drug_return")
    assert sum(Decimal(line["quantity"]) for line in back["document"]["lines"]) == 2400
    assert back["signer"]["name"] == "周药师" and back["document"]["reason"] == "停药"
    with db.begin(write=False) as session:
        assert list(signatures.check(session)) == []


@SQLITE
def test_settling_signs_nothing(world: World, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    person = world.person()
    world.prescribe(world.encounter(world.register(person)))
    calls: list[bytes] = []
    sign = db.sealer.provider.sm2_sign
    monkeypatch.setattr(db.sealer.provider, "sm2_sign", lambda key, data, *a: calls.append(data) or sign(key, data, *a))
    world.ok(world.pay_all(person))
    assert calls == []


@SQLITE
def test_what_cannot_be_signed_is_not_done(world: World, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    encounter = world.encounter(world.register(world.person()))

    def gone(*_: Any) -> bytes:
        raise CryptoError("no key")

    monkeypatch.setattr(db.sealer.provider, "sm2_sign", gone)
    answer = world.post("doctor", "/api/orders/prescriptions", {
        "encounter_id": encounter, "diagnosis": "咳嗽", "lines": [
            {"drug_id": world.ids["drug"], "dose": "0.5", "usage": "口服", "frequency": "tid", "days": 4}]})
    assert answer.status_code >= 500
    with db.begin(write=False) as session:
        assert session.scalars(select(Prescription)).all() == []


# Offline

@pytest.fixture
def authority(tmp_path: Path, sealer: Sealer, clock: ManualClock) -> CertificateAuthority:
    return CertificateAuthority.create(tmp_path / "ca", sealer.provider, {"C": "CN", "O": "市医院", "CN": "内部 CA"},
                                       clock.now() - timedelta(days=1), "口令")


def install(db: Database, authority: CertificateAuthority, at: datetime, days: int = 30) -> x509.Certificate:
    """A certificate of the hospital's seal."""
    made = authority.issue({"C": "CN", "CN": "市第六人民医院"}, db.sealer.ring.active(DOCUMENT).public, at, days)
    with db.begin() as session:
        signatures.install_certificate(session, SYSTEM, pem.encode("CERTIFICATE", made.der))
    return made


def exported(db: Database, kind: str, document_id: int) -> dict[str, Any]:
    with db.begin(write=False) as session:
        found = proof.export(session, kind, document_id)
    assert len(found) == 1
    return found[0]


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every plain value in the content."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from leaves(inner, (*path, place))
    else:
        yield path


def changed(content: bytes, path: tuple[Any, ...]) -> bytes:
    """The content with one character (or number) of the value at ``path`` changed."""
    tree = json.loads(content)
    at = tree
    for key in path[:-1]:
        at = at[key]
    match at[path[-1]]:
        case bool() as flag:
            at[path[-1]] = not flag
        case int() as number:
            at[path[-1]] = number ^ 1
        case None:
            at[path[-1]] = 1
        case str() as text:
            at[path[-1]] = text[:-1] + chr(ord(text[-1]) ^ 1) if text else "x"
    return signatures.canonical(tree)


@SQLITE
def test_offline_one_changed_byte_of_any_signed_field_is_refused(
        signed: dict[str, int], db: Database, authority: CertificateAuthority, clock: ManualClock) -> None:
    install(db, authority, clock.now() - timedelta(hours=1))
    crl = authority.publish(clock.now())
    trust = {"roots": [authority.certificate], "lists": [crl]}
    provider = db.sealer.provider
    fields = set()
    for kind, document_id in signed.items():
        good = exported(db, kind, document_id)
        verdict = proof.verify(provider, good, **trust)
        assert verdict.good and verdict.facts["certificate"]["subject"] == "市第六人民医院", verdict.refused
        assert ["可信时间戳" in text for text in verdict.unproved] == [True]  # said plainly
        content = base64.b64decode(good["content"])
        for path in leaves(json.loads(content)):
            fields.add((kind, path[-1]))
            bad = {**good, "content": base64.b64encode(changed(content, path)).decode()}
            assert not proof.verify(provider, bad, **trust).good, path
    assert {("prescription", name) for name in ("person_id", "drug_id", "name", "dose", "quantity", "signed_at", "user_id",
                                                "frequency", "days", "diagnosis", "note")} <= fields
    good = exported(db, "prescription", signed["prescription"])
    for name in ("signature", "public"):
        for place in range(0, len(good[name]), 2):
            byte = int(good[name][place:place + 2], 16) ^ 1
            bad = {**good, name: f"{good[name][:place]}{byte:02x}{good[name][place + 2:]}"}
            assert not proof.verify(provider, bad, **trust).good, (name, place)
    for other in ({**good, "certificates": []}, {**good, "format": "x"}, {**good, "extra": 1}, {}, None, [], "x",
                  {**good, "content": "!"}, {**good, "content": 1}, {**good, "signature": "00"}, {**good, "public": None},
                  {**good, "certificates": ["x"]}, {**good, "content": base64.b64encode(b"[1]").decode()}):
        assert not proof.verify(provider, other, **trust).good, other


@SQLITE
def test_offline_chain_validity_at_signing_time_and_revocation(
        signed: dict[str, int], db: Database, authority: CertificateAuthority, clock: ManualClock, tmp_path: Path) -> None:
    provider, hour = db.sealer.provider, timedelta(hours=1)
    good = exported(db, "prescription", signed["prescription"])
    roots = [authority.certificate]
    assert proof.verify(provider, good, roots=roots).refused == ["没有该公钥的证书，也没有指定信任的公钥"]
    public = db.sealer.ring.active(DOCUMENT).public
    known = proof.verify(provider, good, publics=[public])
    assert known.good and any("没有核对证书" in text for text in known.unproved)

    def with_certificate(begin: datetime, days: int) -> tuple[x509.Certificate, dict[str, Any]]:
        made = authority.issue({"C": "CN", "CN": "市医院"}, public, begin, days)
        return made, {**good, "certificates": [pem.encode("CERTIFICATE", made.der)]}

    begun, fits = with_certificate(clock.now() - hour, 30)
    assert proof.verify(provider, fits, roots=roots).good
    assert any("未核对证书是否已吊销" in text for text in proof.verify(provider, fits, roots=roots).unproved)
    _, later = with_certificate(clock.now() + hour, 30)
    assert proof.verify(provider, later, roots=roots).refused == ["证书在签名时不在有效期内"]
    _, over = with_certificate(clock.now() - timedelta(days=3), 2)
    assert proof.verify(provider, over, roots=roots).refused == ["证书在签名时不在有效期内"]
    foreign = CertificateAuthority.create(tmp_path / "other", provider, {"C": "CN", "CN": "内部 CA"}, clock.now() - hour, "x")
    assert proof.verify(provider, fits, roots=[foreign.certificate]).refused == ["证书不是受信任机构签发"]
    assert not proof.verify(provider, fits).good
    after = authority.revoke(begun.serial, clock.now() + hour)
    assert proof.verify(provider, fits, roots=roots, lists=[after]).good  # it was good when it signed
    early, revoked = with_certificate(clock.now() - hour, 30)
    before = authority.revoke(early.serial, clock.now() - hour / 2)
    assert proof.verify(provider, revoked, roots=roots, lists=[before]).refused == ["证书在签名时已被吊销"]


@SQLITE
def test_commands(signed: dict[str, int], db: Database, authority: CertificateAuthority, clock: ManualClock, tmp_path: Path,
                  monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signature_cli, "the_database", lambda: db)

    def run(*args: object, code: int = 0) -> str:
        done = CliRunner().invoke(signature_cli.signed_documents, [str(arg) for arg in args], catch_exceptions=False)
        assert done.exit_code == code, done.output
        return done.output

    text = run("key")
    public = tmp_path / "public.pem"
    public.write_text(text[text.index("-----BEGIN"):])
    certificate = authority.issue({"C": "CN", "CN": "市医院"}, pem.public_from_pem(public.read_bytes()),
                                  clock.now() - timedelta(hours=1), 30)
    files = {"seal": pem.encode("CERTIFICATE", certificate.der), "root": pem.encode("CERTIFICATE", authority.certificate.der),
             "crl": pem.encode("X509 CRL", authority.publish(datetime.now(UTC)).der)}
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    assert "不是本系统的文书签名公钥" in run("install", tmp_path / "root", code=1)
    assert "市医院" in run("install", tmp_path / "seal")
    assert "没有这种文书" in run("export", "x", 1, "--out", tmp_path / "no.json", code=1)
    assert "没有签名" in run("export", "prescription", 1, "--out", tmp_path / "no.json", code=1)
    out = tmp_path / "out.json"
    run("export", "prescription", signed["prescription"], "--out", out)
    assert out.stat().st_mode & 0o077 == 0

    def offline() -> Database:
        raise AssertionError("verifying needs no database")

    monkeypatch.setattr(signature_cli, "the_database", offline)
    shown = run("verify", out, "--root", tmp_path / "root", "--crl", tmp_path / "crl")
    assert "通过" in shown and "阿莫西林胶囊" in shown and "可信时间戳" in shown
    assert "通过" in run("verify", out, "--public", public)
    assert "不通过" in run("verify", out, code=1)
    out.write_text(out.read_text().replace("his-signature-1", "his-signature-2"))
    assert "不通过" in run("verify", out, "--root", tmp_path / "root", code=1)
    out.write_text("[]")
    run("verify", out, "--root", tmp_path / "root", code=1)
    monkeypatch.setattr(signature_cli, "the_database", lambda: db)
    assert "通过：电子签名完整" in run("check")


# Behind our back

@SQLITE
@pytest.mark.parametrize("what", ["a dose", "an approval", "a return", "the signature", "the row", "a whole prescription"])
def test_what_is_changed_with_sql_is_found(signed: dict[str, int], db: Database, what: str) -> None:
    seals.seal_all(db)
    seals.checkpoint_now(db)
    line, row = PrescriptionLine.__table__, signatures.DocumentSignature.__table__
    statement = {
        "a dose": update(line).values(dose=Decimal("5")),
        "an approval": update(RefundApproval.__table__).values(amount=Decimal("1.00")),
        "a return": update(DrugReturnBatch.__table__).values(quantity=Decimal(1)),
        "the signature": update(row).values(signature="ab" * 64),
        "the row": delete(row).where(row.c.kind == "prescription"),
        "a whole prescription": delete(line),
    }[what]
    with db.begin(write=False) as session:
        assert list(signatures.check(session)) == []
    with db.engine.begin() as connection:
        connection.execute(statement)
    with db.begin(write=False) as session:
        found = [f"{f.where} {f.message}" for f in (*signatures.check(session), *seals.verify_all(session))]
    assert found, what
    if what in ("a dose", "an approval", "a return", "a whole prescription"):
        assert any("与签名时不同" in text for text in found), found


# A person's own certificate

@pytest.fixture
def trusted(settings: Settings, authority: CertificateAuthority) -> Iterator[CertificateAuthority]:
    folder = settings.data_dir / "trust"
    folder.mkdir(exist_ok=True)
    path = folder / "countersign.pem"
    path.write_text(pem.encode("CERTIFICATE", authority.certificate.der))
    yield authority
    path.unlink()


@pytest.fixture
def own(world: World, db: Database, trusted: CertificateAuthority, clock: ManualClock
        ) -> Callable[..., tuple[bytes, str]]:
    """``own("doctor")`` → private key and PEM of a certificate that is bound to the account."""

    def call(who: str) -> tuple[bytes, str]:
        private, public = db.sealer.provider.sm2_generate()
        made = trusted.issue({"C": "CN", "CN": who}, public, clock.now() - timedelta(hours=1), 30)
        text = pem.encode("CERTIFICATE", made.der)
        with db.begin() as session:
            accounts.enrol_certificate(session, SYSTEM, world.ids[f"user_{who}"], text)
            user = session.get(User, world.ids[f"user_{who}"])
        world.clients[who] = signed_in_client(world.app, db, user=user)  # enrolling ended the sessions
        return private, text

    return call


def test_a_person_signs_with_his_own_certificate(world: World, db: Database, clock: ManualClock,
                                                 own: Callable[..., tuple[bytes, str]],
                                                 trusted: CertificateAuthority) -> None:
    provider = db.sealer.provider
    world.prescribe(world.encounter(world.register(world.person())))
    private, certificate = own("doctor")
    other_key, other_certificate = own("pharmacist")
    pending = world.ok(world.get("doctor", "/api/signatures/pending"))["items"]
    assert [(item["kind"], item["title"]) for item in pending] == [("prescription", "处方")]
    assert world.ok(world.get("pharmacist", "/api/signatures/pending"))["items"] == []
    path, content = f"/api/signatures/{pending[0]['id']}/countersign", pending[0]["content"]

    def send(who: str = "doctor", key: bytes = private, **changes: str) -> Any:
        body = {"content": content, "certificate": certificate, **changes}
        body.setdefault("signature", provider.sm2_sign(key, body["content"].encode()).hex())
        return world.post(who, path, body)

    assert send("pharmacist").status_code == 404  # not his document
    assert send(certificate=other_certificate, key=other_key).json["errors"][0]["field"] == "certificate"
    assert send(key=other_key).json["errors"][0]["field"] == "signature"
    for wrong in (content.replace('"0.5"', '"5"'), content + " ", "x", '{"signed_at":"x"}', '{"signed_at":"2026-03-02"}', "[]"):
        assert send(content=wrong).json["errors"][0]["field"] == "content", wrong
    clock.move(minutes=6)
    assert send().json["errors"][0]["field"] == "content"  # too late: fetch it again
    content = world.ok(world.get("doctor", "/api/signatures/pending"))["items"][0]["content"]
    assert send().status_code == 201
    assert send().status_code == 409  # once
    assert world.ok(world.get("doctor", "/api/signatures/pending"))["items"] == []
    with db.begin(write=False) as session:
        document = one(session, select(Prescription.id))
        found = proof.export(session, "prescription", document)
        assert list(signatures.check(session)) == []
    verdicts = [proof.verify(provider, each, roots=[trusted.certificate],
                             publics=[db.sealer.ring.active(DOCUMENT).public]) for each in found]
    assert [each["means"] for each in found] == ["seal", "person"] and all(v.good for v in verdicts)
    assert verdicts[1].facts["certificate"]["subject"] == "doctor" and verdicts[1].facts["signer"]["name"] == "单文渊"
