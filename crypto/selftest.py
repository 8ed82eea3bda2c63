"""Known answers of the standards, run through a provider's own entry points at start (COMPLIANCE MP-01).

Sources: GB/T 32905 (SM3), GB/T 32907 (SM4), GB/T 32918.5 (SM2), RFC 8998 A.1 (SM4-GCM), GB/T 15852.2 (HMAC-SM3);
the PBKDF2 values were computed with two implementations.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from crypto import ccm, codecs, sm2
from crypto.errors import CryptoError
from crypto.provider import DeviceKey, Provider

SM4_KEY = bytes.fromhex("0123456789abcdeffedcba9876543210")
SM2_PRIVATE = bytes.fromhex("3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8")
SM2_PUBLIC = bytes.fromhex(
    "09f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020"
    "ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13"
)
SM2_K = 0x59276E27D506861A16680F3AD9C02DCCEF3CC1FA3CDBE4CE6D54B80DEAC1BC21
SM2_Z = bytes.fromhex("b2e14c5c79c6df5b85f4fe7ed8db7a262b9da7e07ccb0ea9f4747b8ccda8a4f3")
SM2_E = bytes.fromhex("f0b43e94ba45accaace692ed534382eb17e6ab5a19ce7b31f4486fdfc0d28640")
SM2_SIGNATURE = bytes.fromhex(
    "f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3"
    "b1b6aa29df212fd8763182bc0d421ca1bb9038fd1f7f42d4840b69c485bbc1aa"
)
SM2_MESSAGE = b"message digest"
SM2_PLAINTEXT = b"encryption standard"
SM2_CIPHERTEXT = bytes.fromhex(
    "04ebfc718e8d1798620432268e77feb6415e2ede0e073c0f4f640ecd2e149a73"
    "e858f9d81e5430a57b36daab8f950a3c64e6ee6a63094d99283aff767e124df0"
    "59983c18f809e262923c53aec295d30383b54e39d609d160afcb1908d0bd8766"
    "21886ca989ca9c7d58087307ca93092d651efa"
)
GCM_NONCE = bytes.fromhex("00001234567800000000abcd")
GCM_AAD = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
GCM_PLAIN = b"".join(bytes((byte,)) * 8 for byte in (0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF, 0xEE, 0xAA))
GCM_BLOB = bytes.fromhex(
    "17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735"
    "d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397b4024a2691233b8d"
    "83de3541e4c2b58177e065a9bf7b62ec"
)
CCM_BLOB = bytes.fromhex(
    "48af93501fa62adbcd414cce6034d895dda1bf8f132f042098661572e7483094"
    "fd12e518ce062c98acee28d95df4416bed31a2f04476c18bb40c84a74b97dc5b"
    "16842d4fa186f56ab33256971fa110f4"
)

Check = Callable[[Provider], bool]


def _refuses(call: Callable[[], Any]) -> bool:
    try:
        call()
    except CryptoError:
        return True
    return False


def _flip(blob: bytes) -> bytes:
    return blob[:-1] + bytes((blob[-1] ^ 1,))


def _sm2_pair(p: Provider) -> bool:
    private, public = p.sm2_generate()
    signature = p.sm2_sign(private, b"pair")
    return (
        p.sm2_verify(public, b"pair", signature)
        and not p.sm2_verify(public, b"pair", signature, b"")
        and not p.sm2_verify(public, b"pais", signature)
        and not p.sm2_verify(public, b"pair", _flip(signature))
        and p.sm2_decrypt(private, p.sm2_encrypt(public, SM2_PLAINTEXT)) == SM2_PLAINTEXT
    )


def _random(p: Provider) -> bool:
    draws = [p.random(32) for _ in range(8)]
    return len(set(draws)) == 8 and all(len(set(draw)) > 8 for draw in draws)


CHECKS: dict[str, Check] = {
    "SM3 abc": lambda p: p.sm3(b"abc").hex()
    == "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0",
    "SM3 abcd x16": lambda p: p.sm3_stream([b"abcd"] * 16).hex()
    == "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732",
    "HMAC-SM3 abc": lambda p: p.hmac_sm3(bytes(range(1, 33)), b"abc").hex()
    == "44809d3ff5336f44071be1917887380730ae145f940a53819279801784c65e17",
    "HMAC-SM3 nopq x2": lambda p: p.hmac_sm3(
        bytes(range(1, 33)), b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq" * 2
    ).hex()
    == "ca05e144ed05d1857840d1f318a4a8669e559fc8391f414485bfdf7bb408963a",
    "PBKDF2-SM3 1 round": lambda p: p.pbkdf2_sm3(b"password", b"salt", 1).hex()
    == "4612f922a1fdcefaf4312fc6f8f3322b489cbf24f2ea361b44c2bd8fa2c6dcb0",
    "SM4 block": lambda p: p.sm4_ecb_encrypt(SM4_KEY, SM4_KEY, False).hex()
    == "681edf34d206965e86b3e94f536e4246",
    "SM4 block back": lambda p: p.sm4_ecb_decrypt(
        SM4_KEY, bytes.fromhex("681edf34d206965e86b3e94f536e4246"), False
    )
    == SM4_KEY,
    "SM4-GCM RFC 8998 A.1": lambda p: p.sm4_gcm_encrypt(SM4_KEY, GCM_NONCE, GCM_PLAIN, GCM_AAD) == GCM_BLOB
    and p.sm4_gcm_decrypt(SM4_KEY, GCM_NONCE, GCM_BLOB, GCM_AAD) == GCM_PLAIN,
    "SM4-GCM tamper": lambda p: _refuses(
        lambda: p.sm4_gcm_decrypt(SM4_KEY, GCM_NONCE, _flip(GCM_BLOB), GCM_AAD)
    ),
    "SM4-CCM RFC 8998 A.2": lambda p: ccm.encrypt(p, SM4_KEY, GCM_NONCE, GCM_PLAIN, GCM_AAD) == CCM_BLOB,
    "SM4-CBC and CTR round trip": lambda p: p.sm4_cbc_decrypt(
        SM4_KEY, SM4_KEY, p.sm4_cbc_encrypt(SM4_KEY, SM4_KEY, GCM_PLAIN)
    )
    == p.sm4_ctr(SM4_KEY, SM4_KEY, p.sm4_ctr(SM4_KEY, SM4_KEY, GCM_PLAIN)),
    "SM2 Z and e": lambda p: sm2.za(SM2_PUBLIC, sm2.DEFAULT_UID) == SM2_Z
    and sm2.digest(SM2_PUBLIC, SM2_MESSAGE, sm2.DEFAULT_UID) == SM2_E,
    "SM2 verify the standard's signature": lambda p: p.sm2_verify(SM2_PUBLIC, SM2_MESSAGE, SM2_SIGNATURE),
    "SM2 refuse it altered": lambda p: not p.sm2_verify(SM2_PUBLIC, SM2_MESSAGE, _flip(SM2_SIGNATURE)),
    "SM2 refuse another identity": lambda p: not p.sm2_verify(SM2_PUBLIC, SM2_MESSAGE, SM2_SIGNATURE, b""),
    "random": _random,
}
"""Checks that every provider passes."""

PRIVATE_CHECKS: dict[str, Check] = {
    "SM2 public key of the standard's private key": lambda p: p.sm2_public(SM2_PRIVATE) == SM2_PUBLIC,
    "SM2 sign with the standard's key": lambda p: p.sm2_verify(
        SM2_PUBLIC, SM2_MESSAGE, p.sm2_sign(SM2_PRIVATE, SM2_MESSAGE)
    ),
    "SM2 decrypt the standard's ciphertext": lambda p: p.sm2_decrypt(SM2_PRIVATE, SM2_CIPHERTEXT) == SM2_PLAINTEXT,
    "SM2 refuse the ciphertext altered": lambda p: _refuses(lambda: p.sm2_decrypt(SM2_PRIVATE, _flip(SM2_CIPHERTEXT))),
    "SM2 DER ciphertext": lambda p: codecs.ciphertext_from("asn1", codecs.ciphertext_to("asn1", SM2_CIPHERTEXT))
    == SM2_CIPHERTEXT,
    "SM2 fresh pair": _sm2_pair,
}
"""Checks that need private keys in software; a device runs `device_checks` with its own keys instead."""


def device_checks(index: int) -> dict[str, Check]:
    """Pairwise consistency of a device's internal SM2 key `index`."""
    key = DeviceKey(index)
    return {
        f"SM2 device key {index}": lambda p: p.sm2_verify(
            p.sm2_public(key), SM2_MESSAGE, p.sm2_sign(key, SM2_MESSAGE)
        )
    }


def _sm4_million(p: Provider) -> bool:
    block = SM4_KEY
    for _ in range(1_000_000):
        block = p.sm4_ecb_encrypt(SM4_KEY, block, False)
    return block.hex() == "595298c7c6fd271f0402f804c33d3f66"


FULL_CHECKS: dict[str, Check] = {
    "SM4 1,000,000 rounds": _sm4_million,
    "PBKDF2-SM3 4096 rounds": lambda p: p.pbkdf2_sm3(b"password", b"salt", 4096).hex()
    == "b6e8f2074c87432b78f62e5ced980fdff89e86af2f693dab1638e2b3683045dd",
}
"""Slow checks: the million rounds take half a minute."""


def run_selftest(provider: Provider, full: bool = False, device_index: int | None = None) -> dict[str, Any]:
    """Run all known answers. Returns a report; raises CryptoError naming every check that failed.

    device_index: test this internal key of a device instead of software private keys. full: add the slow checks.
    """
    checks = dict(CHECKS)
    checks.update(PRIVATE_CHECKS if device_index is None else device_checks(device_index))
    if full:
        checks.update(FULL_CHECKS)
    results: dict[str, str] = {}
    start = time.monotonic()
    for name, check in checks.items():
        try:
            results[name] = "ok" if check(provider) else "wrong result"
        except Exception as failed:  # a missing algorithm shows as a foreign error; it must stop the start too
            results[name] = f"failed: {failed!r}"
    report = {
        "provider": provider.name,
        "version": provider.version,
        "library": provider.library,
        "checks": results,
        "seconds": round(time.monotonic() - start, 3),
    }
    wrong = [f"{name} ({result})" for name, result in results.items() if result != "ok"]
    if wrong:
        raise CryptoError(f"cryptographic self-test failed with {provider.version}: {', '.join(wrong)}")
    return report
