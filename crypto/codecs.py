"""Forms of SM2 signatures and ciphertexts.

Inside the product a signature is 64 bytes r‖s and a ciphertext is x‖y‖C3‖C2 (C1C3C2 without the leading 04).
Peers want other forms; these functions convert, strictly, and raise CryptoError for anything else.
"""

from __future__ import annotations

from typing import Literal

from crypto import asn1
from crypto.errors import CryptoError
from crypto.sm2 import N, check_signature, on_curve

CipherForm = Literal["c1c3c2", "c1c2c3", "asn1"]


def signature_to_der(raw: bytes) -> bytes:
    """SEQUENCE { r, s } of GM/T 0009 from 64 bytes r‖s."""
    if not check_signature(raw):
        raise CryptoError("SM2 signature refused")
    return asn1.sequence(
        asn1.integer(int.from_bytes(raw[:32], "big")), asn1.integer(int.from_bytes(raw[32:], "big"))
    )


def signature_from_der(der: bytes) -> bytes:
    """64 bytes r‖s from strict DER with 1 ≤ r, s < n."""
    outer = asn1.Reader(der)
    body = outer.enter()
    outer.end()
    r, s = body.uint(), body.uint()
    body.end()
    if not (1 <= r < N and 1 <= s < N):
        raise CryptoError("SM2 signature refused")
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def check_ciphertext(blob: bytes) -> bytes:
    """The internal form itself after checking length (96 + at least 1) and that C1 is on the curve."""
    if not isinstance(blob, bytes) or len(blob) < 97:
        raise CryptoError("SM2 ciphertext refused")
    if not on_curve(int.from_bytes(blob[:32], "big"), int.from_bytes(blob[32:64], "big")):
        raise CryptoError("SM2 ciphertext refused")
    return blob


def ciphertext_to(form: CipherForm, blob: bytes, prefix: bool = False) -> bytes:
    """The internal C1C3C2 in another form; `prefix` puts 04 before C1 (not for asn1).

    `asn1` is GM/T 0009-2012 7.2: SEQUENCE { x, y, OCTET STRING C3, OCTET STRING C2 }.
    """
    check_ciphertext(blob)
    point, check, text = blob[:64], blob[64:96], blob[96:]
    lead = b"\x04" if prefix else b""
    if form == "c1c3c2":
        return lead + blob
    if form == "c1c2c3":
        return lead + point + text + check
    if form == "asn1" and not prefix:
        x, y = int.from_bytes(point[:32], "big"), int.from_bytes(point[32:], "big")
        return asn1.sequence(asn1.integer(x), asn1.integer(y), asn1.octets(check), asn1.octets(text))
    raise CryptoError("unknown SM2 ciphertext form")


def ciphertext_from(form: CipherForm, data: bytes, prefix: bool = False) -> bytes:
    """The internal C1C3C2 from a peer's form. `prefix` says that 04 leads; it is never guessed."""
    if not isinstance(data, bytes):
        raise CryptoError("SM2 ciphertext refused")
    if form == "asn1" and not prefix:
        outer = asn1.Reader(data)
        body = outer.enter()
        outer.end()
        x, y, check, text = body.uint(), body.uint(), body.read(asn1.OCTET_STRING), body.read(asn1.OCTET_STRING)
        body.end()
        if len(check) != 32 or x >> 256 or y >> 256:
            raise CryptoError("SM2 ciphertext refused")
        return check_ciphertext(x.to_bytes(32, "big") + y.to_bytes(32, "big") + check + text)
    if form not in ("c1c3c2", "c1c2c3"):
        raise CryptoError("unknown SM2 ciphertext form")
    if prefix:
        if data[:1] != b"\x04":
            raise CryptoError("SM2 ciphertext refused")
        data = data[1:]
    if form == "c1c2c3":
        data = data[:64] + data[-32:] + data[64:-32] if len(data) > 96 else b""
    return check_ciphertext(data)
