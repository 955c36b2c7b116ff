"""Which numbers, and how many characters, a schema leaves room for.

What is compared with a literal that lies beyond can never be true: `value.count == 3000000000` of
an Avro int, `value.amount < 0` where the schema says `minimum: 0`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from .operators import ORDER

__all__ = ["MIRRORED", "Number", "Range", "beyond", "misfit", "widened"]

Number: TypeAlias = int | float

#: Each sign with its operands exchanged.
MIRRORED: Final[Mapping[str, str]] = {
    "<": ">",
    "<=": ">=",
    ">": "<",
    ">=": "<=",
    "==": "==",
    "!=": "!=",
}
_SHOWN: Final = 6


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from `low` to `high`, without these where they are `open_`; or the few in `values`."""

    low: Number | None = None
    high: Number | None = None
    low_open: bool = False
    high_open: bool = False
    values: tuple[Number, ...] = ()


def widened(one: Range | None, two: Range | None) -> Range | None:
    """Numbers of either range."""
    if one is None or two is None:
        return None
    if one == two:
        return one
    if one.values and two.values:
        return Range(values=tuple(dict.fromkeys((*one.values, *two.values))))
    if one.values or two.values:
        return None
    low, low_open = _outer(one.low, one.low_open, two.low, two.low_open, min)
    high, high_open = _outer(one.high, one.high_open, two.high, two.high_open, max)
    return Range(low, high, low_open, high_open)


def _outer(
    one: Number | None,
    one_open: bool,
    two: Number | None,
    two_open: bool,
    pick: Callable[[Number, Number], Number],
) -> tuple[Number | None, bool]:
    if one is None or two is None:
        return None, False
    if one == two:
        return one, one_open and two_open
    return (one, one_open) if pick(one, two) == one else (two, two_open)


def beyond(sign: str, whole: bool, known: Range | None, limit: Number) -> str | None:
    """Why `x sign limit` is never true of a number by the schema; None where it can be.

    `whole` says that there are only whole numbers.
    """
    if sign == "==" and whole and isinstance(limit, float) and not limit.is_integer():
        return f"a whole number is never {limit}"
    if known is None or sign == "!=":
        return None
    if known.values:
        compare = ORDER.get(sign, lambda value, other: bool(value == other))
        if any(compare(value, limit) for value in known.values):
            return None
        return f"the schema has only {_listed(known.values)} here"
    if known.low is not None and sign in ("<", "<=", "=="):
        met = known.low == limit and sign != "<" and not known.low_open
        if known.low >= limit and not met:
            return (
                f"the schema has no value {_past(known.low, known.low_open, 'below', 'less')} here"
            )
    if known.high is not None and sign in (">", ">=", "=="):
        met = known.high == limit and sign != ">" and not known.high_open
        if known.high <= limit and not met:
            past = _past(known.high, known.high_open, "above", "more")
            return f"the schema has no value {past} here"
    return None


def _past(limit: Number, is_open: bool, side: str, how: str) -> str:
    return f"of {limit} or {how}" if is_open else f"{side} {limit}"


def _listed(values: Sequence[Number]) -> str:
    shown = ["true" if v is True else "false" if v is False else str(v) for v in values]
    more = ", …" if len(values) > _SHOWN else ""
    return ", ".join(f"`{each}`" for each in shown[:_SHOWN]) + more


def misfit(length: int, least: int, most: int | None, unit: str) -> str | None:
    """Why nothing has this length by the schema; None where something can have it."""
    if most is not None and length > most:
        return f"the schema has no more than {most} {unit} here"
    if length < least:
        return f"the schema has no fewer than {least} {unit} here"
    return None
