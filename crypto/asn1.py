"""Strict DER (X.690): the few types that SM2 keys, signatures, ciphertexts and certificates need.

Strict means: definite minimal lengths, minimal integers, no trailing bytes. A second encoding of one value would
make signatures and fingerprints malleable.
"""

from __future__ import annotations

from crypto.errors import CryptoError

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, NULL, OID = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06
UTF8, PRINTABLE, IA5, UTC_TIME, GENERALIZED_TIME = 0x0C, 0x13, 0x16, 0x17, 0x18
ENUMERATED, SEQUENCE, SET = 0x0A, 0x30, 0x31


def tlv(tag: int, body: bytes) -> bytes:
    """One DER element with a single-byte tag."""
    size = len(body)
    if size < 0x80:
        return bytes((tag, size)) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + body


def sequence(*parts: bytes) -> bytes:
    """SEQUENCE of already encoded parts."""
    return tlv(SEQUENCE, b"".join(parts))


def integer(value: int) -> bytes:
    """INTEGER, minimal two's complement."""
    return tlv(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def octets(value: bytes) -> bytes:
    """OCTET STRING."""
    return tlv(OCTET_STRING, value)


def bits(value: bytes, unused: int = 0) -> bytes:
    """BIT STRING with `unused` trailing bits."""
    return tlv(BIT_STRING, bytes((unused,)) + value)


def oid(dotted: str) -> bytes:
    """OBJECT IDENTIFIER from its dotted form."""
    first, second, *rest = (int(part) for part in dotted.split("."))
    out = bytearray()
    for arc in (first * 40 + second, *rest):
        chunk = [arc & 0x7F]
        while arc := arc >> 7:
            chunk.append(0x80 | (arc & 0x7F))
        out += bytes(reversed(chunk))
    return tlv(OID, bytes(out))


class Reader:
    """Reads DER elements one after another from `data`; anything not strict is a CryptoError."""

    def __init__(self, data: bytes) -> None:
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise CryptoError("DER refused")
        self.data = bytes(data)
        self.pos = 0

    def __bool__(self) -> bool:
        return self.pos < len(self.data)

    def peek(self) -> int:
        """The next tag, or -1 at the end."""
        return self.data[self.pos] if self.pos < len(self.data) else -1

    def element(self) -> tuple[int, bytes, bytes]:
        """(tag, body, whole element) of the next element."""
        data, start = self.data, self.pos
        if start + 2 > len(data) or data[start] & 0x1F == 0x1F:
            raise CryptoError("DER refused")
        tag, length, at = data[start], data[start + 1], start + 2
        if length & 0x80:
            count = length & 0x7F
            if not 1 <= count <= 4 or at + count > len(data):
                raise CryptoError("DER refused")
            length = int.from_bytes(data[at : at + count], "big")
            if length < 0x80 or data[at] == 0:
                raise CryptoError("DER refused")
            at += count
        if at + length > len(data):
            raise CryptoError("DER refused")
        self.pos = at + length
        return tag, data[at : self.pos], data[start : self.pos]

    def read(self, tag: int) -> bytes:
        """Body of the next element, which must have `tag`."""
        found, body, _ = self.element()
        if found != tag:
            raise CryptoError("DER refused")
        return body

    def whole(self, tag: int) -> bytes:
        """The next element with its header; it must have `tag`."""
        found, _, element = self.element()
        if found != tag:
            raise CryptoError("DER refused")
        return element

    def enter(self, tag: int = SEQUENCE) -> Reader:
        """A reader over the body of the next element."""
        return Reader(self.read(tag))

    def uint(self) -> int:
        """A non-negative minimal INTEGER."""
        body = self.read(INTEGER)
        if not body or body[0] & 0x80 or (len(body) > 1 and body[0] == 0 and not body[1] & 0x80):
            raise CryptoError("DER refused")
        return int.from_bytes(body, "big")

    def flag(self) -> bool:
        """An optional BOOLEAN with default FALSE; when present it must be the DER form of TRUE."""
        if self.peek() != BOOLEAN:
            return False
        if self.read(BOOLEAN) != b"\xff":
            raise CryptoError("DER refused")
        return True

    def oid(self) -> str:
        """An OBJECT IDENTIFIER in dotted form."""
        body = self.read(OID)
        if not body or body[-1] & 0x80:
            raise CryptoError("DER refused")
        arcs: list[int] = []
        value, fresh = 0, True
        for byte in body:
            if fresh and byte == 0x80:
                raise CryptoError("DER refused")
            value, fresh = value << 7 | byte & 0x7F, not byte & 0x80
            if fresh:
                arcs.append(value)
                value = 0
        first = min(arcs[0] // 40, 2)
        return ".".join(str(arc) for arc in (first, arcs[0] - 40 * first, *arcs[1:]))

    def bits(self) -> bytes:
        """A BIT STRING of whole bytes."""
        body = self.read(BIT_STRING)
        if not body or body[0] != 0:
            raise CryptoError("DER refused")
        return body[1:]

    def end(self) -> None:
        """Refuse trailing bytes."""
        if self.pos != len(self.data):
            raise CryptoError("DER refused")
