"""Coverage-guided fuzzing of every decoder: `python -m tests.crypto.fuzz_decoders [libFuzzer options]`.

The first byte chooses the decoder. CryptoError is the only exception allowed; anything else is a crash.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["crypto"]):
    from crypto import CryptoError, codecs, get_provider, pem, selftest, shamir, sm2, x509
    from crypto import requests as signed

P = get_provider("openssl")
NOW = datetime(2026, 3, 2, 0, 30, tzinfo=UTC)
KEY, IV, NONCE = bytes(16), bytes(16), bytes(12)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _request(data: bytes) -> Any:
    parts = data.split(b"\n", 7)
    parts += [b""] * (8 - len(parts))
    names = (signed.H_KEY, signed.H_TIME, signed.H_NONCE, signed.H_SIGNATURE, signed.H_ENCRYPTION)
    headers = {name: _text(value) for name, value in zip(names, parts, strict=False)}
    return signed.verify_request(
        P, lambda key_id: signed.PeerKey(key_id, selftest.SM2_PUBLIC), lambda *_: True, "POST", _text(parts[5]), _text(parts[6]),
        headers, parts[7], NOW, lambda key_id: selftest.SM2_PRIVATE,
    )  # fmt: skip


DECODERS: list[Callable[[bytes], Any]] = [
    codecs.signature_from_der,
    lambda data: codecs.ciphertext_from("asn1", data),
    lambda data: codecs.ciphertext_from("c1c2c3", data, prefix=True),
    pem.private_from_der,
    pem.public_from_der,
    lambda data: pem.private_from_pem(P, data),
    x509.parse,
    x509.parse_crl,
    sm2.check_public,
    lambda data: P.sm2_decrypt(selftest.SM2_PRIVATE, data),
    lambda data: P.sm4_gcm_decrypt(KEY, NONCE, data),
    lambda data: P.sm4_cbc_decrypt(KEY, IV, data),
    lambda data: shamir.combine(_text(data).split("\n")),
    _request,
    lambda data: signed.open_body(P, lambda _: selftest.SM2_PRIVATE, "SM2-SM4-GCM;key=a", data, "POST", "/"),
    lambda data: P.sm2_verify(selftest.SM2_PUBLIC, b"x", data) and _wrong(),
]


def _wrong() -> None:
    raise AssertionError("a random signature was accepted")


def one_input(data: bytes) -> None:
    """Run one decoder; libFuzzer's entry point."""
    if not data:
        return
    try:
        DECODERS[data[0] % len(DECODERS)](data[1:])
    except CryptoError:
        return


def seeds(folder: Path) -> None:
    """Well-formed inputs to start from."""
    from crypto import ca

    private, public = selftest.SM2_PRIVATE, selftest.SM2_PUBLIC
    name = ca.encode_name({"C": "CN", "CN": "x"})
    certificate = ca.build_certificate(
        P, private, name, public, name, public, 7, NOW, NOW.replace(year=2030), ["cert_sign"], ca=True, path_length=1
    )
    crl = ca.build_crl(P, private, name, {5: NOW}, 1, NOW, NOW.replace(year=2030))
    request = signed.sign_request(P, private, "a", "POST", "/", "", b"", NOW)
    body, _ = signed.seal_body(P, "a", public, b"x", "POST", "/")
    lines = [*request.values(), "", "/", ""]
    examples = [
        codecs.signature_to_der(selftest.SM2_SIGNATURE), codecs.ciphertext_to("asn1", selftest.SM2_CIPHERTEXT),
        codecs.ciphertext_to("c1c2c3", selftest.SM2_CIPHERTEXT, True), pem.private_to_der(private, public),
        pem.public_to_der(public), pem.private_to_pem(P, private, public).encode(), certificate.der, crl.der, public,
        selftest.SM2_CIPHERTEXT, bytes(32), bytes(32), "\n".join(shamir.split(P, bytes(32), 2, 3)[:2]).encode(),
        "\n".join(lines).encode(), body, selftest.SM2_SIGNATURE,
    ]  # fmt: skip
    for number, example in enumerate(examples):
        (folder / str(number)).write_bytes(bytes((number,)) + example)


if __name__ == "__main__":
    corpus = Path(sys.argv[-1])
    seeds(corpus)
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
