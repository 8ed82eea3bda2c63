"""SM2 certificates and revocation lists (GM/T 0015, RFC 5280): strict parsing and chain validation.

Only what SM2-with-SM3 chains need. Anything not understood and marked critical is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from crypto import asn1, codecs, pem
from crypto.errors import CryptoError
from crypto.provider import Provider
from crypto.sm2 import DEFAULT_UID

OID_SM2_SM3 = "1.2.156.10197.1.501"
BASIC_CONSTRAINTS, KEY_USAGE, SUBJECT_KEY, AUTHORITY_KEY, CRL_NUMBER = (
    "2.5.29.19",
    "2.5.29.15",
    "2.5.29.14",
    "2.5.29.35",
    "2.5.29.20",
)
EXTENDED_USAGE, ALT_NAME = "2.5.29.37", "2.5.29.17"
_UNDERSTOOD = {BASIC_CONSTRAINTS, KEY_USAGE, SUBJECT_KEY, AUTHORITY_KEY, EXTENDED_USAGE, ALT_NAME, CRL_NUMBER}
USAGES = (
    "digital_signature",
    "non_repudiation",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)
NAME_OIDS = {
    "C": "2.5.4.6",
    "ST": "2.5.4.8",
    "L": "2.5.4.7",
    "O": "2.5.4.10",
    "OU": "2.5.4.11",
    "CN": "2.5.4.3",
    "SERIALNUMBER": "2.5.4.5",
}
_NAME_BY_OID = {oid: name for name, oid in NAME_OIDS.items()}
_MAX_CHAIN = 8


@dataclass(frozen=True)
class Certificate:
    """A parsed certificate. Names are lists of (attribute, text); der and the *_der parts are the exact bytes."""

    der: bytes = field(repr=False)
    tbs: bytes = field(repr=False)
    serial: int
    issuer: tuple[tuple[str, str], ...]
    subject: tuple[tuple[str, str], ...]
    issuer_der: bytes = field(repr=False)
    subject_der: bytes = field(repr=False)
    not_before: datetime
    not_after: datetime
    public: bytes = field(repr=False)
    is_ca: bool
    path_length: int | None
    usage: frozenset[str] | None
    subject_key: bytes = field(repr=False)
    authority_key: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    def name(self, attribute: str) -> str:
        """The subject's first value of an attribute ("CN", "SERIALNUMBER", …), or ""."""
        return next((text for key, text in self.subject if key == attribute), "")


@dataclass(frozen=True)
class RevocationList:
    """A parsed list: serial → revocation time."""

    der: bytes = field(repr=False)
    tbs: bytes = field(repr=False)
    issuer_der: bytes = field(repr=False)
    this_update: datetime
    next_update: datetime | None
    revoked: dict[int, datetime]
    signature: bytes = field(repr=False)


def _time(reader: asn1.Reader) -> datetime:
    tag, body, _ = reader.element()
    try:
        text = body.decode("ascii")
        if tag == asn1.UTC_TIME and len(text) == 13:
            century = "19" if int(text[:2]) >= 50 else "20"
            text = century + text
        elif tag != asn1.GENERALIZED_TIME or len(text) != 15:
            raise CryptoError("certificate refused")
        if text[-1] != "Z" or not text[:-1].isdigit():
            raise CryptoError("certificate refused")
        return datetime.strptime(text[:-1], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except (ValueError, UnicodeDecodeError):
        raise CryptoError("certificate refused") from None


def _name(der: bytes) -> tuple[tuple[str, str], ...]:
    outer = asn1.Reader(der)
    sets, result = outer.enter(), []
    while sets:
        members = sets.enter(asn1.SET)
        while members:
            pair = members.enter()
            oid = pair.oid()
            _, body, _ = pair.element()
            pair.end()
            try:
                result.append((_NAME_BY_OID.get(oid, oid), body.decode("utf-8")))
            except UnicodeDecodeError:
                raise CryptoError("certificate refused") from None
    return tuple(result)


def _signed(der: bytes) -> tuple[bytes, asn1.Reader, bytes]:
    """(tbs bytes, reader over the tbs body, raw signature) of a SIGNED structure with SM2-with-SM3."""
    outer = asn1.Reader(der)
    body = outer.enter()
    outer.end()
    tbs = body.whole(asn1.SEQUENCE)
    _algorithm(body)
    signature = codecs.signature_from_der(body.bits())
    body.end()
    inner = asn1.Reader(tbs)
    return tbs, inner.enter(), signature


def _algorithm(reader: asn1.Reader) -> None:
    algorithm = reader.enter()
    if algorithm.oid() != OID_SM2_SM3:
        raise CryptoError("certificate refused: not signed with SM2 and SM3")
    if algorithm:
        algorithm.read(asn1.NULL)
    algorithm.end()


def _extensions(reader: asn1.Reader) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    while reader:
        extension = reader.enter()
        oid = extension.oid()
        critical = extension.flag()
        value = extension.read(asn1.OCTET_STRING)
        extension.end()
        if oid in found or (critical and oid not in _UNDERSTOOD):
            raise CryptoError("certificate refused")
        found[oid] = value
    return found


def parse(data: bytes | str) -> Certificate:
    """A certificate from PEM (str, or bytes that begin with -----) or DER; CryptoError unless strict and SM2."""
    if isinstance(data, str) or data[:5] == b"-----":
        data = pem.decode("CERTIFICATE", data)
    tbs, body, signature = _signed(data)
    version = body.enter(0xA0)
    if version.uint() != 2:
        raise CryptoError("certificate refused")
    serial = body.uint()
    _algorithm(body)
    issuer_der = body.whole(asn1.SEQUENCE)
    validity = body.enter()
    not_before, not_after = _time(validity), _time(validity)
    subject_der = body.whole(asn1.SEQUENCE)
    public = pem.public_from_der(body.whole(asn1.SEQUENCE))
    extensions: dict[str, bytes] = {}
    if body.peek() == 0xA3:
        wrapped = body.enter(0xA3)
        extensions = _extensions(wrapped.enter())
        wrapped.end()
    body.end()
    is_ca, path_length = _constraints(extensions.get(BASIC_CONSTRAINTS))
    return Certificate(
        data,
        tbs,
        serial,
        _name(issuer_der),
        _name(subject_der),
        issuer_der,
        subject_der,
        not_before,
        not_after,
        public,
        is_ca,
        path_length,
        _usage(extensions.get(KEY_USAGE)),
        _key_id(extensions.get(SUBJECT_KEY)),
        _authority(extensions.get(AUTHORITY_KEY)),
        signature,
    )


def _constraints(value: bytes | None) -> tuple[bool, int | None]:
    if value is None:
        return False, None
    body = asn1.Reader(value).enter()
    is_ca = body.flag()
    length = body.uint() if body else None
    body.end()
    return is_ca, length


def _usage(value: bytes | None) -> frozenset[str] | None:
    if value is None:
        return None
    body = asn1.Reader(value).read(asn1.BIT_STRING)
    if not body or len(body) > 3:
        raise CryptoError("certificate refused")
    flags = "".join(f"{byte:08b}" for byte in body[1:])
    return frozenset(name for name, flag in zip(USAGES, flags, strict=False) if flag == "1")


def _key_id(value: bytes | None) -> bytes:
    return asn1.Reader(value).read(asn1.OCTET_STRING) if value is not None else b""


def _authority(value: bytes | None) -> bytes:
    if value is None:
        return b""
    body = asn1.Reader(value).enter()
    return body.read(0x80) if body.peek() == 0x80 else b""


def parse_crl(data: bytes | str) -> RevocationList:
    """A revocation list (version 2) from PEM or DER."""
    if isinstance(data, str) or data[:5] == b"-----":
        data = pem.decode("X509 CRL", data)
    tbs, body, signature = _signed(data)
    if body.uint() != 1:
        raise CryptoError("certificate refused")
    _algorithm(body)
    issuer_der = body.whole(asn1.SEQUENCE)
    this_update, next_update = _time(body), None
    if body.peek() in (asn1.UTC_TIME, asn1.GENERALIZED_TIME):
        next_update = _time(body)
    revoked: dict[int, datetime] = {}
    if body.peek() == asn1.SEQUENCE:
        entries = body.enter()
        while entries:
            entry = entries.enter()
            serial = entry.uint()
            revoked[serial] = _time(entry)
            if entry:
                _extensions(entry.enter())
    if body.peek() == 0xA0:
        _extensions(body.enter(0xA0).enter())
    body.end()
    return RevocationList(data, tbs, issuer_der, this_update, next_update, revoked, signature)


def signed_by(provider: Provider, item: Certificate | RevocationList, issuer: Certificate) -> bool:
    """Whether the issuer's key signed the item (identity 1234567812345678)."""
    return provider.sm2_verify(issuer.public, item.tbs, item.signature, DEFAULT_UID)


def verify_chain(
    provider: Provider,
    leaf: Certificate,
    intermediates: Iterable[Certificate],
    roots: Iterable[Certificate],
    at: datetime,
    crls: Iterable[RevocationList] = (),
    usage: str | None = "digital_signature",
    need_crl: bool = False,
) -> list[Certificate]:
    """The chain leaf … root that was valid at `at` (the signing time), or CryptoError.

    `at`: aware. A certificate revoked after `at` is still good for what was signed before. need_crl: every issuer
    must have a list; a list that is stale at `at` (next update past) is refused when it is needed.
    """
    pool, anchors, lists = list(intermediates), list(roots), list(crls)
    if usage and leaf.usage is not None and usage not in leaf.usage:
        raise CryptoError("certificate refused: not for this use")
    chain = [leaf]
    while True:
        current = chain[-1]
        if not current.not_before <= at <= current.not_after:
            raise CryptoError("certificate refused: not valid at that time")
        if any(current.der == anchor.der for anchor in anchors):
            return chain
        depth = len(chain) - 1
        issuer = next(
            (
                candidate
                for candidate in (*anchors, *pool)
                if candidate.subject_der == current.issuer_der
                and candidate.is_ca
                and (candidate.usage is None or "cert_sign" in candidate.usage)
                and (candidate.path_length is None or candidate.path_length >= depth)
                and signed_by(provider, current, candidate)
            ),
            None,
        )
        if issuer is None or len(chain) >= _MAX_CHAIN:
            raise CryptoError("certificate refused: no chain to a trusted root")
        _check_revocation(provider, current, issuer, lists, at, need_crl)
        chain.append(issuer)


def _check_revocation(
    provider: Provider,
    item: Certificate,
    issuer: Certificate,
    crls: list[RevocationList],
    at: datetime,
    need: bool,
) -> None:
    own = [
        crl
        for crl in crls
        if crl.issuer_der == issuer.subject_der
        and (issuer.usage is None or "crl_sign" in issuer.usage)
        and signed_by(provider, crl, issuer)
    ]
    if any(item.serial in crl.revoked and crl.revoked[item.serial] <= at for crl in own):
        raise CryptoError("certificate refused: revoked")
    if need and not any(crl.next_update is None or crl.next_update >= at for crl in own):
        raise CryptoError("certificate refused: no current revocation list")
