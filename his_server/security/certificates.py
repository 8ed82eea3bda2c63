"""Sign-in with an SM2 certificate: challenge and response (COMPLIANCE MP-05, 8.4 a).

Trusted roots are the ``*.pem`` files of ``data_dir/trust``, revocation lists its ``*.crl`` files. The key may live in
a UKey or a file: we only see the certificate and a signature over the challenge.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from crypto import CryptoError, pem, x509
from his_server.settings import Settings


def signed_text(hospital_code: str, login_key: str, nonce: str) -> bytes:
    """What the certificate's owner signs: it names the hospital and the account, so it can't be used elsewhere."""
    return f"his-server sign-in\n{hospital_code}\n{login_key}\n{nonce}".encode()


def check(provider: Any, settings: Settings, text: str, at: datetime) -> x509.Certificate:
    """The certificate, valid at ``at`` under our roots. :raises CryptoError: malformed, expired, revoked, untrusted."""
    certificate = x509.parse(pem.decode("CERTIFICATE", text))
    roots, lists = _trust(settings.data_dir / "trust")
    x509.verify_chain(provider, certificate, (), roots, at, lists)
    return certificate


def _trust(folder: Path) -> tuple[list[x509.Certificate], list[x509.RevocationList]]:
    roots = [x509.parse(der) for path in sorted(folder.glob("*.pem"))
             for der in pem.decode_all("CERTIFICATE", path.read_bytes())]
    return roots, [x509.parse_crl(path.read_bytes()) for path in sorted(folder.glob("*.crl"))]


def proves(provider: Any, settings: Settings, *, bound: str | None, given: str, login_key: str, nonce: str,
           signature: str, at: datetime) -> bool:
    """Whether the certificate is the one bound to the account, good now, and signed this nonce."""
    try:
        certificate = check(provider, settings, given, at)
        if bound is None or x509.parse(pem.decode("CERTIFICATE", bound)).der != certificate.der:
            return False
        text = signed_text(settings.hospital_code, login_key, nonce)
        return bool(provider.sm2_verify(certificate.public, text, bytes.fromhex(signature)))
    except (CryptoError, ValueError):
        return False
