"""How much an evaluation can cost at most, before any event is seen.

Units are those of cel-go and Kubernetes: a field 1, a list literal 10, a map literal 30, a
character of text 0.1, `in` the length of the list, a macro its size times its body.

What an event can hold is bounded by the largest message. A loop over the tags of each item visits
no more tags than the message has room for, however they are spread over the items: such costs are
*shared* by the iterations of the outer loop instead of being multiplied by their number.

What stands behind `size(value.items) <= 50 && …` is evaluated for lists of that size only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
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
    children,
    walk,
)
from .names import dotted_name
from .operators import ORDER
from .regex import PATTERN_LENGTH_MAX

__all__ = ["COST_MAX", "NESTING_LOOPS_MAX", "Bounds", "Cost", "estimate", "is_plain", "limits"]

#: Kubernetes' limit for one expression; some seconds of the slowest evaluator.
COST_MAX: Final = 10_000_000
#: Macros inside macros: more of them are a mistake whatever they cost.
NESTING_LOOPS_MAX: Final = 5

_CHARACTER: Final = 0.1
_PATTERN_CHARACTER: Final = 0.25
#: Joining texts copies them, which takes much less than to look at each character.
_COPIED_CHARACTER: Final = 0.002
#: RE2 takes no longer for longer patterns: its automaton has been built before.
_PATTERN_FACTOR_MAX: Final = 25.0
#: What the functions that compare lists with each other take at most, before they give up.
_PAIRS_MAX: Final = 4_000_000
_LIST: Final = 10.0
_MAP: Final = 30.0
#: The smallest element of a JSON list with its comma: `0,`; of one whose fields are read: `{},`.
_ELEMENT_BYTES: Final = 2
_RECORD_BYTES: Final = 3


@dataclass(frozen=True, slots=True)
class Bounds:
    """How large things can be.

    `sizes` maps paths (`value.items`, `value.items[].name`) to the most elements or characters
    that they have; everything else has room in `message_bytes_max`.
    """

    message_bytes_max: int = 1_048_576
    sizes: Mapping[str, int] = field(default_factory=dict[str, int])

    def within(self, sizes: Mapping[str, int]) -> Bounds:
        """The same where these sizes hold as well."""
        return Bounds(self.message_bytes_max, {**self.sizes, **sizes}) if sizes else self


@dataclass(frozen=True, slots=True)
class Cost:
    """The most that one evaluation costs, in units, and how deep macros are nested in macros."""

    units: float
    nesting: int

    @property
    def is_acceptable(self) -> bool:
        """True where both are within their limits."""
        return self.units <= COST_MAX and self.nesting <= NESTING_LOOPS_MAX


def estimate(expr: Expr, bounds: Bounds | None = None) -> Cost:
    """The cost of an expression; without bounds, for messages of Kafka's default size."""
    estimator = _Estimator(bounds or Bounds())
    value = estimator.visit(expr)
    return Cost(value.spent.total(), estimator.nesting)


@dataclass(slots=True)
class _Spent:
    """Units: once per evaluation of the node, and shared by all iterations over a variable.

    A shared amount is a pair: for the whole loop, and for one iteration, whichever is less.
    """

    once: float = 0.0
    shared: dict[str, list[tuple[float, float]]] = field(
        default_factory=dict[str, list[tuple[float, float]]]
    )

    def add(self, other: _Spent, times: float = 1.0) -> None:
        self.once += other.once * times
        for variable, amounts in other.shared.items():
            mine = self.shared.setdefault(variable, [])
            mine += [(whole * times, each * times) for whole, each in amounts]

    def total(self) -> float:
        """For an expression outside of every loop, where nothing is shared any more."""
        return self.once + sum(whole for amounts in self.shared.values() for whole, _ in amounts)


@dataclass(slots=True)
class _Value:
    """What is known of a value: how large it is at most, and what it has cost.

    `owner` is the macro's variable that it is a part of: then `size` is what all iterations have
    together, and `size_each` what one has. `path` is where it stands in the event.
    """

    spent: _Spent
    size: float = 1.0
    size_each: float = math.inf
    owner: str | None = None
    path: str = ""
    counted: bool = False  # `size` counts elements, not bytes

    def elements(self, element_bytes: int) -> tuple[float, float]:
        """The elements of all iterations together, and of one."""
        if self.counted:
            return self.size, self.size_each
        return self.size / element_bytes, self.size_each / element_bytes


class _Estimator:
    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.scope: dict[str, _Value] = {}
        self.depth = 0
        self.nesting = 0

    def visit(self, node: Expr) -> _Value:
        match node:
            case Literal():
                length = len(node.value) if isinstance(node.value, str | bytes) else 1
                return _Value(_Spent(), length, length)
            case Ident():
                return self.identifier(node)
            case Select():
                return self.part(self.visit(node.operand), f".{node.field}")
            case Index():
                key = self.visit(node.index)
                step = "[]"
                if isinstance(node.index, Literal) and isinstance(node.index.value, str):
                    step = f".{node.index.value}"
                value = self.part(self.visit(node.operand), step)
                value.spent.add(key.spent)
                return value
            case Call():
                return self.call(node)
            case ListExpr():
                return self.collection(node, _LIST, len(node.elements))
            case MapExpr():
                return self.collection(node, _MAP, len(node.entries))
            case Comprehension():
                return self.comprehension(node)
            case Conditional():
                return self.conditional(node)
            case And():
                return self.conjunction(node)
            case Has() | Not() | Or():
                return self.strict(node)

    def strict(self, node: Expr) -> _Value:
        """A node that costs one unit beside its operands, and is small."""
        spent = _Spent(1.0)
        for child in children(node):
            spent.add(self.visit(child).spent)
        return _Value(spent)

    def conjunction(self, node: And) -> _Value:
        """Operands are evaluated in order, and none after one that is false."""
        outer, spent = self.bounds, _Spent(1.0)
        for operand in node.operands:
            spent.add(self.visit(operand).spent)
            self.bounds = self.bounds.within(limits(operand))
        self.bounds = outer
        return _Value(spent)

    def conditional(self, node: Conditional) -> _Value:
        test, *branches = map(self.visit, children(node))
        spent = _Spent(1.0)
        for value in (test, *branches):
            spent.add(value.spent)
        return _Value(spent, max(branch.size for branch in branches))

    def identifier(self, node: Ident) -> _Value:
        name = node.name.removeprefix(".")
        bound = self.scope.get(node.name)
        if bound is not None:
            return _Value(
                _Spent(1.0), bound.size, bound.size_each, bound.owner, bound.path, bound.counted
            )
        return self.sized(_Value(_Spent(1.0), self.bounds.message_bytes_max, path=name))

    def part(self, whole: _Value, step: str) -> _Value:
        """A field or element: no larger than the whole."""
        whole.spent.once += 1
        path = whole.path + step if whole.path else ""
        size = self.bounds.message_bytes_max if whole.counted else whole.size
        return self.sized(_Value(whole.spent, size, owner=whole.owner, path=path))

    def sized(self, value: _Value) -> _Value:
        bound = self.bounds.sizes.get(value.path)
        if bound is not None:
            value.size_each, value.counted = bound, True
            if value.owner is None:
                value.size = bound
        return value

    def collection(self, node: ListExpr | MapExpr, base: float, count: int) -> _Value:
        value = self.strict(node)
        value.spent.once += base
        value.size, value.counted = float(count), True
        return value

    def traverse(self, value: _Value, factor: float, spent: _Spent) -> None:
        """Add the cost of looking at all of a value."""
        if value.owner is None:
            spent.once += factor * value.size
        else:
            amounts = (factor * value.size, factor * value.size_each)
            spent.shared.setdefault(value.owner, []).append(amounts)

    # Operators and functions.

    def call(self, node: Call) -> _Value:
        values = [self.visit(child) for child in children(node)]
        spent = _Spent(1.0)
        for value in values:
            spent.add(value.spent)
        if node.function == "in" and node.target is None:
            self.membership(values[1], spent)
        elif node.function in ("==", "!=") or node.function in ORDER:
            self.traverse(min(values, key=lambda value: value.size), _CHARACTER, spent)
        elif node.function == "matches" and len(values) == 2:
            pattern = min(values[1].size, PATTERN_LENGTH_MAX)
            factor = max(1.0, _PATTERN_CHARACTER * pattern)
            if isinstance(node.args[0], Literal):
                factor = min(factor, _PATTERN_FACTOR_MAX)
            self.traverse(values[0], _CHARACTER * factor, spent)
        elif node.function == "+":
            for value in values:
                self.traverse(value, _COPIED_CHARACTER, spent)
        elif node.function in _PAIRING:
            counts = [value.elements(_ELEMENT_BYTES)[0] for value in (*values, *values)]
            spent.once += min(counts[0] * counts[1], _PAIRS_MAX)
        elif node.function not in _CONSTANT_TIME:
            for value in values:
                self.traverse(value, _CHARACTER, spent)
        return self.result(node, values, spent)

    def membership(self, container: _Value, spent: _Spent) -> None:
        if container.path.startswith("lists"):
            return  # Tables have an index.
        if not container.counted:
            container.size /= _ELEMENT_BYTES
            container.size_each /= _ELEMENT_BYTES
        self.traverse(container, 1.0, spent)

    def result(self, node: Call, values: list[_Value], spent: _Spent) -> _Value:
        if node.function in _SMALL_RESULTS or node.function in ORDER:
            return _Value(spent)
        owners = {value.owner for value in values}
        owner = owners.pop() if len(owners) == 1 else None
        size = sum(value.size for value in values)
        size_each = sum(value.size_each for value in values)
        return _Value(spent, size, size_each if owner else math.inf, owner)

    # Macros.

    def comprehension(self, node: Comprehension) -> _Value:
        range_ = self.visit(node.range)
        if node.macro in ("bind", "optMap", "optFlatMap"):
            return self.binding(node, range_)
        variable = f"{node.variables[-1]}@{self.depth}"
        self.depth += 1
        self.nesting = max(self.nesting, self.depth)
        records = any(_selects(arg, node.variables) for arg in node.args)
        count, count_each = range_.elements(_RECORD_BYTES if records else _ELEMENT_BYTES)
        whole = min(range_.size, self.bounds.message_bytes_max)
        element = _Value(
            _Spent(),
            self.bounds.message_bytes_max if range_.counted else whole,
            owner=variable,
            path=f"{range_.path}[]" if range_.path else "",
        )
        body = self.body(node, element)
        self.depth -= 1
        inner = body.shared.pop(variable, [])
        spent = range_.spent
        per_iteration = _Spent(body.once + 1.0)
        if range_.owner is None:
            spent.add(per_iteration, count)
            spent.once += sum(min(total, count * each) for total, each in inner)
        else:
            total = per_iteration.once * count + sum(total for total, _ in inner)
            each = per_iteration.once * count_each
            each += sum(min(total, count_each * each) for total, each in inner)
            spent.shared.setdefault(range_.owner, []).append((total, each))
        spent.add(_Spent(0.0, body.shared), count)
        size = 1.0 if node.macro in ("all", "exists", "exists_one") else count
        return _Value(spent, size, count_each, range_.owner, counted=True)

    def body(self, node: Comprehension, element: _Value) -> _Spent:
        outer = self.scope
        self.scope = outer | dict.fromkeys(node.variables, element)
        body = _Spent()
        for arg in node.args:
            body.add(self.visit(arg).spent)
        self.scope = outer
        return body

    def binding(self, node: Comprehension, range_: _Value) -> _Value:
        outer = self.scope
        self.scope = outer | {node.variables[0]: range_}
        result = self.visit(node.args[0])
        self.scope = outer
        result.spent.add(range_.spent)
        return result


def limits(expr: Expr) -> dict[str, int]:
    """The sizes that hold wherever `expr` is true: `size(value.items) <= 50`."""
    match expr:
        case And():
            return {path: size for part in expr.operands for path, size in limits(part).items()}
        case Call(
            function="<" | "<=" | "==", target=None, args=(sized, Literal(value=int() as most))
        ):
            operands = children(sized)
            is_size = isinstance(sized, Call) and sized.function == "size" and len(operands) == 1
            name = dotted_name(operands[0]) if is_size else ""
            return {name: max(0, most - (expr.function == "<"))} if name else {}
        case _:
            return {}


#: Parts of an expression that reads no more than some dozens of fields and texts.
_PLAIN_PARTS_MAX: Final = 60
_PLAIN: Final = frozenset({
    *("==", "!=", "<", "<=", ">", ">=", "in", "startsWith", "endsWith", "contains", "size"),
    *("timestamp", "duration", "matches"),
})  # fmt: skip


def is_plain(expr: Expr) -> bool:
    """True where the cost is within its limit at a glance, which takes less than an estimate."""
    weight = 0
    for node in walk(expr):
        weight += 1
        match node:
            case Comprehension() | MapExpr():
                return False
            case Call():
                if node.function not in _PLAIN:
                    return False
                weight += 10 * (node.function == "matches")
            case _:
                pass
    return weight <= _PLAIN_PARTS_MAX


_PAIRING: Final = frozenset({
    "sets.contains", "sets.equivalent", "sets.intersects", "distinct",
})  # fmt: skip
_CONSTANT_TIME: Final = frozenset({
    "size", "type", "dyn", "-", "*", "/", "%", "has", "optional.of", "optional.none", "hasValue",
    "value", "or", "orValue", "getFullYear", "getMonth", "getDate", "getDayOfMonth",
    "getDayOfWeek", "getDayOfYear", "getHours", "getMinutes", "getSeconds", "getMilliseconds",
})  # fmt: skip
_SMALL_RESULTS: Final = frozenset({
    "==", "!=", "in", "-", "*", "/", "%", "size", "type", "matches", "contains", "startsWith",
    "endsWith", "int", "uint", "double", "bool", "timestamp", "duration", "indexOf",
    "lastIndexOf", "charAt", "isEmail", "isUuid", "isUri", "isUriRef", "isHostname", "isIpv4",
    "isIpv6", "isIP", "isCIDR", "ip", "cidr", "hasValue",
})  # fmt: skip


def _selects(node: Expr, variables: Iterable[str]) -> bool:
    """Whether a field of one of the variables is read somewhere in `node`."""
    names = set(variables)
    stack = [node]
    while stack:
        top = stack.pop()
        operand = top.operand if isinstance(top, Select | Has) else None
        if isinstance(operand, Ident) and operand.name in names:
            return True
        stack.extend(children(top))
    return False
