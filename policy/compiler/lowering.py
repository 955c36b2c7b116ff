"""Formulas to Python expressions that raise nothing.

A formula has three values, an expression two; so each is lowered twice: `true` says that it is
true, `maybe` that it is not false (true or an error). Both go through `&&` and `||` as they are.
What an atom cannot judge inline it hands to the exact program of its own condition.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from ..cel.ast import Expr
from ..cel.regex import QUICK_TEXT_MAX, QuickSearch, quick_search, safe_matcher
from .classes import number_test
from .computed import Computed, comparison, interval
from .formula import (
    FLIPPED,
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
)
from .hoisting import Scope
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
    disjunction,
    either,
    function,
    if_,
    loop,
    name,
    negated,
    return_,
)

__all__ = ["ELEMENTS_MAX", "Lowering", "class_of", "cost"]

#: Lists that are longer are left to the exact evaluator, whose loops have a budget.
ELEMENTS_MAX: Final = 10_000
_MISSING: Final = name("MISSING")
_CONTEXT: Final = (name("event"), name("value"))


def cost(formula: Formula) -> int:
    """Cheap conditions come first: they often spare the others."""
    match formula:
        case Conjunction() | Disjunction():
            return sum(map(cost, formula.parts))
        case Exact():
            return 100
        case Quantified():
            return 30
        case Choice():
            return sum(map(cost, (formula.test, formula.then, formula.otherwise)))
        case Comparison():
            return 3
        case Interval():
            return 8
        case Text(test="pattern" | "searched") | Time():
            return 10
        case Flag() | Equal() | Order() | Text() if calculates(formula):
            return 60
        case _:
            return 1


class Lowering:
    """Lowers the formulas of one plan. Functions that expressions call gather in `functions`.

    `exact(expr)` makes a function of event and value that says True, False or None (an error).
    """

    def __init__(
        self,
        namespace: Namespace,
        exact: Callable[[Expr], Callable[..., bool | None]],
        unruly: frozenset[str],
    ) -> None:
        self.namespace = namespace
        self.functions: list[Statement] = []
        self._exact, self._unruly = exact, unruly
        self._programs: dict[int, tuple[Expr, Node]] = {}
        self._loops: dict[int, tuple[Quantified, Node]] = {}
        self._constants: dict[object, Node] = {}
        self._searches: dict[str, QuickSearch | None] = {}

    def true(self, formula: Formula, scope: Scope) -> Node:
        """Whether `formula` is true."""
        return self._lower(formula, scope, True)

    def maybe(self, formula: Formula, scope: Scope) -> Node:
        """Whether `formula` is true or an error."""
        return self._lower(formula, scope, False)

    def all_true(self, formulas: Sequence[Formula], scope: Scope) -> Node:
        """Whether all are true."""
        return self._all(formulas, scope, True)

    def all_maybe(self, formulas: Sequence[Formula], scope: Scope) -> Node:
        """Whether none is false."""
        return self._all(formulas, scope, False)

    def status(self, atom: Formula, scope: Scope) -> Node | None:
        """One expression for all three values (None is an error), for atoms that have one."""
        if isinstance(atom, Exact):
            return self.program(atom.expr)
        if isinstance(atom, Quantified):
            return call(self._loop(atom, scope), scope.slot(atom.place), *_CONTEXT)
        return None

    def program(self, expr: Expr) -> Node:
        """A call of the exact program of `expr`."""
        found = self._programs.get(id(expr))
        if found is None:
            made = call(self.namespace.add("exact", self._exact(expr)), *_CONTEXT)
            found = self._programs[id(expr)] = (expr, made)
        return found[1]

    def set_of(self, values: Sequence[Scalar]) -> Node:
        """A frozenset of constants."""
        members = frozenset(values)
        return self._shared(("set", members, len(values)), lambda: members)

    def _shared(self, key: object, make: Callable[[], object]) -> Node:
        found = self._constants.get(key)
        if found is None:
            found = self._constants[key] = self.namespace.add("constant", make())
        return found

    def _all(self, formulas: Sequence[Formula], scope: Scope, true: bool) -> Node:
        if not formulas:
            return constant(True)
        ordered = sorted(formulas, key=cost)
        return conjunction([self._lower(part, scope, true) for part in ordered])

    def _lower(self, formula: Formula, scope: Scope, true: bool) -> Node:
        match formula:
            case Conjunction():
                return self._all(formula.parts, scope, true)
            case Disjunction():
                ordered = sorted(formula.parts, key=cost)
                return disjunction([self._lower(part, scope, true) for part in ordered])
            case Settled():
                return constant(formula.value is True if true else formula.value is not False)
            case Exact() | Quantified():
                return self._asked(self.status(formula, scope), true)
            case Choice():
                return self._choice(formula, scope, true)
            case Comparison():
                found = comparison(formula, scope, unruly=self._unruly)
                return either(found.known, found.value, self._unknown(found, formula.expr, true))
            case Interval():
                found = interval(formula, scope)
                return either(found.known, found.value, self._unknown(found, formula.expr, true))
            case _:
                return self._atom(formula, scope, true)

    def _choice(self, choice: Choice, scope: Scope, true: bool) -> Node:
        test, unsure = self.true(choice.test, scope), self.maybe(choice.test, scope)
        then = self._lower(choice.then, scope, true)
        otherwise = self._lower(choice.otherwise, scope, true)
        if true:
            return either(test, then, conjunction([negated(unsure), otherwise]))
        return either(test, then, disjunction([unsure, otherwise]))

    def _unknown(self, found: Computed, expr: Expr, true: bool) -> Node:
        """What `expr` is where its computation is not known inline."""
        asked = self._asked(self.program(expr), true)
        return (
            conjunction([negated(found.fails), asked])
            if true
            else disjunction([found.fails, asked])
        )

    def _asked(self, status: Node | None, true: bool) -> Node:
        assert status is not None, "only atoms with a status come here"
        return compare(status, "is" if true else "is not", constant(true))

    def _atom(self, atom: Placed, scope: Scope, true: bool) -> Node:
        inline = self._inline(atom, scope, true)
        if atom.place.variable not in self._unruly or not _compares_numbers(atom):
            return inline
        odd = call("is_odd", scope.slot(atom.place))
        return either(odd, self._asked(self.program(atom.expr), true), inline)

    def _inline(self, atom: Placed, scope: Scope, true: bool) -> Node:
        match atom:
            case Order():
                return _ordered(scope.number(atom.place), atom.operator, atom.number, true)
            case Equal():
                return self._equal(atom, scope, true)
            case Text():
                value = scope.slot(atom.place)
                test = self.text_test(atom, value)
                return _typed(class_is(value, "str"), test if atom.wanted else negated(test), true)
            case Present():
                return _present(atom, scope, true)
            case Flag():
                wanted = constant(atom.wanted if true else not atom.wanted)
                return compare(scope.slot(atom.place), "is" if true else "is not", wanted)
            case Size():
                value = scope.slot(atom.place)
                sized = compare(class_of(value), "in", name("SIZED"))
                test = compare(call("len", value), atom.operator, constant(atom.number))
                return _typed(sized, test, true)
            case Time():
                return _ordered(
                    scope.time(atom.place, atom.converts), atom.operator, atom.moment_ns, true
                )
            case Contains():
                value = scope.slot(atom.place)
                holder = disjunction([class_is(value, "list"), class_is(value, "dict")])
                operator = "in" if atom.wanted else "not in"
                return _typed(holder, compare(constant(atom.text), operator, value), true)
            case _:
                raise AssertionError("no atom to be lowered inline")

    def text_test(self, atom: Text, value: Node) -> Node:
        """The test of `atom`, wanted or not, on a value that is a str."""
        if atom.test in ("pattern", "searched"):
            return self._matches(atom.text, value)
        if atom.test == "contains":
            return compare(constant(atom.text), "in", value)
        if atom.test in FLIPPED:
            return compare(value, atom.test, constant(atom.text))
        method = "startswith" if atom.test == "prefix" else "endswith"
        return call(attribute(value, method), constant(atom.text))

    def _matches(self, pattern: str, value: Node) -> Node:
        """Whether `pattern` is found in a str: on the spot, where the text is plain enough."""
        quick = self._quick(pattern)
        if quick is None:
            return self._matcher(pattern, value)
        search = self._shared(("search", pattern), lambda: quick.search)
        found = compare(call(search, value), "is not", constant(None))
        plain: list[Node] = []
        if quick.bounded:
            plain.append(compare(call("len", value), "<=", constant(QUICK_TEXT_MAX)))
        if quick.ascii:
            plain.append(call(attribute(value, "isascii")))
        return either(conjunction(plain), found, self._matcher(pattern, value)) if plain else found

    def _matcher(self, pattern: str, value: Node) -> Node:
        return call(self._shared(("pattern", pattern), lambda: safe_matcher(pattern)), value)

    def _quick(self, pattern: str) -> QuickSearch | None:
        if pattern not in self._searches:
            self._searches[pattern] = quick_search(pattern)
        return self._searches[pattern]

    def _equal(self, atom: Equal, scope: Scope, true: bool) -> Node:
        value = scope.slot(atom.place)
        is_missing = compare(value, "is", _MISSING)
        tests = self.equal_tests(atom.constants, value)
        if atom.wanted:
            return disjunction(tests or [constant(False)] if true else [*tests, is_missing])
        none = [negated(disjunction(tests))] if tests else []
        if true:
            return conjunction([*none, negated(is_missing)])
        return none[0] if none else constant(True)

    def equal_tests(
        self, constants: Sequence[Scalar], value: Node, *, typed: bool = False
    ) -> list[Node]:
        """Tests of which one holds when `value` equals one of `constants`. MISSING equals none.

        With `typed`, value and constants are all texts or all numbers.
        """
        tests: list[Node] = []
        texts = [each for each in constants if isinstance(each, str)]
        numbers = [each for each in constants if type(each) is int or type(each) is float]
        if len(texts) == 1:
            tests.append(compare(value, "==", constant(texts[0])))
        elif texts:
            test = compare(value, "in", self.set_of(texts))
            tests.append(test if typed else conjunction([class_is(value, "str"), test]))
        if numbers:
            test = compare(value, "in", self.set_of(numbers))
            if len(numbers) == 1:
                test = compare(value, "==", constant(numbers[0]))
            tests.append(test if typed else conjunction([number_test(value), test]))
        tests += [
            compare(value, "is", constant(each))
            for each in (True, False, None)
            if any(each is one for one in constants)
        ]
        return tests

    def _loop(self, atom: Quantified, scope: Scope) -> Node:
        found = self._loops.get(id(atom))
        if found is None:
            found = self._loops[id(atom)] = (atom, name(self._define_loop(atom, scope)))
        return found[1]

    def _define_loop(self, atom: Quantified, scope: Scope) -> str:
        """A function of a list (or object: its names), event and value that says all three."""
        elements = scope.node(Place(atom.place.variable, (*atom.place.path, 0)))
        outside = Scope(scope.roots)
        inside = outside.inner(elements)
        items, wanted = name("items"), constant(atom.wanted)
        true, maybe = self.true(atom.body, inside), self.maybe(atom.body, inside)
        found = [if_(true, [return_(wanted)]), assign("unsure", constant(True))]
        odd = [
            if_(call("is_odd", inside.slot(each.place)), [return_(self.program(atom.expr))])
            for each in atoms(atom.body)
            if atom.place.variable in self._unruly
            and isinstance(each, Order | Equal)
            and each.place.variable == atom.variable
            and _compares_numbers(each)
        ]
        holder = disjunction([class_is(items, "list"), class_is(items, "dict")])
        body = [
            if_(negated(holder), [return_(constant(None))]),
            if_(
                compare(call("len", items), ">", constant(ELEMENTS_MAX)),
                [return_(self.program(atom.expr))],
            ),
            *outside.statements,
            assign("unsure", constant(False)),
            loop("x", items, [*inside.statements, *odd, if_(maybe, found)]),
            return_(either(name("unsure"), constant(None), constant(not atom.wanted))),
        ]
        identifier = self.namespace.fresh("loop")
        self.functions.append(function(identifier, ("items", "event", "value"), body))
        return identifier


def class_of(value: Node) -> Node:
    """`value.__class__`."""
    return attribute(value, "__class__")


def _compares_numbers(atom: Placed) -> bool:
    """Whether NaN and decimals, which only unruly places hold, make a difference."""
    if isinstance(atom, Equal):
        return any(type(each) is int or type(each) is float for each in atom.constants)
    return isinstance(atom, Order)


def _typed(right_type: Node, test: Node, true: bool) -> Node:
    """A test that is an error for values of another type."""
    return conjunction([right_type, test]) if true else disjunction([negated(right_type), test])


def _ordered(view: Node, operator: str, limit: float, true: bool) -> Node:
    """A comparison with a view that is NaN for what is an error: NaN compares false."""
    if true:
        return compare(view, operator, constant(limit))
    return negated(compare(view, FLIPPED[operator], constant(limit)))


def _present(atom: Present, scope: Scope, true: bool) -> Node:
    there = compare(scope.slot(atom.place), "is not" if atom.wanted else "is", _MISSING)
    if atom.wanted is true:
        return there
    in_object = scope.in_object(atom.place)
    return conjunction([there, in_object]) if true else disjunction([there, negated(in_object)])
