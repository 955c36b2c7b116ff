"""Checking of comparisons: what can never be true, and how to make two sides comparable."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from .ast import Call, Expr, Ident, Index, ListExpr, Literal, Select, Span
from .library.time import duration_from_string, meant_timestamp
from .operators import ORDER
from .problems import CelProblem, closest
from .ranges import MIRRORED, beyond, misfit
from .slips import chained
from .types import DURATION, DYN, TIMESTAMP, Type, alternatives, either, list_of
from .unify import NUMBERS, Unifier, bare
from .unparse import unparse
from .values import CelError

__all__ = ["OPEN", "ComparisonChecks", "as_number"]

#: Of what nothing, or only some of it, is known.
OPEN: Final = frozenset({"dyn", "param"})
_ORDERED: Final = frozenset({"string", "bytes", "bool", TIMESTAMP.kind, DURATION.kind})
_TIMES: Final = {TIMESTAMP.kind: "timestamp", DURATION.kind: "duration"}
#: Types that null may stand in for.
_NULL_TAKEN: Final = frozenset({"null_type", "nullable", "optional_type", "abstract", *OPEN})
#: Values of an enum that are listed where none is near.
_SYMBOLS_SHOWN: Final = 6
_NAMES: Final = {
    TIMESTAMP.kind: "timestamp",
    DURATION.kind: "duration",
    "null_type": "null",
}
_NUMBER: Final = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_NAME: Final = re.compile("|".join(map(re.escape, _NAMES)))


class ComparisonChecks(ABC):
    """The part of the checker that looks at comparisons; `type_of` is the rest of it."""

    def __init__(self) -> None:
        self.unifier = Unifier()
        self.problems: list[CelProblem] = []
        #: The types of the variables that macros bind, and whether they hang on an event.
        self.scope: dict[str, tuple[Type, bool]] = {}
        #: Nodes that hang on an event, by identity: their numbers are promoted.
        self.from_event: set[int] = set()
        #: Nodes that are not needed to be true: `!x`, and `x || …`, which is told less loudly.
        self.denied: set[int] = set()
        self.alternative: set[int] = set()
        #: Fields that the schema does not require.
        self.may_miss: set[int] = set()
        #: The types of what stands in the lists that the expression writes down.
        self.given: dict[int, Type] = {}

    @abstractmethod
    def type_of(self, node: Expr) -> Type:
        """The type of an expression; problems are noted."""

    @abstractmethod
    def field_type(self, operand: Expr, type_: Type, name: str, span: Span) -> Type:
        """The type of `operand.name`; a name that there is not is noted."""

    def problem(
        self, code: str, message: str, span: Span, remedy: str = "", severity: str = "error"
    ) -> None:
        """Note a problem."""
        self.problems.append(CelProblem(code, message, span, remedy, severity))

    def note(self, node: Expr, type_: Type, *parts: Expr) -> Type:
        """`type_`; `node` hangs on an event where one of its parts does."""
        if any(id(part) in self.from_event for part in parts):
            self.from_event.add(id(node))
        return type_

    def shown(self, type_: Type) -> str:
        """A type in a message; names of records as the schema writes them."""
        return _NAME.sub(lambda match: _NAMES[match[0]], str(self.unifier.settle(type_)))

    def a(self, type_: Type) -> str:
        """The same with its article."""
        text = self.shown(type_)
        return "null" if text == "null" else f"a{'n' if text[0] in 'aeioAEIO' else ''} {text}"

    def expect_condition(self, node: Expr, type_: Type) -> None:
        """Note a problem where `node` cannot be true or false."""
        if not self.can_be(type_, "bool"):
            self.problem("SW123", f"true or false is needed here, not {self.a(type_)}", node.span)

    def can_be(self, type_: Type, *kinds: str) -> bool:
        """Whether a value may be of one of the kinds, or is not known."""
        found = alternatives(self.unifier.look(type_))
        return any(each.kind in kinds or each.kind in OPEN for each in found)

    def branches(self, one: Type, two: Type) -> Type:
        """What is one type or the other."""
        one, two = self.unifier.look(one), self.unifier.look(two)
        joined = self.unifier.join(one, two)
        if joined.kind != "dyn" or "param" in (one.kind, two.kind):
            return joined
        return either((one, two))

    def wrong_operands(self, node: Call, types: Sequence[Type], remedy: str = "") -> None:
        """Note that an operator does not take such operands."""
        shown = " and ".join(self.shown(type_) for type_ in types)
        self.problem("SW123", f"`{node.function}` does not take {shown}", node.span, remedy)

    def comparable(self, left: Type, right: Type) -> bool:
        """Whether values of the two types can ever be equal; null is not looked at."""
        left, right = self.unifier.look(left), self.unifier.look(right)
        if "null_type" in (left.kind, right.kind):
            return True
        return any(
            self._comparable(one, two) for one in alternatives(left) for two in alternatives(right)
        )

    def _comparable(self, left: Type, right: Type) -> bool:
        if left.kind in NUMBERS and right.kind in NUMBERS:
            return True
        if left.kind == right.kind and left.kind in ("list", "map", "optional_type"):
            return self.unifier.each(self.comparable, left, right)
        return self.unifier.fits(left, right) or self.unifier.fits(right, left)

    def comparison(self, node: Call) -> None:
        """Note what is wrong with `==`, `!=`, an order or `in`."""
        left, right = (self.unifier.look(self.type_of(arg)) for arg in node.args)
        sign = node.function
        if sign == "in":
            self._membership(node, left, bare(right))
        elif sign in ORDER:
            if not any(map(_ordered, *_pairs(left, right))):
                remedy = chained(node) or self._conversion(node, bare(left), bare(right))
                self.wrong_operands(node, [left, right], remedy)
                return
            self._figures(node, left, right)
            self._limits(node, left, right)
        elif not self.comparable(left, right):
            verdict = "never" if sign == "==" else "always"
            message = (
                f"{self.shown(left)} and {self.shown(right)} are never equal, "
                f"so this is {verdict} true"
            )
            self.problem(
                "SW123", message, node.span, self._conversion(node, bare(left), bare(right))
            )
        else:
            self._null(node, left, right)
            self._limits(node, left, right)
            for type_, other, beside in ((left, right, node.args[1]), (right, left, node.args[0])):
                self._symbol(type_, beside, other)

    # Numbers in lists that are text.

    def _figures(self, node: Call, left: Type, right: Type) -> None:
        """Note an order between something and a text of a list that reads as a number."""
        for type_, other, part, beside in (
            (left, right, node.args[0], node.args[1]),
            (right, left, node.args[1], node.args[0]),
        ):
            if bare(type_).figures and bare(other).kind in OPEN:
                self.problem(
                    "SW123",
                    f"`{unparse(part)}` is text, although it looks like a number, so that this "
                    "fails on every number",
                    node.span,
                    f"{as_number(part)}; or `string({unparse(beside)})` to order them as text",
                )

    # What a schema leaves out.

    def _null(self, node: Call, left: Type, right: Type) -> None:
        """Note `== null` of a part of the event that is never null, and the reverse."""
        for type_, part, other in ((left, node.args[0], right), (right, node.args[1], left)):
            if type_.kind == "null_type" and self._is_part(part, type_):
                self._always_null(node, part, other)
            if other.kind != "null_type" or node.function != "==" or id(node) in self.denied:
                continue
            if type_.kind in _NULL_TAKEN or not self._is_part(part, type_):
                continue
            message = f"{self.a(type_)} is never null here, so this is never true"
            remedy = ""
            if id(part) in self.may_miss:
                remedy = f"write `!has({unparse(part)})` where it may be missing"
            severity = "warning" if id(node) in self.alternative else "error"
            self.problem("SW123", message, node.span, remedy, severity)

    def _always_null(self, node: Call, part: Expr, other: Type) -> None:
        if other.kind not in _NULL_TAKEN:
            verdict = "never" if node.function == "==" else "always"
            message = f"`{unparse(part)}` is always null, by the schema, so this is {verdict} true"
            self.problem("SW123", message, node.span)

    def _is_part(self, node: Expr, type_: Type) -> bool:
        """Whether a node is a field or element whose type is a schema's word."""
        inside = False
        while isinstance(node, Select | Index) and not node.optional:
            node, inside = node.operand, True
        if not isinstance(node, Ident):
            return False
        # Of a list that a rule writes down, times may stand beside null.
        return inside or (node.name in self.scope and type_.kind not in _TIMES)

    def _limits(self, node: Call, left: Type, right: Type) -> None:
        """Note a literal that no value of the schema equals, or comes to."""
        sign = node.function
        one, two = node.args
        self._limit(sign, left, one, two, node.span)
        self._limit(MIRRORED[sign], right, two, one, node.span)

    def _limit(self, sign: str, type_: Type, part: Expr, beside: Expr, span: Span) -> None:
        value = beside.value if isinstance(beside, Literal) else None
        if value is None or bare(type_).kind in OPEN:
            return
        # What is computed of whole numbers that JSON writes as 3.0 need not be whole.
        whole = self._is_part(part, type_)
        reasons = [_beyond(sign, each, value, whole) for each in alternatives(type_)]
        # An alternative of another kind is never equal, and says nothing.
        known = [reason for reason in reasons if reason != ""]
        if known and None not in known:
            self.problem("SW131", f"{known[0]}, so this is never true", span)

    def _symbol(self, type_: Type, beside: Expr, other: Type) -> None:
        """Note a text compared with values that a schema lists, and that is none of them."""
        known = _symbols(type_)
        if not known:
            return
        if isinstance(beside, Literal) and isinstance(beside.value, str):
            if beside.value not in known:
                near = closest(beside.value, known)
                few = ", ".join(f"`{symbol}`" for symbol in known[:_SYMBOLS_SHOWN])
                remedy = f"did you mean `{near}`?" if near else f"the schema has {few}"
                message = f"the schema has no value `{beside.value}` here"
                self.problem("SW131", message, beside.span, remedy)
        elif bare(other).symbols and bare(type_).symbols and not {*known} & {*bare(other).symbols}:
            message = "the two have no value in common, by the schema"
            self.problem("SW131", message, beside.span)

    def _membership(self, node: Call, element: Type, container: Type) -> None:
        if isinstance(node.args[1], ListExpr):
            for item in node.args[1].elements:
                self._symbol(element, item, DYN)
                self._limit("==", element, node.args[0], item, item.span)
            container = self._listed(node.args[1], container)
        if container.kind in ("list", "map"):
            if not self.comparable(container.params[0], element):
                self.problem(
                    "SW123",
                    f"{self.a(element)} is never in {self.a(container)}",
                    node.span,
                    self._conversion(
                        node, bare(element), bare(self.unifier.look(container.params[0]))
                    ),
                )
        elif container.kind == "string":
            remedy = "a part of a text is found with `text.contains(part)`"
            self.wrong_operands(node, [element, container], remedy)
        elif not self.can_be(container, "record", "list", "map"):
            self.wrong_operands(node, [element, container])
        else:
            self._name_in(node, element, container)

    def _name_in(self, node: Call, element: Type, container: Type) -> None:
        """Note what is none of the names of a record's fields."""
        name = node.args[0]
        if any(each.kind != "record" for each in alternatives(container)):
            return
        if not self.can_be(element, "string"):
            message = f"{self.a(element)} is never the name of a field"
            self.problem("SW123", message, node.span)
        elif isinstance(name, Literal):
            self.field_type(node.args[1], container, str(name.value), name.span)

    def _listed(self, node: ListExpr, type_: Type) -> Type:
        """The type of a list that is written down, also where its elements differ."""
        if type_.kind != "list" or self.unifier.look(type_.params[0]).kind not in OPEN:
            return type_
        given = [self.unifier.settle(self.given[id(item)]) for item in node.elements]
        return list_of(either(given)) if given else type_

    def _conversion(self, node: Call, left: Type, right: Type) -> str:
        """How to make the operands of a comparison comparable."""
        for type_, other, arg, beside in (
            (left, right, node.args[0], node.args[1]),
            (right, left, node.args[1], node.args[0]),
        ):
            if type_.kind != "string" or other.kind not in {*NUMBERS, *_TIMES}:
                continue
            function = _TIMES.get(other.kind, other.kind)
            if type_.figures and other.kind in NUMBERS:
                return as_number(arg)
            if not isinstance(arg, Literal):
                quoted = ""
                if isinstance(beside, Literal):
                    quoted = f'; or write the literal in quotes: `"{beside.value}"`'
                return f"read the text with `{function}(…)`{quoted}"
            text = str(arg.value)
            if other.kind in NUMBERS:
                return "write the number without quotes" if _is_number(text) else ""
            if text == "now" and function == "timestamp":
                sides = [Ident("now") if each is arg else each for each in node.args]
                written = unparse(replace(node, args=tuple(sides)))
                return f"write `{written}` in CEL: `now` is a variable, and no text"
            return f'write `{function}("{_readable(function, str(arg.value))}")`'
        return ""


def _pairs(left: Type, right: Type) -> tuple[list[Type], list[Type]]:
    pairs = [(one, two) for one in alternatives(left) for two in alternatives(right)]
    return [one for one, _ in pairs], [two for _, two in pairs]


def _ordered(one: Type, two: Type) -> bool:
    """Whether `<` and its like take the two."""
    if one.kind in NUMBERS and two.kind in NUMBERS:
        return True
    if one.kind in OPEN or two.kind in OPEN:
        return {one.kind, two.kind} <= {*_ORDERED, *NUMBERS, *OPEN}
    return one.kind == two.kind and one.kind in _ORDERED


def as_number(node: Expr) -> str:
    """What makes a number of a text that a list has."""
    return f"write `double({unparse(node)})`, or keep the list in YAML with the numbers unquoted"


def _symbols(type_: Type) -> tuple[str, ...]:
    """The only texts that a value can be, where it is a text; none where it can be any."""
    if type_.kind in OPEN:
        return ()
    texts = [each for each in alternatives(type_) if each.kind == "string"]
    return texts[0].symbols if len(texts) == 1 else ()


def _beyond(sign: str, type_: Type, value: object, whole: bool) -> str | None:
    """Why a value is never so by the schema; empty where the two are of different kinds."""
    if isinstance(value, bool):
        if type_.kind == "bool":
            return beyond(sign, False, type_.range, value) if sign == "==" else None
        return ""
    if isinstance(value, int | float):
        if type_.kind in NUMBERS:
            return beyond(sign, whole and type_.kind == "int", type_.range, value)
        return ""
    if isinstance(value, str | bytes):
        if type_.kind != ("string" if isinstance(value, str) else "bytes"):
            return ""
        if sign != "==" or type_.symbols:
            return None
        unit = "characters" if isinstance(value, str) else "bytes"
        return misfit(len(value), type_.least, type_.size, unit)
    return None


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text.strip()) is not None


def _readable(function: str, text: str) -> str:
    """A text that the function can read, as near as may be to what was written."""
    if function == "timestamp":
        return meant_timestamp(text)
    return "1h30m" if isinstance(duration_from_string(text), CelError) else text
