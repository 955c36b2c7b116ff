"""The exact evaluator: a syntax tree to a program that gives CEL's value for any event.

It is the reference for generated code, evaluates what that code leaves open, and explains. Nothing
here raises: see `values.CelError` and `values.Unknown`, and `operators` for how they combine.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from .access import MISSING, has_field, index, no_such_key, select
from .arithmetic import ARITHMETIC
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
from .calls import call, is_pattern, lazy_method, list_maker, map_maker, matching
from .code import (
    ACTIVATION,
    FIRST_SLOT,
    ITERATIONS_MAX,
    LOG,
    Code,
    Frame,
    Run,
    constant,
)
from .comprehensions import MACRO_CODE, Decision, Loop, decision
from .library import FUNCTIONS
from .library.optionals import LAZY_METHODS
from .names import TYPE_NAMES, dotted_name, resolve
from .operators import (
    ORDER,
    arithmetic,
    conditional,
    equality,
    junction,
    membership,
    minus,
    negation,
    order,
)
from .values import CelError, normal

__all__ = ["Evidence", "Program", "compile_deciding", "compile_exact", "trace"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """The exact value of a sub-expression, and of those that it was made from.

    Children are what was evaluated, in that order: an operand that did not matter is not among
    them. Below a macro stand its range and the first and last iterations that were looked at.
    """

    expr: Expr
    value: object
    children: tuple[Evidence, ...] = ()


#: Children kept of one node; the last one is always kept, since it decided.
_CHILDREN_MAX: Final = 256


class Program:
    """A compiled expression. Call it with an activation; any number of threads may."""

    __slots__ = ("_run", "_slots", "_traced", "expr")

    def __init__(
        self, expr: Expr, run: Run, slots: int, traced: Callable[[], Program] | None
    ) -> None:
        self.expr = expr
        self._run = run
        self._slots = [None] * slots
        self._traced: Callable[[], Program] | Program | None = traced

    def __call__(self, activation: Mapping[str, object]) -> object:
        """The value; a `CelError` or an `Unknown` where there is none."""
        return self._evaluate(activation, None)

    def _evaluate(
        self, activation: Mapping[str, object], log: list[list[Evidence]] | None
    ) -> object:
        try:
            return self._run([activation, ITERATIONS_MAX, log, *self._slots])
        except RecursionError:
            return CelError("too_deep", "the event is nested too deeply to be compared")
        except Exception:  # noqa: BLE001 - a defect here must fail the rule, not the caller
            return CelError("internal", "the evaluation failed; this is a defect")

    def trace(self, activation: Mapping[str, object]) -> Evidence:
        """The value with its evidence."""
        traced = self._traced
        if traced is None:
            log: list[list[Evidence]] = [[]]
            value = self._evaluate(activation, log)
            return log[0][0] if len(log) == 1 and log[0] else Evidence(self.expr, value)
        if not isinstance(traced, Program):
            traced = self._traced = traced()
        return traced.trace(activation)


def compile_exact(
    expr: Expr, *, names: Collection[str] = (), container: str = "", promote: bool = True
) -> Program:
    """The program for an expression, whether or not it passes the checker.

    `names` are the variables, where some of them have dots in their names, or that of a type;
    `container` is the namespace in which names are looked up first. Without `promote`, numbers of events do not
    widen: that is CEL to the letter. Rules need none of these.
    """
    if container or any("." in name for name in names):
        expr = resolve(expr, frozenset(names), container)
    return _compile(expr, promote, frozenset(names), traced=False)


def compile_deciding(
    node: Comprehension, most: int, *, names: Collection[str] = (), cut: bool = False
) -> Callable[[Mapping[str, object]], Decision]:
    """The program for `all`, `exists` or `exists_one` that also tells which elements decided.

    One beyond the first `most` is not told, and with `cut` not even asked.
    """
    compiler = _Compiler(True, False, frozenset(names))
    loop, (body,), _ = compiler.loop(node)
    program = Program(node, decision(loop, body.run, most, cut), compiler.slots, None)

    def decide(activation: Mapping[str, object]) -> Decision:
        found = program(activation)
        return found if isinstance(found, Decision) else Decision(found)

    return decide


def trace(expr: Expr, activation: Mapping[str, object]) -> Evidence:
    """The evidence for one evaluation; a few hundred expressions are kept compiled."""
    program = _TRACED.get(id(expr))
    if program is None:
        program = compile_exact(expr)
        if len(_TRACED) >= _TRACED_MAX:
            _TRACED.clear()
        _TRACED[id(expr)] = program
    return program.trace(activation)


#: By identity, since a tree takes longer to hash than to compile. A program keeps its expression
#: alive, so that its identity is not given to another one.
_TRACED: Final[dict[int, Program]] = {}
_TRACED_MAX: Final = 512


def _compile(expr: Expr, promote: bool, names: frozenset[str], *, traced: bool) -> Program:
    compiler = _Compiler(promote, traced, names)
    code = compiler.build(expr)
    again = None if traced else partial(_compile, expr, promote, names, traced=True)
    return Program(expr, code.run, compiler.slots, again)


_OPERATORS: Final = frozenset({*ARITHMETIC, *ORDER, "==", "!=", "in"})


class _Compiler:
    """Compiles one expression, bottom up; `scope` has the slots of the macros' variables."""

    def __init__(self, promote: bool, traced: bool, names: frozenset[str]) -> None:
        self.promote = promote
        self.traced = traced
        self.names = names
        self.slots = 0
        self.scope: dict[str, tuple[int, bool]] = {}

    def build(self, node: Expr) -> Code:
        code = self.build_node(node)
        return Code(_recorded(node, code.run), code.event) if self.traced else code

    def build_node(self, node: Expr) -> Code:
        match node:
            case Literal():
                return constant(node.value)
            case Ident():
                return self.identifier(node)
            case Select():
                return self.selection(node)
            case Has():
                operand = self.build(node.operand)
                field, span = node.field, node.span
                return self.made((operand,), _has(operand.run, field, span))
            case Index():
                return self.subscript(node)
            case Not():
                operand = self.build(node.operand)
                return self.made((operand,), negation(operand.run, node.span))
            case And() | Or():
                operands = [self.build(operand) for operand in node.operands]
                sign = "&&" if isinstance(node, And) else "||"
                runs = [operand.run for operand in operands]
                return self.made(operands, junction(sign, runs, node.span))
            case Conditional():
                test, then, other = map(self.build, (node.test, node.then, node.otherwise))
                run = conditional(test.run, then.run, other.run, node.span)
                return self.made((test, then, other), run)
            case Call():
                return self.call(node)
            case ListExpr():
                items = [self.build(element) for element in node.elements]
                return self.made(items, list_maker([item.run for item in items], node))
            case MapExpr():
                return self.map(node)
            case Comprehension():
                return self.comprehension(node)

    def made(self, parts: Collection[Code], run: Run) -> Code:
        """The code made of `parts`; its value, where theirs are all known."""
        event = any(part.event for part in parts)
        if self.traced or not all(part.is_constant for part in parts):
            return Code(run, event)
        return constant(run([{}, 0, None]))

    # Names, fields and elements.

    def identifier(self, node: Ident) -> Code:
        name, span = node.name, node.span
        bound = self.scope.get(name)
        if bound is not None:
            slot, event = bound
            return Code(lambda frame: normal(frame[slot]), event)
        name = name.removeprefix(".")
        type_ = None if name in self.names else TYPE_NAMES.get(name)
        error = CelError("undeclared", f"there is no variable `{name}`", span)

        def run(frame: Frame) -> object:
            value = frame[ACTIVATION].get(name, MISSING)
            if value is MISSING:
                return error if type_ is None else type_
            return normal(value) if type(value) is int else value

        return Code(run, self.promote) if type_ is None else Code(run, False, type_)

    def selection(self, node: Select) -> Code:
        name = dotted_name(node)
        root = name.partition(".")[0]
        if name in TYPE_NAMES and root not in self.scope and root not in self.names:
            return constant(TYPE_NAMES[name])
        operand = self.build(node.operand)
        run = _select(operand.run, node.field, node.optional, node.span)
        return self.made((operand,), run)

    def subscript(self, node: Index) -> Code:
        operand, key = self.build(node.operand), self.build(node.index)
        optional, span = node.optional, node.span
        name = key.value if isinstance(key.value, str) else None
        container_of, key_of = operand.run, key.run

        def run(frame: Frame) -> object:
            return index(container_of(frame), key_of(frame), optional, name, span)

        return self.made((operand, key), run)

    # Calls.

    def call(self, node: Call) -> Code:
        name, span = node.function, node.span
        if node.target is None and name in _OPERATORS:
            return self.operator(node)
        function = FUNCTIONS.get(name)
        if function is None:
            error = CelError("unbound_function", f"there is no function `{name}`", span)
            return Code(lambda _frame: error, True)
        if node.target is None:
            args = [self.build(arg) for arg in node.args]
            return self.made(args, call(function, args, False, span))
        args = [self.build(arg) for arg in (node.target, *node.args)]
        if name in LAZY_METHODS and len(args) == 2:
            return self.made(args, lazy_method(function, args[0], args[1], span))
        if name == "matches" and len(args) == 2 and is_pattern(args[1].value):
            return self.made(args, matching(args[0].run, args[1].value, span))
        return self.made(args, call(function, args, True, span))

    def operator(self, node: Call) -> Code:
        operands = [self.build(arg) for arg in node.args]
        if len(operands) == 1:
            return self.made(operands, minus(operands[0].run, node.span))
        left, right = operands
        return self.made(operands, _binary(node.function, left, right, node.span))

    # Literals with parts, and macros.

    def map(self, node: MapExpr) -> Code:
        keys = [self.build(entry.key) for entry in node.entries]
        values = [self.build(entry.value) for entry in node.entries]
        optional = [entry.optional for entry in node.entries]
        runs = [
            (key.run, value.run, maybe)
            for key, value, maybe in zip(keys, values, optional, strict=True)
        ]
        return self.made([*keys, *values], map_maker(runs, node.span))

    def comprehension(self, node: Comprehension) -> Code:
        loop, args, event = self.loop(node)
        run = MACRO_CODE[node.macro](loop, tuple(arg.run for arg in args))
        return Code(run, event)

    def loop(self, node: Comprehension) -> tuple[Loop, list[Code], bool]:
        """What a macro goes through, its arguments, and whether they read a variable."""
        range_ = self.build(node.range)
        outer = self.scope
        first = FIRST_SLOT + self.slots
        self.slots += len(node.variables)
        slots = tuple(range(first, first + len(node.variables)))
        self.scope = outer | {
            name: (slot, range_.event) for name, slot in zip(node.variables, slots, strict=True)
        }
        args = [self.build(arg) for arg in node.args]
        self.scope = outer
        loop = Loop(node.macro, range_.run, slots, node.span)
        return loop, args, range_.event or any(arg.event for arg in args)


def _recorded(node: Expr, run: Run) -> Run:
    """`run`, noting what it gave and what was evaluated for it."""

    def record(frame: Frame) -> object:
        log: list[list[Evidence]] = frame[LOG]
        log.append([])
        value = run(frame)
        evidence = Evidence(node, value, tuple(log.pop()))
        siblings = log[-1]
        if len(siblings) < _CHILDREN_MAX:
            siblings.append(evidence)
        else:
            siblings[-1] = evidence
        return value

    return record


def _select(operand: Run, field: str, optional: bool, span: Span) -> Run:
    if optional:
        return lambda frame: select(operand(frame), field, True, span)
    missing = no_such_key(field, span)

    def run(frame: Frame) -> object:
        container: Any = operand(frame)
        if container.__class__ is dict:
            value = container.get(field, MISSING)
            if value is MISSING:
                return missing
            return normal(value) if type(value) is int else value
        return select(container, field, False, span)

    return run


def _has(operand: Run, field: str, span: Span) -> Run:
    return lambda frame: has_field(operand(frame), field, span)


def _binary(sign: str, left: Code, right: Code, span: Span) -> Run:
    if sign in ("==", "!="):
        return equality(sign, left, right, span)
    if sign == "in":
        return membership(left, right, span)
    if sign in ORDER:
        return order(sign, left, right, span)
    return arithmetic(sign, left, right, span)
