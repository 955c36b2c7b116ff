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

__all__ = ["CONTEXT", "Outcomes"]

#: The parameters of every function that adds hits, and the arguments that it is called with.
CONTEXT: Final = ("event", "value", "hits")
_CONTEXT_NODES: Final = tuple(map(name, CONTEXT))
#: So many rules that pass together get an index of their own.
_NESTED_MIN: Final = 6


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
        self._full: dict[int, str] = {}
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
            return [run(call(attribute(name("hits"), "append"), constant(hits[0])))]
        return [extend("hits", tuple_([constant(hit) for hit in hits]))]

    def passed(self, entries: Sequence[Entry], scope: Scope) -> list[Statement]:
        """The access predicates of `entries` are true."""
        done = [entry.rule.index for entry in entries if not entry.full and not entry.rest]
        full = [entry.rule for entry in entries if entry.full]
        tried = [
            Rule(entry.rule.index, entry.rest) for entry in entries if entry.rest and not entry.full
        ]
        found = self.add(done)
        if len(tried) >= _NESTED_MIN:
            found.append(self.call(self._nested(tried)))
        else:
            for rule in tried:
                block = scope.inner()
                test = self.rule(rule, block)
                found += [*block.statements, *test]
        return found + [self.call(self._judged_in_full(rule)) for rule in full]

    def failed(self, entries: Sequence[Entry]) -> list[Statement]:
        """The access predicates of `entries` are errors.

        So are the rules, unless something else is false.
        """
        certain = [~entry.rule.index for entry in entries if not entry.full and not entry.others]
        full = [entry.rule for entry in entries if entry.full]
        open_ = [entry for entry in entries if entry.others and not entry.full]
        if not open_ and not full:
            return self.add(certain)
        scope = Scope(self.roots)
        tests = self._unless_false(open_, scope)
        calls = [self.call(self._judged_in_full(rule)) for rule in full]
        body = [*self.add(certain), *scope.statements, *tests, *calls]
        return [self.call(self.define("failed", body))]

    def _unless_false(self, entries: Sequence[Entry], scope: Scope) -> list[Statement]:
        """Rules that look for the same optional place first are skipped together without it."""
        families: dict[Present | None, list[tuple[int, list[Formula]]]] = {}
        for entry in entries:
            guard = next((each for each in entry.others if _is_guard(each)), None)
            rest = [each for each in entry.others if each is not guard]
            key = guard if isinstance(guard, Present) else None
            families.setdefault(key, []).append((entry.rule.index, rest))
        found: list[Statement] = []
        for guard, family in families.items():
            tests = self.add([~index for index, rest in family if not rest])
            for index, rest in family:
                if rest:
                    tests.append(if_(self.lowering.all_maybe(rest, scope), self.add([~index])))
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
            if all(not entry.full and not entry.rest for entry in entries):
                found = self.namespace.fresh("bucket")
                self.namespace.values[found] = adder([entry.rule.index for entry in entries])
            else:
                scope = Scope(self.roots)
                body = self.passed(entries, scope)
                found = self.define("bucket", [*scope.statements, *body])
            self._buckets[key] = found
        return found

    def rule(self, rule: Rule, scope: Scope) -> list[Statement]:
        """Try a rule on the spot."""
        index = constant(rule.index)
        if len(rule.parts) == 1:
            status = self.lowering.status(rule.parts[0], scope)
            if status is not None:
                hit = either(name("status"), index, constant(~rule.index))
                return [
                    assign("status", status),
                    if_(compare(name("status"), "is not", constant(False)), [_append(hit)]),
                ]
        maybe = self.lowering.all_maybe(rule.parts, scope)
        hit = either(self.lowering.all_true(rule.parts, scope), index, constant(~rule.index))
        return [if_(maybe, [_append(hit)])]

    def _judged_in_full(self, rule: Rule) -> str:
        found = self._full.get(rule.index)
        if found is None:
            scope = Scope(self.roots)
            test = self.rule(rule, scope)
            found = self._full[rule.index] = self.define("full", [*scope.statements, *test])
        return found


def _append(hit: Node) -> Statement:
    return run(call(attribute(name("hits"), "append"), hit))


def _is_guard(formula: Formula) -> bool:
    return isinstance(formula, Present) and formula.wanted
