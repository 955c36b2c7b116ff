"""What is wrong with the conditions of a rule: names, types, what may be missing, and cost."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final, TypeAlias, cast

from .cel import Bounds, CelProblem, Cost, Environment, check, estimate
from .cel.absence import Fact, guards, unguarded
from .cel.cost import COST_MAX, NESTING_LOOPS_MAX
from .cel.cost_bounds import are_plain, limits
from .cel.types import DYN, FIGURES, INT, STRING, TIMESTAMP, Type, list_of, map_of, plain, record
from .cel.unify import bare
from .condition_remedies import remedy_of
from .conditions import Part, WrittenCondition
from .documents import WrittenPolicy
from .problems import quoted
from .rule_documents import WrittenRule

__all__ = [
    "RuleCost",
    "ValueTypes",
    "bounds_of",
    "check_conditions",
    "condition_problems",
    "costs_of",
    "environment",
    "rule_cost",
    "units_shown",
]

#: The type of the values of a subject, None where there is no such subject.
ValueTypes: TypeAlias = Callable[[str], Type | None]

_COSTLY: Final = (
    "put `size(…) <= 50 &&` before what it loops over, or loop or repeat less: see SW130"
)
_CLIENT: Final = record("client", {"id": STRING, "labels": map_of(STRING, STRING)})
#: Parts of a schema whose size is looked up.
_SIZES_MAX: Final = 5000
#: Parts inside parts, of which no rule names more.
_DEPTH_MAX: Final = 16
_SIZE_ONE: Final = frozenset({
    "bool", "int", "uint", "double", "decimal",
    "google.protobuf.Timestamp", "google.protobuf.Duration",
})  # fmt: skip
#: Texts of a list that are looked at, to see whether they are all numbers.
_LOOKED_AT_MAX: Final = 1000
#: Not a code such as `007`.
_FIGURES: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
#: Values that have others inside.
_WITH_PARTS: Final = frozenset({"list", "map", "record"})


def environment(
    stages: Collection[str],
    lists: Mapping[str, object],
    value: Type = DYN,
    *,
    figures: bool = True,
) -> Environment:
    """What the conditions of a policy may refer to; `value` is the type of the event's value.

    Without `figures` nothing is said of texts in lists that look like numbers.
    """
    types = {name: _type_of(known, figures=figures) for name, known in lists.items()}
    later = {"partition": INT, "offset": INT}
    forbidden = {
        name: f"`{name}` is not known at stage `produce`, where this policy applies too"
        for name in (later if "produce" in stages else ())
    }
    return Environment(
        variables={
            "value": value,
            "message": value,
            "key": DYN,
            "headers": map_of(STRING, DYN),
            "topic": STRING,
            "timestamp": TIMESTAMP,
            "stage": STRING,
            "client": _CLIENT,
            "lists": record("lists", types, open=True),
            "facts": map_of(STRING, DYN),
            "stamp": DYN,
            "schema": DYN,
            "now": TIMESTAMP,
            **{name: type_ for name, type_ in later.items() if name not in forbidden},
        },
        lists=lists,
        forbidden=forbidden,
        noting=value.kind != "dyn",
    )


def _type_of(value: object, *, figures: bool = False) -> Type:
    """The type of a list or table as far as it is even: cells of CSV are text, and not numbers.

    Numbers are left open, since whole and other numbers compare with each other.
    """
    if isinstance(value, str):
        return STRING
    if isinstance(value, list):
        return list_of(_common(cast("list[object]", value), figures=figures))
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        found = map_of(STRING, _common(members.values(), figures=figures))
        return replace(found, keys=members.keys())
    return DYN


def _common(values: Collection[object], *, figures: bool) -> Type:
    if {type(value) for value in values} == {str}:
        return FIGURES if figures and _are_figures(values) else STRING
    types = {_type_of(value) for value in values}
    found = types.pop() if len(types) == 1 else DYN
    if found.kind != "map":
        return plain(found)
    # Of rows within rows nothing is told but the type.
    rows = cast("Collection[dict[str, object]]", values)
    columns = _columns(rows) if figures else frozenset[str]()
    return replace(plain(found), columns=columns, keys=frozenset[str]().union(*rows))


def _columns(rows: Iterable[Mapping[str, object]]) -> frozenset[str]:
    """The columns of a table whose cells are all texts that look like numbers."""
    cells: dict[str, list[object]] = {}
    for row in islice(rows, _LOOKED_AT_MAX):
        for name, cell in row.items():
            cells.setdefault(name, []).append(cell)
    return frozenset(name for name, column in cells.items() if _are_figures(column))


def _are_figures(values: Iterable[object]) -> bool:
    looked_at = islice(values, _LOOKED_AT_MAX)
    return all(isinstance(value, str) and _FIGURES.fullmatch(value) for value in looked_at)


def check_conditions(
    policy: WrittenPolicy, rule: WrittenRule, env: Environment, bounds: Bounds | None
) -> None:
    """Adds the problems of the conditions of one rule; None as bounds leaves out their cost."""
    for part, problem in condition_problems(rule, env):
        _tell(policy, part, problem)
    if bounds is not None:
        _check_cost(policy, rule, env, bounds)


def condition_problems(rule: WrittenRule, env: Environment) -> Iterator[tuple[Part, CelProblem]]:
    """What is wrong with each part of the conditions, and with what may be absent by the schema."""
    for condition, known in _conditions(rule, env):
        parts = condition.parts
        facts = [guards(part.expr, True) for part in parts] if env.noting else []
        for position, part in enumerate(parts):
            checked = check(part.expr, env)
            yield from ((part, problem) for problem in checked.problems)
            if env.noting and checked.ok and _counts_failures(rule):
                others = [*facts[:position], *facts[position + 1 :]]
                absent = unguarded(part.expr, checked.types, known.union(*others))
                yield from ((part, problem) for problem in absent)


def _conditions(
    rule: WrittenRule, env: Environment
) -> Iterable[tuple[WrittenCondition, frozenset[Fact]]]:
    """`when` and `require`, each with what the other one guards: the rule fires on `when && !require`."""
    for condition, other, truth in (
        (rule.when, rule.require, False),
        (rule.require, rule.when, True),
    ):
        if condition is None:
            continue
        known = frozenset[Fact]()
        if other is not None and env.noting:
            known = guards(other.condition.expr, truth)
        yield condition, known


def _counts_failures(rule: WrittenRule) -> bool:
    """Whether a condition that fails does what the author may not have thought of."""
    return rule.rule.effect is not None and rule.rule.on_error == "fire"


def _tell(policy: WrittenPolicy, part: Part, problem: CelProblem) -> None:
    if policy.reader.problems.drops(problem.severity):
        return
    policy.reader.problem(
        part.index(policy.reader, problem.span.start),
        problem.code,
        problem.message,
        remedy=remedy_of(part, problem),
        severity=problem.severity,
    )


# ------------------------------------------------------------------------ cost


@dataclass(frozen=True, slots=True)
class RuleCost:
    """The most that one evaluation of a rule costs."""

    policy: str
    rule: str
    cost: Cost


def costs_of(
    policy: WrittenPolicy, lists: Mapping[str, object], value_types: ValueTypes | None = None
) -> list[RuleCost]:
    """The costs of the rules of a policy, in the order written."""
    subject = policy.policy.schema
    known = None if subject is None or value_types is None else value_types(subject)
    bounds = bounds_of(environment(policy.policy.stages, lists, known or DYN))
    name = policy.policy.id
    return [RuleCost(name, rule.rule.id, rule_cost(rule, bounds)) for rule in policy.rules]


def rule_cost(rule: WrittenRule, bounds: Bounds) -> Cost:
    """Of all parts of the conditions together."""
    costs = _costs(_parts(rule), bounds)
    return Cost(sum(cost.units for cost in costs), max((c.nesting for c in costs), default=0))


def _costs(parts: Iterable[Part], bounds: Bounds) -> list[Cost]:
    """Of each part: one is evaluated where those before it are true."""
    costs: list[Cost] = []
    for part in parts:
        costs.append(estimate(part.expr, bounds))
        bounds = bounds.within(limits(part.expr))
    return costs


def _parts(rule: WrittenRule) -> list[Part]:
    conditions = (rule.when, rule.require)
    return [part for condition in conditions if condition for part in condition.parts]


def _check_cost(policy: WrittenPolicy, rule: WrittenRule, env: Environment, bounds: Bounds) -> None:
    parts = _parts(rule)
    if are_plain(part.expr for part in parts):
        return
    cost = rule_cost(rule, bounds)
    if cost.is_acceptable:
        return
    message = f"the rule could cost {units_shown(cost.units)} units, and {COST_MAX:,} are the most"
    if cost.units <= COST_MAX:
        message = f"macros are nested {cost.nesting} deep, and {NESTING_LOOPS_MAX} are the most"
    weights = [_weight(each) for each in _costs(parts, bounds)]
    worst = parts[weights.index(max(weights))]
    index = worst.index(policy.reader, worst.expr.span.start)
    schema, remedy = policy.policy.schema, _COSTLY
    if schema is not None and not env.noting and cost.units > COST_MAX:
        remedy = (
            f"the schema {quoted(schema)} was not looked at, and may say how large things are: give "
            f"--schemas; or {_COSTLY}"
        )
    policy.reader.problem(index, "SW130", message, remedy=remedy)


def _weight(cost: Cost) -> tuple[bool, float]:
    return cost.nesting > NESTING_LOOPS_MAX, cost.units


def units_shown(units: float) -> str:
    """A number of units for people."""
    return f"{units:,.0f}" if units < 1e12 else f"{units:.0e}"


def _has_size(value: object) -> bool:
    return isinstance(value, list | dict)


def bounds_of(env: Environment) -> Bounds:
    """How large things are: parts of an event by the schema of its value, and lists."""
    type_ = env.variables.get("value", DYN)
    sizes: dict[str, int] = {}
    leaves: set[str] = set()
    maps: set[str] = set()
    if isinstance(env.lists, Mapping):
        known = cast("Mapping[str, object]", env.lists)
        held = {name: cast("list[object]", v) for name, v in known.items() if _has_size(v)}
        sizes = {f"lists.{name}": len(value) for name, value in held.items()}
    # Nearest parts first, since records can lead back to themselves without an end.
    parts: deque[tuple[str, Type, int]] = deque([("value", type_, 0), ("message", type_, 0)])
    visited = 0
    while parts and visited < _SIZES_MAX:
        visited += 1
        path, found, depth = parts.popleft()
        found = bare(found)
        size = 1 if found.kind in _SIZE_ONE else found.size
        if size is not None and "." in path:
            sizes[path] = size
            if found.kind not in _WITH_PARTS:
                leaves.add(path)
        if depth < _DEPTH_MAX:
            parts += [(f"{path}.{name}", inner, depth + 1) for name, inner in found.fields]
            if found.kind == "list":
                parts.append((f"{path}[]", found.params[0], depth + 1))
            elif found.kind == "map":
                maps.add(path)
                parts.append((f"{path}{{}}", found.params[1], depth + 1))
    return Bounds(sizes=sizes, leaves=leaves, maps=maps)
