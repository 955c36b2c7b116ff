"""Which element decided: the first witness of `exists`, the first counterexample of `all`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final, NamedTuple, cast

from .bound import Place, Scope, Secrets
from .cel import CelError, Program, compile_exact
from .cel.ast import Comprehension, Ident, walk
from .cel.values import is_list, is_map, normal, written_key
from .model import Path
from .privacy import HIDDEN, show

__all__ = ["Decided", "Loop", "place_text"]

#: Elements that are asked again for the trail of one condition; one further on is not told.
_ASKED_MAX: Final = 1_000
#: So many are asked together first, which is cheaper than one by one.
_TOGETHER: Final = 32
#: The variable for those; no name of CEL begins so.
_PART: Final = "@part"
#: Where the variables say which element a loop is at, by its depth.
_AT: Final = "@at:"
_HIDDEN: Final = object()
_KEY: Final = object()


class Decided(NamedTuple):
    """What a trail says of the element, and the variables that its condition sees."""

    said: Mapping[str, Any]
    known: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Loop:
    """How the element is found. `body` may be a condition, or bound to a single value by `bind`.

    `shown`: which element it was may be told; `keys_shown`: also where it is the key of a map.
    """

    macro: str
    variables: tuple[str, ...]
    depth: int
    range: Program
    part: Program
    body: Program
    shown: bool
    keys_shown: bool

    @staticmethod
    def understands(node: Comprehension) -> bool:
        """Whether what decides can be told."""
        # A name with a dot would be looked for outside of the macro.
        return node.macro in ("all", "exists", "bind") and not any(
            isinstance(each, Ident) and each.name.startswith(".") for each in walk(node.args[0])
        )

    @classmethod
    def of(cls, node: Comprehension, scope: Scope, inside: Scope, secrets: Secrets) -> Loop:
        """The loop of a macro in `scope`, with `inside` the scope of its condition."""
        shown = not any(inside.names[name].secret for name in node.variables)
        return cls(
            node.macro,
            node.variables,
            scope.depth,
            compile_exact(node.range),
            compile_exact(replace(node, range=Ident(_PART))),
            compile_exact(node.args[0]),
            shown,
            shown and not secrets.hides_keys(node, scope),
        )

    def decided(self, known: Mapping[str, object], result: object) -> Decided | None:
        """The element for which the macro came to `result`; None where no single one did."""
        around = self.range(known)
        if self.macro == "bind":
            if isinstance(around, CelError):
                return None
            return Decided({}, {**known, self.variables[0]: around})
        failed = isinstance(result, CelError) and result.code != "too_many_iterations"
        if result is not (self.macro == "exists") and not failed:
            return None  # All of them say so, or there are too many.
        within = dict(known)
        first = self._first(around, known, result)
        asked = islice(self._elements(around), first, _ASKED_MAX)
        for label, values in asked:
            within.update(zip(self.variables, values, strict=True))
            if _agree(self.body(within), result):
                of_list = is_list(around)
                shown = self.shown if of_list else self.keys_shown
                path_ends = not of_list and len(self.variables) == 1
                within[f"{_AT}{self.depth}"] = _KEY if path_ends else label if shown else _HIDDEN
                return Decided({"element": show(label) if shown else HIDDEN}, within)
        return None

    def _first(self, around: object, known: Mapping[str, object], result: object) -> int:
        """Where to begin: all elements of a list before it are known to decide nothing."""
        if type(around) is not list or len(self.variables) > 1:
            return 0
        items = cast("list[object]", around)
        for start in range(0, min(len(items), _ASKED_MAX), _TOGETHER):
            part = {**known, _PART: items[start : start + _TOGETHER]}
            if _agree(self.part(part), result):
                return start
        return _ASKED_MAX

    def _elements(self, around: object) -> Iterator[tuple[object, tuple[object, ...]]]:
        """Each index or key, with what the variables are there."""
        alone = len(self.variables) == 1
        if is_list(around):
            for index, item in enumerate(around):
                value = normal(item)
                yield index, (value,) if alone else (index, value)
        elif is_map(around):
            for held, item in around.items():
                key = written_key(held)
                yield key, (key,) if alone else (key, normal(item))


def _agree(value: object, result: object) -> bool:
    return isinstance(value, CelError) if isinstance(result, CelError) else value is result


def place_text(place: Place, known: Mapping[str, object]) -> str | None:
    """The path of a value, with the elements that loops are at; None for the key of a map."""
    path, slots = place
    if slots:
        filled = list(path)
        for position, depth in slots:
            label = known.get(f"{_AT}{depth}")
            if label is _KEY:
                return None
            filled[position] = label if isinstance(label, (str, int)) else None
        path = tuple(filled)
    return _path_text(path)


def _path_text(path: Path) -> str:
    """A path as people write it: `value.items[0].price`, `headers["odd-name"]`."""
    text = str(path[0])
    for segment in path[1:]:
        if segment is None:
            text += "[]"
        elif isinstance(segment, int):
            text += f"[{segment}]"
        elif segment.isidentifier():
            text += f".{segment}"
        else:
            text += f'["{segment}"]'
    return text
