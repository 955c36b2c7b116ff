"""Closures for calls of the library's functions, and for literals with parts."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import TypeGuard

from .ast import ListExpr, Span
from .code import ABNORMAL, Code, Frame, Run
from .library import Function, Implementation
from .regex import pattern_problem, safe_matcher
from .values import CelError, Optional, as_double, map_key, merge, no_overload

__all__ = ["call", "is_pattern", "lazy_method", "list_maker", "map_maker", "matching"]


def is_pattern(value: object) -> TypeGuard[str]:
    """Whether a constant is a regular expression that RE2 takes."""
    return isinstance(value, str) and pattern_problem(value) is None


def matching(text_of: Run, pattern: str, span: Span) -> Run:
    """`matches` with a pattern that is known beforehand."""
    match = safe_matcher(pattern)

    def run(frame: Frame) -> object:
        text = text_of(frame)
        if type(text) is str:
            found = match(text)
            return found.at(span) if type(found) is CelError else found
        return merge((text,)) or no_overload("matches", (text, pattern), span)

    return run


def call(function: Function, args: list[Code], method: bool, span: Span) -> Run:
    """A call of a function or method; of a method, the receiver is the first argument.

    A number from an event is also taken as the double that a function may want.
    """
    runs = [arg.run for arg in args]
    promotes = any(arg.event for arg in args)

    known: dict[tuple[type, ...], Implementation] = {}

    def run(frame: Frame) -> object:
        values = [arg(frame) for arg in runs]
        classes = tuple(map(type, values))
        code = known.get(classes)
        if code is None:
            code = function.find(classes, method=method)
            if code is None:
                return _apply(function, values, method, promotes, span)
            known[classes] = code
        result = code(*values)
        return result.at(span) if type(result) is CelError else result

    return run


def _apply(
    function: Function, values: list[object], method: bool, promotes: bool, span: Span
) -> object:
    code = function.find(tuple(map(type, values)), method=method)
    if code is None:  # No signature takes errors or unknowns.
        abnormal = merge(values)
        if abnormal is not None:
            return abnormal
        if promotes:
            widened = [_widened(value) for value in values]
            code = function.find(tuple(map(type, widened)), method=method)
            values = widened if code is not None else values
        if code is None:
            return no_overload(function.name, values, span)
    result = code(*values)
    return result.at(span) if type(result) is CelError else result


def _widened(value: object) -> object:
    return as_double(value) if type(value) is int or type(value) is Decimal else value


def lazy_method(function: Function, receiver: Code, default: Code, span: Span) -> Run:
    """`or` and `orValue`: the argument counts only where the receiver has no value."""
    one, two = receiver.run, default.run

    def run(frame: Frame) -> object:
        optional = one(frame)
        if type(optional) is Optional and optional.present:
            return optional if function.name == "or" else optional.value
        if type(optional) in ABNORMAL:
            return optional
        return _apply(function, [optional, two(frame)], True, False, span)

    return run


def list_maker(items: list[Run], node: ListExpr) -> Run:
    """`[a, ?b]`."""
    if node.optional:
        return _optional_list(items, node.optional, node.span)

    def run(frame: Frame) -> object:
        values = [item(frame) for item in items]
        return merge(values) or values

    return run


def _optional_list(items: list[Run], optional: frozenset[int], span: Span) -> Run:
    def run(frame: Frame) -> object:
        values: list[object] = []
        unsure: list[object] = []
        for position, item in enumerate(items):
            value = item(frame)
            if type(value) in ABNORMAL:
                unsure.append(value)
            elif position not in optional:
                values.append(value)
            elif type(value) is not Optional:
                unsure.append(no_overload("[?]", (value,), span))
            elif value.present:
                values.append(value.value)
        return merge(unsure) or values

    return run


def map_maker(entries: Iterable[tuple[Run, Run, bool]], span: Span) -> Run:
    """`{k: v, ?k: v}`, from the code of each key and value, and whether the entry is optional."""
    parts = tuple(entries)

    def run(frame: Frame) -> object:
        made: dict[object, object] = {}
        unsure: list[object] = []
        for key_of, value_of, optional in parts:
            key, value = key_of(frame), value_of(frame)
            held = map_key(key)
            if type(key) is float:
                held = CelError("unsupported_key", "a double cannot be a map key", span)
            if type(value) in ABNORMAL or type(held) in ABNORMAL:
                unsure += [key, value, held]
            elif optional and type(value) is not Optional:
                unsure.append(no_overload("{?}", (value,), span))
            elif held in made:
                unsure.append(CelError("duplicate_key", "a map would have one key twice", span))
            elif type(value) is Optional and optional:
                if value.present:
                    made[held] = value.value
            else:
                made[held] = value
        return merge(unsure) or made

    return run
