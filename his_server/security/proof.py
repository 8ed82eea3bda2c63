"""A signed document outside of the house: one file that anybody can verify without our database (MP-15).

The file is JSON: ``content`` (the signed bytes, base64), ``signature`` (r‖s), ``public``, ``certificates`` that the key
has, and what signed. Trust comes from whoever verifies: his root certificate and revocation lists, or the public key that
he got from the hospital; nothing in the file itself is believed. Verifying imports nothing of the house's modules.

What it proves: these bytes were signed by the holder of the key. What it doesn't: the *time*. It is what the signer
says; without a trusted time stamp (可信时间戳) somebody with the key can sign back-dated.
Implements: MP-15.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from crypto import CryptoError, Provider, pem, x509
from his_server.security.signatures import FORMAT, DocumentSignature, SigningCertificate

EXPORT = "his-signature-1"
FIELDS = {"format", "means", "key_id", "content", "signature", "public", "certificates"}


def export(session: Session, kind: str, document_id: int) -> list[dict[str, Any]]:
    """Every signature of a document as objects for :func:`verify`; two queries. Personal data: for those entitled."""
    rows = session.scalars(select(DocumentSignature).where(
        DocumentSignature.kind == kind, DocumentSignature.document_id == document_id).order_by(DocumentSignature.id)).all()
    known: dict[str, list[str]] = {}
    for row in session.scalars(select(SigningCertificate).where(
            SigningCertificate.public.in_({row.public for row in rows})).order_by(SigningCertificate.id)):
        known.setdefault(row.public, []).append(row.certificate)
    return [{"format": EXPORT, "means": row.means, "key_id": row.key_id, "public": row.public, "signature": row.signature,
             "content": base64.b64encode(row.content.encode()).decode(), "certificates": known.get(row.public, [])}
            for row in rows]


@dataclass
class Verdict:
    """What verifying found. ``refused`` says why not; ``facts`` what is signed; ``unproved`` what to keep in mind."""

    refused: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    unproved: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether the signature holds and its key is trusted."""
        return not self.refused


def verify(provider: Provider, given: Any, *, roots: Sequence[x509.Certificate] = (),
           lists: Sequence[x509.RevocationList] = (), intermediates: Iterable[x509.Certificate] = (),
           publics: Iterable[bytes] = ()) -> Verdict:
    """Verify one exported signature. ``publics``: keys that are trusted without a certificate. Never raises."""
    found = Verdict()
    try:
        content, signature, public, certificates = _read(given)
        told = json.loads(content)
        at = datetime.fromisoformat(told["signed_at"].replace("Z", "+00:00"))
        if told["format"] != FORMAT or at.tzinfo is None:
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, CryptoError):
        found.refused.append("文件格式有误，或内容被改动")
        return found
    found.facts = told
    found.unproved.append(f"签名时间 {told['signed_at']} 由签名方声明，未经可信时间戳证明")
    if not provider.sm2_verify(public, content, signature):
        found.refused.append("签名与内容不符：内容、签名或公钥被改动")
        return found
    if public in set(publics):
        found.unproved.append("公钥由核验人自行指定，没有核对证书")
        return found
    reasons = []
    for certificate in certificates:
        if certificate.public != public:
            continue
        try:
            x509.verify_chain(provider, certificate, list(intermediates), roots, at, lists)
        except CryptoError as error:
            reasons.append(_CHINESE.get(str(error), "证书不可信"))
            continue
        found.facts["certificate"] = {"subject": certificate.name("CN"), "serial": f"{certificate.serial:x}",
                                      "issuer": dict(certificate.issuer).get("CN", "")}
        if not lists:
            found.unproved.append("没有提供吊销列表，未核对证书是否已吊销")
        return found
    found.refused += reasons or ["没有该公钥的证书，也没有指定信任的公钥"]
    return found


_CHINESE = {
    "certificate refused: revoked": "证书在签名时已被吊销",
    "certificate refused: not valid at that time": "证书在签名时不在有效期内",
    "certificate refused: no chain to a trusted root": "证书不是受信任机构签发",
    "certificate refused: not for this use": "证书不能用于签名",
}


def _read(given: Any) -> tuple[bytes, bytes, bytes, list[x509.Certificate]]:
    if not isinstance(given, Mapping) or set(given) != FIELDS or given["format"] != EXPORT:
        raise ValueError("another format")
    try:
        content = base64.b64decode(given["content"], validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
    certificates = [x509.parse(pem.decode("CERTIFICATE", text)) for text in given["certificates"]]
    return content, bytes.fromhex(given["signature"]), bytes.fromhex(given["public"]), certificates
