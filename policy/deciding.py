"""Which elements decided: the first witness of `exists`, the first counterexample of `all`.

Of `exists_one` it is the one that there is, or the first two of more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from .bound import Place, Scope, Secrets
from .cel import CelError, Decision, Program, compile_deciding, compile_exact
from .cel.ast import Comprehension, Ident, walk
from .paths import format_path
from .privacy import HIDDEN, show

__all__ = ["Decided", "Loop", "place_text"]

#: An element further on is not told, nor asked where what the whole comes to is known.
_ASKED_MAX: Final = 1_000
_QUANTIFIERS: Final = frozenset({"all", "exists", "exists_one"})
#: Where the variables say which element a loop is at, by its depth.
_AT: Final = "@at:"
_HIDDEN: Final = object()
_KEY: Final = object()


class Decided(NamedTuple):
    """What a trail says of an element, and the variables that its condition sees."""

    said: Mapping[str, Any]
    known: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Loop:
    """How elements are found, in one pass with the result. `bind` has one value, and no element.

    `first` asks the first elements alone; of what is `neutral` no single one decides. `shown`: which element it was may be told; `keys_shown`:
    also where it is the key of a map.
    """

    variables: tuple[str, ...]
    depth: int
    bound: tuple[Program, Program] | None
    every: Callable[[Mapping[str, object]], Decision]
    first: Callable[[Mapping[str, object]], Decision]
    neutral: bool | None
    shown: bool
    keys_shown: bool

    @staticmethod
    def understands(node: Comprehension) -> bool:
        """Whether what decides can be told."""
        # A name with a dot would be looked for outside of the macro.
        return (node.macro in _QUANTIFIERS or node.macro == "bind") and not any(
            isinstance(each, Ident) and each.name.startswith(".") for each in walk(node.args[0])
        )

    @classmethod
    def of(cls, node: Comprehension, scope: Scope, inside: Scope, secrets: Secrets) -> Loop:
        """The loop of a macro in `scope`, with `inside` the scope of its condition."""
        bound, names = None, scope.names.keys()
        if node.macro == "bind":
            bound = compile_exact(node.range, names=names), compile_exact(node, names=names)
        shown = not any(inside.names[name].secret for name in node.variables)
        return cls(
            node.variables,
            scope.depth,
            bound,
            compile_deciding(node, _ASKED_MAX, names=names),
            compile_deciding(node, _ASKED_MAX, names=names, cut=True),
            {"all": True, "exists": False}.get(node.macro),
            shown,
            shown and not secrets.hides_keys(node, scope),
        )

    def decided(
        self, known: Mapping[str, object], verdict: bool | None
    ) -> tuple[object, Sequence[Decided]]:
        """What the macro comes to, and the elements that made it so; `verdict` is that, if known."""
        if self.bound is not None:
            return self._bound(known, verdict, *self.bound)
        if verdict is not None and verdict is self.neutral:
            return verdict, ()  # All of them say so.
        found = self.every(known) if verdict is None else self.first(known)
        if verdict is not None and found.result is not verdict:
            return verdict, ()  # The first elements alone do not say so.
        elements = [self._element(known, found.of_list, *each) for each in found.elements]
        return found.result, elements

    def _element(
        self,
        known: Mapping[str, object],
        of_list: bool,
        label: object,
        values: tuple[object, ...],
    ) -> Decided:
        within = {**known, **dict(zip(self.variables, values, strict=True))}
        shown = self.shown if of_list else self.keys_shown
        path_ends = not of_list and len(self.variables) == 1
        within[f"{_AT}{self.depth}"] = _KEY if path_ends else label if shown else _HIDDEN
        return Decided({"element": show(label) if shown else HIDDEN}, within)

    def _bound(
        self, known: Mapping[str, object], verdict: bool | None, range_: Program, whole: Program
    ) -> tuple[object, Sequence[Decided]]:
        result = whole(known) if verdict is None else verdict
        value = range_(known)
        if isinstance(value, CelError):
            return result, ()
        return result, [Decided({}, {**known, self.variables[0]: value})]


def place_text(place: Place, known: Mapping[str, object]) -> str | None:
    """The path of a value, with the elements that loops are at; None for the key of a map.

    What a rule computes to look something up stands there as the rule writes it.
    """
    filled = list(place.path)
    for position, depth in place.slots:
        label = known.get(f"{_AT}{depth}")
        if label is _KEY:
            return None
        filled[position] = label if isinstance(label, (str, int)) else None
    if not place.written:
        return format_path(tuple(filled))
    text, done = "", 0
    for position, written in place.written:
        text += f"{_tail(filled, done, position)}[{written}]"
        done = position + 1
    return text + _tail(filled, done, len(filled))


def _tail(path: Sequence[str | int | None], start: int, end: int) -> str:
    """A piece of a path as it stands in the whole."""
    if start == 0:
        return format_path(tuple(path[:end]))
    return format_path(("_", *path[start:end]))[1:]
