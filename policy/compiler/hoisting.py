"""Places as local variables of generated functions.

Every place that a function reads is fetched once. What is not there, below something that is no
object, or out of reach is `MISSING`, whose only meaning is that reading it is an error. A *view*
is a place as one kind of value: the number view of anything else is NaN, which compares false.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from ...schemas.json_projection import Node as Projected
from ...schemas.views import is_hidden_header
from .classes import NUMBERS, number_test
from .formula import CALCULATED, Place
from .pycode import (
    Namespace,
    Node,
    Statement,
    assign,
    attribute,
    call,
    class_is,
    compare,
    conjunction,
    constant,
    either,
    if_,
    name,
)

__all__ = ["ELEMENT", "Roots", "Scope"]

#: The variable that quantifiers bind, and its name in generated code.
ELEMENT: Final = "@element"
_ELEMENT_NAME: Final = "x"
_MISSING: Final = name("MISSING")
_WHOLE: Final = Projected()


class Roots:
    """What the variables are in generated code; shared by the functions of a plan."""

    def __init__(
        self,
        namespace: Namespace,
        projected: Mapping[str, Projected],
        calculator: Callable[[str], object],
    ) -> None:
        self._namespace, self._calculator = namespace, calculator
        self._calculators: dict[str, Node] = {}
        namespace.values["NUMBERS"] = NUMBERS
        self._projected = dict(projected)
        self._classes: dict[type, str] = {}
        self._places: dict[Place, int] = {}

    def number(self, place: Place) -> int:
        """A number for `place`, the same in all functions."""
        return self._places.setdefault(place, len(self._places))

    def calculator(self, text: str) -> Node:
        """The function of event and value that computes `text`."""
        found = self._calculators.get(text)
        if found is None:
            made = self._namespace.add("calculated", self._calculator(text))
            found = self._calculators[text] = made
        return found

    def node(self, place: Place, elements: Projected | None) -> Projected:
        """Where `place` is in the projection of its variable."""
        node = elements or _WHOLE
        if place.variable != ELEMENT:
            node = self._projected.get(place.variable, _WHOLE)
        for segment in place.path:
            if isinstance(segment, int):
                node = node.elements or _WHOLE
            else:
                node = node.members[segment][1] if segment in node.members else _WHOLE
        return node

    def class_name(self, node: Projected) -> str:
        """The name of the class of an object at `node`."""
        if node.type is None:
            return "dict"
        found = self._classes.get(node.type)
        if found is None:
            found = self._classes[node.type] = self._namespace.fresh("Object")
            self._namespace.values[found] = node.type
        return found


class Scope:
    """The locals of a function or of a block in it; those of `outer` are seen, too.

    What is not known yet is fetched by `statements`, which go before the block.
    """

    def __init__(
        self, roots: Roots, outer: Scope | None = None, elements: Projected | None = None
    ) -> None:
        self.roots, self.outer = roots, outer
        inherited = outer.elements if outer else None
        self.elements: Projected | None = elements or inherited
        self.statements: list[Statement] = []
        self._names: dict[tuple[str, Place], Node] = {}

    def inner(self, elements: Projected | None = None) -> Scope:
        """A block inside this one; `elements` where it binds the elements of a list."""
        return Scope(self.roots, self, elements)

    def apart(self, elements: Projected | None = None) -> Scope:
        """A scope of another function, which knows no locals of this one."""
        return Scope(self.roots, None, elements)

    def node(self, place: Place) -> Projected:
        """Where `place` is in the projection."""
        return self.roots.node(place, self.elements)

    def slot(self, place: Place) -> Node:
        """The value at `place`."""
        found = self._find("p", place)
        if found is None and place.variable == CALCULATED:
            return self._calculated(place)  # where it is asked for, and not before
        if found is None:
            found = self._root(place) if not place.path else self._member(place)
            self._names["p", place] = found
        return found

    def number(self, place: Place) -> Node:
        """The number at `place`, NaN where it is none."""
        found = self._find("n", place)
        if found is None and place.variable == CALCULATED and self._find("p", place) is None:
            return call("number_view", self._calculated(place))
        if found is None:
            value = self.slot(place)
            view = either(number_test(value), value, name("NAN"))
            found = self._names["n", place] = self._assign("n", place, view)
        return found

    def time(self, place: Place, converts: bool) -> Node:
        """The time at `place` in nanoseconds, NaN where there is none."""
        key = "t" if converts else "i"
        found = self._find(key, place)
        if found is None:
            if place.variable in ("now", "timestamp"):
                view = call(f"{place.variable}_ns", name("event"))
            else:
                view = call("moment" if converts else "instant", self.slot(place))
            found = self._names[key, place] = self._assign(key, place, view)
        return found

    def in_object(self, place: Place) -> Node:
        """Whether there is an object that could have the member `place`."""
        parent = Place(place.variable, place.path[:-1])
        if parent == ("headers", ()):
            return compare(self._headers(), "is not", constant(None))
        return class_is(self.slot(parent), self.roots.class_name(self.node(parent)))

    def fetch(self, places: list[Place]) -> None:
        """Fetch many places at once: the members of one object after a single test."""
        families: dict[Place, list[Place]] = {}
        above = [
            Place(place.variable, place.path[:length])
            for place in places
            for length in range(1, len(place.path))
        ]
        for place in sorted(dict.fromkeys([*places, *above]), key=lambda each: len(each.path)):
            if place.variable == CALCULATED:
                if self._find("p", place) is None:
                    self._names["p", place] = self._assign("p", place, self._calculated(place))
                continue
            parent = Place(place.variable, place.path[:-1])
            named = bool(place.path) and isinstance(place.path[-1], str)
            if not named or parent == ("headers", ()) or self._find("p", place) is not None:
                self.slot(place)
            else:
                families.setdefault(parent, []).append(place)
        for parent in sorted(families, key=lambda each: len(each.path)):
            self._family(parent, families[parent])

    def _family(self, parent: Place, members: list[Place]) -> None:
        owner, node = self.slot(parent), self.node(parent)
        names = [f"p{self.roots.number(member)}" for member in members]
        fetches = [
            assign(local, self._from_object(owner, node, str(member.path[-1])))
            for local, member in zip(names, members, strict=True)
        ]
        missing = assign(names[0], _MISSING, *names[1:])
        self.statements.append(
            if_(class_is(owner, self.roots.class_name(node)), fetches, [missing])
        )
        for local, member in zip(names, members, strict=True):
            self._names["p", member] = name(local)

    def _find(self, view: str, place: Place) -> Node | None:
        scope: Scope | None = self
        while scope is not None:
            found = scope._names.get((view, place))  # noqa: SLF001 — of the same class
            if found is not None:
                return found
            scope = scope.outer
        return None

    def _assign(self, view: str, place: Place, value: Node) -> Node:
        local = f"{view}{self.roots.number(place)}"
        self.statements.append(assign(local, value))
        return name(local)

    def _calculated(self, place: Place) -> Node:
        return call(self.roots.calculator(str(place.path[0])), name("event"), name("value"))

    def _root(self, place: Place) -> Node:
        match place.variable:
            case "value":
                return name("value")
            case "@element":
                return name(_ELEMENT_NAME)
            case "partition" | "offset":
                return attribute(name("event"), place.variable)
            case "headers":
                return self._headers()
            case _:
                return self._assign("p", place, call(f"{place.variable}_root", name("event")))

    def _headers(self) -> Node:
        place = Place("headers")
        found = self._find("h", place)
        if found is None:
            found = self._assign("h", place, call("header_map", name("event")))
            self._names["h", place] = found
        return found

    def _member(self, place: Place) -> Node:
        *path, last = place.path
        parent = Place(place.variable, tuple(path))
        if parent == ("headers", ()):
            return self._assign("p", place, self._header(last))
        owner, node = self.slot(parent), self.node(parent)
        if isinstance(last, int):
            if last < 0:
                return _MISSING
            there = compare(call("len", owner), ">", constant(last))
            test = conjunction([class_is(owner, "list"), there])
            value = call(attribute(owner, "__getitem__"), constant(last))
        else:
            test = class_is(owner, self.roots.class_name(node))
            value = self._from_object(owner, node, last)
        return self._assign("p", place, either(test, value, _MISSING))

    def _from_object(self, owner: Node, node: Projected, member: str) -> Node:
        if node.type is None:
            return call(attribute(owner, "get"), constant(member), _MISSING)
        return attribute(owner, node.members[member][0])

    def _header(self, header: str | int) -> Node:
        if isinstance(header, int) or is_hidden_header(header):
            return _MISSING
        headers = self._headers()
        there = conjunction(
            [
                compare(headers, "is not", constant(None)),
                compare(constant(header), "in", headers),
            ]
        )
        value = call(attribute(headers, "get"), constant(header))
        return either(there, call("header_value", value), _MISSING)
