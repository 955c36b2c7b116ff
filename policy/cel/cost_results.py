"""How large the results of functions are at most, by the sizes of what they are given.

Each function of the library is in one of the tables here; a test holds that, and compares the
bounds with what the functions make.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from .arithmetic import SIZE_MAX
from .cost_values import ELEMENT_UNITS, Measure, Rule
from .operators import ORDER

__all__ = [
    "CHARACTERS",
    "EITHER",
    "KEPT",
    "LISTS",
    "ONE_ELEMENT",
    "RANGE_MAX",
    "READ_CHARACTERS",
    "SMALL",
    "STRING_OF_PART",
    "TEXTS",
    "list_literal",
    "ranged",
    "summed",
]

#: As long as numbers, times and addresses are written: a decimal with a thousand digits.
_NUMBER_LENGTH: Final = 1_010
#: As long as those are that stand in an event, whose decimals have some dozens of digits at most.
_READ_LENGTH: Final = 50
#: A clause of `format` writes a double with up to a thousand digits behind the point.
_CLAUSE_LENGTH: Final = 1_400
#: `string()` of what stands in an event.
STRING_OF_PART: Final = "string of a part"
#: The most elements that `lists.range` makes.
RANGE_MAX: Final = SIZE_MAX // 10


def _text(size: float) -> Measure:
    return Measure(size, size / ELEMENT_UNITS, size, 1)


def _list(elements: float, content: float, item: float) -> Measure:
    return Measure(elements, elements, content, item)


def _times(one: float, other: float) -> float:
    """A product in which nothing times anything is nothing."""
    return one * other if one and other else 0.0


def summed(measures: Sequence[Measure]) -> Measure:
    """`+` of texts or lists."""
    return Measure(
        sum(m.size for m in measures),
        sum(m.elements for m in measures),
        sum(m.content for m in measures),
        max(m.item for m in measures),
    )


def list_literal(measures: Sequence[Measure]) -> Measure:
    """`[a, b]`, and the values of `{k: a}` with their keys."""
    content = sum(m.content for m in measures) + ELEMENT_UNITS * len(measures)
    return _list(len(measures), content, max((m.content for m in measures), default=0.0))


def ranged(count: float) -> Measure:
    """`lists.range(count)`."""
    count = min(max(count, 0.0), RANGE_MAX)
    return _list(count, (ELEMENT_UNITS + 1) * count, 1)


def _replaced(measures: Sequence[Measure]) -> Measure:
    """The empty text is found before each character and at the end."""
    text, old, new = (m.size for m in measures[:3])
    least = measures[1].least
    if least and old:
        return _text(max(text, _times(text / least, new)))
    return _text(text + _times(text, new) + new)


def _joined(measures: Sequence[Measure]) -> Measure:
    separator = measures[1].size if len(measures) > 1 else 0.0
    return _text(measures[0].content + _times(measures[0].elements, separator))


def _formatted(measures: Sequence[Measure]) -> Measure:
    """What a list has inside may be decimals, of which few bytes make a thousand digits."""
    template, args = measures[:2]
    numbers = _times(_CLAUSE_LENGTH, args.elements) + _times(_NUMBER_LENGTH, args.content)
    return _text(template.size + numbers)


def _split(measures: Sequence[Measure]) -> Measure:
    """The characters where the separator is empty."""
    text = measures[0].size
    parts = text / max(measures[1].least, 1) + 1
    return _list(parts, text + ELEMENT_UNITS * parts, text)


def _flat(measures: Sequence[Measure]) -> Measure:
    content = measures[0].content
    return _list(content / ELEMENT_UNITS, content, measures[0].item)


#: Results that are texts.
TEXTS: Final[Mapping[str, Rule]] = {
    "string": lambda of: _text(of[0].size + _NUMBER_LENGTH),
    STRING_OF_PART: lambda of: _text(of[0].size + _READ_LENGTH),
    "bytes": lambda of: _text(4 * of[0].size),  # A character has up to four bytes.
    "base64.encode": lambda of: _text(4 * of[0].size / 3 + 4),
    "base64.decode": lambda of: _text(of[0].size),
    "strings.quote": lambda of: _text(2 * of[0].size + 2),
    "replace": _replaced,
    "join": _joined,
    "format": _formatted,
}
#: Results that are lists.
LISTS: Final[Mapping[str, Rule]] = {
    "split": _split,
    "flatten": _flat,
}
#: What has no more in it than the first operand.
KEPT: Final = frozenset({
    "lowerAscii", "upperAscii", "trim", "reverse", "substring", "slice", "distinct", "sort", "dyn",
    "optional.of", "optional.ofNonZeroValue", "value", "optional.unwrap", "unwrapOpt",
})  # fmt: skip
#: One of the operands.
EITHER: Final = frozenset({"or", "orValue"})
#: An element of the first operand.
ONE_ELEMENT: Final = frozenset({"first", "last"})
#: Numbers, times, addresses, truth values, and single characters.
SMALL: Final = frozenset({
    *ORDER, "==", "!=", "in", "-", "*", "/", "%", "size", "type", "matches", "contains",
    "startsWith", "endsWith", "int", "uint", "double", "decimal", "bool", "timestamp", "duration",
    "indexOf", "lastIndexOf", "charAt", "isEmail", "isUuid", "isUri", "isUriRef", "isHostname",
    "isIpv4", "isIpv6", "isIP", "isCIDR", "ip", "cidr", "ip.isCanonical", "family", "isUnspecified",
    "isLoopback", "isGlobalUnicast", "isLinkLocalMulticast", "isLinkLocalUnicast", "containsIP",
    "containsCIDR", "masked", "prefixLength", "hasValue", "optional.none", "sets.contains",
    "sets.equivalent", "sets.intersects", "getFullYear", "getMonth", "getDate", "getDayOfMonth",
    "getDayOfWeek", "getDayOfYear", "getHours", "getMinutes", "getSeconds", "getMilliseconds",
    "math.greatest", "math.least", "math.ceil", "math.floor", "math.round", "math.trunc",
    "math.abs", "math.sign", "math.sqrt", "math.isNaN", "math.isInf", "math.isFinite",
    "math.bitAnd", "math.bitOr", "math.bitXor", "math.bitNot", "math.bitShiftLeft",
    "math.bitShiftRight",
})  # fmt: skip
#: Those of them that are texts.
CHARACTERS: Final = frozenset({"charAt"})
#: What refuses longer texts as no number without looking at more of them.
READ_CHARACTERS: Final[Mapping[str, int]] = {
    "int": 41,
    "uint": 41,
    "double": 1_000,
    "decimal": 1_000,
}
