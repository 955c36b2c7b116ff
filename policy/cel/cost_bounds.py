"""How large parts of an event can be, and which conditions need no estimate of their cost."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from .ast import (
    And,
    Call,
    Comprehension,
    Expr,
    ListExpr,
    Literal,
    MapExpr,
    children,
    walk,
)
from .names import dotted_name
from .pattern_cost import CHARACTER, pattern_cost
from .regex import pattern_problem

__all__ = ["MESSAGE_BYTES_MAX", "Bounds", "are_plain", "limits"]

#: Kafka's own limit, where nothing else is said.
MESSAGE_BYTES_MAX: Final = 1_048_576


@dataclass(frozen=True, slots=True)
class Bounds:
    """How large things can be.

    `sizes` maps paths (`value.items`, `value.items[].name`) to the most elements or characters
    that they have; everything else has room in `message_bytes_max`. `leaves` are those of them
    that have nothing inside: texts and numbers. `maps` are those whose values are at `{}`.
    """

    message_bytes_max: int = MESSAGE_BYTES_MAX
    sizes: Mapping[str, int] = field(default_factory=dict[str, int])
    leaves: Collection[str] = frozenset()
    maps: Collection[str] = frozenset()

    def within(self, sizes: Mapping[str, int]) -> Bounds:
        """The same where these sizes hold as well."""
        return replace(self, sizes={**self.sizes, **sizes}) if sizes else self


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


#: Parts of expressions that together look at no more than some dozens of texts: at most 40 times
#: two of them, each as large as a message, which is below the limit.
_PLAIN_PARTS_MAX: Final = 120
_PLAIN: Final = frozenset({
    *("==", "!=", "<", "<=", ">", ">=", "startsWith", "endsWith", "contains", "size"),
    *("timestamp", "duration"),
})  # fmt: skip


def are_plain(exprs: Iterable[Expr]) -> bool:
    """True where the cost is within its limit at a glance, which takes less than an estimate."""
    weight = 0
    for expr in exprs:
        for node in walk(expr):
            weight += 1
            match node:
                case Comprehension() | MapExpr():
                    return False
                case Call():
                    if node.function not in _PLAIN and not _is_quick(node):
                        return False
                case _:
                    pass
        if weight > _PLAIN_PARTS_MAX:
            return False
    return True


def _is_quick(call: Call) -> bool:
    """Whether membership or a pattern takes no longer than to look at each character once."""
    operands = children(call)
    if len(operands) != 2:
        return False
    other = operands[1]
    if call.function == "in":
        return isinstance(other, ListExpr) or dotted_name(other).startswith("lists.")
    if call.function != "matches" or not isinstance(other, Literal):
        return False
    pattern = other.value
    if not isinstance(pattern, str) or pattern_problem(pattern) is not None:
        return False
    return pattern_cost(pattern).of(MESSAGE_BYTES_MAX) <= CHARACTER * MESSAGE_BYTES_MAX
