"""The wire: frames and values as the real dmPython 2.6.1 sends and expects them.

Observed from the driver, with the MIT-licensed dm-pure as a map. All numbers are little-endian.
A frame is a header of 64 bytes (handle i32@0, command i16@4, body length i32@6, return code i32@10, XOR of
bytes 0…18 @19, fields of the message @20…63) and its body.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal

HEADER = 64
FIELDS = 44
NULL_LENGTH = 0xFFFE
LONG_LENGTH = 0xFFFF
LOB_LENGTH_MARK = 0xFFF9  # a parameter that was put before: its locator follows
LOCATOR = 21
INLINE_LOB = 16000  # greater values are read piece by piece

# commands
START, LOGIN, ALLOCATE, FREE, PREPARE, FETCH, COMMIT, ROLLBACK, EXECUTE = 200, 1, 3, 4, 5, 7, 8, 9, 13
LOB_PUT, MORE_RESULTS, ISOLATION, ALIVE, LOB_BEGIN, LOB_LENGTH, LOB_READ = 26, 44, 52, 70, 90, 29, 32
REPLY, START_REPLY, LOGIN_REPLY = 187, 228, 163

# types
CHAR, VARCHAR, BIT, TINYINT, SMALLINT, INT, BIGINT, DECIMAL = 0, 2, 3, 5, 6, 7, 8, 9
REAL, DOUBLE, BLOB, DATE, TIME, DATETIME, BINARY, VARBINARY, CLOB, DATETIME_TZ = (
    10,
    11,
    12,
    14,
    15,
    16,
    17,
    18,
    19,
    23,
)

# kinds of statement in the replies to PREPARE and EXECUTE
KIND_OTHER, KIND_INSERT, KIND_DELETE, KIND_UPDATE, KIND_SELECT = 0, 157, 158, 159, 160

ROWID = bytes(12)


class Closed(Exception):
    """The driver hung up."""


@dataclass
class Frame:
    """One message: `fields` are the header's bytes 20…63."""

    command: int
    handle: int = 0
    code: int = 0
    fields: bytes = b""
    body: bytes = b""


def receive(connection: socket.socket) -> Frame:
    """The next frame. Raises Closed at the stream's end and ValueError for a wrong checksum."""
    header = _exactly(connection, HEADER)
    handle, command, length, code = struct.unpack_from("<ihii", header)
    if _xor(header) != header[19]:
        raise ValueError("wrong checksum in a frame's header")
    return Frame(command, handle, code, header[20:], _exactly(connection, length))


def pack(frame: Frame) -> bytes:
    """The frame's bytes."""
    header = bytearray(HEADER)
    struct.pack_into("<ihii", header, 0, frame.handle, frame.command, len(frame.body), frame.code)
    header[20 : 20 + len(frame.fields)] = frame.fields
    header[19] = _xor(header)
    return bytes(header) + frame.body


def _xor(header: bytes | bytearray) -> int:
    value = 0
    for byte in header[:19]:
        value ^= byte
    return value


def _exactly(connection: socket.socket, count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        part = connection.recv(count - len(parts))
        if not part:
            raise Closed
        parts += part
    return bytes(parts)


def text(value: str) -> bytes:
    """A string with its length in four bytes."""
    raw = value.encode()
    return struct.pack("<i", len(raw)) + raw


def error_body(message: str) -> bytes:
    """The body of an error: schema, table and column (left empty) and the message."""
    return bytes(12) + text(message)


def start_reply(version: int = 22) -> Frame:
    """UTF-8, no encryption, no compression."""
    fields = bytearray(FIELDS)
    struct.pack_into("<i", fields, 8, 1)
    struct.pack_into("<H", fields, 28, version)
    return Frame(START_REPLY, fields=bytes(fields), body=bytes(32))


def login_reply(schema: str, server_version: str, mode: int = 0) -> Frame:
    """A session on an open server; mode 0 is a standalone one, 1 a primary, 2 a standby."""
    fields = bytearray(FIELDS)
    struct.pack_into("<ii", fields, 0, 32000, 100)
    struct.pack_into("<i", fields, 9, 1)  # READ COMMITTED
    fields[13] = 1  # case sensitive
    struct.pack_into("<hh", fields, 15, mode, 4)  # open
    session = bytearray(42)
    session[38:40] = b".,"
    strings = b"".join(text(each) for each in ("STANDIN", schema, "127.0.0.1", "2026-01-01 00:00:00"))
    body = strings + bytes(26) + bytes(session) + text(server_version)
    return Frame(LOGIN_REPLY, fields=bytes(fields), body=body)


@dataclass(frozen=True)
class Kind:
    """A column's or parameter's type as described to the driver."""

    code: int
    precision: int = 0
    scale: int = 0
    name: str = ""
    out: bool = False


def describe_parameter(kind: Kind) -> bytes:
    """Description of a parameter: 32 bytes."""
    numbers = struct.pack("<iiii", kind.code, kind.precision, kind.scale, 1)
    return numbers + bytes(6) + struct.pack("<h", int(kind.out)) + bytes(8)


def describe_column(kind: Kind) -> bytes:
    """Description of a result's column."""
    name = kind.name.encode()
    numbers = struct.pack("<iiii", kind.code, kind.precision, kind.scale, 1)
    return numbers + bytes(8) + struct.pack("<HHHH", len(name), 0, 0, 0) + name


def pack_row(number: int, values: list[bytes | None]) -> bytes:
    """A row: its length, its id, where each value begins, the values."""
    begin = 14 + 2 * len(values)
    offsets, data = bytearray(), bytearray()
    for value in values:
        offsets += struct.pack("<H", begin + len(data))
        data += pack_value(value)
    return struct.pack("<HIQ", begin + len(data), 0, number) + bytes(offsets) + bytes(data)


def pack_value(value: bytes | None) -> bytes:
    """A value with its length; None is NULL."""
    return struct.pack("<H", NULL_LENGTH) if value is None else struct.pack("<H", len(value)) + value


def encode(kind: Kind, value: str) -> bytes:
    """PostgreSQL's text form of a value as the driver wants it for `kind`."""
    match kind.code:
        case 0 | 2:
            return value.encode()
        case 3:
            return bytes([1 if value in ("t", "1") else 0])
        case 5:
            return struct.pack("<b", int(value))
        case 6:
            return struct.pack("<h", int(value))
        case 7:
            return struct.pack("<i", int(value))
        case 8:
            return struct.pack("<q", int(value))
        case 9:
            return encode_decimal(Decimal(value))
        case 10:
            return struct.pack("<f", float(value))
        case 11:
            return struct.pack("<d", float(value))
        case 14:
            return _encode_date(date.fromisoformat(value))
        case 15:
            return _encode_time(time.fromisoformat(value))
        case 16:
            moment = datetime.fromisoformat(value)
            return _encode_date(moment.date()) + _encode_time(moment.time())
        case 17 | 18:
            return bytes.fromhex(value.removeprefix("\\x"))
        case 12:
            return _inline_lob(bytes.fromhex(value.removeprefix("\\x")))
        case 19:
            return _inline_lob(value.encode())
    raise ValueError(f"type {kind.code} can't be sent")


def _inline_lob(data: bytes) -> bytes:
    """A LOB within its row: a mark, an id, the length, the bytes. (With the server's flag for new LOBs,
    unset at login here, 30 or 34 bytes more on where it would lie come before the bytes.)"""
    return struct.pack("<BqI", 1, 0, len(data)) + data


def remote_lob(identity: int, length: int) -> bytes:
    """A LOB outside its row: the driver asks for its length and its pieces by `identity`."""
    return struct.pack("<BqI", 2, identity, length) + bytes(30)


def locator(identity: int) -> bytes:
    """What the driver binds instead of a long value that it has put before."""
    return struct.pack("<q", identity) + bytes(LOCATOR - 8)


def decode(code: int, raw: bytes) -> str:
    """A bound value in PostgreSQL's text form."""
    match code:
        case 0 | 1 | 2 | 19:
            return raw.decode()
        case 3 | 5 | 6 | 7 | 8 | 13:
            return str(int.from_bytes(raw, "little", signed=code not in (3, 13)))
        case 9:
            return format(decode_decimal(raw), "f")
        case 10:
            return repr(struct.unpack("<f", raw)[0])
        case 11:
            return repr(struct.unpack("<d", raw)[0])
        case 14:
            return _decode_date(raw).isoformat()
        case 15:
            return _decode_time(raw).isoformat()
        case 16:
            return datetime.combine(_decode_date(raw[:3]), _decode_time(raw[3:])).isoformat(sep=" ")
        case 12 | 17 | 18:
            return "\\x" + raw.hex()
    raise ValueError(f"type {code} can't be read")


def _encode_date(value: date) -> bytes:
    bits = value.year | value.month << 15 | value.day << 19
    return struct.pack("<I", bits)[:3]


def _decode_date(raw: bytes) -> date:
    bits = int.from_bytes(raw[:3], "little")
    return date(bits & 0x7FFF, bits >> 15 & 0xF, bits >> 19 & 0x1F)


def _encode_time(value: time) -> bytes:
    bits = value.hour | value.minute << 5 | value.second << 11 | value.microsecond << 17
    return struct.pack("<Q", bits)[:5]


def _decode_time(raw: bytes) -> time:
    bits = int.from_bytes(raw[:5], "little")
    return time(bits & 0x1F, bits >> 5 & 0x3F, bits >> 11 & 0x3F, bits >> 17 & 0xFFFFF)


def encode_decimal(value: Decimal) -> bytes:
    """Base 100: a first byte with sign and exponent, then two digits to a byte (101 less for negative
    ones)."""
    if value == 0:
        return b"\x80"
    sign, digits_, exponent = value.as_tuple()
    digits = "".join(map(str, digits_)).lstrip("0")
    power = int(exponent)
    if power % 2:
        digits, power = digits + "0", power - 1
    if len(digits) % 2:
        digits = "0" + digits
    while digits.endswith("00"):
        digits, power = digits[:-2], power + 2
    top = (power + len(digits)) // 2 - 1
    pairs = [int(digits[at : at + 2]) for at in range(0, len(digits), 2)]
    if sign:
        return bytes([0x3E - top, *(101 - pair for pair in pairs), 0x66])
    return bytes([0xC1 + top, *(pair + 1 for pair in pairs)])


def decode_decimal(raw: bytes) -> Decimal:
    """The inverse of `encode_decimal`."""
    if not raw or raw[0] == 0x80:
        return Decimal(0)
    positive = raw[0] > 0x80
    top = raw[0] - 0xC1 if positive else 0x3E - raw[0]
    pairs = [byte - 1 if positive else 101 - byte for byte in raw[1:] if positive or byte != 0x66]
    pairs = [pair for pair in pairs if 0 <= pair <= 99]
    digits = tuple(int(digit) for pair in pairs for digit in f"{pair:02d}")
    return Decimal((0 if positive else 1, digits, 2 * (top + 1) - len(digits)))
