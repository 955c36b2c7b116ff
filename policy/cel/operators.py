"""Closures for the operators: logic, comparison, membership and arithmetic.

Errors and unknowns: a strict operator gives the unknowns of its operands, merged, else the first
error. `&&`, `||` and the macros built on them are decided by any operand that decides them; failing
that, unknown comes before error. So a definite result never hangs on what is unknown.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from .arithmetic import ARITHMETIC, negate, promote
from .ast import Span
from .code import ABNORMAL, Code, Frame, Run
from .values import (
    CelError,
    Table,
    Unknown,
    equal,
    holds,
    is_list,
    is_map,
    map_key,
    merge,
    no_overload,
    ordering,
)

__all__ = [
    "ORDER",
    "arithmetic",
    "conditional",
    "equality",
    "junction",
    "membership",
    "minus",
    "negation",
    "order",
    "worse",
]

ORDER: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
#: Below this an int is a double too, so that Python's comparison of the two is CEL's.
_EXACT_MAX: Final = 2**53


def worse(unsure: object, value: object, sign: str, span: Span) -> object:
    """What a junction is that has been `unsure` (None: not yet) and now meets a non-bool."""
    if type(value) not in ABNORMAL:
        value = no_overload(sign, (value,), span)
    if type(value) is Unknown and type(unsure) is Unknown:
        return Unknown(unsure.paths | value.paths)
    return value if unsure is None or type(value) is Unknown else unsure


def junction(sign: str, operands: Sequence[Run], span: Span) -> Run:
    """`&&` and `||`."""
    decisive = sign == "||"
    neutral = not decisive

    def run(frame: Frame) -> object:
        unsure: object = None
        for operand in operands:
            value = operand(frame)
            if value is decisive:
                return decisive
            if value is not neutral:
                unsure = worse(unsure, value, sign, span)
        return neutral if unsure is None else unsure

    return run


def negation(operand: Run, span: Span) -> Run:
    """`!`."""

    def run(frame: Frame) -> object:
        value = operand(frame)
        if value is True:
            return False
        if value is False:
            return True
        return merge((value,)) or no_overload("!", (value,), span)

    return run


def conditional(test: Run, then: Run, otherwise: Run, span: Span) -> Run:
    """`test ? then : otherwise`."""

    def run(frame: Frame) -> object:
        value = test(frame)
        if value is True:
            return then(frame)
        if value is False:
            return otherwise(frame)
        return merge((value,)) or no_overload("?:", (value,), span)

    return run


def equality(sign: str, left: Code, right: Code, span: Span) -> Run:
    """`==` and `!=`."""
    equals = sign == "=="
    one, two, wanted = left.run, right.run, right.value
    if type(wanted) is str or type(wanted) is bool or wanted is None:
        kind = type(wanted)

        def run_plain(frame: Frame) -> object:
            value = one(frame)
            if type(value) is kind:
                return (value == wanted) is equals
            if type(value) in ABNORMAL:
                return value
            return not equals

        return run_plain

    def run(frame: Frame) -> object:
        verdict = equal(one(frame), two(frame))
        if type(verdict) in ABNORMAL:
            return verdict.at(span) if type(verdict) is CelError else verdict
        return verdict is equals

    return run


def order(sign: str, left: Code, right: Code, span: Span) -> Run:
    """`<`, `<=`, `>` and `>=`."""
    compare = ORDER[sign]
    one, two, limit = left.run, right.run, right.value

    def settle(value: object, other: object) -> object:
        pair = ordering(value, other)
        if pair is None:
            return merge((value, other)) or no_overload(sign, (value, other), span)
        return compare(*pair)

    if (type(limit) is int or type(limit) is float) and -_EXACT_MAX < limit < _EXACT_MAX:

        def run_number(frame: Frame) -> object:
            value = one(frame)
            if type(value) is float or type(value) is int:
                return compare(value, limit)
            return settle(value, limit)

        return run_number

    def run(frame: Frame) -> object:
        return settle(one(frame), two(frame))

    return run


def membership(left: Code, right: Code, span: Span) -> Run:
    """`in`."""
    one, two = left.run, right.run
    if is_list(right.value) and right.value:
        table = Table(right.value)

        def run_table(frame: Frame) -> object:
            value = one(frame)
            return value if type(value) in ABNORMAL else table.holds(value)

        return run_table

    def run(frame: Frame) -> object:
        value, container = one(frame), two(frame)
        if type(value) in ABNORMAL or type(container) in ABNORMAL:
            return merge((value, container))
        if type(container) is Table:
            return container.holds(value)
        if is_list(container):
            return holds(container, value)
        if is_map(container):
            key = map_key(value)
            if type(key) is CelError:
                return key.at(span)
            held = container.get(key, False)
            return held if type(held) is Unknown else key in container
        return no_overload("in", (value, container), span)

    return run


def arithmetic(sign: str, left: Code, right: Code, span: Span) -> Run:
    """`+`, `-`, `*`, `/` and `%`."""
    operate = ARITHMETIC[sign]
    one, two = left.run, right.run
    promotes = left.event or right.event

    def run(frame: Frame) -> object:
        value, other = one(frame), two(frame)
        if type(value) in ABNORMAL or type(other) in ABNORMAL:
            return merge((value, other))
        if promotes and type(value) is not type(other):
            value, other = promote(value, other)
        result = operate(value, other)
        return result.at(span) if type(result) is CelError else result

    return run


def minus(operand: Run, span: Span) -> Run:
    """`-operand`."""

    def run(frame: Frame) -> object:
        value = operand(frame)
        if type(value) in ABNORMAL:
            return value
        result = negate(value)
        return result.at(span) if type(result) is CelError else result

    return run
