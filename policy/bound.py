"""What the variables of macros stand for: where they are in the event, and what must not be shown.

Which element decided is itself derived from what it was asked. It is told where every sensitive
value that was asked for is a part of that element, so that it says no more than the result of the
condition for one element after the other. Where something else that is sensitive was asked for
(`lists.pins.exists(p, p == value.pin)`), the element would tell it: then nothing of it is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple, TypeAlias

from .cel.ast import Comprehension, Expr, Has, Ident, Index, Literal, Select, children
from .cel.unparse import unparse
from .model import Path
from .privacy import Privacy, path_of

__all__ = ["NO_SCOPE", "Bound", "Place", "Scope", "Secrets"]

_Owners: TypeAlias = frozenset[int]

#: Macros whose variable is one value; the others visit elements.
_ONE_VALUE: Final = frozenset({"bind", "optMap", "optFlatMap"})
_QUANTIFIERS: Final = frozenset({"all", "exists", "exists_one"})


class Place(NamedTuple):
    """A path, and what its open segments are: each by its position.

    `slots` are the elements of loops, by depth; `written` the expressions that compute a key or a
    position, as the rule writes them.
    """

    path: Path
    slots: tuple[tuple[int, int], ...] = ()
    written: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Bound:
    """A variable of a macro. `place` is None where it is computed.

    `owners` are the loops (by depth) of whose elements it is a part; `secret`: it is never shown,
    nor what is derived from it.
    """

    place: Place | None
    tainted: bool
    owners: _Owners
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Scope:
    """The variables of the macros around an expression; `depth` is how many of these are loops."""

    depth: int = 0
    names: Mapping[str, Bound] = field(default_factory=dict[str, Bound])

    def place(self, node: Expr) -> Place | None:
        """Where a chain of selections reads; None for others."""
        path = path_of(node)
        if path is None:
            return None
        bound = self.names.get(_root(node))
        if bound is None:
            return Place(path, (), _written(node, len(path)))
        if bound.place is None:
            return None
        whole = (*bound.place.path, *path[1:])
        return Place(whole, bound.place.slots, bound.place.written + _written(node, len(whole)))


NO_SCOPE: Final = Scope()


class Secrets:
    """Which expressions are derived from the sensitive paths of a topic."""

    __slots__ = ("_privacy",)

    def __init__(self, privacy: Privacy) -> None:
        self._privacy = privacy

    def taint(self, node: Expr, scope: Scope = NO_SCOPE) -> bool:
        """True where the value of `node` is derived from a sensitive path."""
        return bool(self._privacy.paths) and bool(self._read(node, scope))

    def inside(self, node: Comprehension, scope: Scope) -> Scope:
        """The scope of the body of a macro, in which all is secret that must not be shown."""
        found = self._inside(node, scope)
        if node.macro in _ONE_VALUE or self._tells_no_more(node, scope, found):
            return found
        secret = {name: replace(found.names[name], secret=True) for name in node.variables}
        return Scope(found.depth, {**found.names, **secret})

    def hides_keys(self, node: Comprehension, scope: Scope) -> bool:
        """Whether a key is not shown where the range is a map."""
        return self.taint(node.range, scope)

    def _inside(self, node: Comprehension, scope: Scope) -> Scope:
        place, depth = scope.place(node.range), scope.depth
        read, around = self._read(node.range, scope), scope.names.get(_root(node.range))
        if self._indexes(node.range, scope) or (around is not None and around.secret):
            place = None
        owners = _Owners() if place is None or around is None else around.owners
        if place is None and read:
            owners = _Owners.intersection(*read)
        if node.macro in _ONE_VALUE:
            names = {name: Bound(place, bool(read), owners) for name in node.variables}
            return Scope(depth, {**scope.names, **names})
        if place is not None:
            slots = (*place.slots, (len(place.path), depth))
            place = Place((*place.path, None), slots, place.written)
        *keys, element = node.variables
        names = {name: Bound(None, bool(read), owners | {depth}) for name in keys}
        names[element] = Bound(place, bool(read), owners | {depth})
        return Scope(depth + 1, {**scope.names, **names})

    def _tells_no_more(self, node: Comprehension, scope: Scope, inside: Scope) -> bool:
        """Whether the element that decides says nothing that its own condition does not say."""
        element = inside.names[node.variables[-1]]
        if element.place is None:
            if self.taint(node.range, scope):
                return False
        elif self._wholly(element.place.path):
            return False
        return all(scope.depth in owners for arg in node.args for owners in self._read(arg, inside))

    def _wholly(self, element: Path) -> bool:
        """Whether the whole of each element is sensitive, rather than a part of it."""
        above = (path for path in self._privacy.paths if len(path) <= len(element))
        return Privacy(above).hides(element)

    def _read(self, node: Expr, scope: Scope) -> list[_Owners]:
        """The owners of each sensitive value that `node` reads."""
        if isinstance(node, Has):
            return self._read(Select(node.operand, node.field), scope)
        if isinstance(node, Comprehension):
            inside = self._inside(node, scope)
            body = [owners for arg in node.args for owners in self._read(arg, inside)]
            element = inside.names[node.variables[-1]].place
            if (
                node.macro in _QUANTIFIERS
                and element is not None
                and not self._wholly(element.path)
            ):
                return body  # Of the elements only what the body reads.
            return [*self._read(node.range, scope), *body]
        path = path_of(node)
        if path is None:
            return [owners for child in children(node) for owners in self._read(child, scope)]
        found = self._indexes(node, scope)
        bound = scope.names.get(_root(node))
        place = scope.place(node)
        if bound is not None and bound.secret:
            found.append(_Owners())
        elif self._privacy.hides(place.path) if place else bound is not None and bound.tainted:
            found.append(_Owners() if bound is None else bound.owners)
        return found

    def _indexes(self, node: Expr, scope: Scope) -> list[_Owners]:
        """What the computed indexes of a chain of selections read."""
        found: list[_Owners] = []
        while isinstance(node, (Select, Index)):
            if isinstance(node, Index):
                found += self._read(node.index, scope)
            node = node.operand
        return found


def _written(node: Expr, length: int) -> tuple[tuple[int, str], ...]:
    """What a chain of selections computes of its segments; `length` is that of the whole path."""
    found: list[tuple[int, str]] = []
    while isinstance(node, (Select, Index)):
        length -= 1
        if isinstance(node, Index) and not _is_segment(node.index):
            found.append((length, unparse(node.index)))
        node = node.operand
    return tuple(reversed(found))


def _is_segment(index: Expr) -> bool:
    return isinstance(index, Literal) and isinstance(index.value, (str, int))


def _root(node: Expr) -> str:
    """The variable at the beginning of a chain of selections."""
    while isinstance(node, (Select, Index)):
        node = node.operand
    return node.name if isinstance(node, Ident) else ""
