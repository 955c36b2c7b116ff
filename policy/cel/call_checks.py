"""Checking of operators and calls: which signatures fit, and what to say where none does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from .arithmetic import ARITHMETIC
from .ast import Call, Expr, Ident, ListExpr, Literal, Span
from .library import Function, Overload
from .macros import MACROS, QUALIFIED
from .operators import ORDER
from .problems import CelProblem, closest
from .regex import pattern_problem
from .types import BOOL, BYTES, DECIMAL, DOUBLE, DURATION, DYN, STRING, TIMESTAMP, Type
from .unify import NUMBERS, Unifier, bare
from .values import CelError

__all__ = ["CallChecks"]

_SUMS: Final[Mapping[str, tuple[tuple[Type, Type, Type], ...]]] = {
    "+": (
        (STRING, STRING, STRING),
        (BYTES, BYTES, BYTES),
        (TIMESTAMP, DURATION, TIMESTAMP),
        (DURATION, TIMESTAMP, TIMESTAMP),
        (DURATION, DURATION, DURATION),
    ),
    "-": (
        (TIMESTAMP, DURATION, TIMESTAMP),
        (TIMESTAMP, TIMESTAMP, DURATION),
        (DURATION, DURATION, DURATION),
    ),
}
_ORDERED: Final = frozenset({"string", "bytes", "bool", TIMESTAMP.kind, DURATION.kind})
_TIMES: Final = {TIMESTAMP.kind: "timestamp", DURATION.kind: "duration"}
_OPEN: Final = frozenset({"dyn", "param"})
#: Functions that read a text, which is wrong for good where it is a literal.
_READERS: Final = frozenset({"timestamp", "duration", "ip", "cidr"})
_MACRO_FORMS: Final = {
    "all": "list.all(x, x > 1)",
    "exists": "list.exists(x, x > 1)",
    "exists_one": "list.exists_one(x, x > 1)",
    "existsOne": "list.existsOne(x, x > 1)",
    "map": "list.map(x, x * 2)",
    "filter": "list.filter(x, x > 1)",
    "bind": "cel.bind(x, value.amount, x > 1 && x < 5)",
}
#: Values of an enum that are listed where none is near.
_SYMBOLS_SHOWN: Final = 6
_LENGTHS: Final = frozenset({"length", "len", "count", "getlength"})


class CallChecks(ABC):
    """The part of the checker that looks at calls; `type_of` is the rest of it."""

    def __init__(self, functions: Mapping[str, Function]) -> None:
        self.functions = functions
        self.unifier = Unifier()
        self.problems: list[CelProblem] = []
        #: Nodes that hang on an event, by identity: their numbers are promoted.
        self.from_event: set[int] = set()

    @abstractmethod
    def type_of(self, node: Expr) -> Type:
        """The type of an expression; problems are noted."""

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
        """A type in a message."""
        return str(self.unifier.settle(type_)).replace("google.protobuf.", "").lower()

    def a(self, type_: Type) -> str:
        """The same with its article."""
        text = self.shown(type_)
        return "null" if text == "null_type" else f"a{'n' if text[0] in 'aeio' else ''} {text}"

    def expect_condition(self, node: Expr, type_: Type) -> None:
        """Note a problem where `node` cannot be true or false."""
        if bare(self.unifier.look(type_)).kind not in {"bool", *_OPEN}:
            self.problem("SW123", f"true or false is needed here, not {self.a(type_)}", node.span)

    def call(self, node: Call) -> Type:
        """The type of an operator or call."""
        if node.target is None and len(node.args) == 2:
            left, right = node.args
            if node.function in ARITHMETIC:
                return self.note(node, self._arithmetic(node), left, right)
            if node.function in ("==", "!=", "in") or node.function in ORDER:
                self._comparison(node)
                return self.note(node, BOOL, left, right)
        if node.target is None and node.function == "-" and len(node.args) == 1:
            return self.note(node, self._minus(node), node.args[0])
        return self._function_call(node)

    # Operators.

    def _wrong_operands(self, node: Call, types: Sequence[Type], remedy: str = "") -> None:
        shown = " and ".join(self.shown(type_) for type_ in types)
        self.problem("SW123", f"`{node.function}` does not take {shown}", node.span, remedy)

    def _minus(self, node: Call) -> Type:
        type_ = bare(self.unifier.look(self.type_of(node.args[0])))
        if type_.kind in {"int", "double", "decimal", DURATION.kind, *_OPEN}:
            return type_
        self._wrong_operands(node, [type_])
        return DYN

    def _arithmetic(self, node: Call) -> Type:
        left, right = (bare(self.unifier.look(self.type_of(arg))) for arg in node.args)
        sign = node.function
        if left.kind in NUMBERS and right.kind in NUMBERS:
            return self._number_arithmetic(node, left, right)
        if sign == "+" and left.kind == right.kind == "list":
            return self.unifier.join(left, right)
        if left.kind in _OPEN and right.kind in _OPEN:
            return DYN
        fitting = [
            result
            for one, two, result in _SUMS.get(sign, ())
            if left.kind in {one.kind, *_OPEN} and right.kind in {two.kind, *_OPEN}
        ]
        known = right if left.kind in _OPEN else left
        if fitting:
            return fitting[0] if len(set(fitting)) == 1 else DYN
        either = left.kind in _OPEN or right.kind in _OPEN
        if either and (known.kind in NUMBERS or (sign == "+" and known.kind == "list")):
            return DYN
        remedy = ""
        if sign == "+" and "string" in (left.kind, right.kind):
            remedy = "turn the other one into text with `string(…)`"
        self._wrong_operands(node, [left, right], remedy)
        return DYN

    def _number_arithmetic(self, node: Call, left: Type, right: Type) -> Type:
        kinds = {left.kind, right.kind}
        promotes = any(id(arg) in self.from_event for arg in node.args)
        if node.function == "%" and "double" in kinds:
            self._wrong_operands(node, [left, right], "`%` is for whole numbers")
            return DYN
        if len(kinds) == 1:
            return left
        if "uint" not in kinds and promotes:
            return DECIMAL if "decimal" in kinds else DOUBLE
        self._wrong_operands(node, [left, right], "write both as the same type, for example `2.0`")
        return DYN

    def comparable(self, left: Type, right: Type) -> bool:
        """Whether values of the two types can ever be equal."""
        left, right = self.unifier.look(left), self.unifier.look(right)
        if "null_type" in (left.kind, right.kind):
            return True
        left, right = bare(left), bare(right)
        if left.kind in NUMBERS and right.kind in NUMBERS:
            return True
        if left.kind == right.kind and left.kind in ("list", "map", "optional_type"):
            return all(map(self.comparable, left.params, right.params))
        return self.unifier.fits(left, right) or self.unifier.fits(right, left)

    def _comparison(self, node: Call) -> None:
        left, right = (self.unifier.look(self.type_of(arg)) for arg in node.args)
        sign = node.function
        if sign == "in":
            self._membership(node, left, bare(right))
        elif sign in ORDER:
            one, two = bare(left), bare(right)
            ordered = one.kind in NUMBERS and two.kind in NUMBERS
            ordered = ordered or (one.kind == two.kind and one.kind in _ORDERED)
            for a, b in ((one, two), (two, one)):
                ordered = ordered or (a.kind in _OPEN and b.kind in {*_ORDERED, *NUMBERS, *_OPEN})
            if not ordered:
                self._wrong_operands(node, [left, right], self._conversion(node, one, two))
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
            for type_, other, beside in (
                (bare(left), right, node.args[1]),
                (bare(right), left, node.args[0]),
            ):
                self._symbol(type_, beside, other)

    def _symbol(self, type_: Type, beside: Expr, other: Type) -> None:
        """Note a text compared with values that a schema lists, and that is none of them."""
        if not type_.symbols:
            return
        if isinstance(beside, Literal) and isinstance(beside.value, str):
            if beside.value not in type_.symbols:
                near = closest(beside.value, type_.symbols)
                few = ", ".join(f"`{symbol}`" for symbol in type_.symbols[:_SYMBOLS_SHOWN])
                remedy = f"did you mean `{near}`?" if near else f"the schema has {few}"
                message = f"the schema has no value `{beside.value}` here"
                self.problem("SW131", message, beside.span, remedy)
        elif bare(other).symbols and not {*type_.symbols} & {*bare(other).symbols}:
            message = "the two have no value in common, by the schema"
            self.problem("SW131", message, beside.span)

    def _conversion(self, node: Call, left: Type, right: Type) -> str:
        """How to make the operands of a comparison comparable."""
        for type_, other, arg, beside in (
            (left, right, node.args[0], node.args[1]),
            (right, left, node.args[1], node.args[0]),
        ):
            if type_.kind != "string" or other.kind not in {*NUMBERS, *_TIMES}:
                continue
            function = _TIMES.get(other.kind, other.kind)
            if not isinstance(arg, Literal):
                quoted = ""
                if isinstance(beside, Literal):
                    quoted = f'; or write the literal in quotes: `"{beside.value}"`'
                return f"read the text with `{function}(…)`{quoted}"
            if other.kind in NUMBERS:
                return "write the number without quotes"
            return f'write `{function}("{arg.value}")`'
        return ""

    def _membership(self, node: Call, element: Type, container: Type) -> None:
        if isinstance(node.args[1], ListExpr):
            for item in node.args[1].elements:
                self._symbol(bare(element), item, DYN)
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
            self._wrong_operands(node, [element, container], remedy)
        elif container.kind not in {"record", *_OPEN}:
            self._wrong_operands(node, [element, container])

    # Functions and methods.

    def _function_call(self, node: Call) -> Type:
        function = self.functions.get(node.function)
        if function is None and self._is_misnamed(node):
            for arg in node.args:
                self.type_of(arg)
            return DYN
        parts = list(node.args) if node.target is None else [node.target, *node.args]
        types = [self.type_of(part) for part in parts]
        self.note(node, DYN, *parts)
        if function is None:
            self._unknown_function(node)
            return DYN
        self._check_literals(node)
        method = node.target is not None
        events = [id(part) in self.from_event for part in parts]
        results = [
            result
            for overload in function.overloads
            if overload.method is method
            and (result := self._applied(overload, types, events)) is not None
        ]
        if not results:
            self._no_overload(node, function, types)
            return DYN
        if all(self.unifier.look(type_).kind not in _OPEN for type_ in types):
            return results[0]
        settled = {self.unifier.settle(result) for result in results}
        return results[0] if len(settled) == 1 else DYN

    def _applied(self, overload: Overload, types: list[Type], events: list[bool]) -> Type | None:
        """The result of one overload for such arguments; None where they do not fit."""
        if len(types) != len(overload.params):
            return None
        *params, result = self.unifier.instantiate((*overload.params, overload.result))
        before = dict(self.unifier.found)
        for wanted, given, event in zip(params, types, events, strict=True):
            type_ = bare(self.unifier.look(given))
            promoted = event and wanted.kind == "double" and type_.kind in ("int", "decimal")
            if not promoted and not self.unifier.fits(wanted, type_):
                self.unifier.found = before
                return None
        return result

    def _no_overload(self, node: Call, function: Function, types: list[Type]) -> None:
        method = node.target is not None
        shown = ", ".join(self.shown(type_) for type_ in types[method:])
        on = f" of {self.a(types[0])}" if method else ""
        remedy = ""
        same_form = [overload for overload in function.overloads if overload.method is method]
        if not same_form:
            name = node.function
            remedy = f"write `{name}(x)`" if method else f"write `x.{name}(…)`"
        elif len(same_form) <= 6:
            forms = {", ".join(map(str, overload.params[method:])) for overload in same_form}
            remedy = "it takes " + " or ".join(f"({form})" for form in sorted(forms))
        message = f"`{node.function}`{on} does not take ({shown})"
        self.problem("SW123", message, node.span, remedy)

    def _is_misnamed(self, node: Call) -> bool:
        """Note `math.foo(1)`, whose target is a namespace and no variable."""
        if not isinstance(node.target, Ident):
            return False
        namespace = node.target.name
        names = [name for name in QUALIFIED if name.startswith(f"{namespace}.")]
        if not names or namespace in ("lists", "ip"):
            return False
        near = closest(f"{namespace}.{node.function}", names)
        remedy = f"did you mean `{near}`?" if near else f"there are {', '.join(sorted(names))}"
        self.problem(
            "SW122", f"there is no function `{namespace}.{node.function}`", node.span, remedy
        )
        return True

    def _unknown_function(self, node: Call) -> None:
        name = node.function
        if name == "has":
            remedy = 'write `has(value.amount)`, or `"x" in map` for a key'
            self.problem("SW128", "`has()` takes a field", node.span, remedy)
            return
        if name in _MACRO_FORMS or name in MACROS:
            form = _MACRO_FORMS.get(name, "")
            remedy = f"write it as in `{form}`" if form else ""
            self.problem("SW129", f"`{name}` is written with other arguments", node.span, remedy)
            return
        kind = "function" if node.target is None else "method"
        near = "size" if name.lower() in _LENGTHS else closest(name, {*self.functions, *MACROS})
        remedy = f"did you mean `{near}`?" if near else ""
        self.problem("SW122", f"there is no {kind} `{name}`", node.span, remedy)

    # Literals whose text can be read now.

    def _check_literals(self, node: Call) -> None:
        """Note patterns, timestamps and the like that no event can make right."""
        literal = node.args[-1] if node.args else None
        if not isinstance(literal, Literal) or not isinstance(literal.value, str):
            return
        if node.function == "matches":
            problem = pattern_problem(literal.value)
            if problem is not None:
                remedy = (
                    "RE2 has no lookaround and no backreferences" if "(?" in literal.value else ""
                )
                self.problem("SW126", f"RE2 refuses the pattern: {problem}", literal.span, remedy)
        elif node.function in _READERS and node.target is None:
            read = self.functions[node.function].find((str,), method=False)
            self._check_readable(read, node, literal.value)

    def _check_readable(self, read: Callable[..., object] | None, node: Call, text: str) -> None:
        result = None if read is None else read(text)
        if isinstance(result, CelError):
            self.problem("SW127", f"`{node.function}`: {result.message}", node.args[-1].span)
