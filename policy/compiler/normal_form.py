"""Syntax trees to formulas.

Kept exactly: what is an error stays one. De Morgan's laws hold for `&&`, `||` and `!` with errors
too, `all` is `!exists(!…)`, and a part that names only what is the same for every event (topic,
stage, client, lists) is evaluated here, once, by the exact evaluator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeGuard

from ..cel.ast import (
    And,
    Call,
    Comprehension,
    Conditional,
    Expr,
    Has,
    Ident,
    Index,
    Literal,
    Not,
    Or,
    Select,
)
from ..cel.ast import children as parts_of
from ..cel.evaluate import compile_exact
from ..cel.names import unbound
from ..cel.regex import pattern_problem
from ..cel.unparse import unparse
from ..cel.values import CelError, Duration, Timestamp, UInt, is_list
from ..condition_times import time_or_text
from .formula import (
    CALCULATED,
    FALSE,
    FLIPPED,
    MIRRORED,
    TRUE,
    Atom,
    Choice,
    Comparison,
    Conjunction,
    Contains,
    Disjunction,
    Equal,
    Exact,
    Flag,
    Formula,
    Interval,
    Moment,
    Order,
    Place,
    Placed,
    Present,
    Quantified,
    Scalar,
    Settled,
    Size,
    Text,
    Time,
    atoms,
    calculates,
    leaves,
)
from .reads import ALIASES
from .terms import LEAVES_MAX, bound_of, length_of, term_of

__all__ = ["Normalizer"]

#: Up to here an int and the double of the same number are equal to the same numbers.
_NUMBER_MAX: Final = 2**53 - 1
#: Variables that hold a time, so that only comparisons of times are known inline.
_TIMES: Final = frozenset({"now", "timestamp"})
#: What may hold text that is not Unicode.
_NOT_UNICODE: Final = frozenset({"facts", CALCULATED})
_TEXT_TESTS: Final = {
    "startsWith": "prefix",
    "endsWith": "suffix",
    "contains": "contains",
    "matches": "pattern",
}
_OPEN: Final = object()


class Normalizer:
    """Makes formulas of conditions.

    `constants` are the variables that no event changes, `variables` those that events have, and of
    these `timeless` those below which no value is a time.
    """

    def __init__(
        self,
        constants: Mapping[str, object],
        variables: frozenset[str],
        timeless: frozenset[str] = frozenset(),
    ) -> None:
        self._constants, self._variables, self._timeless = constants, variables, timeless
        #: What the exact evaluator has to compute for formulas, by its text.
        self.calculated: dict[str, Expr] = {}

    def formula(self, condition: Expr | None) -> Formula:
        """The formula of a whole condition; None always holds."""
        if condition is None:
            return TRUE
        found = self._formula(condition, True, {})
        # Loops of one evaluation share one budget, so that several of them belong together.
        loops = [atom for atom in atoms(found) if self._is_exact(atom) and _loops(atom.expr)]
        return Exact(condition) if len(loops) > 1 else found

    def _formula(self, expr: Expr, wanted: bool, scope: Mapping[str, str]) -> Formula:
        match expr:
            case Not():
                return self._formula(expr.operand, not wanted, scope)
            case And() | Or():
                parts = [self._formula(part, wanted, scope) for part in expr.operands]
                return _junction(parts, isinstance(expr, And) is wanted)
            case Comprehension(macro="bind") if (inner := unbound(expr)) is not None:
                return self._formula(inner, wanted, scope)
            case Comprehension():
                return self._quantified(expr, wanted, scope) or self._rest(expr, wanted, scope)
            case Conditional():
                return self._choice(expr, wanted, scope)
            case Has():
                place = self.place(Select(expr.operand, expr.field), scope)
                if place is not None and place.variable not in _TIMES:
                    return Present(place, wanted, _signed(expr, wanted))
                return self._rest(expr, wanted, scope)
            case Call():
                return self._call(expr, wanted, scope) or self._rest(expr, wanted, scope)
            case _:
                place = self.place(expr, scope)
                if place is not None and place.variable not in _TIMES:
                    return Flag(place, wanted, _signed(expr, wanted))
                return self._rest(expr, wanted, scope)

    def _choice(self, expr: Conditional, wanted: bool, scope: Mapping[str, str]) -> Formula:
        test = self._formula(expr.test, True, scope)
        then = self._formula(expr.then, wanted, scope)
        otherwise = self._formula(expr.otherwise, wanted, scope)
        if not isinstance(test, Settled):
            return Choice(test, then, otherwise)
        return test if test.value is None else then if test.value else otherwise

    def _rest(self, expr: Expr, wanted: bool, scope: Mapping[str, str]) -> Formula:
        """Settled where no event matters, else left to the exact evaluator."""
        value = self._value(expr, scope)
        if value is _OPEN and not scope:
            return Flag(self._calculated(expr), wanted, _signed(expr, wanted))
        if value is _OPEN:
            return Exact(_signed(expr, wanted))
        return Settled(value is wanted if isinstance(value, bool) else None)

    @staticmethod
    def _is_exact(atom: Atom) -> TypeGuard[Exact | Placed]:
        return isinstance(atom, Exact) or calculates(atom)

    def _calculated(self, expr: Expr) -> Place:
        """What `expr` comes to, as a place of its own: once for all rules that say the same."""
        text = unparse(expr)
        self.calculated[text] = expr
        return Place(CALCULATED, (text,))

    def _subject(self, expr: Expr, scope: Mapping[str, str]) -> Place | None:
        """The place that `expr` names, or what is computed; None for what is known in neither way."""
        place = self.place(expr, scope)
        if place is not None:
            return None if place.variable in _TIMES else place
        return self._calculated(expr) if not scope and self._value(expr, scope) is _OPEN else None

    def _call(self, call: Call, wanted: bool, scope: Mapping[str, str]) -> Formula | None:
        signed = _signed(call, wanted)
        if call.target is None and len(call.args) == 2 and call.function in MIRRORED:
            return self._comparison(call, wanted, scope)
        if call.target is None and len(call.args) == 2 and call.function == "in":
            return self._membership(call, wanted, scope)
        if call.target is not None and call.function in _TEXT_TESTS and len(call.args) == 1:
            text = self._value(call.args[0], scope)
            if not isinstance(text, str):
                return None
            test = _TEXT_TESTS[call.function]
            if test == "pattern" and pattern_problem(text):
                return None
            place = self._subject(call.target, scope)
            if place is None or (test == "pattern" and place.variable in _NOT_UNICODE):
                return None
            return Text(place, test, text, wanted, signed)
        return None

    def _comparison(self, call: Call, wanted: bool, scope: Mapping[str, str]) -> Formula | None:
        left, right = call.args
        operator = call.function
        value = self._value(right, scope)
        if value is _OPEN:
            value = self._timeless_text(left, right, scope)
        if value is _OPEN:
            value, left = self._value(left, scope), right
            operator = MIRRORED[operator]
        if value is _OPEN:
            return self._open_comparison(call, wanted, scope)
        if isinstance(value, CelError):
            return Settled(None)
        signed = _signed(call, wanted)
        if isinstance(value, Duration):
            return self._open_comparison(call, wanted, scope)
        if operator in ("==", "!="):
            return self._equality(call, left, value, (operator == "==") is wanted, signed, scope)
        operator = operator if wanted else FLIPPED[operator]
        if isinstance(value, str):
            place = self._subject(left, scope)
            return None if place is None else Text(place, operator, value, True, signed)
        if isinstance(value, Timestamp):
            time = self._moment(left, scope)
            return None if time is None else Time(time[0], operator, value.ns, time[1], signed)
        number = _number(value)
        if number is None:
            return None
        size = self._size(left, operator, number, signed, scope)
        if size is not None:
            return size
        place = self.place(left, scope)
        if place is None:
            found = self._open_comparison(call, wanted, scope)
            if found is not None:
                return found
            place = self._subject(left, scope)
        if place is None or place.variable in _TIMES:
            return None
        return Order(place, operator, number, not wanted, signed)

    def _timeless_text(self, left: Expr, right: Expr, scope: Mapping[str, str]) -> object:
        """The text that `left` is compared with where a time could have stood; `_OPEN` elsewhere."""
        text = time_or_text(right, left)
        place = None if text is None else self.place(left, scope)
        return _OPEN if place is None or place.variable not in self._timeless else text

    def _equality(
        self,
        call: Call,
        left: Expr,
        value: object,
        wanted: bool,
        signed: Expr,
        scope: Mapping[str, str],
    ) -> Formula | None:
        """`left` is `value`, or is not."""
        number = _number(value)
        if number is not None:
            low, high = (">=", "<=") if wanted else ("<", ">")
            least = self._size(left, low, number, signed, scope)
            most = self._size(left, high, number, signed, scope)
            if least is not None and most is not None:
                return _junction([least, most], wanted)
        place, constants = self.place(left, scope), _scalars((value,))
        if place is None or (place.variable in _TIMES and constants is not None):
            found = self._open_comparison(call, (call.function == "==") is wanted, scope)
            if found is not None or constants is None or place is not None:
                return found
            place = self._subject(left, scope)
        if place is None or constants is None or place.variable in _TIMES:
            return None
        return Equal(place, constants, wanted, signed)

    def _size(
        self,
        expr: Expr,
        operator: str,
        number: float,
        signed: Expr,
        scope: Mapping[str, str],
    ) -> Size | None:
        """A comparison of the size of a place; None where `expr` is no such size."""
        sized = _sized(expr)
        place = None if sized is None else self.place(sized, scope)
        if place is None or place.variable in _TIMES:
            return None
        return Size(place, operator, number, signed)

    def _open_comparison(
        self, call: Call, wanted: bool, scope: Mapping[str, str]
    ) -> Formula | None:
        """A comparison of what hangs on the event with something that does, or is computed."""
        if scope:
            return None  # some values are left to the exact evaluator, which knows no elements

        def moment_of(expr: Expr) -> Moment | None:
            return self._moment(expr, scope)

        def value_of(expr: Expr) -> object:
            return self._value(expr, scope)

        def place_of(expr: Expr) -> Place | None:
            place = self.place(expr, scope)
            return None if place is None or place.variable in _TIMES else place

        signed = _signed(call, wanted)
        terms = [term_of(arg, place_of, value_of) for arg in call.args]
        left, right = terms
        if left is not None and right is not None:
            count = len(leaves(left)) + len(leaves(right))
            if not 1 <= count <= LEAVES_MAX or bound_of(left, right) is None:
                return None
            return Comparison(left, call.function, right, wanted, signed)
        found = length_of(call, moment_of, value_of)
        if found is None:
            return None
        later, earlier, operator, length = found
        operator = operator if wanted else FLIPPED[operator]
        plain = all(moment_of(arg) is not None for arg in call.args)
        return Interval(later, earlier, operator, length, plain, signed)

    def _membership(self, call: Call, wanted: bool, scope: Mapping[str, str]) -> Formula | None:
        item, container = call.args
        signed = _signed(call, wanted)
        values = self._value(container, scope)
        if is_list(values):
            place = self.place(item, scope)
            if place is not None and place.variable in self._timeless:
                values = [each for each in values if not isinstance(each, Timestamp)]
        constants = _scalars(values) if is_list(values) else None
        if constants is not None and self._value(item, scope) is _OPEN:
            place = self._subject(item, scope)
            return None if place is None else Equal(place, constants, wanted, signed)
        text = self._value(item, scope)
        if not isinstance(text, str):
            return None
        if self._is_headers(container, scope):
            return Present(Place("headers", (text,)), wanted, signed)
        place = self.place(container, scope)
        if place is None or place.variable in _TIMES:
            return None
        return Contains(place, text, wanted, signed)

    def _quantified(
        self, expr: Comprehension, wanted: bool, scope: Mapping[str, str]
    ) -> Formula | None:
        if expr.macro not in ("all", "exists") or len(expr.variables) != 1 or scope:
            return None  # also where one stands in another: their budget is the evaluator's matter
        place = self.place(expr.range, scope)
        if place is None or place.variable in _TIMES or place.variable == "facts":
            return None
        variable = "@element"
        exists = expr.macro == "exists"
        body = self._formula(expr.args[0], exists, {expr.variables[0]: variable})
        if any(isinstance(atom, Exact) for atom in atoms(body)):
            return None
        signed = _signed(expr, wanted)
        match body:
            case Equal(
                place=Place(variable="@element", path=()), constants=(str(text),), wanted=True
            ):
                return Contains(place, text, exists is wanted, signed)
            case _:
                pass
        return Quantified(place, variable, body, exists is wanted, signed)

    def _moment(self, expr: Expr, scope: Mapping[str, str]) -> Moment | None:
        """The time in an event that `expr` is."""
        converts = False
        while isinstance(expr, Call) and expr.function == "timestamp" and len(expr.args) == 1:
            if expr.target is not None:
                return None
            expr, converts = expr.args[0], True
        place = self.place(expr, scope)
        if place is None or (place.variable in _TIMES and place.path):
            return None
        return Moment(place, converts and place.variable not in _TIMES)

    def place(self, expr: Expr, scope: Mapping[str, str]) -> Place | None:
        """The place that `expr` names."""
        path: list[str | int] = []
        while not isinstance(expr, Ident):
            if isinstance(expr, Select) and not expr.optional:
                path.append(expr.field)
                expr = expr.operand
            elif isinstance(expr, Index) and not expr.optional and isinstance(expr.index, Literal):
                position = expr.index.value
                if type(position) is not str and type(position) is not int:
                    return None
                path.append(position)
                expr = expr.operand
            else:
                return None
        if expr.name in scope:
            return Place(scope[expr.name], tuple(reversed(path)))
        name = expr.name.removeprefix(".")
        name = ALIASES.get(name, name)
        if name not in self._variables or (name == "headers" and not path):
            return None  # of the headers as a whole some are hidden
        return Place(name, tuple(reversed(path)))

    def _is_headers(self, expr: Expr, scope: Mapping[str, str]) -> bool:
        return (
            isinstance(expr, Ident)
            and expr.name not in scope
            and (expr.name.removeprefix(".") == "headers")
        )

    def _value(self, expr: Expr, scope: Mapping[str, str]) -> object:
        """What `expr` always is; `_OPEN` where that hangs on the event."""
        if isinstance(expr, Literal):
            return expr.value
        if not self._is_closed(expr, frozenset(), scope):
            return _OPEN
        return compile_exact(expr)(self._constants)

    def _is_closed(self, expr: Expr, bound: frozenset[str], scope: Mapping[str, str]) -> bool:
        if isinstance(expr, Ident):
            if expr.name in bound:
                return True
            name = expr.name.removeprefix(".")
            return expr.name not in scope and ALIASES.get(name, name) not in self._variables
        if isinstance(expr, Comprehension):
            inner = bound.union(expr.variables)
            return self._is_closed(expr.range, bound, scope) and all(
                self._is_closed(part, inner, scope) for part in expr.args
            )
        return all(self._is_closed(part, bound, scope) for part in parts_of(expr))


def _signed(expr: Expr, wanted: bool) -> Expr:
    return expr if wanted else Not(expr)


def _junction(parts: list[Formula], conjunction: bool) -> Formula:
    decisive = FALSE if conjunction else TRUE
    flat: list[Formula] = []
    for part in parts:
        if part == decisive:
            return decisive
        if isinstance(part, Conjunction if conjunction else Disjunction):
            flat += part.parts
        elif not (isinstance(part, Settled) and part.value is conjunction):
            flat.append(part)
    if not flat:
        return TRUE if conjunction else FALSE
    if len(flat) == 1:
        return flat[0]
    return Conjunction(tuple(flat)) if conjunction else Disjunction(tuple(flat))


def _loops(expr: Expr) -> bool:
    return isinstance(expr, Comprehension) or any(_loops(part) for part in parts_of(expr))


def _sized(expr: Expr) -> Expr | None:
    """What `expr` asks the size of."""
    if not isinstance(expr, Call) or expr.function != "size":
        return None
    if expr.target is not None:
        return None if expr.args else expr.target
    return expr.args[0] if len(expr.args) == 1 else None


def _number(value: object) -> int | float | None:
    """A number that is small enough to be compared as Python does; None for anything else."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    if not -_NUMBER_MAX <= value <= _NUMBER_MAX:
        return None
    return int(value) if isinstance(value, UInt) else value


def _scalars(values: Sequence[object]) -> tuple[Scalar, ...] | None:
    """Constants whose equality is known here; None where one of them is none."""
    found: list[Scalar] = []
    for value in values:
        if value is None or isinstance(value, bool | str):
            found.append(value)
        elif (number := _number(value)) is not None:
            found.append(number)
        else:
            return None
    return tuple(found)
