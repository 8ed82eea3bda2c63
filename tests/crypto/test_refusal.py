"""What must be refused: always CryptoError (or False from verify), never another exception, never garbage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto import CryptoError, Provider, codecs, get_provider, pem, sm2
from crypto import selftest as known

P = get_provider("openssl")
KEY, IV, NONCE = bytes(range(16)), bytes(range(16, 32)), bytes(range(12))


def flips(blob: bytes) -> Iterator[bytes]:
    """The blob with each byte changed, cut by one, and with a byte more at either end."""
    for at in range(len(blob)):
        yield blob[:at] + bytes((blob[at] ^ (1 << at % 8),)) + blob[at + 1 :]
    yield from (blob[:-1], blob[1:], blob + b"\0", b"\0" + blob, b"", blob + blob)


@pytest.mark.requirement("MP-01", "MP-02")
def test_every_flip_of_a_signature_is_false(provider: Provider, oracle: Provider) -> None:
    for broken in flips(known.SM2_SIGNATURE):
        assert provider.sm2_verify(known.SM2_PUBLIC, known.SM2_MESSAGE, broken) is False
    for broken in list(flips(known.SM2_SIGNATURE))[::16]:
        assert oracle.sm2_verify(known.SM2_PUBLIC, known.SM2_MESSAGE, broken) is False


@pytest.mark.requirement("MP-02")
def test_r_and_s_out_of_range_are_false(provider: Provider) -> None:
    r, s = known.SM2_SIGNATURE[:32], known.SM2_SIGNATURE[32:]
    n = sm2.N.to_bytes(32, "big")
    above = (int.from_bytes(r, "big") + sm2.N).to_bytes(33, "big")[-32:]
    for bad in (bytes(32), n, (sm2.N + 1).to_bytes(32, "big"), b"\xff" * 32, above):
        assert provider.sm2_verify(known.SM2_PUBLIC, known.SM2_MESSAGE, bad + s) is False
        assert provider.sm2_verify(known.SM2_PUBLIC, known.SM2_MESSAGE, r + bad) is False
    # r + s = n makes t zero.
    complement = (sm2.N - int.from_bytes(r, "big")).to_bytes(32, "big")
    assert provider.sm2_verify(known.SM2_PUBLIC, known.SM2_MESSAGE, r + complement) is False


@pytest.mark.requirement("MP-02")
@pytest.mark.parametrize(
    "uid", [b"", b"1234567812345679", b"1234567812345678\0", b"x" * 8191, b"x" * 8192, None, "text"]
)
def test_another_identity_is_false(provider: Provider, uid: Any) -> None:
    assert provider.sm2_verify(known.SM2_PUBLIC, known.SM2_MESSAGE, known.SM2_SIGNATURE, uid) is False


BAD_PUBLIC: list[Any] = [
    b"", b"\0" * 64, b"\x04" + b"\0" * 64, known.SM2_PUBLIC[:-1], known.SM2_PUBLIC + b"\0",
    b"\x02" + known.SM2_PUBLIC[:32], b"\x06" + known.SM2_PUBLIC, known.SM2_PUBLIC[32:] + known.SM2_PUBLIC[:32],
    sm2.P.to_bytes(32, "big") + known.SM2_PUBLIC[32:], b"\xff" * 64, None, "x", 7, bytearray(known.SM2_PUBLIC),
]  # fmt: skip


@pytest.mark.parametrize("public", BAD_PUBLIC)
def test_bad_public_keys(provider: Provider, public: Any) -> None:
    assert provider.sm2_verify(public, known.SM2_MESSAGE, known.SM2_SIGNATURE) is False
    with pytest.raises(CryptoError):
        provider.sm2_encrypt(public, b"x")
    with pytest.raises(CryptoError):
        sm2.check_public(public)


def test_a_prefixed_public_key_that_begins_like_its_prefix(provider: Provider) -> None:
    # gmssl strips such keys to pieces; ours must not.
    while True:
        private, public = provider.sm2_generate()
        if public[0] in (0x04, 0x40, 0x44):
            break
    signature = provider.sm2_sign(private, b"x")
    assert provider.sm2_verify(public, b"x", signature) and provider.sm2_verify(b"\x04" + public, b"x", signature)


@pytest.mark.parametrize(
    "private",
    [b"", bytes(32), sm2.N.to_bytes(32, "big"), (sm2.N - 1).to_bytes(32, "big"), b"\xff" * 32, b"\1" * 31,
     b"\1" * 33, None, "x", 5],
)  # fmt: skip
def test_bad_private_keys(provider: Provider, private: Any) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: provider.sm2_sign(private, b"x"),
        lambda: provider.sm2_public(private),
        lambda: provider.sm2_decrypt(private, known.SM2_CIPHERTEXT),
    ]
    for call in calls:
        with pytest.raises(CryptoError):
            call()


def test_the_border_private_keys_work(provider: Provider) -> None:
    for scalar in (1, sm2.N - 2):
        private = scalar.to_bytes(32, "big")
        assert provider.sm2_verify(provider.sm2_public(private), b"x", provider.sm2_sign(private, b"x"))


@pytest.mark.requirement("MP-01")
def test_every_flip_of_a_ciphertext_is_refused(provider: Provider, oracle: Provider) -> None:
    for broken in flips(known.SM2_CIPHERTEXT):
        with pytest.raises(CryptoError):
            provider.sm2_decrypt(known.SM2_PRIVATE, broken)
    with pytest.raises(CryptoError):
        oracle.sm2_decrypt(known.SM2_PRIVATE, known.SM2_CIPHERTEXT[:-1] + b"\0")


@pytest.mark.requirement("MP-01")
def test_one_byte_is_never_left_unmasked(provider: Provider) -> None:
    # 1 in 256 keys gives an all-zero mask; the standard demands another draw, and refusal when decrypting.
    for _ in range(600):
        assert provider.sm2_encrypt(known.SM2_PUBLIC, b"\x07")[96:] != b"\x07"


@pytest.mark.requirement("MP-03")
def test_every_flip_under_gcm_is_refused(provider: Provider) -> None:
    blob = provider.sm4_gcm_encrypt(KEY, NONCE, b"320602199001011234", b"place")
    for broken in flips(blob):
        with pytest.raises(CryptoError):
            provider.sm4_gcm_decrypt(KEY, NONCE, broken, b"place")
    for key, nonce, aad in ((IV, NONCE, b"place"), (KEY, IV[:12], b"place"), (KEY, NONCE, b"Place"), (KEY, NONCE, b"")):
        with pytest.raises(CryptoError):
            provider.sm4_gcm_decrypt(key, nonce, blob, aad)


@pytest.mark.parametrize("key", [b"", KEY[:15], KEY + b"\0", KEY * 2, None, "k" * 16, bytearray(KEY)])
def test_sm4_keys_are_exactly_sixteen_bytes(provider: Provider, key: Any) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: provider.sm4_gcm_encrypt(key, NONCE, b"x"),
        lambda: provider.sm4_gcm_decrypt(key, NONCE, bytes(32)),
        lambda: provider.sm4_cbc_encrypt(key, IV, b"x"),
        lambda: provider.sm4_ctr(key, IV, b"x"),
        lambda: provider.sm4_ecb_encrypt(key, b"x"),
    ]
    for call in calls:
        with pytest.raises(CryptoError):
            call()


@pytest.mark.parametrize("nonce", [b"", b"x" * 11, b"x" * 13, b"x" * 16, None, "x" * 12])
def test_nonces_are_exactly_twelve_bytes(provider: Provider, nonce: Any) -> None:
    with pytest.raises(CryptoError):
        provider.sm4_gcm_encrypt(KEY, nonce, b"x")
    with pytest.raises(CryptoError):
        provider.sm4_gcm_decrypt(KEY, nonce, bytes(32))


def test_cbc_padding_is_checked(provider: Provider) -> None:
    for padding in (b"\0" * 16, b"\x11" * 16, b"x" * 13 + b"\x03\x02\x03", b"x" * 15 + b"\x02"):
        blob = provider.sm4_cbc_encrypt(KEY, IV, padding)[:16]
        with pytest.raises(CryptoError):
            provider.sm4_cbc_decrypt(KEY, IV, blob)
    for blob in (b"", b"x" * 15, b"x" * 17):
        with pytest.raises(CryptoError):
            provider.sm4_cbc_decrypt(KEY, IV, blob)
        with pytest.raises(CryptoError):
            provider.sm4_ecb_decrypt(KEY, blob)
    with pytest.raises(CryptoError):
        provider.sm4_ecb_encrypt(KEY, b"x" * 15, padding=False)


def test_other_parameters(provider: Provider) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: provider.sm2_encrypt(known.SM2_PUBLIC, b""),
        lambda: provider.sm2_encrypt(known.SM2_PUBLIC, bytes((1 << 20) + 1)),
        lambda: provider.sm2_sign(known.SM2_PRIVATE, b"x", b"x" * 8192),
        lambda: provider.sm2_sign(known.SM2_PRIVATE, "text"),  # type: ignore[arg-type]
        lambda: provider.pbkdf2_sm3(b"p", b"s", 0),
        lambda: provider.pbkdf2_sm3(b"p", b"s", 1, 0),
        lambda: provider.random(-1),
        lambda: provider.random(1 << 25),
        lambda: provider.sm3("text"),  # type: ignore[arg-type]
        lambda: provider.hmac_sm3(None, b"x"),  # type: ignore[arg-type]
    ]
    for call in calls:
        with pytest.raises(CryptoError):
            call()
    assert provider.random(0) == b""


@pytest.mark.requirement("MP-02")
def test_strict_der_signatures() -> None:
    der = codecs.signature_to_der(known.SM2_SIGNATURE)
    assert codecs.signature_from_der(der) == known.SM2_SIGNATURE
    r = int.from_bytes(known.SM2_SIGNATURE[:32], "big").to_bytes(33, "big")
    s = int.from_bytes(known.SM2_SIGNATURE[32:], "big").to_bytes(33, "big")

    def tlv(tag: int, body: bytes) -> bytes:
        return bytes((tag, len(body))) + body

    good = tlv(0x30, tlv(2, r) + tlv(2, s))
    assert good == der
    bad = [
        der + b"\0",
        der[:-1],
        tlv(0x31, tlv(2, r) + tlv(2, s)),
        tlv(0x30, tlv(2, r) + tlv(2, s) + tlv(2, b"\1")),
        tlv(0x30, tlv(2, r)),
        tlv(0x30, tlv(2, b"\0" + r) + tlv(2, s)),
        tlv(0x30, tlv(2, r[1:]) + tlv(2, s)),
        tlv(0x30, tlv(2, b"\0") + tlv(2, s)),
        tlv(0x30, tlv(2, b"") + tlv(2, s)),
        tlv(0x30, tlv(2, b"\0" + sm2.N.to_bytes(32, "big")) + tlv(2, s)),
        tlv(0x30, tlv(2, r) + tlv(2, b"\0" + sm2.N.to_bytes(32, "big"))),
        b"\x30\x81" + der[1:],
        b"\x30\x80" + der[2:] + b"\0\0",
        b"\x30\x82\0" + der[1:],
        b"",
        b"\x30",
        b"\x30\x84\xff\xff\xff\xff",
        b"\x1f\x02\x01\x01",
    ]
    for broken in bad:
        with pytest.raises(CryptoError):
            codecs.signature_from_der(broken)


@pytest.mark.requirement("MP-02")
@pytest.mark.parametrize("form", ["c1c3c2", "c1c2c3", "asn1"])
@pytest.mark.parametrize("prefix", [False, True])
def test_ciphertext_forms_round_trip_and_refuse(form: Any, prefix: bool) -> None:
    if form == "asn1" and prefix:
        with pytest.raises(CryptoError):
            codecs.ciphertext_to(form, known.SM2_CIPHERTEXT, prefix)
        return
    made = codecs.ciphertext_to(form, known.SM2_CIPHERTEXT, prefix)
    assert codecs.ciphertext_from(form, made, prefix) == known.SM2_CIPHERTEXT
    for broken in flips(made):
        try:
            text = P.sm2_decrypt(known.SM2_PRIVATE, codecs.ciphertext_from(form, broken, prefix))
        except CryptoError:
            continue
        pytest.fail(f"accepted {broken.hex()} as {text!r}")


def test_short_coordinates_keep_their_place(provider: Provider) -> None:
    # A coordinate with leading zero bytes is shorter as an INTEGER and must come back padded.
    while True:
        blob = provider.sm2_encrypt(known.SM2_PUBLIC, b"x")
        if blob[0] == 0 or blob[32] == 0:
            break
    assert codecs.ciphertext_from("asn1", codecs.ciphertext_to("asn1", blob)) == blob


def test_unknown_form() -> None:
    with pytest.raises(CryptoError):
        codecs.ciphertext_to("c2", known.SM2_CIPHERTEXT)  # type: ignore[arg-type]
    with pytest.raises(CryptoError):
        codecs.ciphertext_from("c2", known.SM2_CIPHERTEXT)  # type: ignore[arg-type]


def test_key_files(provider: Provider) -> None:
    private, public = known.SM2_PRIVATE, known.SM2_PUBLIC
    plain = pem.private_to_pem(provider, private, public)
    assert pem.private_from_pem(provider, plain) == private
    assert pem.public_from_pem(pem.public_to_pem(public)) == public
    sealed = pem.private_to_pem(provider, private, public, "密码 phrase")
    assert "ENCRYPTED" in sealed and pem.private_from_pem(provider, sealed, "密码 phrase") == private
    for wrong in (None, "", "other"):
        with pytest.raises(CryptoError):
            pem.private_from_pem(provider, sealed, wrong)
    for text in ("", "nonsense", plain + plain, plain.replace("MI", "!!", 1), b"\xff"):
        with pytest.raises(CryptoError):
            pem.private_from_pem(provider, text)


@pytest.mark.parametrize("decoder", ["pkcs8", "spki"])
def test_every_flip_of_a_key_file(provider: Provider, decoder: str) -> None:
    if decoder == "pkcs8":
        der = pem.private_to_der(known.SM2_PRIVATE, known.SM2_PUBLIC)
        decode: Callable[[bytes], bytes] = pem.private_from_der
    else:
        der, decode = pem.public_to_der(known.SM2_PUBLIC), pem.public_from_der
    for broken in flips(der):
        try:
            decode(broken)
        except CryptoError:
            continue
        assert decoder == "pkcs8", "a changed point can't be on the curve by a single flip"


DECODERS: list[Callable[[bytes], Any]] = [
    codecs.signature_from_der,
    lambda data: codecs.ciphertext_from("asn1", data),
    lambda data: codecs.ciphertext_from("c1c2c3", data, prefix=True),
    pem.private_from_der,
    pem.public_from_der,
    lambda data: pem.private_from_pem(P, data, "x"),
    lambda data: P.sm2_decrypt(known.SM2_PRIVATE, data),
    lambda data: P.sm4_gcm_decrypt(KEY, NONCE, data),
    lambda data: P.sm4_cbc_decrypt(KEY, IV, data + b"x"),
    sm2.check_public,
    sm2.check_private,
]


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=300), which=st.integers(0, len(DECODERS) - 1))
def test_decoders_only_ever_refuse_with_one_error(data: bytes, which: int) -> None:
    try:
        DECODERS[which](data)
    except CryptoError:
        return
    # What was accepted must be one of the few decoders for which such bytes can be right.
    assert DECODERS[which] in (sm2.check_private,) or len(data) > 60


@settings(max_examples=40, deadline=None)
@given(
    data=st.binary(max_size=600),
    aad=st.binary(max_size=60),
    uid=st.binary(max_size=40),
    password=st.binary(max_size=20),
)
def test_round_trips_of_anything(data: bytes, aad: bytes, uid: bytes, password: bytes) -> None:
    assert P.sm4_gcm_decrypt(KEY, NONCE, P.sm4_gcm_encrypt(KEY, NONCE, data, aad), aad) == data
    assert P.sm4_cbc_decrypt(KEY, IV, P.sm4_cbc_encrypt(KEY, IV, data)) == data
    assert P.sm4_ctr(KEY, IV, P.sm4_ctr(KEY, IV, data)) == data
    assert P.sm2_verify(known.SM2_PUBLIC, data, P.sm2_sign(known.SM2_PRIVATE, data, uid), uid)
    assert len(P.pbkdf2_sm3(password, aad, 2, 40)) == 40
    if data:
        assert P.sm2_decrypt(known.SM2_PRIVATE, P.sm2_encrypt(known.SM2_PUBLIC, data)) == data


@pytest.mark.requirement("MP-03")
def test_a_thousand_encryptions_of_one_value_share_nothing(sealer: Any) -> None:
    blobs = [sealer.seal("column", b"320602199001011234", "person/id/1") for _ in range(1000)]
    assert len({blob[5:17] for blob in blobs}) == 1000
    assert len({blob[17:33] for blob in blobs}) == 1000


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537, 300_001])
def test_large_data_takes_the_path_without_copies(provider: Provider, size: int) -> None:
    from crypto import gcm

    data = provider.random(size)
    blob = provider.sm4_gcm_encrypt(KEY, NONCE, data, b"aad")
    assert blob == gcm.encrypt(lambda blocks: provider.sm4_ecb_encrypt(KEY, blocks, False), NONCE, data, b"aad")
    assert provider.sm4_gcm_decrypt(KEY, NONCE, blob, b"aad") == data
    for broken in (blob[:-1], blob + b"\0", b"\1" + blob[1:] if blob[0] != 1 else b"\2" + blob[1:]):
        with pytest.raises(CryptoError):
            provider.sm4_gcm_decrypt(KEY, NONCE, broken, b"aad")
