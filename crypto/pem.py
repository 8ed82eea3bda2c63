"""SM2 keys as PEM, PKCS#8 and SubjectPublicKeyInfo, strict DER. Encrypted keys: PBES2, PBKDF2-HMAC-SM3, SM4-CBC."""

from __future__ import annotations

import base64
import binascii
import re

from crypto import asn1, sm2
from crypto.errors import CryptoError
from crypto.provider import Provider

OID_EC = "1.2.840.10045.2.1"
OID_SM2 = "1.2.156.10197.1.301"
_OID_PBES2 = "1.2.840.113549.1.5.13"
_OID_PBKDF2 = "1.2.840.113549.1.5.12"
_OID_HMAC_SM3 = "1.2.156.10197.1.401.2"
_OID_SM4_CBC = "1.2.156.10197.1.104.2"
ROUNDS = 100_000
_ALGORITHM = asn1.sequence(asn1.oid(OID_EC), asn1.oid(OID_SM2))
_REFUSED = "key file refused"


def encode(label: str, der: bytes) -> str:
    """PEM text with 64-column lines."""
    text = base64.b64encode(der).decode()
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


def decode_all(label: str, text: str | bytes) -> list[bytes]:
    """The DER of every PEM block with this label."""
    try:
        if isinstance(text, bytes):
            text = text.decode("ascii")
        pattern = rf"-----BEGIN {re.escape(label)}-----\s+([A-Za-z0-9+/=\s]*?)-----END {re.escape(label)}-----"
        return [base64.b64decode("".join(body.split()), validate=True) for body in re.findall(pattern, text)]
    except (UnicodeDecodeError, binascii.Error, TypeError):
        raise CryptoError("PEM refused") from None


def decode(label: str, text: str | bytes) -> bytes:
    """The DER of the only PEM block with this label."""
    found = decode_all(label, text)
    if len(found) != 1:
        raise CryptoError("PEM refused")
    return found[0]


def public_to_der(public: bytes) -> bytes:
    """SubjectPublicKeyInfo."""
    return asn1.sequence(_ALGORITHM, asn1.bits(b"\x04" + sm2.check_public(public)))


def public_from_der(der: bytes) -> bytes:
    """64 bytes x‖y from a strict SubjectPublicKeyInfo of an SM2 key."""
    outer = asn1.Reader(der)
    info = outer.enter()
    outer.end()
    _check_algorithm(info)
    point = info.bits()
    info.end()
    if len(point) != 65:
        raise CryptoError("SM2 public key refused")
    return sm2.check_public(point)


def _check_algorithm(info: asn1.Reader) -> None:
    algorithm = info.enter()
    if algorithm.oid() != OID_EC or algorithm.oid() != OID_SM2:
        raise CryptoError("not an SM2 key")
    algorithm.end()


def public_to_pem(public: bytes) -> str:
    """PUBLIC KEY block."""
    return encode("PUBLIC KEY", public_to_der(public))


def public_from_pem(text: str | bytes) -> bytes:
    """64 bytes from a PUBLIC KEY block."""
    return public_from_der(decode("PUBLIC KEY", text))


def private_to_der(private: bytes, public: bytes) -> bytes:
    """PKCS#8 PrivateKeyInfo, unencrypted."""
    inner = asn1.sequence(
        asn1.integer(1),
        asn1.octets(sm2.check_private(private)),
        asn1.tlv(0xA0, asn1.oid(OID_SM2)),
        asn1.tlv(0xA1, asn1.bits(b"\x04" + sm2.check_public(public))),
    )
    return asn1.sequence(asn1.integer(0), _ALGORITHM, asn1.octets(inner))


def _ec_private(der: bytes) -> bytes:
    outer = asn1.Reader(der)
    body = outer.enter()
    outer.end()
    if body.uint() != 1:
        raise CryptoError(_REFUSED)
    private = sm2.check_private(body.read(asn1.OCTET_STRING))
    if body.peek() == 0xA0:
        parameters = body.enter(0xA0)
        if parameters.oid() != OID_SM2:
            raise CryptoError("not an SM2 key")
        parameters.end()
    if body.peek() == 0xA1:
        body.read(0xA1)
    body.end()
    return private


def private_from_der(der: bytes) -> bytes:
    """The 32-byte private key from PKCS#8; a public half in it is ignored (derive it: provider.sm2_public)."""
    outer = asn1.Reader(der)
    info = outer.enter()
    outer.end()
    if info.uint() != 0:
        raise CryptoError(_REFUSED)
    _check_algorithm(info)
    private = _ec_private(info.read(asn1.OCTET_STRING))
    if info.peek() == 0xA0:
        info.read(0xA0)
    info.end()
    return private


def private_to_pem(provider: Provider, private: bytes, public: bytes, passphrase: str | None = None) -> str:
    """PRIVATE KEY block, or with a passphrase ENCRYPTED PRIVATE KEY."""
    der = private_to_der(private, public)
    if not passphrase:
        return encode("PRIVATE KEY", der)
    salt, iv = provider.random(16), provider.random(16)
    key = provider.pbkdf2_sm3(passphrase.encode(), salt, ROUNDS, 16)
    derivation = asn1.sequence(
        asn1.oid(_OID_PBKDF2),
        asn1.sequence(
            asn1.octets(salt),
            asn1.integer(ROUNDS),
            asn1.integer(16),
            asn1.sequence(asn1.oid(_OID_HMAC_SM3), asn1.tlv(asn1.NULL, b"")),
        ),
    )
    scheme = asn1.sequence(asn1.oid(_OID_SM4_CBC), asn1.octets(iv))
    algorithm = asn1.sequence(asn1.oid(_OID_PBES2), asn1.sequence(derivation, scheme))
    sealed = asn1.octets(provider.sm4_cbc_encrypt(key, iv, der))
    return encode("ENCRYPTED PRIVATE KEY", asn1.sequence(algorithm, sealed))


def private_from_pem(provider: Provider, text: str | bytes, passphrase: str | None = None) -> bytes:
    """The 32-byte private key from PRIVATE KEY, ENCRYPTED PRIVATE KEY or EC PRIVATE KEY."""
    if decode_all("PRIVATE KEY", text):
        return private_from_der(decode("PRIVATE KEY", text))
    if decode_all("EC PRIVATE KEY", text):
        return _ec_private(decode("EC PRIVATE KEY", text))
    der = decode("ENCRYPTED PRIVATE KEY", text)
    if not passphrase:
        raise CryptoError("the key file needs its passphrase")
    return private_from_der(_decrypt(provider, der, passphrase))


def _decrypt(provider: Provider, der: bytes, passphrase: str) -> bytes:
    outer = asn1.Reader(der)
    info = outer.enter()
    outer.end()
    algorithm, sealed = info.enter(), info.read(asn1.OCTET_STRING)
    info.end()
    if algorithm.oid() != _OID_PBES2:
        raise CryptoError(_REFUSED)
    schemes = algorithm.enter()
    derivation, cipher = schemes.enter(), schemes.enter()
    if derivation.oid() != _OID_PBKDF2 or cipher.oid() != _OID_SM4_CBC:
        raise CryptoError(_REFUSED)
    iv, parameters = cipher.read(asn1.OCTET_STRING), derivation.enter()
    salt, rounds = parameters.read(asn1.OCTET_STRING), parameters.uint()
    if parameters.peek() == asn1.INTEGER and parameters.uint() != 16:
        raise CryptoError(_REFUSED)
    # A foreign file must not make us count for hours.
    if parameters.enter().oid() != _OID_HMAC_SM3 or rounds > 10_000_000:
        raise CryptoError(_REFUSED)
    key = provider.pbkdf2_sm3(passphrase.encode(), salt, rounds, 16)
    return provider.sm4_cbc_decrypt(key, iv, sealed)
