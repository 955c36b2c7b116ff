"""Where a condition fails because a field is null or missing, as its schema allows.

`value.discount > 10` fails on an event whose discount is null, and a condition that fails counts
as fired. `value.discount != null && value.discount > 10` does not: one operand of `&&` that is
false decides, on whichever side it stands. So what counts as a guard is an operand that decides
whenever the field is not there, without failing itself. Of a union of records, some may lack a
field that others have: there a guard is also what tells which of them it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from .ast import (
    And,
    Call,
    Comprehension,
    Conditional,
    Expr,
    Has,
    Ident,
    Index,
    ListExpr,
    Literal,
    Not,
    Or,
    Select,
    children,
)
from .library import FUNCTIONS
from .names import TYPE_NAMES, dotted_name
from .problems import CelProblem
from .types import TIMESTAMP, Type, alternatives
from .unparse import unparse
from .values import shown

__all__ = ["Fact", "guards", "unguarded"]

_Path: TypeAlias = tuple[str | int, ...]

#: A text, a number, or `("bool", true)`, which Python would take for 1.
_Constant: TypeAlias = str | int | float | tuple[str, bool]

_NO_FACTS: Final = frozenset["Fact"]()
#: Parameters that take null as they take anything.
_TAKE_NULL: Final = frozenset({"dyn", "param", "null_type", "nullable"})
#: What has fields, or may have them.
_HOLDERS: Final = frozenset({"record", "map", "dyn", "param", "optional_type"})
_NAMES: Final = {"int": "an int", TIMESTAMP.kind: "a timestamp"}
_BINDINGS: Final = frozenset({"bind", "optMap", "optFlatMap"})


@dataclass(frozen=True, slots=True)
class Fact:
    """What a part of the event is: `there`, not `null`, a `map`, `one` of some values, or `none` of them."""

    kind: str
    path: _Path
    values: tuple[_Constant, ...] = ()


def guards(expr: Expr, truth: bool) -> frozenset[Fact]:
    """The facts without which `expr` is certainly not `truth`, and does not fail either."""
    match expr:
        case Not():
            return guards(expr.operand, not truth)
        case And() | Or():
            found = [guards(operand, truth) for operand in expr.operands]
            if isinstance(expr, And) is truth:
                return _NO_FACTS.union(*found)
            return found[0].intersection(*found[1:]) | _one_of(found)
        case Has():
            path = _path(expr.operand)
            if truth and path is not None:
                return frozenset({Fact("there", (*path, expr.field))})
        case Call(function="==" | "!=", target=None, args=(left, right)):
            return _equality(left, right, (expr.function == "==") is truth)
        case Call(function="in", target=None, args=(left, right)) if truth:
            return _membership(left, right)
        case Ident() | Select() | Index():
            path = _path(expr)
            return _NO_FACTS if path is None else frozenset({Fact("one", path, (("bool", truth),))})
        case _:
            pass
    return _NO_FACTS


def _one_of(found: Sequence[frozenset[Fact]]) -> frozenset[Fact]:
    """Of `x == "a" || x == "b"`: that it is one of the two."""
    values = [{fact.path: fact.values for fact in facts if fact.kind == "one"} for facts in found]
    return frozenset(
        Fact("one", path, tuple(value for known in values for value in known[path]))
        for path in values[0]
        if all(path in known for known in values)
    )


def _constant(value: object) -> _Constant | None:
    if isinstance(value, bool):
        return "bool", value
    return value if isinstance(value, str | int | float) else None


def _equality(left: Expr, right: Expr, equal: bool) -> frozenset[Fact]:
    """Of `p == literal` where `equal`, and of `p != literal` where not."""
    for part, literal in ((left, right), (right, left)):
        if isinstance(part, Call) and part.function == "type" and equal and len(part.args) == 1:
            path = _path(part.args[0])
            name = dotted_name(literal).removeprefix(".")
            if path is not None and name in TYPE_NAMES and name != "null_type":
                known = [Fact("map", path)] if name == "map" else []
                return frozenset({Fact("null", path), *known})
        path = _path(part)
        if path is None or not isinstance(literal, Literal):
            continue
        facts: list[Fact] = []
        if (literal.value is not None) is equal:
            facts.append(Fact("null", path))
        constant = _constant(literal.value)
        if constant is not None:
            facts.append(Fact("one" if equal else "none", path, (constant,)))
        if facts:
            return frozenset(facts)
    return _NO_FACTS


def _membership(element: Expr, container: Expr) -> frozenset[Fact]:
    path, place = _path(element), _path(container)
    if isinstance(element, Literal) and isinstance(element.value, str) and place is not None:
        return frozenset({Fact("there", (*place, element.value))})
    constant = isinstance(container, ListExpr) and all(map(_is_constant, container.elements))
    listed = place is not None and place[0] == "lists"
    if path is not None and (constant or listed):
        items = container.elements if isinstance(container, ListExpr) else ()
        found = [_constant(item.value) for item in items if isinstance(item, Literal)]
        values = tuple(value for value in found if value is not None)
        known = [Fact("one", path, values)] if values and len(values) == len(items) else []
        return frozenset({Fact("null", path), *known})
    return _NO_FACTS


def _is_constant(item: Expr) -> bool:
    """Whether an element is written down, and is not null: a literal, or a time."""
    if isinstance(item, Call) and item.function == "timestamp" and len(item.args) == 1:
        return item.target is None and isinstance(item.args[0], Literal)
    return isinstance(item, Literal) and item.value is not None


def unguarded(
    expr: Expr, types: Mapping[int, Type], known: Iterable[Fact] = ()
) -> list[CelProblem]:
    """Each field that fails the condition where it is null or missing, once, as a warning.

    `types` are those of `Checked`; `known` is what other parts of the same condition guard.
    """
    finder = _Finder(types)
    finder.used(expr, frozenset(known))
    return finder.problems


class _Finder:
    def __init__(self, types: Mapping[int, Type]) -> None:
        self.types = types
        self.problems: list[CelProblem] = []
        self._told: set[_Path] = set()

    def used(self, node: Expr, known: frozenset[Fact]) -> None:
        """Visit a node whose value must not be null."""
        type_ = self.types.get(id(node))
        path = _path(node)
        nullable = type_ is not None and type_.kind == "nullable"
        if nullable and path is not None and Fact("null", path) not in known:
            self.tell("SW132", node, path, f"{unparse(node)} != null", "be null")
        if isinstance(node, Conditional):
            self.conditional(node, known, self.used)
        else:
            self.visit(node, known)

    def tell(self, code: str, node: Expr, path: _Path, guard: str, how: str) -> None:
        """Note a problem, once for each place."""
        if path in self._told:
            return
        self._told.add(path)
        self.problems.append(
            CelProblem(
                code,
                f"`{unparse(node)}` may {how}, and then the condition fails and counts as fired",
                node.span,
                f"put `{guard} &&` before it, or say `on_error:`",
                "warning",
            )
        )

    def visit(self, node: Expr, known: frozenset[Fact]) -> None:
        match node:
            case Literal() | Ident():
                pass
            case Select() | Index():
                self.field(node, known)
            case Has():
                self.used(node.operand, known)
                self.holder(node.operand, known)
            case Not():
                self.used(node.operand, known)
            case And() | Or():
                self.junction(node.operands, isinstance(node, And), known)
            case Conditional():
                self.conditional(node, known, self.visit)
            case Call():
                self.call(node, known)
            case Comprehension():
                self.comprehension(node, known)
            case _:
                for child in children(node):
                    self.visit(child, known)

    def conditional(
        self,
        node: Conditional,
        known: frozenset[Fact],
        visit: Callable[[Expr, frozenset[Fact]], None],
    ) -> None:
        """Its value is that of one of the branches, which `visit` looks at."""
        self.used(node.test, known)
        visit(node.then, known | guards(node.test, True))
        visit(node.otherwise, known | guards(node.test, False))

    def field(self, node: Select | Index, known: frozenset[Fact]) -> None:
        self.used(node.operand, known)
        name: object = None
        if isinstance(node, Select):
            name = node.field
        else:
            self.used(node.index, known)
            if isinstance(node.index, Literal):
                name = node.index.value
        path = _path(node)
        if path is None or not isinstance(name, str):
            return
        # What no record has is told by the checker.
        named = any(name in each.field_names for each in self.alternatives(node.operand))
        holders = self.holder(node.operand, known)
        lacking = [each for each in holders if named and _may_lack(each, name)]
        if lacking and not node.optional and Fact("there", path) not in known:
            guard = f"has({unparse(node)})"
            if isinstance(node, Index):
                guard = f"{unparse(node.index)} in {unparse(node.operand)}"
            without = [each.name for each in lacking if each.name and each.field(name) is None]
            of = " or ".join(f"`{each}`" for each in dict.fromkeys(without))
            self.tell("SW133", node, path, guard, f"be missing, as in {of}" if of else "be missing")

    def alternatives(self, node: Expr) -> Sequence[Type]:
        """What a value can be where it is not null, as far as that is known."""
        type_ = self.types.get(id(node))
        return () if type_ is None else alternatives(type_)

    def holder(self, node: Expr, known: frozenset[Fact]) -> Sequence[Type]:
        """What a value can be of which a field is read or asked for: records and maps."""
        path = _path(node)
        if path is None:
            return ()
        parts = [each for each in self.alternatives(node) if _may_be(each, path, known)]
        holders = [each for each in parts if each.kind in ("record", "map")]
        other = next((each for each in parts if each.kind not in _HOLDERS), None)
        if holders and other is not None:
            name = _NAMES.get(other.kind, shown(other.kind))
            how = f"be {name}, which has no fields"
            self.tell("SW133", node, path, f"type({unparse(node)}) == map", how)
        return holders

    def junction(self, operands: Sequence[Expr], truth: bool, known: frozenset[Fact]) -> None:
        """Each operand is guarded by all the others."""
        facts = [guards(operand, truth) for operand in operands]
        every = [fact for found in facts for fact in found]
        for operand, own in zip(operands, facts, strict=True):
            # What the operand says itself does not keep it from failing, another one's same words do.
            mine = {fact for fact in own if every.count(fact) == 1}
            self.used(operand, known | (frozenset(every) - mine))

    def call(self, node: Call, known: frozenset[Fact]) -> None:
        if node.function in ("==", "!="):
            for arg in node.args:
                self.visit(arg, known)
            return
        if node.function == "in" and node.target is None and len(node.args) == 2:
            self.visit(node.args[0], known)
            self.used(node.args[1], known)
            return
        for position, part in enumerate(children(node)):
            visit = self.visit if _takes_null(node, position) else self.used
            visit(part, known)

    def comprehension(self, node: Comprehension, known: frozenset[Fact]) -> None:
        (self.visit if node.macro in _BINDINGS else self.used)(node.range, known)
        inner = frozenset(fact for fact in known if fact.path[0] not in node.variables)
        condition = node.macro in ("all", "exists", "exists_one", "filter") or len(node.args) == 2
        for position, arg in enumerate(node.args):
            (self.used if condition and position == 0 else self.visit)(arg, inner)
            if condition:
                inner |= guards(arg, True)


def _may_lack(type_: Type, name: str) -> bool:
    """Whether a record may be without a field; of maps nobody knows."""
    return type_.kind == "record" and (name in type_.optional or name not in type_.field_names)


def _may_be(type_: Type, path: _Path, known: frozenset[Fact]) -> bool:
    """Whether a value at `path` can be of a type, as far as facts say that do not fail of it."""
    if type_.kind != "record":
        return type_.kind == "map" or Fact("map", path) not in known
    for fact in known:
        name = fact.path[-1]
        if fact.path[:-1] != path or not isinstance(name, str):
            continue
        if fact.kind == "there" and name not in type_.field_names and not type_.open:
            return False
        values = _values(type_, name) if fact.values else None
        if values and fact.kind == "one" and values.isdisjoint(fact.values):
            return False
        if values and fact.kind == "none" and values.issubset(fact.values):
            return False
    return True


def _values(type_: Type, name: str) -> frozenset[_Constant]:
    """The only values of a field that is always there; empty where there may be others."""
    found = None if name in type_.optional else type_.field(name)
    if found is None:
        return frozenset()
    if found.kind == "string":
        return frozenset(found.symbols)
    only = () if found.range is None else found.range.values
    return frozenset((found.kind, bool(value)) if found.kind == "bool" else value for value in only)


def _takes_null(node: Call, position: int) -> bool:
    """Whether the function has a form that takes null in this place."""
    function = FUNCTIONS.get(node.function)
    if function is None:
        return False
    method, count = node.target is not None, len(children(node))
    return any(
        overload.method is method
        and len(overload.params) == count
        and overload.params[position].kind in _TAKE_NULL
        for overload in function.overloads
    )


def _path(node: Expr) -> _Path | None:
    """Names and positions of a part of the event, or of what a macro's variable stands for."""
    steps: list[str | int] = []
    while not isinstance(node, Ident):
        if isinstance(node, Select):
            steps.append(node.field)
            node = node.operand
        elif isinstance(node, Index) and isinstance(node.index, Literal):
            key = node.index.value
            if not isinstance(key, str | int):
                return None
            steps.append(key)
            node = node.operand
        else:
            return None
    name = node.name.removeprefix(".")
    return ("value" if name == "message" else name, *reversed(steps))
