"""Finding other than national algorithms: in programs, pages and settings, and by the look of stored values (MP-04)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ALLOWED: dict[str, str] = {
    "his_server/web/build.py": "构建工具：用 sha256 判断前端是否要重新构建，不保护任何数据",
    "his_server/compliance/algorithms.py": "本检查要找的算法名称",
    "interfaces/nhsa/client/wire.py": "医保网关规定的报文头签名；报文内容另用 SM2",
    "interfaces/einvoice/envelope.py": "电子票据平台规定的签名方式；可用设置改为 SM3",
    "interfaces/einvoice/settings.py": "同上：设置值的名称",
    "interfaces/einvoice/manifest.toml": "同上：写明平台的签名方式",
    "interfaces/trace_platform/contract.py": "追溯平台（淘宝开放平台）规定的签名方式，传输用 TLS",
    "interfaces/trace_platform/settings.py": "同上：设置值的名称",
    "demo/people.py": "注释：虚构人物的随机种子，不用作密码",
}
"""File → why a foreign algorithm's name may stand in it. An entry that isn't needed any more fails the test."""
FOREIGN = re.compile(
    r"(?<![A-Za-z0-9_])(md[245]|sha-?1|sha-?(?:224|256|384|512)|sha3|blake2[bs]?|hmac-?sha\d*|3?des|triple_?des|rc[245]|arc4|aes"
    r"(?:-?(?:128|192|256))?|blowfish|cast5|idea|rsa|dsa|ecdsa|ed25519|x25519|secp\d+[rk]1|chacha20)(?![A-Za-z0-9_])",
    re.I,
)
WORDS = {"idea", "des"}
"""Names that are also words of a natural language: in text they count in capitals only."""
NATIONAL = {"sm3"}
TEXT = (".py", ".vue", ".ts", ".js", ".mjs", ".css", ".html", ".toml", ".cfg", ".ini", ".json", ".mako", ".csv", ".sql")
HASHLIB = {"new", "pbkdf2_hmac", "scrypt", "file_digest"}


def foreign_calls(source: str) -> list[str]:
    """Uses of other than national algorithms in Python: by hashlib, hmac, cryptography, Crypto, ssl."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found += [a.name for a in names if a.name.split(".")[0] in ("Crypto", "Cryptodome", "nacl", "OpenSSL", "rsa")]
            case ast.ImportFrom(module=str(module), names=names):
                if module.split(".")[0] in ("Crypto", "Cryptodome", "nacl", "OpenSSL", "rsa"):
                    found.append(module)
                if module == "hashlib":
                    found += [a.name for a in names if a.name not in HASHLIB]
                if module.startswith("cryptography.hazmat.primitives"):
                    found += [f"{module}.{a.name}" for a in names if FOREIGN.fullmatch(a.name)]
                if module.startswith("cryptography.hazmat.primitives.asymmetric"):
                    found.append(module)
            case ast.Attribute(value=ast.Name(id="hashlib"), attr=name) if name not in HASHLIB:
                found.append(f"hashlib.{name}")
            case ast.Attribute(value=ast.Name(id="algorithms" | "hashes"), attr=name) if name not in ("SM3", "SM4"):
                found.append(name)
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="hashlib" | "hmac" as module), attr=name), args=args, keywords=given
            ):
                found += _digest_of(module, name, args, given)
    return found


def _digest_of(module: str, name: str, args: list[ast.expr], given: list[ast.keyword]) -> list[str]:
    place = {"new": 2 if module == "hmac" else 0, "pbkdf2_hmac": 0, "digest": 2}.get(name)
    if name == "compare_digest" or name not in (*HASHLIB, "digest"):
        return []
    named = {each.arg: each.value for each in given}
    chosen = named.get("digestmod") or named.get("digest") or named.get("name") or named.get("hash_name")
    if chosen is None and place is not None and len(args) > place:
        chosen = args[place]
    if isinstance(chosen, ast.Lambda) and isinstance(chosen.body, ast.Call) and chosen.body.args:
        chosen = chosen.body.args[0]  # hmac.new(key, text, lambda: hashlib.new("sm3"))
    if isinstance(chosen, ast.Constant) and chosen.value in NATIONAL:
        return []
    return [f"{name}({ast.unparse(chosen) if chosen else '?'})"]


def foreign_names(name: str, text: str) -> list[str]:
    """Names of other algorithms in a text that ships; in Python those of the code, not of the prose."""
    found = [hit.group() for hit in FOREIGN.finditer(text)]
    return [hit for hit in found if hit.lower() not in WORDS or hit.isupper()] if not name.endswith(".csv") else []


def scan(files: Iterator[tuple[str, str]]) -> dict[str, list[str]]:
    """File → what in it is foreign."""
    found = {}
    for name, text in files:
        hits = foreign_names(name, text) + (foreign_calls(text) if name.endswith(".py") else [])
        if hits:
            found[name] = hits
    return found


HEX = re.compile(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{40}|[0-9a-fA-F]{64}")
KEYED = {
    "person_identifier.number_index": "key id and HMAC-SM3",
    "nhsa_member.psn_no_index": "key id and HMAC-SM3",
    "ecard_reading.raw_index": "key id and HMAC-SM3",
    "security_session.token": "key id and HMAC-SM3",
    "idempotency_key.request_hash": "HMAC-SM3 of the request's SM3",
    "integrity_set.mac": "HMAC-SM3",
    "integrity_head.digest": "HMAC-SM3",
    "security_seal.mac": "HMAC-SM3",
    "security_seal.row_mac": "HMAC-SM3",
    "security_seal_start.mac": "HMAC-SM3",
    "security_seal.members": "HMAC-SM3",
    "security_spent_nonce.nonce": "random",
    "security_signed_nonce.nonce": "random",
    "security_installation.name": "random",
    "security_installation.mac": "HMAC-SM3",
    "synced_entry.digest": "SM3 of a row of a public dictionary, as a peer was told it",
    "drug_check.digest": "HMAC-SM3 of what an outside check was asked",
    "mobile_bill_push.digest": "SM3 of our own numbers of the lines that were pushed",
    "idempotency_key.key": "chosen by the browser at random",
    "security_certificate.fingerprint": "SM3 of a public certificate",
    "security_signature.key_id": "ring key id, or SM3",
}
"""Columns that hold values of a digest's length, and what they are. Every ``row_mac`` is an HMAC-SM3 besides."""


def suspects(cells: list[tuple[str, Any]]) -> set[str]:
    """Columns with values of a digest's length (32, 40, 64 hex digits) that nobody has declared."""
    return {
        place
        for place, value in cells
        if isinstance(value, str) and HEX.fullmatch(value) and place not in KEYED and not place.endswith(".row_mac")
    }


def shipped(root: Path) -> Iterator[tuple[str, str]]:
    """Everything of the product's own below an installed program's folder: sources, settings, built pages."""
    for house in ("his_server", "crypto", "dialects", "modules", "interfaces", "demo"):
        for path in sorted((root / house).rglob("*")):
            name = path.relative_to(root).as_posix()
            if path.suffix in TEXT and path.is_file() and "node_modules" not in name and "package-lock" not in name:
                yield name, path.read_text("utf-8", "replace")
