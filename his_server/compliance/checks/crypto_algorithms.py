"""The product's own cryptography against the standards' examples and against strangers (MP-01, 02, 04, 17, 18)."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path

from crypto import CryptoError, Provider, codecs, get_provider, pem
from his_server.compliance import algorithms as known
from his_server.compliance.frame import Evidence, NotRun, check
from his_server.compliance.randomness import TESTS
from his_server.compliance.target import Target

PRIVATE = bytes.fromhex("3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8")
PUBLIC = bytes.fromhex(
    "09f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020"
    "ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13"
)
FOREIGN_SIGNATURE = bytes.fromhex(
    "f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3"
    "b1b6aa29df212fd8763182bc0d421ca1bb9038fd1f7f42d4840b69c485bbc1aa"
)
SM4_KEY = bytes.fromhex("0123456789abcdeffedcba9876543210")
VECTORS: dict[str, tuple[Callable[[Provider], bytes], str]] = {
    "SM3(abc)": (lambda p: p.sm3(b"abc"), "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"),
    "SM3(abcd×16)": (lambda p: p.sm3(b"abcd" * 16), "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732"),
    "HMAC-SM3": (
        lambda p: p.hmac_sm3(bytes(range(1, 33)), b"abc"),
        "44809d3ff5336f44071be1917887380730ae145f940a53819279801784c65e17",
    ),
    "SM4 一块": (lambda p: p.sm4_ecb_encrypt(SM4_KEY, SM4_KEY)[:16], "681edf34d206965e86b3e94f536e4246"),
    "SM2 公钥": (lambda p: p.sm2_public(PRIVATE), PUBLIC.hex()),
}
"""COMPLIANCE section 10: the examples of GB/T 32905, 32907, 32918.5, kept here apart from the product's own self-test."""


def product() -> Provider:
    """The product's own provider."""
    return get_provider("openssl")


@check("MP-01", "command")
def vectors(target: Target, seen: Evidence) -> None:
    """The standards' examples through the product's provider; a foreign signature holds, altered input doesn't."""
    provider = product()
    for name, (compute, expected) in VECTORS.items():
        found = compute(provider).hex()
        seen.see(found == expected, f"标准示例 {name}", found[:16])
    seen.see(provider.sm2_verify(PUBLIC, b"message digest", FOREIGN_SIGNATURE), "标准示例签名（固定 k）验证通过", "通过")
    seen.see(not provider.sm2_verify(PUBLIC, b"message digesT", FOREIGN_SIGNATURE), "篡改消息后验证不通过", "拒绝")
    flipped = FOREIGN_SIGNATURE[:-1] + bytes((FOREIGN_SIGNATURE[-1] ^ 1,))
    seen.see(not provider.sm2_verify(PUBLIC, b"message digest", flipped), "篡改签名后验证不通过", "拒绝")
    done = target.his("keys", "selftest", "--full")
    seen.see(done.code == 0 and "ok" in done.out, "产品自检命令（含 SM4 一百万轮）", done.out[-160:])
    seen.note("密码模块", f"{provider.name} {provider.version}")


@check("MP-02")
def formats(target: Target, seen: Evidence) -> None:
    """Forms of GB/T 35276, and agreement both ways with another implementation (gmssl, and openssl where it is there)."""
    ours = product()
    try:
        theirs: Provider = get_provider("reference", oracle=True)
    except (CryptoError, ImportError) as error:
        raise NotRun(f"没有独立实现 gmssl：{type(error).__name__}") from error
    private, public = ours.sm2_generate()
    data = b"interop"
    signature = ours.sm2_sign(private, data)
    der = codecs.signature_to_der(signature)
    seen.see(
        der[0] == 0x30 and der[2] == 2 and codecs.signature_from_der(der) == signature,
        "签名可为 DER SEQUENCE{r,s}",
        f"{len(der)} 字节",
    )
    seen.see(theirs.sm2_verify(public, data, signature), "gmssl 验证本产品的签名", "通过")
    seen.see(ours.sm2_verify(public, data, theirs.sm2_sign(private, data)), "本产品验证 gmssl 的签名", "通过")
    seen.see(not ours.sm2_verify(public, data, ours.sm2_sign(private, data, b"")), "空 ID 的签名按默认 ID 验证不通过", "拒绝")
    blob = ours.sm2_encrypt(public, data)
    seen.see(theirs.sm2_decrypt(private, blob) == data, "gmssl 解密本产品的密文（C1C3C2）", "一致")
    seen.see(ours.sm2_decrypt(private, theirs.sm2_encrypt(public, data)) == data, "本产品解密 gmssl 的密文", "一致")
    asn1 = codecs.ciphertext_to("asn1", blob)
    seen.see(
        asn1[0] == 0x30 and codecs.ciphertext_from("asn1", asn1) == blob,
        "密文可为 SEQUENCE{x,y,hash,cipher}",
        f"{len(asn1)} 字节",
    )
    _with_openssl(ours, private, public, data, seen)


def _with_openssl(ours: Provider, private: bytes, public: bytes, data: bytes, seen: Evidence) -> None:
    if shutil.which("openssl") is None:
        seen.lacks("openssl 命令互通（本机没有）")
        return
    with tempfile.TemporaryDirectory() as folder:
        key, message, signature = (Path(folder) / name for name in ("key.pem", "message", "signature"))
        key.write_text(pem.public_to_pem(public), "ascii")
        message.write_bytes(data)
        signature.write_bytes(codecs.signature_to_der(ours.sm2_sign(private, data)))
        done = subprocess.run(
            [
                "openssl",
                "pkeyutl",
                "-verify",
                "-pubin",
                "-inkey",
                str(key),
                "-in",
                str(message),
                "-rawin",
                "-digest",
                "sm3",
                "-sigfile",
                str(signature),
                "-pkeyopt",
                "distid:1234567812345678",
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    seen.see(
        "Verified Successfully" in done.stdout,
        "openssl 验证本产品的签名（distid 1234567812345678）",
        (done.stdout + done.stderr).strip()[:100],
    )


@check("MP-04", "app")
def no_foreign_algorithms(target: Target, seen: Evidence) -> None:
    """No other algorithm in what is installed (names and calls), none in stored values by their look."""
    assert target.app_dir is not None
    files = dict(known.shipped(target.app_dir))
    seen.see(len(files) > 100, "扫描程序、页面与设置文件", f"{len(files)} 个文件")
    found = {name: sorted(set(hits)) for name, hits in known.scan(iter(files.items())).items() if name not in known.ALLOWED}
    seen.see(not found, "没有禁用算法的名称或调用（例外清单除外）", dict(list(found.items())[:5]) or "0 处")
    seen.note("例外清单", known.ALLOWED)
    if target.tables is None:
        seen.lacks("库内摘要值（需 --database）")
        return
    strange = known.suspects(list(target.db.cells(limit=2000)))
    seen.see(not strange, "库中没有来历不明的 32/40/64 位十六进制摘要", sorted(strange) or "无")


SAMPLES, MOST_FAILED = 20, 2
SAMPLE = 125_000
"""Bytes of a sample: 10⁶ bits."""


def _failures(names: Collection[str]) -> dict[str, int]:
    """Of twenty fresh samples how many fail each of these tests."""
    provider, failures = product(), dict.fromkeys(names, 0)
    for _ in range(SAMPLES if names else 0):
        data = provider.random(SAMPLE)
        for name in names:
            failures[name] += TESTS[name](data) < 0.01
    return failures


@check("MP-18")
def randomness(target: Target, seen: Evidence) -> None:
    """Short form: the fifteen tests of GM/T 0005 on twenty samples of 10⁶ bits of the product's own source.

    A sound source has more than two failures of one test once in a thousand runs: then, and only then, twenty fresh samples
    decide.
    """
    first = _failures(TESTS)
    again = _failures([name for name, count in first.items() if count > MOST_FAILED])
    for name, count in first.items():
        told = f"{count} 个不过" + (f"；复检 {again[name]} 个不过" if name in again else "")
        what = f"{name}（{SAMPLES} 个样本，α=0.01，至多 {MOST_FAILED} 个不过；超过则以新样本复检）"
        seen.see(again.get(name, count) <= MOST_FAILED, what, told)
    seen.note("全样本", f"短样本 {SAMPLES}×10⁶ 比特；1000×10⁶ 比特全样本与 P 值均匀性由商用密码检测机构做")


@check("MP-17", "command")
def device(target: Target, seen: Evidence) -> None:
    """Another module than the one configured isn't silently used: a device that isn't there stops the product."""
    with target.workplace() as folder:
        options = folder / "options.json"
        options.write_text(f'{{"library": "{folder}/libsdf.so", "key_index": 1}}', "utf-8")
        options.chmod(0o600)
        target.hand_over(options)
        done = target.his("keys", "--provider", "sdf", "--provider-options", str(options), "selftest")
        seen.see(done.code != 0, "配置为密码机而设备库不存在：自检不通过，不退回软件实现", done.out[-160:])
        environment = {"HIS_CRYPTO_PROVIDER": "sdf", "HIS_CRYPTO_LIBRARY": f"{folder}/libsdf.so"}
        done = target.his("integrity", "verify", environment=environment)
        seen.see(done.code != 0 and "自检未通过" in done.out, "产品在密码机失效时拒绝运行并说明原因", done.out[-160:])
    seen.lacks("真实服务器密码机与签名验签服务器（开发侧以模拟库计数证明，见 tests/crypto/test_sdf.py）")


def sm3(data: bytes) -> bytes:
    """SM3 by Python's own library: not by the product's provider."""
    return hashlib.new("sm3", data).digest()
