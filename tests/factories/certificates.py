"""A throw-away authority and servers' certificates, for tests of TLS."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

FROM = datetime.now(UTC) - timedelta(days=1)
UNTIL = FROM + timedelta(days=30)


@dataclass(frozen=True)
class Authority:
    """Who signs."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def authority(path: Path) -> Authority:
    """Make one; its certificate (PEM) goes to ``path``."""
    key = ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    certificate = (x509.CertificateBuilder().subject_name(_name("tests")).issuer_name(_name("tests"))
                   .public_key(key.public_key()).serial_number(1).not_valid_before(FROM).not_valid_after(UNTIL)
                   .add_extension(x509.BasicConstraints(True, 0), True).add_extension(usage, True)
                   .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
                   .sign(key, hashes.SHA256()))
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return Authority(key, certificate)


def server_certificate(by: Authority, address: str, path: Path) -> None:
    """A certificate for an IP address and its key, both to ``path`` (PEM)."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
    certificate = (x509.CertificateBuilder().subject_name(_name(address)).issuer_name(by.certificate.subject)
                   .public_key(key.public_key()).serial_number(x509.random_serial_number())
                   .not_valid_before(FROM).not_valid_after(UNTIL).add_extension(names, False)
                   .add_extension(x509.BasicConstraints(False, None), True)
                   .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.key.public_key()), False)
                   .sign(by.key, hashes.SHA256()))
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
