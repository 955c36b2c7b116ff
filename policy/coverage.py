"""Which rules, and which branches of their conditions, no case exercises.

The branches of a rule are: that it fires; that each atomic condition of `when` and `require` comes
out true, and that it comes out false; that each of its masks finds something to mask; that an
exemption lifts each of the rules it names. An atomic condition is one that `&&`, `||`, `!` and
`?:` join. It counts only where it was looked at: what stands behind an `&&` that was false already
is not exercised by that event. One that came out as an error is neither true nor false, and a rule
that only failed never fired: it is told as that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, cast

from msgspec import structs

from streamwarden.errors import Location

from .bundle import Bundle
from .cel.ast import And, Conditional, Expr, Not, Or
from .cel.ast import Literal as Constant
from .cel.evaluate import Evidence, compile_exact
from .cel.unparse import unparse
from .compiler import Undecodable
from .decision import Decision
from .documents import read_policy
from .fields import Reader
from .model import Condition, Mode, Path, Rule
from .nodes import MapNode
from .paths import format_path
from .plan import Plan
from .problems import Problems
from .rule_documents import WrittenRule
from .yaml_reader import read_yaml

__all__ = ["Branch", "Coverage", "Places", "RuleCoverage", "atoms", "rule_places"]

_What: TypeAlias = Literal["fires", "true", "false", "masks", "lifts"]
#: A branch within its rule: which part of the rule, the position there, and what has to happen.
_Key: TypeAlias = tuple[str, int, _What]


@dataclass(frozen=True, slots=True)
class Branch:
    """One thing that a case can exercise.

    `what` is fires, true, false, masks or lifts; `part` is when, require, mask or exempts, empty
    for the rule itself; `text` is the condition, the masked path or the name of the lifted rule.
    `errors` is the number of cases in which the rule could not be evaluated, where it never fired.
    """

    what: _What
    part: str
    text: str
    place: Location | None
    errors: int = 0

    @property
    def never(self) -> str:
        """What no case brought about, in words that follow a dash."""
        if self.errors:
            cases = "a case" if self.errors == 1 else f"{self.errors:,} cases"
            return f"is never true: it could not be evaluated in {cases}"
        if self.what in ("true", "false"):
            return f"`{self.text}` is never {self.what}"
        if self.what == "masks":
            return f"{self.text} is never there to be masked"
        return f"never lifts {self.text}" if self.what == "lifts" else "never fires"


@dataclass(frozen=True, slots=True)
class RuleCoverage:
    """What cases exercised of one rule. `missing` are the branches that none did.

    `errors` is the number of cases in which it could not be evaluated.
    """

    policy: str
    rule: str
    place: Location | None
    branches: int
    missing: tuple[Branch, ...]
    errors: int = 0


@dataclass(frozen=True, slots=True)
class Places:
    """Where a rule is written, and its parts: by the name of the part, in the order of atoms."""

    rule: Location
    parts: Mapping[str, tuple[Location, ...]]


def atoms(expr: Expr) -> Iterator[Expr]:
    """The atomic conditions of a condition, in the order written; constants are none."""
    match expr:
        case And() | Or():
            for operand in expr.operands:
                yield from atoms(operand)
        case Not():
            yield from atoms(expr.operand)
        case Conditional():
            for part in (expr.test, expr.then, expr.otherwise):
                yield from atoms(part)
        case Constant():
            return
        case _:
            yield expr


class Coverage:
    """Adds up what decisions exercised of the rules of `bundle` that are not switched off.

    `places` are what `rule_places` found; without, branches have no place.
    """

    def __init__(
        self, bundle: Bundle, places: Mapping[tuple[str, str], Places] | None = None
    ) -> None:
        known = places or {}
        self._rules = {
            (rule.policy, rule.id): (rule, list(_branches(rule, known.get((rule.policy, rule.id)))))
            for policy in bundle.policies
            if policy.mode is not Mode.OFF
            for rule in policy.rules
            if rule.mode is not Mode.OFF
        }
        self._places = known
        self._seen: dict[tuple[str, str], set[_Key]] = {name: set() for name in self._rules}
        self._errors: Counter[tuple[str, str]] = Counter()
        self._watched = {
            name: [_Watched(part, condition.expr) for part, condition in _parts(rule)]
            for name, (rule, _) in self._rules.items()
        }

    def add(self, decision: Decision) -> None:
        """Count what one decision exercised."""
        plan, event = decision.plan, decision.event
        known = plan.compiled.activation(event)
        decoded = not isinstance(known, Undecodable)
        if isinstance(known, Undecodable):
            known = plan.compiled.activation(structs.replace(event, value=None))
            if isinstance(known, Undecodable):
                return
        fired = {e.rule: e for e in decision.outcome.entries if isinstance(e.rule, int)}
        for index, planned in enumerate(plan.rules):
            name = (planned.policy.id, planned.rule.id)
            if name not in self._rules or not _evaluated(plan, index, decision, decoded=decoded):
                continue
            seen = self._seen[name]
            for condition in self._watched[name]:
                if condition.look(known, seen) is False:
                    break  # `require` is looked at unless `when` is false
            entry = fired.get(index)
            if entry is None:
                continue
            if entry.errored:
                self._errors[name] += 1
                continue
            seen.add(("", 0, "fires"))
            for number, mask in enumerate(planned.rule.masks):
                if _there(known.get("value"), mask.path):
                    seen.add(("mask", number, "masks"))
            for number, target in enumerate(planned.rule.exempts):
                if any(_is(plan, at, target) for at in planned.lifts if at in fired):
                    seen.add(("exempts", number, "lifts"))

    def rules(self) -> list[RuleCoverage]:
        """Every rule with what is missing, in the order of the bundle."""
        return [
            RuleCoverage(
                *name,
                self._places[name].rule if name in self._places else None,
                len(branches),
                tuple(self._missing(name, branches)),
                self._errors[name],
            )
            for name, (_, branches) in self._rules.items()
        ]

    def _missing(
        self, name: tuple[str, str], branches: list[tuple[_Key, Branch]]
    ) -> Iterator[Branch]:
        for key, branch in branches:
            if key not in self._seen[name]:
                failed = self._errors[name] if branch.what == "fires" else 0
                yield replace(branch, errors=failed) if failed else branch


def _branches(rule: Rule, places: Places | None) -> Iterator[tuple[_Key, Branch]]:
    yield ("", 0, "fires"), Branch("fires", "", "", None if places is None else places.rule)
    for part, condition in _parts(rule):
        for number, atom in enumerate(atoms(condition.expr)):
            place, text = _place(places, part, number), unparse(atom)
            yield (part, number, "true"), Branch("true", part, text, place)
            yield (part, number, "false"), Branch("false", part, text, place)
    for number, mask in enumerate(rule.masks):
        place = _place(places, "mask", number)
        path = format_path(("value", *mask.path))
        yield ("mask", number, "masks"), Branch("masks", "mask", path, place)
    for number, target in enumerate(rule.exempts):
        place = _place(places, "exempts", number)
        yield ("exempts", number, "lifts"), Branch("lifts", "exempts", target, place)


def _place(places: Places | None, part: str, number: int) -> Location | None:
    if places is None:
        return None
    found = places.parts.get(part, ())
    return found[number] if number < len(found) else places.rule


def _parts(rule: Rule) -> Iterator[tuple[str, Condition]]:
    for part, condition in (("when", rule.when), ("require", rule.require)):
        if condition is not None:
            yield part, condition


def _evaluated(plan: Plan, index: int, decision: Decision, *, decoded: bool) -> bool:
    """Whether the plan looked at the rule: not where the value it reads is not there."""
    definition = plan.compiled.definition
    if not definition.rule_reads[index].reads_value:
        return True
    if decision.event.value is None:
        return definition.rules[index].tombstone
    return decoded


class _Watched:
    """One condition, evaluated step by step."""

    def __init__(self, part: str, expr: Expr) -> None:
        self._part = part
        self._program = compile_exact(expr)
        self._numbers = {id(atom): number for number, atom in enumerate(atoms(expr))}

    def look(self, known: Mapping[str, object], seen: set[_Key]) -> object:
        """The value of the condition; adds how its atoms came out."""
        evidence = self._program.trace(known)
        for line in _lines(evidence):
            number = self._numbers.get(id(line.expr))
            if number is not None and isinstance(line.value, bool):
                seen.add((self._part, number, "true" if line.value else "false"))
        return evidence.value


def _lines(evidence: Evidence) -> Iterator[Evidence]:
    stack = [evidence]
    while stack:
        line = stack.pop()
        yield line
        stack.extend(line.children)


def _there(value: object, path: Path) -> bool:
    """Whether something stands at `path`; `[]` (None) is any element."""
    if not path:
        return True
    segment, rest = path[0], path[1:]
    if isinstance(value, Mapping):
        members = cast("Mapping[object, object]", value)
        return segment in members and _there(members[segment], rest)
    items = cast("list[object]", value) if isinstance(value, list) else []
    if segment is None:
        return any(_there(item, rest) for item in items)
    return isinstance(segment, int) and -1 < segment < len(items) and _there(items[segment], rest)


def _is(plan: Plan, index: int, target: str) -> bool:
    """Whether the rule at `index` is the one that an exemption names so."""
    planned = plan.rules[index]
    return target in (planned.rule.id, f"{planned.policy.id}/{planned.rule.id}")


# --------------------------------------------------------------------- places


def rule_places(data: bytes, file: str) -> dict[tuple[str, str], Places]:
    """Where the rules of one policy document are written; nothing where it cannot be read."""
    problems = Problems()
    document = read_yaml(data, file, problems)
    if document is None or not isinstance(document.root, MapNode):
        return {}
    if not document.root.entries or document.root.entries[0][0].text != "policy":
        return {}
    policy = read_policy(document, problems)
    return {(policy.policy.id, w.rule.id): _places(policy.reader, w) for w in policy.rules}


def _places(reader: Reader, written: WrittenRule) -> Places:
    node, source = written.node, reader.source
    parts: dict[str, tuple[Location, ...]] = {}
    for part, condition in (("when", written.when), ("require", written.require)):
        if condition is not None:
            parts[part] = tuple(
                source.location(piece.index(reader, atom.span.start))
                for piece in condition.parts
                for atom in atoms(piece.expr)
            )
    for part in ("mask", "exempts"):
        listed = node.get(part)
        items = getattr(listed, "items", ())
        parts[part] = tuple(source.location(item.start) for item in items)
    return Places(source.location(node.start), parts)
