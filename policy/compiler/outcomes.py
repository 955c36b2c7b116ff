"""What happens to rules once their access predicate is known: code that fills `hits`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final

from .access import Entry, Rule
from .formula import Formula, Present
from .hoisting import Roots, Scope
from .lowering import Lowering
from .pycode import (
    Namespace,
    Node,
    Statement,
    assign,
    attribute,
    call,
    compare,
    constant,
    either,
    extend,
    function,
    if_,
    name,
    run,
    tuple_,
)
from .tables import Bucket, adder

__all__ = ["CONTEXT", "NESTED_MIN", "Outcomes"]

#: The parameters of every function that adds hits, and the arguments that it is called with.
CONTEXT: Final = ("event", "value", "hits")
_CONTEXT_NODES: Final = tuple(map(name, CONTEXT))
#: So many rules that pass together get an index of their own.
NESTED_MIN: Final = 6
#: More rules that fail together, unless something else is false, get a function of their own.
_FEW_FAILED: Final = 2


class Outcomes:
    """Writes what follows from an access predicate that is true, is an error, or is not known.

    `nested` writes an index of rules as a function and gives its name; `judging` makes a function
    in which exact programs decide.
    """

    def __init__(
        self,
        roots: Roots,
        namespace: Namespace,
        lowering: Lowering,
        nested: Callable[[Sequence[Rule]], str],
        judging: Callable[[Collection[int]], Bucket],
    ) -> None:
        self.roots, self.namespace, self.lowering = roots, namespace, lowering
        self._nested, self._judging = nested, judging
        self._buckets: dict[tuple[Entry, ...], str] = {}

    def define(self, prefix: str, body: Sequence[Statement], *parameters: str) -> str:
        """A function of event, value, hits and `parameters`; its name."""
        identifier = self.namespace.fresh(prefix)
        self.lowering.functions.append(function(identifier, (*CONTEXT, *parameters), body))
        return identifier

    def call(self, callee: Node | str, *args: Node) -> Statement:
        """A call of such a function."""
        return run(call(callee, *_CONTEXT_NODES, *args))

    def add(self, hits: Sequence[int]) -> list[Statement]:
        """Add hits that are certain."""
        if not hits:
            return []
        if len(hits) == 1:
            return [_append(constant(hits[0]))]
        return [extend("hits", _hits(hits))]

    def passed(self, entries: Sequence[Entry], scope: Scope) -> list[Statement]:
        """The access predicates of `entries` are true."""
        found = self.add([entry.rule.index for entry in entries if not entry.rest])
        tried = [Rule(entry.rule.index, entry.rest) for entry in entries if entry.rest]
        if len(tried) >= NESTED_MIN:
            return [*found, self.call(self._nested(tried))]
        return found + self.rules(tried, scope)

    def passed_apart(self, entries: Sequence[Entry], scope: Scope) -> list[Statement]:
        """The same of entries that seldom pass: what they read is fetched only then."""
        block = scope.inner()
        body = self.passed(entries, block)
        return [*block.statements, *body]

    def rules(self, rules: Sequence[Rule], scope: Scope) -> list[Statement]:
        """Try rules on the spot, those that say the same together."""
        families: dict[tuple[Formula, ...], list[int]] = {}
        for rule in rules:
            families.setdefault(rule.parts, []).append(rule.index)
        found: list[Statement] = []
        for parts, indexes in families.items():
            found += self._family(parts, indexes, scope)
        return found

    def _family(
        self, parts: tuple[Formula, ...], indexes: list[int], scope: Scope
    ) -> list[Statement]:
        errors = [~index for index in indexes]
        status = self.lowering.status(parts[0], scope) if len(parts) == 1 else None
        if status is not None:
            local = name("status")
            return [
                assign("status", status),
                if_(compare(local, "is not", constant(False)), [_either(local, indexes, errors)]),
            ]
        maybe = self.lowering.all_maybe(parts, scope)
        return [if_(maybe, [_either(self.lowering.all_true(parts, scope), indexes, errors)])]

    def failed(self, entries: Sequence[Entry], scope: Scope | None = None) -> list[Statement]:
        """The access predicates of `entries` are errors.

        So are the rules, unless something else is false: a few are asked on the spot, where `scope`
        is that of the spot, since what is optional is not there as often as it is.
        """
        unsure = sum(bool(entry.others) for entry in entries)
        if unsure and (scope is None or unsure > _FEW_FAILED):
            return [self.call(self.function_of_failed(entries))]
        return self._failing(entries, Scope(self.roots) if scope is None else scope.inner())

    def function_of_failed(self, entries: Sequence[Entry]) -> str:
        """The same as a function; its name."""
        return self.define("failed", self._failing(entries, Scope(self.roots)))

    def _failing(self, entries: Sequence[Entry], block: Scope) -> list[Statement]:
        """What is certain, then what is asked within `block`."""
        certain = self.add([~entry.rule.index for entry in entries if not entry.others])
        tests = self._unless_false([entry for entry in entries if entry.others], block)
        return [*certain, *block.statements, *tests]

    def _unless_false(self, entries: Sequence[Entry], scope: Scope) -> list[Statement]:
        """Rules that look for the same optional place first are skipped together without it."""
        guarded: dict[Present | None, dict[tuple[Formula, ...], list[int]]] = {}
        for entry in entries:
            guard = next((each for each in entry.others if _is_guard(each)), None)
            rest = tuple(each for each in entry.others if each is not guard)
            families = guarded.setdefault(guard if isinstance(guard, Present) else None, {})
            families.setdefault(rest, []).append(~entry.rule.index)
        found: list[Statement] = []
        for guard, families in guarded.items():
            tests = self.add(families.pop((), ()))
            for rest, errors in families.items():
                tests.append(if_(self.lowering.all_maybe(rest, scope), self.add(errors)))
            found += tests if guard is None else [if_(self.lowering.maybe(guard, scope), tests)]
        return found

    def unclear(self, entries: Sequence[Entry]) -> list[Statement]:
        """The access predicates of `entries` cannot be told inline: the exact programs decide."""
        return [self.call(self.judging(entries))]

    def judging(self, entries: Sequence[Entry]) -> str:
        """A function in which the exact programs of whole rules decide."""
        identifier = self.namespace.fresh("judging")
        self.namespace.values[identifier] = self._judging({entry.rule.index for entry in entries})
        return identifier

    def bucket(self, entries: Sequence[Entry]) -> str:
        """The name of a function that adds what `entries` come to once they pass."""
        key = tuple(entries)
        found = self._buckets.get(key)
        if found is None:
            if not any(entry.rest for entry in entries):
                found = self.namespace.fresh("bucket")
                self.namespace.values[found] = adder([entry.rule.index for entry in entries])
            else:
                scope = Scope(self.roots)
                body = self.passed(entries, scope)
                found = self.define("bucket", [*scope.statements, *body])
            self._buckets[key] = found
        return found


def _hits(hits: Sequence[int]) -> Node:
    return tuple_([constant(hit) for hit in hits])


def _either(true: Node, hits: Sequence[int], errors: Sequence[int]) -> Statement:
    if len(hits) == 1:
        return _append(either(true, constant(hits[0]), constant(errors[0])))
    return extend("hits", either(true, _hits(hits), _hits(errors)))


def _append(hit: Node) -> Statement:
    return run(call(attribute(name("hits"), "append"), hit))


def _is_guard(formula: Formula) -> bool:
    return isinstance(formula, Present) and formula.wanted
