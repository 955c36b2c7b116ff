"""Conditions of data contracts as trees over `value`: guards, fields, and the types that they have.

Where a guard fails, so does the condition: `guard ; body` is `guard ? body : true`, and not
`!guard || body`, which a body that holds would decide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from .cel import compile_exact, parse, unparse
from .cel.ast import (
    And,
    Call,
    Comprehension,
    Conditional,
    Expr,
    Ident,
    ListExpr,
    Literal,
    Not,
    Or,
    rebuilt,
    walk,
)
from .conditions import present
from .contract_fields import Case, ContractField, Fits, Step, has_member, is_kind, member
from .contract_types import as_days

__all__ = ["FieldCondition", "all_of", "guarded", "is_constant", "with_days"]

_TRUE: Final = Literal(True)
_ELEMENTS: Final = ("[]", "{}")
#: Types of one group look alike, so that their order decides; the others are told apart.
_GROUPS: Final[Mapping[str, str]] = {"int": "number", "double": "number"}


def guarded(guard: Expr | None, body: Expr) -> Expr:
    """`body` where `guard` holds; it fails where the guard does."""
    if guard is None or is_constant(guard, True):
        return body
    return _TRUE if is_constant(guard, False) else Conditional(guard, body, _TRUE)


def all_of(parts: Sequence[Expr]) -> Expr:
    """All of some conditions, without those that always hold."""
    operands: list[Expr] = []
    for part in parts:
        operands.extend(part.operands if isinstance(part, And) else (part,))
    operands = [part for part in operands if not is_constant(part, True)]
    if len(operands) < 2:
        return operands[0] if operands else _TRUE
    return And(tuple(operands))


def is_constant(node: Expr, value: bool) -> bool:
    """Whether a condition is `true`, or `false`, whatever the event."""
    return isinstance(node, Literal) and node.value is value


def with_days(expr: Expr, dates: frozenset[int]) -> Expr:
    """A condition whose parts in `dates`, by their identity, count days."""
    return parse(unparse(_substituted(expr, {}, dates))) if dates else expr


@dataclass(frozen=True, slots=True)
class FieldCondition:
    """A condition on a field. `dates` are the parts of guard and body that are dates."""

    field: ContractField
    guard: Expr | None
    body: Expr
    dates: frozenset[int] = frozenset()

    def asked(self, case: Case) -> tuple[Expr, ...]:
        """Guard and body over `value` and `message`, without what is known of values of a case.

        Empty where such values do not come to the body.
        """
        if not case.name:
            return ()
        plain = replace(self, dates=frozenset())
        value, record = Ident("value"), Ident("message")
        body = plain.bound(self.body, case, value, record)
        if self.guard is None:
            return (body,)
        guard = plain.bound(self.guard, case, value, record)
        return () if is_constant(guard, False) else (guard, body)

    def parts(self) -> tuple[Expr | None, Expr]:
        """Where the field is there, and what is to hold then; or what is to hold of the event."""
        path = self.field.path
        if set(_ELEMENTS) & set(path) or len(path) != len(self.field.steps):
            return None, self.whole()
        record: Expr = Ident("value")
        for step in path[:-1]:
            record = member(record, step)
        value = member(record, path[-1])
        there, holds = present(("value", *path)), self._leaf(value, record)
        filled = Call("!=", (value, Literal(None)))
        if self.field.skips_null:
            there = all_of([there, filled])
        elif isinstance(holds, Conditional) and holds.test == filled:
            there, holds = all_of([there, filled]), holds.then
        return there, holds

    def whole(self) -> Expr:
        """That it holds for all that stands at the steps of the field. Raises ValueError."""
        value = Ident("value")
        found = self._each(self.field.steps, value, value, 0)
        return parse(unparse(found))

    def _each(self, steps: Sequence[Step], at: Expr, record: Expr, depth: int) -> Expr:
        if not steps:
            return self._leaf(at, record)
        step, rest = steps[0], steps[1:]
        if isinstance(step, Fits):
            inner = self._each(rest, at, record, depth)
            return inner if is_constant(inner, True) else _or(Not(step.test(at)), inner)
        null_ends = bool(rest) or self.field.skips_null
        if step in _ELEMENTS:
            item = Ident(f"element_{depth}")
            names = (item.name,) if step == "[]" else (f"key_{depth}", item.name)
            inner = self._each(rest, item, record, depth + 1)
            if is_constant(inner, True):
                return inner
            if null_ends and rest[:1] not in (("[]",), ("{}",)):
                inner = _or(is_kind(item, "null_type"), inner)
            return Comprehension("all", at, names, (inner,))
        below = member(at, step)
        inner = self._each(rest, below, at, depth)
        if is_constant(inner, True):
            return inner
        absent: list[Expr] = [Not(has_member(at, step))]
        if null_ends:
            absent.append(is_kind(below, "null_type"))
        return _or(*absent, inner)

    def _leaf(self, value: Expr, record: Expr) -> Expr:
        """What is to hold of a value of the field."""
        days = as_days(value) if any(case.date for case in self.field.cases) else value
        found: list[tuple[Case, Expr]] = []
        for case in self.field.cases:
            holds: Expr = _TRUE
            if case.name:
                asked = None if self.guard is None else self.bound(self.guard, case, days, record)
                if asked is None or not is_constant(asked, False):
                    holds = guarded(asked, self.bound(self.body, case, days, record))
            found.append((case, holds))
        return _by_case(value, found)

    def bound(self, expr: Expr, case: Case, value: Expr, record: Expr) -> Expr:
        """A condition with what its variables stand for."""
        field = self.field
        known: dict[str, Expr] = {
            "value": value,
            "message": record,
            "name": Literal(field.name),
            "fullName": Literal(field.full_name),
            "typeName": Literal(case.name),
            "tags": ListExpr(tuple(Literal(tag) for tag in field.tags)),
        }
        return parse(unparse(_folded(_substituted(expr, known, self.dates))))


def _or(*parts: Expr) -> Expr:
    operands: list[Expr] = []
    for part in parts:
        operands.extend(part.operands if isinstance(part, Or) else (part,))
    return Or(tuple(operands))


def _by_case(value: Expr, found: Sequence[tuple[Case, Expr]]) -> Expr:
    """What holds for the first case that a value fits, and true for a value that fits none."""
    conditions = [holds for _, holds in found]
    if all(holds == conditions[0] for holds in conditions):
        return conditions[0]
    groups = [{_GROUPS.get(kind, kind) for kind in case.kinds} for case, _ in found]
    rest: Expr = _TRUE
    left = list(found)
    if sum(map(len, groups)) == len(set[str]().union(*groups)):  # no two look alike
        left = [each for each in found if not is_constant(each[1], True)]
        silent = [case for case, holds in found if is_constant(holds, True)]
        if [case.name for case in silent] == ["NULL"]:
            return Conditional(Call("!=", (value, Literal(None))), _by_case(value, left), _TRUE)
        if not silent:
            rest = left.pop()[1]
    for case, holds in reversed(left):
        rest = Conditional(case.test(value), holds, rest)
    return rest


def _folded(node: Expr) -> Expr:
    """`node` without what is true or false whatever the event: names and tags of fields are known."""
    if isinstance(node, (And, Or)):
        neutral = isinstance(node, And)
        operands = [_folded(part) for part in node.operands]
        if any(is_constant(part, not neutral) for part in operands):
            return Literal(not neutral)
        left = [part for part in operands if not is_constant(part, neutral)]
        if len(left) < 2:
            return left[0] if left else Literal(neutral)
        return replace(node, operands=tuple(left))
    if isinstance(node, (Call, Not)) and not any(isinstance(n, Ident) for n in walk(node)):
        found = compile_exact(node)({})
        if isinstance(found, bool):
            return Literal(found)
    if isinstance(node, Not):
        return replace(node, operand=_folded(node.operand))
    if isinstance(node, Conditional):
        test = _folded(node.test)
        if is_constant(test, True) or is_constant(test, False):
            return _folded(node.then if is_constant(test, True) else node.otherwise)
    return node


def _substituted(node: Expr, known: Mapping[str, Expr], dates: frozenset[int]) -> Expr:
    """`node` with expressions in the place of free names, and dates as days."""
    found = _replaced(node, known, dates)
    return as_days(found) if id(node) in dates else found


def _replaced(node: Expr, known: Mapping[str, Expr], dates: frozenset[int]) -> Expr:
    match node:
        case Ident():
            return known.get(node.name, node)
        case Comprehension():
            return _replaced_macro(node, known, dates)
        case _:
            return rebuilt(node, lambda part: _substituted(part, known, dates))


def _replaced_macro(node: Comprehension, known: Mapping[str, Expr], dates: frozenset[int]) -> Expr:
    """A macro; what it binds hides names, and is renamed where it would catch what is put in."""
    used = {n.name for expr in known.values() for n in walk(expr) if isinstance(n, Ident)}
    names = {v: f"{v}_0" if v in used else v for v in node.variables}
    bound = {**known, **{v: Ident(name) for v, name in names.items()}}
    args = tuple(_substituted(arg, bound, dates) for arg in node.args)
    range_ = _substituted(node.range, known, dates)
    return replace(node, range=range_, args=args, variables=tuple(names[v] for v in node.variables))
