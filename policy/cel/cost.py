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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
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
)
from .cost_bounds import Bounds, limits
from .cost_results import (
    CHARACTERS,
    EITHER,
    KEPT,
    LISTS,
    ONE_ELEMENT,
    RANGE_MAX,
    READ_CHARACTERS,
    SMALL,
    STRING_OF_PART,
    TEXTS,
    list_literal,
    ranged,
    summed,
)
from .cost_values import ELEMENT_UNITS, Spent, Value, combined, either
from .operators import ORDER
from .pattern_cost import CHARACTER, INSTRUCTION, pattern_cost
from .regex import PATTERN_LENGTH_MAX, STEPS_MAX, pattern_problem

__all__ = ["COST_MAX", "NESTING_LOOPS_MAX", "Cost", "estimate"]

#: Kubernetes' limit for one expression; some seconds of the slowest evaluator.
COST_MAX: Final = 10_000_000
#: Macros inside macros: more of them are a mistake whatever they cost.
NESTING_LOOPS_MAX: Final = 5

#: Of a pattern that comes with the event, for each character of the text.
_PATTERN_CHARACTER: Final = 0.025
#: To compile such a pattern, which is limited in size.
_COMPILED: Final = 20_000.0
#: Of such a pattern a character may stand for so many instructions: a repetition.
_INSTRUCTIONS_EACH: Final = 1_000
#: Joining texts copies them, which takes much less than to look at each character.
_COPIED_CHARACTER: Final = 0.002
#: To order two elements, and to make one.
_COMPARISON: Final = 4.0
_MADE: Final = 0.2
#: What the functions that compare lists with each other take at most, before they give up.
_PAIRS_MAX: Final = 4_000_000
_LIST: Final = 10.0
_MAP: Final = 30.0
#: The smallest element whose fields are read, in JSON with its comma: `{},`.
_RECORD_BYTES: Final = 3


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


class _Estimator:
    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.scope: dict[str, Value] = {}
        #: The iterations over each variable, those of outer loops together.
        self.counts: dict[str, float] = {}
        self.depth = 0
        self.nesting = 0

    def visit(self, node: Expr) -> Value:
        match node:
            case Literal():
                if not isinstance(node.value, str | bytes):
                    return Value(Spent(), least=1, scalar=True)
                length = len(node.value)
                return Value(Spent(), length, content=length, least=length)
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
                return self.collection(node, _LIST, 1)
            case MapExpr():
                return self.collection(node, _MAP, 2)
            case Comprehension():
                return self.comprehension(node)
            case Conditional():
                return self.conditional(node)
            case And():
                return self.conjunction(node)
            case Has() | Not() | Or():
                return self.strict(node)

    def strict(self, node: Expr) -> Value:
        """A node that costs one unit beside its operands, and is small."""
        spent = Spent(1.0)
        for child in children(node):
            spent.add(self.visit(child).spent)
        return Value(spent)

    def conjunction(self, node: And) -> Value:
        """Operands are evaluated in order, and none after one that is false."""
        outer, spent = self.bounds, Spent(1.0)
        for operand in node.operands:
            spent.add(self.visit(operand).spent)
            self.bounds = self.bounds.within(limits(operand))
        self.bounds = outer
        return Value(spent)

    def conditional(self, node: Conditional) -> Value:
        test, *branches = map(self.visit, children(node))
        spent = Spent(1.0)
        for value in (test, *branches):
            spent.add(value.spent)
        return either(branches, spent, self.counts)

    def identifier(self, node: Ident) -> Value:
        bound = self.scope.get(node.name)
        if bound is not None:
            return replace(bound, spent=Spent(1.0))
        room = self.bounds.message_bytes_max
        path = node.name.removeprefix(".")
        return self.sized(Value(Spent(1.0), room, path=path, content=room))

    def part(self, whole: Value, step: str) -> Value:
        """A field or element: no larger than the whole."""
        whole.spent.once += 1
        if whole.path in self.bounds.maps:
            step = "{}"
        path = whole.path + step if whole.path else ""
        size, each = whole.content, min(whole.content_each, whole.item)
        if whole.owner is None:
            size = min(size, each)
        value = Value(
            whole.spent, size, each, whole.owner, path, content=size, content_each=each
        )  # fmt: skip
        return self.sized(value)

    def sized(self, value: Value) -> Value:
        """With the bound that is known for its place."""
        bound = self.bounds.sizes.get(value.path)
        if bound is not None:
            count = 1.0 if value.owner is None else self.counts[value.owner]
            value.size_each, value.counted = bound, True
            value.size = min(value.size, count * bound) if value.owner else bound
            if value.path in self.bounds.leaves:
                value.content, value.content_each = value.size, bound
        return value

    def alone(self, element: Value) -> Value:
        """An element that shares nothing, where each one is known to be small."""
        each = element.each()
        if element.owner is None or each.content * self.counts[element.owner] > element.content:
            return element
        return replace(element, owner=None, size=each.size, content=each.content)

    def collection(self, node: ListExpr | MapExpr, base: float, step: int) -> Value:
        """A list or map, of which every `step` operands are an element."""
        values = [self.visit(child) for child in children(node)]
        spent = Spent(1.0 + base)
        for value in values:
            spent.add(value.spent)
        made = combined(list_literal, values, spent, self.counts, counted=True)
        made.size, made.size_each = made.size / step, made.size_each / step
        return made

    # Operators and functions.

    def call(self, node: Call) -> Value:
        operands = children(node)
        values = [self.visit(child) for child in operands]
        spent = Spent(1.0)
        for value in values:
            spent.add(value.spent)
        if not values:
            return Value(spent)
        made = self.result(node, values, spent)
        if node.function == "in" and node.target is None:
            self.membership(values[1], spent)
        elif node.function in ("==", "!=") or node.function in ORDER:
            self.look(min(values, key=_weight), spent)
        elif node.function == "matches" and len(values) == 2:
            self.search(values[0], values[1], operands[1], spent)
        elif node.function in ("+", "lists.range"):
            self.copied(node, made, spent)
        elif node.function in _PAIRING:
            counts = [value.elements()[0] for value in (*values, *values)]
            spent.once += min(counts[0] * counts[1], _PAIRS_MAX)
        elif node.function == "sort":
            self.ordering(values[0], spent)
        elif node.function not in _CONSTANT_TIME:
            most = READ_CHARACTERS.get(node.function, math.inf)
            for value in values:
                self.look(value, spent, inside=node.function in _INSIDE, most=most)
            if node.function in TEXTS:
                self.copied(node, made, spent)
        return made

    def look(
        self, value: Value, spent: Spent, *, inside: bool = False, most: float = math.inf
    ) -> None:
        """Add the cost of looking at all of a value, or at all that is inside of it; at `most` of each."""
        whole, each = value.size, value.size_each
        if inside or (value.counted and not value.path):
            whole, each = value.content, value.content_each
        if most < math.inf:
            count = 1.0 if value.owner is None else self.counts[value.owner]
            whole, each = min(whole, count * most), min(each, most)
        spent.charge(value.owner, CHARACTER * whole, CHARACTER * each)

    def copied(self, node: Call, made: Value, spent: Spent) -> None:
        """Add the cost of making a result that may be larger than what it is made of."""
        factor = _MADE if node.function == "lists.range" else _COPIED_CHARACTER
        spent.charge(made.owner, factor * made.size, factor * made.size_each)

    def ordering(self, items: Value, spent: Spent) -> None:
        whole, each = items.elements()
        most = whole if items.owner is None else min(whole, each)
        factor = _COMPARISON * math.log2(most + 2)
        spent.charge(items.owner, factor * whole, factor * each)

    def search(self, text: Value, pattern: Value, written: Expr, spent: Spent) -> None:
        """Add the cost of a pattern: one that is written down, or one that the event brings."""
        if isinstance(written, Literal):
            source = written.value
            if not isinstance(source, str) or pattern_problem(source) is not None:
                return
            cost = pattern_cost(source)
            count = 1.0 if text.owner is None else self.counts[text.owner]
            whole = cost.per_character * min(text.size, count * cost.reach)
            each = cost.of(text.size_each)
            spent.charge(text.owner, whole, each)
            return
        count = max((self.counts.get(v.owner or "", 1.0) for v in (text, pattern)), default=1.0)
        length = min(pattern.size, pattern.size_each, PATTERN_LENGTH_MAX)
        whole_text, each_text = text.size, min(text.size, text.size_each)
        steps = min(each_text * length * _INSTRUCTIONS_EACH, STEPS_MAX)
        each = _COMPILED + max(steps * INSTRUCTION, _PATTERN_CHARACTER * each_text * length)
        owner = text.owner or pattern.owner
        if owner is None:
            spent.once += each
            return
        if text.owner is None:
            whole_text *= count
        whole = count * _COMPILED + whole_text * length * _INSTRUCTIONS_EACH * INSTRUCTION
        if {text.owner, pattern.owner} - {None, owner}:
            spent.once += each
        else:
            spent.charge(owner, whole, each)

    def membership(self, container: Value, spent: Spent) -> None:
        if container.path.startswith("lists."):
            return  # Tables have an index.
        whole, each = container.elements()
        spent.charge(container.owner, whole, each)

    def result(self, node: Call, values: Sequence[Value], spent: Spent) -> Value:
        name = node.function
        if name in SMALL:
            return Value(spent, scalar=name not in CHARACTERS)
        if name == "+" and any(value.scalar for value in values):
            return Value(spent, scalar=True)  # A number or a time, or nothing that fits.
        if name in KEPT:
            return values[0].kept(spent)
        if name in ONE_ELEMENT:
            return self.part(values[0].kept(spent), "[]")
        if name in EITHER:
            return either(values, spent, self.counts)
        if name == "lists.range":
            count = next((arg.value for arg in node.args if isinstance(arg, Literal)), RANGE_MAX)
            made = ranged(count if isinstance(count, int) else RANGE_MAX)
            return Value(spent, made.size, counted=True, content=made.content, item=made.item)
        if name in LISTS or name in TEXTS:  # The checker tells of arguments that are missing.
            values = [*values, *[_MISSING] * (_ARGUMENTS_MAX - len(values))]
        if name in LISTS:
            return combined(LISTS[name], values, spent, self.counts, counted=True, most=math.inf)
        counted = name == "+" and any(value.counted for value in values)
        is_part = name == "string" and values[0].path
        rule = TEXTS.get(STRING_OF_PART if is_part else name, summed)
        return combined(rule, values, spent, self.counts, counted=counted)

    # Macros.

    def comprehension(self, node: Comprehension) -> Value:
        range_ = self.visit(node.range)
        if node.macro in ("bind", "optMap", "optFlatMap"):
            return self.binding(node, range_)
        variable = f"{node.variables[-1]}@{self.depth}"
        self.depth += 1
        self.nesting = max(self.nesting, self.depth)
        records = any(_selects(arg, node.variables) for arg in node.args)
        count, count_each = range_.elements(_RECORD_BYTES if records else ELEMENT_UNITS)
        self.counts[variable] = count
        element = Value(
            Spent(),
            range_.content,
            range_.item,
            variable,
            content=range_.content,
            content_each=range_.item,
        )
        body, last = self.body(node, range_.path, element)
        self.depth -= 1
        inner = body.shared.pop(variable, [])
        spent = range_.spent
        per_iteration = Spent(body.once + 1.0)
        if range_.owner is None:
            spent.add(per_iteration, count)
            spent.once += sum(min(total, count * each) for total, each in inner)
        else:
            total = per_iteration.once * count + sum(total for total, _ in inner)
            each = per_iteration.once * count_each
            each += sum(min(total, count_each * each) for total, each in inner)
            spent.charge(range_.owner, total, each)
        spent.add(Spent(0.0, body.shared), count)
        made = self.made(node, range_, last, variable, spent)
        if node.macro == "sortBy":
            self.ordering(made, spent)
        return made

    def made(
        self, node: Comprehension, range_: Value, last: Value, variable: str, spent: Spent
    ) -> Value:
        """What a macro makes of its range; `last` is what its last argument gives."""
        if node.macro in ("all", "exists", "exists_one"):
            return Value(spent)
        count, count_each = range_.elements()
        if node.macro in ("filter", "sortBy"):
            kept = range_.kept(spent)
            kept.size, kept.size_each, kept.counted = count, count_each, True
            return kept
        each = last.each()
        content = last.content if last.owner == variable else count * last.content
        content += ELEMENT_UNITS * count
        item, content_each = each.content, (each.content + ELEMENT_UNITS) * max(count_each, 1.0)
        if node.macro == "transformMap":  # With the keys of the range.
            content += range_.content
            content_each += range_.content_each
        elif node.macro == "transformMapEntry":
            count = last.elements()[0] * (1.0 if last.owner == variable else count)
            count_each *= each.elements
        return Value(
            spent,
            count,
            count_each,
            range_.owner,
            counted=True,
            content=content,
            content_each=content_each,
            item=item,
        )

    def body(self, node: Comprehension, path: str, element: Value) -> tuple[Spent, Value]:
        """What one iteration costs, and what its last argument gives."""
        outer, *keys, last = self.scope, *node.variables
        self.scope = outer | dict.fromkeys(keys, element)
        if path in self.bounds.maps:  # Whose keys are elements, unless there are two variables.
            path = f"{path}{{}}" if keys else ""
        elif path:
            path = f"{path}[]"
        self.scope[last] = self.sized(replace(element, path=path))
        for name in node.variables:
            self.scope[name] = self.alone(self.scope[name])
        body = Spent()
        values = [self.visit(arg) for arg in node.args]
        for value in values:
            body.add(value.spent)
        self.scope = outer
        return body, values[-1]

    def binding(self, node: Comprehension, range_: Value) -> Value:
        outer = self.scope
        self.scope = outer | {node.variables[0]: range_}
        result = self.visit(node.args[0])
        self.scope = outer
        result.spent.add(range_.spent)
        return result


_ARGUMENTS_MAX: Final = 4
_MISSING: Final = Value(Spent(), 0.0, content=0.0)


def _weight(value: Value) -> float:
    """What of a value is looked at in a comparison."""
    return value.content if value.counted and not value.path else value.size


_PAIRING: Final = frozenset({
    "sets.contains", "sets.equivalent", "sets.intersects", "distinct",
})  # fmt: skip
#: What looks at everything inside of lists.
_INSIDE: Final = frozenset({"join", "format", "flatten"})
_CONSTANT_TIME: Final = frozenset({
    "size", "type", "dyn", "-", "*", "/", "%", "has", "optional.of", "optional.none", "hasValue",
    "value", "or", "orValue", "getFullYear", "getMonth", "getDate", "getDayOfMonth",
    "getDayOfWeek", "getDayOfYear", "getHours", "getMinutes", "getSeconds", "getMilliseconds",
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
