"""SM2 signatures of documents that nobody may deny (COMPLIANCE MP-15, GB/T 39786 8.4 h).

A module declares a kind of document and signs each one in the transaction that makes it: one INSERT. The signed
bytes are canonical JSON that names the patient, everything that was decided, the signer and the time; they are kept
(sealed), so that a signature never depends on how a table looks years later. What signs is the hospital's seal, the
ring's ``document-sm2`` key, and the content names the person who was signed in. A person with an SM2 certificate of
his own signs the same document again with :func:`countersign`.

The time is the server's clock: there is no trusted time stamp. Never sign on the settlement's hot path.
Implements: MP-15.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, Index, LargeBinary, String, Text, insert, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from crypto import CryptoError, pem, x509
from his_server.actor import Actor
from his_server.db import database as db
from his_server.db.base import Keyed, SealedText
from his_server.db.types import Instant
from his_server.errors import Conflict, NotFound, invalid
from his_server.keys import DOCUMENT
from his_server.module import Finding
from his_server.security import audit, certificates, integrity, seals
from his_server.security.models import User
from his_server.settings import Settings

FORMAT = "his-document-1"
SEAL, PERSON = "seal", "person"
SIGN_WITHIN = timedelta(minutes=5)
"""A person's signature must arrive this long after the content was given out."""

Documents = Callable[[Session, Sequence[int]], Mapping[int, Mapping[str, Any]]]


@dataclass(frozen=True)
class Kind:
    """A kind of signed document. ``load`` reads documents anew from the tables, by id: for comparison."""

    code: str
    title: str
    load: Documents


KINDS: dict[str, Kind] = {}


def declare(code: str, title: str, load: Documents) -> Kind:
    """Declare a kind of document that is signed."""
    KINDS[code] = Kind(code, title, load)
    return KINDS[code]


class DocumentSignature(integrity.Guarded, Keyed):
    """A signature over ``content``, the signed bytes. ``means``: ``seal`` (``key_id`` of the ring) or ``person``
    (``key_id``: SM3 of the certificate). ``user_id`` is who signed. Append-only and chained."""

    __tablename__ = "security_signature"
    __guarded__ = ("id", "kind", "document_id", "content", "signed_at", "user_id", "user_name", "means", "key_id",
                   "public", "signature")
    __table_args__ = (Index("ix_security_signature_document", "kind", "document_id"),
                      Index("ix_security_signature_signed", "signed_at"),
                      Index("ix_security_signature_user", "user_id", "signed_at"))
    kind: Mapped[str] = mapped_column(String(30))
    document_id: Mapped[int] = mapped_column(BigInteger)
    content_sealed: Mapped[bytes] = mapped_column(LargeBinary)
    signed_at: Mapped[datetime] = mapped_column(Instant)
    user_id: Mapped[int] = mapped_column(BigInteger)
    user_name: Mapped[str] = mapped_column(String(60))
    means: Mapped[str] = mapped_column(String(10))
    key_id: Mapped[str] = mapped_column(String(64))
    public: Mapped[str] = mapped_column(String(128))
    """x‖y, 128 hex digits."""
    signature: Mapped[str] = mapped_column(String(128))
    """r‖s, 128 hex digits."""

    content = SealedText()


class SigningCertificate(integrity.Guarded, Keyed):
    """A certificate that signatures are proved with; kept for ever. ``fingerprint`` is its SM3."""

    __tablename__ = "security_certificate"
    __guarded__ = ("id", "fingerprint", "public", "certificate")
    fingerprint: Mapped[str] = mapped_column(String(64), unique=True)
    public: Mapped[str] = mapped_column(String(128), index=True)
    certificate: Mapped[str] = mapped_column(Text)
    added_at: Mapped[datetime] = mapped_column(Instant)
    added_by: Mapped[int] = mapped_column(BigInteger)


seals.declare("signature", "电子签名", DocumentSignature, at="signed_at")
_INSERT = insert(DocumentSignature.__table__)  # type: ignore[arg-type]


def canonical(value: Any) -> bytes:
    """JSON that is the same for the same content: sorted keys, no blanks, exact numbers and instants as text."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=_plain).encode()


def _plain(value: Any) -> str:
    match value:
        case Decimal():
            return format(value.normalize() + 0, "f")
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        case date():
            return value.isoformat()
    raise TypeError(f"no signed form for {type(value).__name__}")


def _content(kind: str, document_id: int, document: Mapping[str, Any], signer: Mapping[str, Any], at: datetime) -> bytes:
    return canonical({"format": FORMAT, "kind": kind, "id": document_id, "document": document, "signer": signer,
                      "signed_at": at})


def sign(session: Session, actor: Actor, kind: str, document_id: int, document: Mapping[str, Any]) -> int:
    """Sign a document with the hospital's seal, naming the person, in the running unit of work; one INSERT.

    :raises CryptoError: the key or the device isn't there; then the document isn't made either.
    """
    signer = {"user_id": actor.user_id, "login": actor.login, "name": actor.name, "staff_id": actor.staff_id}
    at = db.now(session)
    content = _content(KINDS[kind].code, document_id, document, signer, at)
    sealer = db.of(session).sealer
    key = sealer.ring.active(DOCUMENT)
    return _store(session, actor, kind, document_id, content, at, SEAL, key.kid, key.public,
                  sealer.provider.sm2_sign(key.material, content))


def _store(session: Session, actor: Actor, kind: str, document_id: int, content: bytes, at: datetime, means: str,
           key_id: str, public: bytes, signature: bytes) -> int:
    database = db.of(session)
    row_id = database.keys.next()
    session.connection().execute(_INSERT, {
        "id": row_id, "kind": kind, "document_id": document_id, "signed_at": at, "user_id": actor.user_id,
        "content_sealed": database.sealer.seal("column", content, DocumentSignature.content._place(row_id)),
        "user_name": actor.name[:60], "means": means, "key_id": key_id, "public": public.hex(),
        "signature": signature.hex()})
    return row_id


# A person's own certificate

def to_countersign(session: Session, actor: Actor, limit: int = 100) -> list[dict[str, Any]]:
    """What the actor decided lately and hasn't signed himself, newest first, as the bytes to sign now; one query."""
    theirs = select(DocumentSignature).where(DocumentSignature.user_id == actor.user_id,
                                             DocumentSignature.signed_at >= db.now(session) - timedelta(days=1))
    rows = session.scalars(theirs.order_by(DocumentSignature.signed_at.desc()).limit(10 * limit)).all()
    signed = {(row.kind, row.document_id) for row in rows if row.means == PERSON}
    at = db.now(session)
    return [{"id": row.id, "kind": row.kind, "title": KINDS[row.kind].title, "document_id": row.document_id,
             "content": _again(row, at).decode()}
            for row in rows if row.means == SEAL and (row.kind, row.document_id) not in signed][:limit]


def _again(row: DocumentSignature, at: datetime) -> bytes:
    told = json.loads(row.content)
    return _content(row.kind, row.document_id, told["document"], told["signer"], at)


def countersign(session: Session, actor: Actor, settings: Settings, signature_id: int, *, content: str,
                certificate: str, signature: str) -> int:
    """Add the person's own signature to a document that he decided.

    The certificate must be the one bound to his account and good now; ``content`` what :func:`to_countersign` gave
    out within five minutes. :raises NotFound: not his document. :raises Conflict: he has signed it already.
    :raises Invalid: certificate, content or signature don't fit.
    """
    row = session.get(DocumentSignature, signature_id)
    if row is None or row.user_id != actor.user_id or row.means != SEAL:
        raise NotFound("signature.none", "没有这份待签名的文书，请刷新后重试")
    if session.scalar(select(DocumentSignature.id).where(
            DocumentSignature.kind == row.kind, DocumentSignature.document_id == row.document_id,
            DocumentSignature.means == PERSON, DocumentSignature.user_id == actor.user_id).limit(1)) is not None:
        raise Conflict("signature.done", "这份文书您已签名，无须再签")
    provider, now = db.of(session).sealer.provider, db.now(session)
    try:
        found = certificates.check(provider, settings, certificate, now)
        bound = session.scalar(select(User.certificate).where(User.id == actor.user_id))
        if bound is None or pem.decode("CERTIFICATE", bound) != found.der:
            raise CryptoError("another certificate")
    except (CryptoError, ValueError) as error:
        raise invalid("certificate", "证书无效、已过期、已吊销或不是本账户登记的证书") from error
    given = content.encode()
    try:
        at = datetime.fromisoformat(json.loads(given)["signed_at"].replace("Z", "+00:00"))
        fits = given == _again(row, at) and timedelta() <= now - at <= SIGN_WITHIN
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        fits = False
    if not fits:
        raise invalid("content", "签名内容与文书不符或已超过 5 分钟，请重新获取后签名")
    try:
        raw = bytes.fromhex(signature)
    except ValueError:
        raw = b""
    if not provider.sm2_verify(found.public, given, raw):
        raise invalid("signature", "签名验证未通过，请用登记的证书重新签名")
    keep_certificate(session, actor, found)
    made = _store(session, actor, row.kind, row.document_id, given, now, PERSON, fingerprint(provider, found),
                  found.public, raw)
    audit.record(session, actor, "signature.person", row.kind, row.document_id, {"signature": made})
    return made


# Certificates

def fingerprint(provider: Any, certificate: x509.Certificate) -> str:
    """SM3 of the certificate, 64 hex digits."""
    found: str = provider.sm3(certificate.der).hex()
    return found


def keep_certificate(session: Session, actor: Actor, certificate: x509.Certificate) -> None:
    """Remember a certificate that something was signed with."""
    mark = fingerprint(db.of(session).sealer.provider, certificate)
    if session.scalar(select(SigningCertificate.id).where(SigningCertificate.fingerprint == mark)) is None:
        session.add(SigningCertificate(fingerprint=mark, public=certificate.public.hex(), added_at=db.now(session),
                                       certificate=pem.encode("CERTIFICATE", certificate.der), added_by=actor.user_id))
        session.flush()


def install_certificate(session: Session, actor: Actor, text: str) -> x509.Certificate:
    """Install the certificate of the hospital's seal. :raises Invalid: no certificate, or not of a key of ours."""
    try:
        found = x509.parse(pem.decode("CERTIFICATE", text))
    except (CryptoError, ValueError) as error:
        raise invalid("certificate", "不是有效的 SM2 证书") from error
    if found.public not in [key.public for key in db.of(session).sealer.ring.living(DOCUMENT)]:
        raise invalid("certificate", "证书中的公钥不是本系统的文书签名公钥，请用 his-server signatures key 的输出申请证书")
    keep_certificate(session, actor, found)
    audit.record(session, actor, "signature.certificate", "certificate", f"{found.serial:x}",
                 {"subject": found.name("CN"), "until": found.not_after})
    return found


# Checking what is stored

def check(session: Session, since: datetime | None = None) -> Iterator[Finding]:
    """Every stored signature: does it verify, and does the document in the tables still say what was signed?"""
    last = 0
    while True:
        query = select(DocumentSignature).where(DocumentSignature.id > last).order_by(DocumentSignature.id).limit(500)
        if since is not None:
            query = query.where(DocumentSignature.signed_at >= since)
        rows = session.scalars(query).all()
        if not rows:
            return
        last = rows[-1].id
        yield from _check(session, rows)
        session.expunge_all()


def _check(session: Session, rows: Sequence[DocumentSignature]) -> Iterable[Finding]:
    sealer = db.of(session).sealer
    for kind in KINDS.values():
        mine = [row for row in rows if row.kind == kind.code]
        now = kind.load(session, sorted({row.document_id for row in mine})) if mine else {}
        for row in mine:
            where = f"{kind.title} id {row.document_id}"
            if not integrity.holds(sealer, row):
                yield Finding("signature", where, f"签名记录 {row.id} 被改动")
                continue
            content = row.content.encode()
            if not sealer.provider.sm2_verify(bytes.fromhex(row.public), content, bytes.fromhex(row.signature)):
                yield Finding("signature", where, f"签名 {row.id} 验证未通过")
            elif row.document_id not in now:
                yield Finding("signature", where, "已签名的文书不存在了")
            elif canonical(json.loads(content)["document"]) != canonical(now[row.document_id]):
                yield Finding("signature", where, "文书现在的内容与签名时不同")
    for row in rows:
        if row.kind not in KINDS:
            yield Finding("signature", f"{row.kind} id {row.document_id}", "未知的文书种类")
