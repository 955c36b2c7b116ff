"""Checking of operators and calls: which signatures fit, and what to say where none does."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from .arithmetic import ARITHMETIC
from .ast import Call, Ident, Literal
from .comparison_checks import OPEN, ComparisonChecks, as_number
from .library import Function, Overload
from .macros import MACROS, QUALIFIED
from .operators import ORDER
from .problems import closest
from .ranges import Range
from .regex import pattern_problem
from .slips import hyphenated
from .types import (
    BOOL,
    BYTES,
    DECIMAL,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    Type,
    alternatives,
    plain,
)
from .unify import NUMBERS, bare
from .unparse import unparse
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
_OPEN: Final = OPEN | {"either"}
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
#: Signatures that are listed where none fits.
_FORMS_SHOWN: Final = 6
_DATE: Final = re.compile(r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])")
#: How other languages call the functions of this one.
_CONFUSED: Final = {
    **dict.fromkeys(("length", "len", "count", "getlength"), "size"),
    **dict.fromkeys(("lower", "tolower", "tolowercase", "lowercase", "casefold"), "lowerAscii"),
    **dict.fromkeys(("upper", "toupper", "touppercase", "uppercase"), "upperAscii"),
}
#: The same for macros over lists.
_LOOPS: Final = {
    **dict.fromkeys(("any", "some", "exist", "anymatch", "contains", "has"), "exists"),
    **dict.fromkeys(("every", "each", "forall", "allmatch"), "all"),
    **dict.fromkeys(("where", "select", "find", "findall"), "filter"),
    **dict.fromkeys(("collect", "transform"), "map"),
    **dict.fromkeys(("one", "single"), "exists_one"),
}
#: What the readers of texts take.
_EXAMPLES: Final = {
    "timestamp": 'a time is `timestamp("2026-03-01T12:00:00Z")`, of a day that there is',
    "duration": 'a duration is `duration("24h")` or `duration("1h30m")`: h, m, s and ms',
    "ip": 'an address is `ip("192.0.2.1")`',
    "cidr": 'a network is `cidr("192.0.2.0/24")`',
}


class CallChecks(ComparisonChecks):
    """The part of the checker that looks at calls; `type_of` is the rest of it."""

    def __init__(self, functions: Mapping[str, Function]) -> None:
        super().__init__()
        self.functions = functions

    @abstractmethod
    def is_variable(self, name: str) -> bool:
        """Whether a name is that of a variable, here or where it is forbidden."""

    def call(self, node: Call) -> Type:
        """The type of an operator or call."""
        if node.target is None and len(node.args) == 2:
            left, right = node.args
            if node.function in ARITHMETIC:
                self._date(node)
                if node.function == "-" and self._hyphen(node):
                    return DYN
                return self.note(node, self._arithmetic(node), left, right)
            if node.function in ("==", "!=", "in") or node.function in ORDER:
                self.comparison(node)
                return self.note(node, BOOL, left, right)
        if node.target is None and node.function == "-" and len(node.args) == 1:
            return self.note(node, self._minus(node), node.args[0])
        return self._function_call(node)

    # Operators.

    def _date(self, node: Call) -> None:
        """Note a date without quotes, which is a subtraction."""
        date = _unquoted_date(node)
        if date:
            year = int(date[:4]) - int(date[5:7]) - int(date[8:])
            self.problem(
                "SW134",
                f"`{date}` without quotes is a subtraction, and comes to {year}",
                node.span,
                f'write `timestamp("{date}T00:00:00Z")` for a time, or `"{date}"` for a text',
                "warning",
            )

    def _hyphen(self, node: Call) -> bool:
        """Note `value.odd-name`, where a field of that name is likelier than a variable."""
        found = hyphenated(node)
        if found is None or self.is_variable(found[2].name):
            return False
        base, name, behind = found
        before = len(self.problems)
        type_ = bare(self.unifier.look(self.type_of(base)))
        if type_.kind == "record" and name not in type_.field_names and not type_.open:
            del self.problems[before:]  # which are found again
            return False
        remedy = f'a field whose name has a `-` is written `{unparse(base)}["{name}"]`'
        self.problem("SW121", f"there is no variable `{behind.name}`", behind.span, remedy)
        return True

    def _minus(self, node: Call) -> Type:
        type_ = bare(self.unifier.look(self.type_of(node.args[0])))
        if type_.kind in {"int", "double", "decimal", DURATION.kind, *OPEN}:
            return plain(type_)
        if self.can_be(type_, "int", "double", "decimal", DURATION.kind):
            return DYN
        self.wrong_operands(node, [type_])
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
        elif known.figures:
            remedy = as_number(node.args[0 if known is left else 1])
        self.wrong_operands(node, [left, right], remedy)
        return DYN

    def _number_arithmetic(self, node: Call, left: Type, right: Type) -> Type:
        kinds = {left.kind, right.kind}
        promotes = any(id(arg) in self.from_event for arg in node.args)
        if node.function == "%" and "double" in kinds:
            self.wrong_operands(node, [left, right], "`%` is for whole numbers")
            return DYN
        if len(kinds) == 1:
            return plain(left)
        if "uint" not in kinds and promotes:
            return DECIMAL if "decimal" in kinds else DOUBLE
        self.wrong_operands(node, [left, right], "write both as the same type, for example `2.0`")
        return DYN

    # Functions and methods.

    def _function_call(self, node: Call) -> Type:
        function = self.functions.get(node.function)
        if function is None and self._is_misnamed(node):
            for arg in node.args:
                self.type_of(arg)
            return DYN
        if function is None and self._is_loop(node):
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
        if node.function == "size" and len(types) == 1:
            return _length(types[0])
        if all(bare(self.unifier.look(type_)).kind not in _OPEN for type_ in types):
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
            promoted = event and wanted.kind == "double" and self.can_be(type_, "int", "decimal")
            if not promoted and not self.unifier.fits(wanted, type_):
                self.unifier.found = before
                return None
        return result

    def _no_overload(self, node: Call, function: Function, types: list[Type]) -> None:
        method = node.target is not None
        shown = ", ".join(self.shown(type_) for type_ in types[method:])
        same_form = [overload for overload in function.overloads if overload.method is method]
        name = node.function
        if not same_form:
            remedy = f"write `{name}(x)`" if method else f"write `x.{name}(…)`"
            on = f" of {self.a(types[0])}" if method else ""
            self.problem("SW123", f"`{name}`{on} does not take ({shown})", node.span, remedy)
            return
        fitting = [
            params
            for each in same_form
            if (params := self._params_on(each, types[0] if method else None)) is not None
        ]
        if method and not fitting:
            owners = sorted({self.shown(each.params[0]).partition("(")[0] for each in same_form})
            remedy = f"`{name}` is a method of {_listed(owners)}"
            self.problem("SW123", f"{self.a(types[0])} has no `{name}`", node.span, remedy)
            return
        forms = {", ".join(map(self.shown, params[method:])) for params in fitting}
        remedy = "it takes " + " or ".join(f"({form})" for form in sorted(forms))
        on = f" of {self.a(types[0])}" if method else ""
        message = f"`{name}`{on} does not take ({shown})"
        self.problem("SW123", message, node.span, remedy if len(forms) <= _FORMS_SHOWN else "")

    def _params_on(self, overload: Overload, target: Type | None) -> tuple[Type, ...] | None:
        """What an overload takes, as a method of `target`; None where it is no method of that."""
        params = self.unifier.instantiate(overload.params)
        before = dict(self.unifier.found)
        if target is not None and not self.unifier.fits(params[0], bare(self.unifier.look(target))):
            self.unifier.found = before
            return None
        settled = tuple(map(self.unifier.settle, params))
        self.unifier.found = before
        return settled

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

    def _is_loop(self, node: Call) -> bool:
        """Note `list.any(x, x > 1)`, a macro as other languages call it."""
        name = _LOOPS.get(node.function.lower())
        if name is None or node.target is None or len(node.args) != 2:
            return False
        variable = node.args[0]
        if not isinstance(variable, Ident) or self.is_variable(variable.name):
            return False
        self.type_of(node.target)
        remedy = f"did you mean `{name}`? It is written as in `{_MACRO_FORMS[name]}`"
        self.problem("SW122", f"there is no method `{node.function}`", node.span, remedy)
        return True

    def _unknown_function(self, node: Call) -> None:
        name = node.function
        if name == "has":
            remedy = 'write `has(value.amount)`, or `"x" in map` for a key'
            self.problem("SW128", "`has()` takes a field", node.span, remedy)
            return
        if name == "not" and len(node.args) == 1 and node.target is None:
            remedy = f"write `!({unparse(node.args[0])})`"
            self.problem("SW122", "there is no function `not`", node.span, remedy)
            return
        if name in _MACRO_FORMS or name in MACROS:
            form = _MACRO_FORMS.get(name, "")
            remedy = f"write it as in `{form}`" if form else ""
            self.problem("SW129", f"`{name}` is written with other arguments", node.span, remedy)
            return
        kind = "function" if node.target is None else "method"
        near = _CONFUSED.get(name.lower()) or (_LOOPS.get(name.lower()) if node.target else None)
        near = near or closest(name, {*self.functions, *MACROS})
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
            message, remedy = f"`{node.function}`: {result.message}", _EXAMPLES[node.function]
            self.problem("SW127", message, node.args[-1].span, remedy)


def _listed(names: list[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _length(type_: Type) -> Type:
    """What `size` gives: a number within what a schema says of the value."""
    found = alternatives(type_)
    sizes = [each.size for each in found if each.size is not None]
    most = max(sizes) if len(sizes) == len(found) else None
    least = min(each.least for each in found)
    return replace(INT, range=Range(least or None, most)) if least or most is not None else INT


def _unquoted_date(node: Call) -> str:
    """The date that `2026-01-01` was meant to be; empty for other subtractions, and with spaces."""
    rest = node.args[0]
    if node.function != "-" or not isinstance(rest, Call) or rest.function != "-":
        return ""
    parts = [*rest.args, node.args[1]]
    numbers = [part.value for part in parts if isinstance(part, Literal)]
    year, *later = parts
    at = [part.span.start - year.span.start for part in later]
    sizes = [part.span.end - part.span.start for part in parts]
    if rest.target is not None or at != [5, 8] or sizes != [4, 2, 2] or len(numbers) != 3:
        return ""
    date = "-".join(f"{n:02}" for n in numbers if isinstance(n, int) and not isinstance(n, bool))
    return date if _DATE.fullmatch(date) else ""
