"""How Avro lays out its primitives, and what is said about bytes that are laid out otherwise.

Generated projectors keep the common case inline (one table look-up for a small number, one for a
short length) and call here for the rest. Every function takes the bytes and a position and raises
`MalformedError` or IndexError; what reaches a caller of this package is an `AvroError` value.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Final
from uuid import UUID

from .avro_types import DECIMAL_MAX_DIGITS

__all__ = [
    "DEPTH_MAX",
    "EMPTY_ITEMS_MAX",
    "LENGTHS",
    "NUMBERS",
    "TIME_UNITS_NS",
    "AvroError",
    "MalformedError",
    "block",
    "decimal",
    "end_of_bytes",
    "enum_at",
    "int_at",
    "length_at",
    "long_at",
    "reason_of",
    "text_at",
    "union_at",
    "uuid_text",
    "write_long",
]

#: Records inside records that only data decides on, as deep as types may be nested: more is a mistake,
#: and takes more time than events of its size should.
DEPTH_MAX: Final = 64
#: Items of one array block that take no bytes: three bytes must not become a million objects.
EMPTY_ITEMS_MAX: Final = 64

_INT_MIN, _INT_MAX = -(2**31), 2**31 - 1
_UINT64 = 2**64
_VARINT_MAX_BYTES = 10


@dataclass(frozen=True, slots=True)
class AvroError:
    """Why bytes are not what their schema says. The reason holds nothing of the bytes."""

    reason: str


class MalformedError(Exception):
    """Bytes that are not what the schema says; stays inside this package."""


_TRUNCATED: Final = AvroError("the Avro bytes end too early")
_BAD_TEXT: Final = AvroError("the Avro bytes hold text that is not valid UTF-8")

#: By logical type: how many nanoseconds one of its units is.
TIME_UNITS_NS: Final[Mapping[str, int]] = {
    "date": 86_400 * 10**9,
    **{f"{zone}timestamp-millis": 10**6 for zone in ("", "local-")},
    **{f"{zone}timestamp-micros": 10**3 for zone in ("", "local-")},
    **{f"{zone}timestamp-nanos": 1 for zone in ("", "local-")},
}

#: By first byte: the number that it is, None where more bytes follow.
NUMBERS: Final = tuple((c >> 1) ^ -(c & 1) if c < 128 else None for c in range(256))
#: By first byte: how many bytes a text or bytes value takes with its length; 0 where that is
#: longer than one byte, or negative.
LENGTHS: Final = tuple(1 + (c >> 1) if c < 128 and not c & 1 else 0 for c in range(256))


def reason_of(error: Exception) -> AvroError:
    """What to say of an exception that reading has raised."""
    if isinstance(error, MalformedError):
        return AvroError(str(error))
    if isinstance(error, UnicodeDecodeError):
        return _BAD_TEXT
    if isinstance(error, RecursionError):
        return AvroError("the Avro bytes are nested too deeply")
    if isinstance(error, IndexError | struct.error):
        return _TRUNCATED
    return AvroError("the Avro bytes cannot be read")


def long_at(data: bytes, at: int) -> tuple[int, int]:
    """The long at `at`, and where it ends."""
    number = shift = 0
    for byte in data[at : at + _VARINT_MAX_BYTES]:
        if byte < 128:
            number |= byte << shift
            if number < _UINT64:
                return (number >> 1) ^ -(number & 1), at + shift // 7 + 1
            break
        number |= (byte & 127) << shift
        shift += 7
    else:
        if shift < 7 * _VARINT_MAX_BYTES:
            raise MalformedError(_TRUNCATED.reason)
    raise MalformedError("the Avro bytes hold a number of more than 64 bits")


def int_at(data: bytes, at: int) -> tuple[int, int]:
    """The int at `at`, and where it ends."""
    number, end = long_at(data, at)
    if not _INT_MIN <= number <= _INT_MAX:
        raise MalformedError("the Avro bytes hold an int of more than 32 bits")
    return number, end


def length_at(data: bytes, at: int) -> tuple[int, int]:
    """Where the text or bytes value at `at` has its content: first byte and end.

    For lengths of several bytes; what LENGTHS knows needs no call.
    """
    low = data[at]
    if low & 1:
        raise MalformedError("the Avro bytes hold a negative length")
    high = data[at + 1]
    if high < 128 <= low:  # 64 to 8191 bytes: worth a short way
        start = at + 2
        end = start + ((low & 126) >> 1) + (high << 6)
    else:
        length, start = long_at(data, at)
        end = start + length
    if end > len(data):
        raise MalformedError(_TRUNCATED.reason)
    return start, end


def text_at(data: bytes, at: int) -> tuple[int, int]:
    """As `length_at`, whatever the length."""
    short = LENGTHS[data[at]]
    if not short:
        return length_at(data, at)
    if at + short > len(data):
        raise MalformedError(_TRUNCATED.reason)
    return at + 1, at + short


def enum_at(data: bytes, at: int, symbols: Mapping[int, str]) -> tuple[str, int]:
    """The symbol at `at` by its raw number, twice the index, and where it ends."""
    index, end = long_at(data, at)
    symbol = symbols.get(2 * index)
    if symbol is None:
        raise MalformedError("the Avro bytes name a symbol that the enum does not have")
    return symbol, end


def union_at(data: bytes, at: int) -> tuple[int, int]:
    """The raw index of a branch that takes more than one byte, twice the index as in one byte."""
    index, end = long_at(data, at)
    return index * 2, end


def block(data: bytes, at: int, width: int) -> tuple[int, int, int]:
    """The head of a block at `at`: how many items, where they begin, where they have to end.

    `width` is the least that an item takes. The end is -1 where the block does not say.
    """
    count, at = long_at(data, at)
    end = -1
    if count < 0:
        count = -count
        size, at = long_at(data, at)
        if size < 0:
            raise MalformedError("the Avro bytes hold a negative length")
        end = at + size
    if count * width > len(data) - at:
        raise MalformedError(_TRUNCATED.reason)
    if width == 0 and count > EMPTY_ITEMS_MAX:
        raise MalformedError("the Avro bytes hold too many empty items")
    return count, at, end


def end_of_bytes(data: bytes, at: int) -> None:
    """Nothing may follow."""
    if at > len(data):
        raise MalformedError(_TRUNCATED.reason)
    if at < len(data):
        raise MalformedError("the Avro bytes go on after the value")


#: Exact: no operation below may round. `scaleb` needs room for the digits, and nothing else.
_EXACT: Final = Context(prec=2 * DECIMAL_MAX_DIGITS)


def decimal(data: bytes, scale: int) -> Decimal:
    """The number whose unscaled value `data` is, two's complement and big-endian; exact."""
    if len(data) > DECIMAL_MAX_DIGITS // 2:
        raise MalformedError("the Avro bytes hold a decimal that is too long")
    return Decimal(int.from_bytes(data, "big", signed=True)).scaleb(-scale, _EXACT)


def uuid_text(data: bytes) -> str:
    """A UUID of 16 bytes as text."""
    if len(data) != 16:
        raise MalformedError(_TRUNCATED.reason)
    return str(UUID(bytes=data))


def write_long(number: int) -> bytes:
    """A number as Avro writes ints, longs, lengths, counts and indexes."""
    number = ((number << 1) ^ (number >> 63)) % _UINT64
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)
