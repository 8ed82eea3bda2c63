"""A small internal CA for demo, tests and closed networks. Not a licensed CA: 可靠电子签名 needs one of those.

Layout of a CA folder (mode 0700): ca.pem, ca.key (PKCS#8, encrypted when a passphrase was given), issued.json
(serial, subject, expiry, revocation), crl.pem.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from crypto import asn1, codecs, pem, x509
from crypto.errors import CryptoError
from crypto.files import locked, read_private, write_private
from crypto.provider import KeyLike, Provider
from crypto.x509 import Certificate, RevocationList

_ALGORITHM = asn1.sequence(asn1.oid(x509.OID_SM2_SM3))
_CRL_DAYS = 7


def _time(value: datetime) -> bytes:
    text = value.astimezone(UTC)
    if 1950 <= text.year < 2050:
        return asn1.tlv(asn1.UTC_TIME, text.strftime("%y%m%d%H%M%SZ").encode())
    return asn1.tlv(asn1.GENERALIZED_TIME, text.strftime("%Y%m%d%H%M%SZ").encode())


def encode_name(name: Mapping[str, str]) -> bytes:
    """A distinguished name from e.g. {"C": "CN", "O": "…", "CN": "…"}, in that order."""
    parts = []
    for attribute, text in name.items():
        if attribute not in x509.NAME_OIDS or not 1 <= len(text) <= 64:
            raise CryptoError("name refused")
        tag = asn1.PRINTABLE if attribute in ("C", "SERIALNUMBER") else asn1.UTF8
        pair = asn1.sequence(asn1.oid(x509.NAME_OIDS[attribute]), asn1.tlv(tag, text.encode()))
        parts.append(asn1.tlv(asn1.SET, pair))
    return asn1.sequence(*parts)


def _extension(oid: str, value: bytes, critical: bool = False) -> bytes:
    flag = asn1.tlv(asn1.BOOLEAN, b"\xff") if critical else b""
    return asn1.sequence(asn1.oid(oid), flag, asn1.octets(value))


def _usage_bits(usages: Iterable[str]) -> bytes:
    wanted = set(usages)
    flags = "".join("1" if name in wanted else "0" for name in x509.USAGES).rstrip("0")
    unused = -len(flags) % 8
    return asn1.bits(int((flags or "0") + "0" * unused, 2).to_bytes((len(flags) + unused) // 8, "big"), unused)


def _sign(provider: Provider, key: KeyLike, tbs: bytes) -> bytes:
    signature = codecs.signature_to_der(provider.sm2_sign(key, tbs))
    return asn1.sequence(tbs, _ALGORITHM, asn1.bits(signature))


def build_certificate(
    provider: Provider,
    issuer_key: KeyLike,
    issuer_name: bytes,
    issuer_public: bytes,
    subject_name: bytes,
    public: bytes,
    serial: int,
    not_before: datetime,
    not_after: datetime,
    usages: Iterable[str],
    ca: bool = False,
    path_length: int | None = None,
) -> Certificate:
    """Sign a certificate (version 3, SM2-with-SM3, identity 1234567812345678)."""
    constraints = asn1.sequence(
        asn1.tlv(asn1.BOOLEAN, b"\xff") if ca else b"",
        asn1.integer(path_length) if ca and path_length is not None else b"",
    )
    subject_id, issuer_id = provider.sm3(public)[:20], provider.sm3(issuer_public)[:20]
    extensions = asn1.sequence(
        _extension(x509.BASIC_CONSTRAINTS, constraints, True),
        _extension(x509.KEY_USAGE, _usage_bits(usages), True),
        _extension(x509.SUBJECT_KEY, asn1.octets(subject_id)),
        _extension(x509.AUTHORITY_KEY, asn1.sequence(asn1.tlv(0x80, issuer_id))),
    )
    tbs = asn1.sequence(
        asn1.tlv(0xA0, asn1.integer(2)),
        asn1.integer(serial),
        _ALGORITHM,
        issuer_name,
        asn1.sequence(_time(not_before), _time(not_after)),
        subject_name,
        pem.public_to_der(public),
        asn1.tlv(0xA3, extensions),
    )
    return x509.parse(_sign(provider, issuer_key, tbs))


def build_crl(
    provider: Provider,
    issuer_key: KeyLike,
    issuer_name: bytes,
    revoked: Mapping[int, datetime],
    number: int,
    this_update: datetime,
    next_update: datetime,
) -> RevocationList:
    """Sign a revocation list (version 2)."""
    entries = b"".join(asn1.sequence(asn1.integer(serial), _time(when)) for serial, when in sorted(revoked.items()))
    tbs = asn1.sequence(
        asn1.integer(1),
        _ALGORITHM,
        issuer_name,
        _time(this_update),
        _time(next_update),
        asn1.tlv(asn1.SEQUENCE, entries) if entries else b"",
        asn1.tlv(0xA0, asn1.sequence(_extension(x509.CRL_NUMBER, asn1.integer(number)))),
    )
    return x509.parse_crl(_sign(provider, issuer_key, tbs))


class CertificateAuthority:
    """A CA in a folder. Every change holds a file lock. Use `create` or `open`."""

    def __init__(self, folder: Path, provider: Provider, key: bytes) -> None:
        self.folder, self.provider, self._key = folder, provider, key
        self.certificate = x509.parse((folder / "ca.pem").read_bytes())
        if provider.sm2_public(key) != self.certificate.public:
            raise CryptoError("the CA's key and certificate don't belong together")

    @classmethod
    def create(
        cls,
        folder: Path,
        provider: Provider,
        name: Mapping[str, str],
        now: datetime,
        passphrase: str | None = None,
        days: int = 3650,
    ) -> CertificateAuthority:
        """A new self-signed root in a new folder."""
        try:
            folder.mkdir(mode=0o700, parents=True)
        except FileExistsError:
            raise CryptoError(f"{folder} exists already") from None
        private, public = provider.sm2_generate()
        subject = encode_name(name)
        certificate = build_certificate(
            provider, private, subject, public, subject, public, _serial(provider), now,
            now + timedelta(days=days), ("cert_sign", "crl_sign"), ca=True, path_length=0,
        )  # fmt: skip
        write_private(folder / "ca.key", pem.private_to_pem(provider, private, public, passphrase).encode())
        (folder / "ca.pem").write_text(pem.encode("CERTIFICATE", certificate.der), "ascii")
        write_private(folder / "issued.json", json.dumps({"crl": 0, "issued": {}}).encode())
        authority = cls(folder, provider, private)
        authority.publish(now)
        return authority

    @classmethod
    def open(cls, folder: Path, provider: Provider, passphrase: str | None = None) -> CertificateAuthority:
        """Open an existing CA."""
        key = pem.private_from_pem(provider, read_private(folder / "ca.key"), passphrase)
        return cls(folder, provider, key)

    def issue(
        self,
        name: Mapping[str, str],
        public: bytes,
        now: datetime,
        days: int = 365,
        usages: Iterable[str] = ("digital_signature", "non_repudiation"),
    ) -> Certificate:
        """A certificate for a public key whose owner was checked by the caller."""
        with locked(self.folder / "issued.json"):
            register = self._register()
            serial = _serial(self.provider)
            end = min(now + timedelta(days=days), self.certificate.not_after)
            certificate = build_certificate(
                self.provider, self._key, self.certificate.subject_der, self.certificate.public,
                encode_name(name), public, serial, now, end, usages,
            )  # fmt: skip
            register["issued"][f"{serial:x}"] = {
                "subject": dict(name), "until": end.isoformat(), "revoked": None,
            }  # fmt: skip
            self._write(register)
        return certificate

    def revoke(self, serial: int, now: datetime) -> RevocationList:
        """Revoke from now on and publish a new list."""
        with locked(self.folder / "issued.json"):
            register = self._register()
            entry = register["issued"].get(f"{serial:x}")
            if entry is None or entry["revoked"]:
                raise CryptoError("no such living certificate")
            entry["revoked"] = now.isoformat()
            self._write(register)
        return self.publish(now)

    def publish(self, now: datetime) -> RevocationList:
        """Sign and store a fresh revocation list, good for seven days."""
        with locked(self.folder / "issued.json"):
            register = self._register()
            register["crl"] += 1
            revoked = {
                int(serial, 16): datetime.fromisoformat(entry["revoked"])
                for serial, entry in register["issued"].items()
                if entry["revoked"]
            }
            crl = build_crl(
                self.provider, self._key, self.certificate.subject_der, revoked, register["crl"], now,
                now + timedelta(days=_CRL_DAYS),
            )  # fmt: skip
            self._write(register)
            (self.folder / "crl.pem").write_text(pem.encode("X509 CRL", crl.der), "ascii")
        return crl

    def _register(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(read_private(self.folder / "issued.json"))
        return found

    def _write(self, register: Mapping[str, Any]) -> None:
        text = json.dumps(register, ensure_ascii=False, indent=1)
        write_private(self.folder / "issued.json", text.encode())


def _serial(provider: Provider) -> int:
    # 127 bits: positive and at most 16 bytes, not guessable before issue.
    return int.from_bytes(provider.random(16), "big") >> 1 | 1
