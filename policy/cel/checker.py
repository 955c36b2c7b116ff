"""What is wrong with an expression before any event is seen.

Types are inferred bottom up; where nothing is known they are `dyn`, and nothing is said. Every
problem is collected, each at the smallest part of the text that has it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

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
    MapExpr,
    Not,
    Or,
    Select,
    Span,
)
from .call_checks import CallChecks
from .library import FUNCTIONS, Function
from .names import TYPE_NAMES, dotted_name
from .problems import CelProblem, closest
from .types import (
    BOOL,
    BYTES,
    DOUBLE,
    DYN,
    FIGURES,
    INT,
    NULL,
    STRING,
    TYPE,
    UINT,
    Type,
    alternatives,
    either,
    list_of,
    map_of,
    optional_of,
    record,
)
from .unify import bare
from .values import UInt

__all__ = ["Checked", "Environment", "check"]


@dataclass(frozen=True, slots=True)
class Environment:
    """What an expression may refer to.

    `forbidden` maps variables that exist but not here to the reason; `lists` are the names that
    may follow `lists.`. With `noting` the types of all parts are kept.
    """

    variables: Mapping[str, Type]
    lists: Collection[str] = ()
    forbidden: Mapping[str, str] = field(default_factory=dict[str, str])
    expect_bool: bool = True
    functions: Mapping[str, Function] = field(default_factory=lambda: FUNCTIONS)
    noting: bool = False


@dataclass(frozen=True, slots=True)
class Checked:
    """The outcome: what is wrong, and the type of the whole expression.

    `types` has those of its parts by their identity, where the environment asks for it.
    """

    expr: Expr
    problems: tuple[CelProblem, ...]
    type: Type
    types: Mapping[int, Type] = field(default_factory=dict[int, Type], repr=False)

    @property
    def ok(self) -> bool:
        """True where nothing is wrong beyond warnings."""
        return not any(problem.severity == "error" for problem in self.problems)


def check(expr: Expr, env: Environment) -> Checked:
    """Every problem of an expression, in the order of the text."""
    checker = _Checker(env)
    type_ = checker.unifier.settle(checker.type_of(expr))
    if env.expect_bool and not checker.can_be(type_, "bool"):
        checker.problem(
            "SW124",
            f"a condition is true or false, and this is {checker.a(type_)}",
            expr.span,
            'compare it with something, for example `… > 0` or `… == "x"`',
        )
    problems = sorted(checker.problems, key=lambda problem: problem.span.start)
    types = {node: checker.unifier.settle(found) for node, found in checker.types.items()}
    return Checked(expr, tuple(problems), type_, types)


#: Among more names the nearest is not looked for: that would take seconds.
_NEAR_MAX: Final = 2_000
#: Fields that are listed where none is near.
_FIELDS_SHOWN: Final = 6
#: How other languages write the words of this one.
_WORDS: Final = {
    **dict.fromkeys(("none", "null", "nil", "undefined"), "null"),
    "true": "true",
    "false": "false",
}
_LITERALS: Final[Mapping[type, Type]] = {
    type(None): NULL,
    bool: BOOL,
    int: INT,
    UInt: UINT,
    float: DOUBLE,
    str: STRING,
    bytes: BYTES,
}


class _Checker(CallChecks):
    """One pass over a tree; `scope` has the types of the variables that macros bind.

    `from_event` of the base class says of every node whether its numbers may be promoted.
    """

    def __init__(self, env: Environment) -> None:
        super().__init__(env.functions)
        self.env = env
        self.types: dict[int, Type] = {}

    def type_of(self, node: Expr) -> Type:
        type_ = self.inferred(node)
        if self.env.noting:
            self.types[id(node)] = type_
        return type_

    def inferred(self, node: Expr) -> Type:
        match node:
            case Literal():
                return _LITERALS[type(node.value)]
            case Ident():
                return self.identifier(node)
            case Select():
                return self.selection(node)
            case Has():
                self.field_type(node.operand, self.type_of(node.operand), node.field, node.span)
                return self.note(node, BOOL, node.operand)
            case Index():
                return self.subscript(node)
            case Not() | And() | Or():
                operands = (node.operand,) if isinstance(node, Not) else node.operands
                if not isinstance(node, And):
                    aside = self.denied if isinstance(node, Not) else self.alternative
                    aside.update(map(id, operands))
                for operand in operands:
                    self.expect_condition(operand, self.type_of(operand))
                return self.note(node, BOOL, *operands)
            case Conditional():
                self.alternative.add(id(node.test))
                self.expect_condition(node.test, self.type_of(node.test))
                type_ = self.branches(self.type_of(node.then), self.type_of(node.otherwise))
                return self.note(node, type_, node.test, node.then, node.otherwise)
            case Call():
                return self.call(node)
            case ListExpr() | MapExpr():
                return self.collection(node)
            case Comprehension():
                return self.comprehension(node)

    # Names.

    def identifier(self, node: Ident) -> Type:
        bound = self.scope.get(node.name)
        if bound is not None:
            if bound[1]:
                self.from_event.add(id(node))
            return bound[0]
        name = node.name.removeprefix(".")
        self.from_event.add(id(node))
        if name in self.env.forbidden:
            self.problem("SW166", self.env.forbidden[name], node.span)
            return DYN
        type_ = self.env.variables.get(name)
        if type_ is not None:
            return type_
        if name in TYPE_NAMES:
            self.from_event.discard(id(node))
            return TYPE
        self.unknown_variable(name, node.span)
        return DYN

    def unknown_variable(self, name: str, span: Span) -> None:
        """Say that there is no such variable, and what was probably meant."""
        value = self.env.variables.get("value")
        if name.lower() in _WORDS:
            remedy = f"write `{_WORDS[name.lower()]}`"
        elif value is not None and (
            value.field(name) or (value.kind != "record" and not self.near(name))
        ):
            remedy = f"a field of the event is written `value.{name}`"
        elif self.near(name):
            remedy = f"did you mean `{self.near(name)}`?"
        else:
            known = ", ".join(f"`{variable}`" for variable in sorted(self.env.variables))
            remedy = f"the variables are {known}" if known else ""
        self.problem("SW121", f"there is no variable `{name}`", span, remedy)

    def is_variable(self, name: str) -> bool:
        known = (self.scope, self.env.variables, self.env.forbidden, TYPE_NAMES)
        return any(name in names for names in known)

    def near(self, name: str) -> str | None:
        return closest(name, {*self.env.variables, *self.scope})

    # Fields and elements.

    def selection(self, node: Select) -> Type:
        name = dotted_name(node)
        if name in TYPE_NAMES and name.partition(".")[0] not in self.env.variables:
            return TYPE
        type_ = self.type_of(node.operand)
        found = self.field_type(node.operand, type_, node.field, node.span)
        if node.field in bare(self.unifier.look(type_)).optional:
            self.may_miss.add(id(node))
        if node.optional and bare(self.unifier.look(type_)).kind != "optional_type":
            found = optional_of(found)
        return self.note(node, found, node.operand)

    def field_type(self, operand: Expr, type_: Type, name: str, span: Span) -> Type:
        """The type of `operand.name`, or of `operand["name"]`."""
        self.check_list_name(operand, name, span)
        type_ = bare(self.unifier.look(type_))
        if type_.kind == "optional_type":
            return optional_of(self.field_type(operand, type_.params[0], name, span))
        if type_.kind == "either":
            return self.field_of_either(type_, name, span)
        if type_.kind == "record":
            found = type_.field(name)
            if found is None and type_.name != "lists":
                self.unknown_field(type_, name, span)
            return found or DYN
        if type_.kind == "map":
            self.unifier.fits(type_.params[0], STRING)
            if type_.keys is not None and name not in type_.keys:
                self.unknown_key(type_.keys, name, span)
            return FIGURES if name in type_.columns else type_.params[1]
        if type_.kind not in ("dyn", "param"):
            self.problem("SW123", f"{self.a(type_)} has no fields, so no `{name}`", span)
        return DYN

    def field_of_either(self, type_: Type, name: str, span: Span) -> Type:
        """Where one of the alternatives has the field, the condition may well hold."""
        holders = [each for each in type_.params if each.kind in ("record", "map")]
        if not holders:
            self.problem("SW123", f"{self.a(type_)} has no fields, so no `{name}`", span)
            return DYN
        found = [
            each.params[1] if each.kind == "map" else each.field(name)
            for each in holders
            if each.kind == "map" or name in each.field_names
        ]
        if not found:
            names = dict.fromkeys(each.name for each in holders if each.name)
            known = {field: DYN for each in holders for field in each.field_names}
            may_have = any(each.open for each in holders)
            self.unknown_field(record("` or `".join(names), known, open=may_have), name, span)
        if any(each.open and name not in each.field_names for each in holders):
            return DYN  # It may have the field too, with whatever type.
        return either(each for each in found if each is not None) if found else DYN

    def unknown_field(self, type_: Type, name: str, span: Span) -> None:
        """An error, or a warning where the schema allows for fields that it does not name."""
        near = closest(name, type_.field_names)
        where = f" in `{type_.name}`" if type_.name else ""
        if type_ is self.env.variables.get(type_.name):
            message, severity = f"`{type_.name}` has no field `{name}`", "error"
        elif type_.open:
            message, severity = f"the schema does not name a field `{name}`{where}", "warning"
        else:
            message, severity = f"the schema has no field `{name}`{where}", "error"
        remedy = f"did you mean `{near}`?" if near else ""
        if not near and 0 < len(type_.field_names) <= _FIELDS_SHOWN:
            remedy = f"it has {', '.join(f'`{field}`' for field in type_.field_names)}"
        self.problem("SW125", message, span, remedy, severity)

    def unknown_key(self, keys: Collection[str], name: str, span: Span) -> None:
        """A warning: lists change without the rules that use them."""
        near = closest(name, keys) if len(keys) <= _NEAR_MAX else None
        remedy = f"did you mean `{near}`?" if near else ""
        message = f"nothing in the list is called `{name}`"
        self.problem("SW125", message, span, remedy, "warning")

    def check_list_name(self, operand: Expr, name: str, span: Span) -> None:
        if not isinstance(operand, Ident) or operand.name != "lists" or "lists" in self.scope:
            return
        if "lists" in self.env.variables and name not in self.env.lists:
            near = closest(name, self.env.lists)
            remedy = (
                f"did you mean `lists.{near}`?" if near else "name it under `lists:` of the bundle"
            )
            self.problem("SW163", f"there is no list `{name}`", span, remedy)

    def subscript(self, node: Index) -> Type:
        type_ = bare(self.unifier.look(self.type_of(node.operand)))
        key = self.type_of(node.index)
        found = self.element_type(node, type_, key)
        if node.optional and type_.kind != "optional_type":
            found = optional_of(found)
        return self.note(node, found, node.operand, node.index)

    def element_type(self, node: Index, type_: Type, key: Type) -> Type:
        name = node.index.value if isinstance(node.index, Literal) else None
        if isinstance(name, str) and type_.kind in ("record", "map", "either", "dyn"):
            if type_.kind == "map":
                self.expect_key(node, type_, key)
            return self.field_type(node.operand, type_, name, node.span)
        if type_.kind == "optional_type":
            return optional_of(
                self.element_type(node, bare(self.unifier.look(type_.params[0])), key)
            )
        if type_.kind == "list":
            if self.unifier.look(key).kind not in ("int", "uint", "dyn", "param"):
                self.wrong_index(node, "a list is indexed by position", key)
            return type_.params[0]
        if type_.kind == "map":
            self.expect_key(node, type_, key)
            return type_.params[1]
        if not self.can_be(type_, "record", "list", "map"):
            self.problem("SW123", f"{self.a(type_)} has no elements", node.span)
        return self.element_of_either(node, type_, key)

    def element_of_either(self, node: Index, type_: Type, key: Type) -> Type:
        """The element of those alternatives that have one for such a key."""
        parts, kind = alternatives(type_), self.unifier.look(key).kind
        position = kind in ("int", "uint", "dyn", "param")
        found = [each.params[0] for each in parts if each.kind == "list" and position]
        for each in parts:
            if each.kind == "map" and self.comparable(each.params[0], key):
                found.append(each.params[1])
            elif each.kind == "record" and self.comparable(STRING, key):
                found.append(DYN)
        if not found and any(each.kind == "list" for each in parts):
            self.wrong_index(node, "a list is indexed by position", key)
        return either(found)

    def expect_key(self, node: Index, type_: Type, key: Type) -> None:
        if not self.comparable(type_.params[0], key):
            self.wrong_index(node, f"the keys are {self.shown(type_.params[0])}s", key)

    def wrong_index(self, node: Index, message: str, key: Type) -> None:
        self.problem("SW123", f"{message}, not by {self.a(key)}", node.index.span)

    # Literals with parts.

    def collection(self, node: ListExpr | MapExpr) -> Type:
        if isinstance(node, ListExpr):
            element = self.unifier.fresh()
            for position, item in enumerate(node.elements):
                element = self.joined(element, item, position in node.optional)
            return self.note(node, list_of(element), *node.elements)
        key, value = self.unifier.fresh(), self.unifier.fresh()
        parts: list[Expr] = []
        for entry in node.entries:
            key = self.joined(key, entry.key, False)
            value = self.joined(value, entry.value, entry.optional)
            parts += [entry.key, entry.value]
        return self.note(node, map_of(key, value), *parts)

    def joined(self, type_: Type, item: Expr, optional: bool) -> Type:
        given = self.unifier.look(self.type_of(item))
        if optional:
            if given.kind not in ("optional_type", "dyn"):
                self.problem(
                    "SW123", f"after `?` stands an optional, not {self.a(given)}", item.span
                )
            given = given.params[0] if given.kind == "optional_type" else DYN
        self.given[id(item)] = given
        return self.unifier.join(type_, given)

    # Macros.

    def comprehension(self, node: Comprehension) -> Type:
        range_ = bare(self.unifier.look(self.type_of(node.range)))
        variables = self.variable_types(node, range_)
        outer, event = self.scope, id(node.range) in self.from_event
        self.scope = outer | {
            name: (type_, event) for name, type_ in zip(node.variables, variables, strict=True)
        }
        types = [self.type_of(arg) for arg in node.args]
        self.scope = outer
        if node.macro in ("all", "exists", "exists_one", "filter") or len(types) == 2:
            self.expect_condition(node.args[0], types[0])
        return self.note(node, self.result(node, range_, types[-1]), node.range, *node.args)

    def variable_types(self, node: Comprehension, range_: Type) -> list[Type]:
        if node.macro == "bind":
            return [range_]
        if node.macro in ("optMap", "optFlatMap"):
            if range_.kind == "optional_type":
                return [range_.params[0]]
            if range_.kind != "dyn":
                message = f"`{node.macro}` takes an optional, not {self.a(range_)}"
                self.problem("SW123", message, node.range.span)
            return [DYN]
        if not self.can_be(range_, "list", "map", "record"):
            message = f"`{node.macro}` takes a list or a map, not {self.a(range_)}"
            self.problem("SW123", message, node.range.span)
        found = [_looped(each, len(node.variables)) for each in alternatives(range_)]
        known = [each for each in found if each]
        if len(known) == 1:
            return known[0]
        return [either(types) for types in zip(*known, strict=True)] or [DYN] * len(node.variables)

    def result(self, node: Comprehension, range_: Type, body: Type) -> Type:
        match node.macro:
            case "all" | "exists" | "exists_one":
                return BOOL
            case "map" | "transformList":
                return list_of(body)
            case "filter" | "sortBy":
                if range_.kind == "map":
                    return list_of(range_.params[0])
                return range_ if range_.kind == "list" else list_of(DYN)
            case "transformMap":
                keys = {"map": range_.params[:1], "list": (INT,), "record": (STRING,)}
                return map_of(keys.get(range_.kind, (DYN,))[0], body)
            case "optMap":
                return optional_of(body)
            case _:  # transformMapEntry, optFlatMap, bind
                return body


def _looped(range_: Type, variables: int) -> list[Type]:
    """What one variable of a macro, or two, stand for; nothing for what is no list and no map."""
    match range_.kind:
        case "list":
            return [INT, range_.params[0]][-variables:]
        case "record":
            return [STRING, DYN][:variables]
        case "map":
            return list(range_.params[:variables])
        case _:
            return []
