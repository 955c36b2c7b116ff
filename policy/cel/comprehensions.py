"""Closures for the macros.

Each loop takes its length from the frame's budget, so that nested loops over a large event end in
an error instead of an endless evaluation. A map with an unknown entry is unknown as a range, since
it may not have that entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple, TypeAlias

from .ast import Span
from .code import ABNORMAL, BUDGET, ITERATIONS_MAX, Frame, Run
from .library.collections import sort_by_keys
from .library.optionals import NONE
from .operators import worse
from .values import (
    CelError,
    Optional,
    Unknown,
    is_list,
    is_map,
    map_key,
    merge,
    no_overload,
    normal,
    written_key,
)

__all__ = ["MACRO_CODE", "Collect", "Decision", "Loop", "decision"]


class Loop:
    """The range of a macro and the slots of its variables; `keyed` where it has two of them."""

    __slots__ = ("keyed", "macro", "range", "slots", "span")

    def __init__(self, macro: str, range_: Run, slots: tuple[int, ...], span: Span) -> None:
        self.macro = macro
        self.range = range_
        self.slots = slots
        self.keyed = len(slots) == 2
        self.span = span

    def items(self, frame: Frame) -> Iterable[Any] | CelError | Unknown:
        """What to bind in each iteration; an error or unknown instead.

        That is an element or key, and for two variables a pair of index or key and value.
        """
        return self.over(frame, self.range(frame))

    def over(self, frame: Frame, container: Any) -> Iterable[Any] | CelError | Unknown:
        """The same for a range that is there already."""
        if is_list(container):
            return self.spend(frame, len(container)) or (
                enumerate(container) if self.keyed else container
            )
        if is_map(container):
            abnormal = merge((self.spend(frame, len(container)), *container.values()))
            if abnormal is not None:
                return abnormal
            keys = [written_key(key) for key in container]
            return zip(keys, container.values(), strict=True) if self.keyed else keys
        return merge((container,)) or no_overload(self.macro, (container,), self.span)

    def spend(self, frame: Frame, count: int) -> CelError | None:
        """Take `count` iterations from the budget."""
        frame[BUDGET] -= count
        if frame[BUDGET] >= 0:
            return None
        message = f"the macros of the rule visit more than {ITERATIONS_MAX:,} elements"
        return CelError("too_many_iterations", message, self.span)

    def bind(self, frame: Frame, item: Any) -> None:
        """Set the variables of one iteration."""
        if self.keyed:
            frame[self.slots[0]], frame[self.slots[1]] = item
        else:
            frame[self.slots[0]] = item


def _quantifier(sign: str, loop: Loop, body: Run) -> Run:
    """`all` is a conjunction over the elements, `exists` a disjunction."""
    decisive = sign == "||"
    neutral = not decisive
    keyed, slot = loop.keyed, loop.slots[0]

    def run(frame: Frame) -> object:
        items = loop.items(frame)
        if isinstance(items, CelError | Unknown):
            return items
        unsure: object = None
        for item in items:
            if keyed:
                loop.bind(frame, item)
            else:
                frame[slot] = item
            value = body(frame)
            if value is decisive:
                return decisive
            if value is not neutral:
                unsure = worse(unsure, value, loop.macro, loop.span)
        return neutral if unsure is None else unsure

    return run


def _exists_one(loop: Loop, args: tuple[Run, ...]) -> Run:
    (body,) = args

    def run(frame: Frame) -> object:
        items = loop.items(frame)
        if isinstance(items, CelError | Unknown):
            return items
        unsure: object = None
        count = 0
        for item in items:
            loop.bind(frame, item)
            value = body(frame)
            if value is True:
                count += 1
            elif value is not False:
                unsure = worse(unsure, value, loop.macro, loop.span)
        return count == 1 if unsure is None else unsure

    return run


class Decision(NamedTuple):
    """What `all`, `exists` or `exists_one` comes to, and the elements that made it so.

    Each is its index or key, and what the variables are there. For `exists_one` these are the one
    that there is, or the first two of more; for an error the first one that failed. There are none
    where no single one decided.
    """

    result: object
    elements: Sequence[tuple[object, tuple[object, ...]]] = ()
    of_list: bool = False


def decision(loop: Loop, body: Run, most: int, cut: bool) -> Callable[[Frame], Decision]:
    """A quantifier that tells what decided, unless that lies beyond `most` elements.

    With `cut` these alone are asked, so that the result is that of a part.
    """
    wanted = loop.macro != "all"
    needed = 2 if loop.macro == "exists_one" else 1
    keyed, slot = loop.keyed, loop.slots[0]

    def run(frame: Frame) -> Decision:
        container = loop.range(frame)
        items = loop.over(frame, container)
        if isinstance(items, CelError | Unknown):
            return Decision(items)
        found: list[tuple[int, Any]] = []
        unsure: Any = None
        failed: tuple[int, Any] | None = None
        for position, item in enumerate(islice(items, most) if cut else items):
            if keyed:
                loop.bind(frame, item)
            else:
                frame[slot] = item
            value = body(frame)
            if value is wanted:
                if len(found) < needed:
                    found.append((position, item))
                if needed == 1:
                    break
            elif value is not (not wanted):
                unsure = worse(unsure, value, loop.macro, loop.span)
                if failed is None and type(value) is CelError:
                    failed = position, item
        if unsure is not None and (needed == 2 or not found):
            aborted = type(unsure) is CelError and unsure.code == "too_many_iterations"
            told = [] if failed is None or aborted else [failed]
            return Decision(unsure, _bound(told, most, keyed, container), is_list(container))
        result = len(found) == 1 if needed == 2 else bool(found) is wanted
        return Decision(result, _bound(found, most, keyed, container), is_list(container))

    return run


def _bound(
    found: Sequence[tuple[int, Any]], most: int, keyed: bool, container: object
) -> list[tuple[object, tuple[object, ...]]]:
    """Each element with its index or key, and what the variables are there; none beyond `most`."""
    if any(position >= most for position, _ in found):
        return []
    elements: list[tuple[object, tuple[object, ...]]] = []
    for position, item in found:
        values = (item[0], normal(item[1])) if keyed else (normal(item),)
        elements.append((position if is_list(container) else values[0], values))
    return elements


Collect: TypeAlias = Callable[[Frame, Any], object]


def _collecting(loop: Loop, keep: Run | None, collect: Callable[[], tuple[Collect, object]]) -> Run:
    """A loop that collects from each element that `keep` lets through, into a fresh result."""

    def run(frame: Frame) -> object:
        items = loop.items(frame)
        if isinstance(items, CelError | Unknown):
            return items
        add, result = collect()
        unsure: object = None
        for item in items:
            loop.bind(frame, item)
            kept = True if keep is None else keep(frame)
            if kept is False:
                continue
            problem = add(frame, item) if kept is True else kept
            if problem is not None:
                unsure = worse(unsure, problem, loop.macro, loop.span)
        return result if unsure is None else unsure

    return run


def _to_list(transform: Run | None) -> Callable[[], tuple[Collect, object]]:
    def start() -> tuple[Collect, object]:
        items: list[object] = []

        def add(frame: Frame, item: Any) -> object:
            value = normal(item) if transform is None else transform(frame)
            if type(value) in ABNORMAL:
                return value
            items.append(value)
            return None

        return add, items

    return start


def _to_map(transform: Run) -> Callable[[], tuple[Collect, object]]:
    def start() -> tuple[Collect, object]:
        entries: dict[object, object] = {}

        def add(frame: Frame, item: Any) -> object:
            value = transform(frame)
            if type(value) in ABNORMAL:
                return value
            return _enter(entries, item[0], value)

        return add, entries

    return start


def _to_entries(transform: Run) -> Callable[[], tuple[Collect, object]]:
    def start() -> tuple[Collect, object]:
        entries: dict[object, object] = {}

        def add(frame: Frame, _item: Any) -> object:
            made = transform(frame)
            if not is_map(made):
                return merge((made,)) or no_overload("transformMapEntry", (made,))
            unknown = merge(made.values())
            if unknown is not None:
                return unknown
            for key, value in made.items():
                problem = _enter(entries, written_key(key), value)
                if problem is not None:
                    return problem
            return None

        return add, entries

    return start


def _enter(entries: dict[object, object], key: object, value: object) -> CelError | None:
    held = map_key(key)
    if type(held) is CelError:
        return held
    if held in entries:
        return CelError("duplicate_key", "a map would have one key twice")
    entries[held] = value
    return None


def _filter_and(args: tuple[Run, ...]) -> tuple[Run | None, Run]:
    """The arguments of `map` and the transforming macros: an optional filter, and what is made."""
    return (args[0], args[1]) if len(args) == 2 else (None, args[0])


def _map(loop: Loop, args: tuple[Run, ...]) -> Run:
    keep, transform = _filter_and(args)
    return _collecting(loop, keep, _to_list(transform))


def _transform_map(loop: Loop, args: tuple[Run, ...]) -> Run:
    keep, transform = _filter_and(args)
    return _collecting(loop, keep, _to_map(transform))


def _transform_map_entry(loop: Loop, args: tuple[Run, ...]) -> Run:
    keep, transform = _filter_and(args)
    return _collecting(loop, keep, _to_entries(transform))


def _sort_by(loop: Loop, args: tuple[Run, ...]) -> Run:
    collect_keys = _map(loop, args)
    range_ = loop.range

    def run(frame: Frame) -> object:
        items, keys = range_(frame), collect_keys(frame)
        if not is_list(items):
            return merge((items,)) or no_overload("sortBy", (items,), loop.span)
        result = sort_by_keys(items, keys) if is_list(keys) else keys
        return result.at(loop.span) if type(result) is CelError else result

    return run


def _optional(loop: Loop, args: tuple[Run, ...]) -> Run:
    """`optMap` and `optFlatMap`."""
    (body,) = args
    flat = loop.macro == "optFlatMap"

    def run(frame: Frame) -> object:
        optional = loop.range(frame)
        if type(optional) is not Optional:
            return merge((optional,)) or no_overload(loop.macro, (optional,), loop.span)
        if not optional.present:
            return NONE
        frame[loop.slots[0]] = optional.value
        value = body(frame)
        if type(value) in ABNORMAL:
            return value
        if not flat:
            return Optional(True, value)
        return value if type(value) is Optional else no_overload(loop.macro, (value,), loop.span)

    return run


def _bind(loop: Loop, args: tuple[Run, ...]) -> Run:
    """The variable holds the value, or the error that every use of it then gives."""
    (body,) = args

    def run(frame: Frame) -> object:
        frame[loop.slots[0]] = loop.range(frame)
        return body(frame)

    return run


#: Each macro's closure, from its range and its arguments.
MACRO_CODE: Final[Mapping[str, Callable[[Loop, tuple[Run, ...]], Run]]] = {
    "all": lambda loop, args: _quantifier("&&", loop, args[0]),
    "exists": lambda loop, args: _quantifier("||", loop, args[0]),
    "exists_one": _exists_one,
    "map": _map,
    "filter": lambda loop, args: _collecting(loop, args[0], _to_list(None)),
    "transformList": _map,
    "transformMap": _transform_map,
    "transformMapEntry": _transform_map_entry,
    "sortBy": _sort_by,
    "optMap": _optional,
    "optFlatMap": _optional,
    "bind": _bind,
}
