"""A worked client for the signed interface (see ../signing.md). Python 3.11, the openssl 3 command, nothing else;
for encrypted bodies also the package `cryptography`.

    python client.py config.json POST '/api/open/v1/demo/echo?b=2&a=1' body.json [--encrypt]

config.json: {"base": "https://his.example", "keyId": "…", "privateKey": "<64 hex>", "serverKeyId": "…",
"serverPublicKey": "<128 hex>"}. Prints the verified answer as JSON: {"status": …, "body": "…"}.
"""

import base64
import hashlib
import json
import os
import re
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote

SCHEME = "HIS-SM2-1"
IDENTITY = "1234567812345678"
WINDOW = 300  # seconds


def sm3(data: bytes) -> str:
    return hashlib.new("sm3", data).hexdigest()


def canonical_path(path: str) -> str:
    return quote(unquote(path, errors="strict"), safe="/-._~")


def canonical_query(query: str) -> str:
    pairs = parse_qsl(query, keep_blank_values=True, errors="strict")
    return "&".join(f"{n}={v}" for n, v in sorted((quote(n, safe="-._~"), quote(v, safe="-._~")) for n, v in pairs))


def pem(label: str, der: bytes) -> str:
    text = base64.b64encode(der).decode()
    return f"-----BEGIN {label}-----\n" + "\n".join(re.findall(".{1,64}", text)) + f"\n-----END {label}-----\n"


def private_pem(key: str) -> str:
    return pem("EC PRIVATE KEY", bytes.fromhex("30310201010420" + key + "a00a06082a811ccf5501822d"))


def public_pem(key: str) -> str:
    return pem("PUBLIC KEY", bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d03420004" + key))


def openssl(arguments: list[str], **files: bytes | str) -> subprocess.CompletedProcess[bytes]:
    """Run `openssl pkeyutl` with each file written to a private temporary folder and {name} replaced by its path."""
    with tempfile.TemporaryDirectory() as folder:
        paths = {}
        for name, content in files.items():
            path = Path(folder) / name
            path.touch(mode=0o600)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
            paths[name] = str(path)
        command = ["openssl", "pkeyutl", *(argument.format(**paths) for argument in arguments)]
        return subprocess.run(command, capture_output=True)


def der_to_raw(der: bytes) -> bytes:
    """SEQUENCE { r, s } → 64 bytes."""
    r_length = der[3]
    r, s = der[4 : 4 + r_length], der[6 + r_length :]
    return int.from_bytes(r, "big").to_bytes(32, "big") + int.from_bytes(s, "big").to_bytes(32, "big")


def raw_to_der(raw: bytes) -> bytes:
    parts = b""
    for half in (raw[:32], raw[32:]):
        number = half.lstrip(b"\0")
        number = b"\0" + number if not number or number[0] & 0x80 else number
        parts += bytes((2, len(number))) + number
    return bytes((0x30, len(parts))) + parts


DIGEST = ["-rawin", "-digest", "sm3", "-pkeyopt", f"distid:{IDENTITY}"]


def sign(private_key: str, text: bytes) -> str:
    done = openssl(["-sign", "-in", "{text}", "-inkey", "{key}", *DIGEST], text=text, key=private_pem(private_key))
    if done.returncode:
        raise RuntimeError(done.stderr.decode())
    return base64.b64encode(der_to_raw(done.stdout)).decode()


def verify(public_key: str, text: bytes, signature: str) -> bool:
    raw = base64.b64decode(signature, validate=True)
    if len(raw) != 64:
        return False
    arguments = ["-verify", "-in", "{text}", "-pubin", "-inkey", "{key}", "-sigfile", "{signature}", *DIGEST]
    done = openssl(arguments, text=text, key=public_pem(public_key), signature=raw_to_der(raw))
    return done.returncode == 0


def seal(config: dict[str, str], method: str, path: str, body: bytes) -> tuple[bytes, str]:
    """The SM4-GCM envelope to the server's key."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    key, nonce = os.urandom(16), os.urandom(12)
    context = Cipher(algorithms.SM4(key), modes.GCM(nonce)).encryptor()
    context.authenticate_additional_data("\n".join((SCHEME, "SM2-SM4-GCM", method, canonical_path(path))).encode())
    data = context.update(body) + context.finalize() + context.tag
    done = openssl(["-encrypt", "-in", "{text}", "-pubin", "-inkey", "{key}"],
                   text=key, key=public_pem(config["serverPublicKey"]))  # fmt: skip
    # GM/T 0009 SEQUENCE { x, y, C3, C2 } → x‖y‖C3‖C2
    der, at, parts = done.stdout, 2, []
    for size in (32, 32, 32, 16):
        parts.append(der[at + 2 : at + 2 + der[at + 1]].lstrip(b"\0").rjust(size, b"\0") if size == 32 and len(parts) < 2
                     else der[at + 2 : at + 2 + der[at + 1]])  # fmt: skip
        at += 2 + der[at + 1]
    document = {"key": b"".join(parts), "nonce": nonce, "data": data}
    text = json.dumps({name: base64.b64encode(value).decode() for name, value in document.items()})
    return text.encode(), "SM2-SM4-GCM;key=" + config["serverKeyId"]


def call(config: dict[str, str], method: str, target: str, body: bytes, encrypt: bool = False) -> tuple[int, bytes]:
    """Send one signed request; the answer's signature is checked before it is returned."""
    path, _, query = target.partition("?")
    encryption = ""
    if encrypt:
        body, encryption = seal(config, method, path, body)
    timestamp, nonce = str(int(time.time())), secrets.token_hex(16)
    lines = (SCHEME, method, canonical_path(path), canonical_query(query), sm3(body), timestamp, nonce,
             config["keyId"], encryption)  # fmt: skip
    headers = {
        "X-HIS-Key": config["keyId"],
        "X-HIS-Timestamp": timestamp,
        "X-HIS-Nonce": nonce,
        "X-HIS-Signature": sign(config["privateKey"], "\n".join(lines).encode()),
        "Content-Type": "application/json",
    }
    if encryption:
        headers["X-HIS-Encryption"] = encryption
    request = urllib.request.Request(config["base"] + target, body or None, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            status, received, answer = response.status, response.headers, response.read()
    except urllib.error.HTTPError as refused:
        status, received, answer = refused.code, refused.headers, refused.read()
    stamp = received.get("X-HIS-Timestamp", "")
    lines = (SCHEME + "-ANSWER", str(status), sm3(answer), stamp, nonce, received.get("X-HIS-Key", ""))
    fresh = stamp.isdigit() and abs(time.time() - int(stamp)) <= WINDOW
    if not fresh or received.get("X-HIS-Key") != config["serverKeyId"] or not verify(
        config["serverPublicKey"], "\n".join(lines).encode(), received.get("X-HIS-Signature", "")
    ):
        raise RuntimeError("the answer's signature is wrong")
    return status, answer


if __name__ == "__main__":
    settings = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    content = Path(sys.argv[4]).read_bytes() if len(sys.argv) > 4 and sys.argv[4] != "-" else b""
    code, text = call(settings, sys.argv[2], sys.argv[3], content, "--encrypt" in sys.argv)
    print(json.dumps({"status": code, "body": text.decode()}, ensure_ascii=False))
