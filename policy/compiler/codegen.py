"""The generated function of a plan: from an event to hits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from ...schemas.event import Event
from ...schemas.json_projection import DecodeError
from .activation import Undecodable
from .definition import EVENT_VARIABLES, PLACED, Definition, Run
from .formula import Formula, conjuncts
from .hoisting import Roots, Scope
from .lowering import Lowering
from .normal_form import Normalizer
from .pycode import (
    Namespace,
    Statement,
    assign,
    attempt,
    attribute,
    bound,
    call,
    compare,
    constant,
    either,
    function,
    if_,
    list_,
    load_functions,
    name,
    return_,
    run,
    tuple_,
)
from .runtime import HELPERS

__all__ = ["generate"]

_Rules: TypeAlias = Sequence[tuple[int, Formula]]


def generate(definition: Definition) -> Run:
    """A function that does what `definition.run` does."""
    return _Generator(definition).run()


class _Generator:
    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        setting = definition.setting
        variables = EVENT_VARIABLES | {"value"}
        if setting.stage != "produce":
            variables |= PLACED
        unruly = frozenset({"facts"})
        self.normalizer = Normalizer(definition.constants, variables, unruly)
        self.namespace = Namespace(dict(HELPERS))
        self.namespace.values["key_root"] = definition.key_root
        projected = {
            "value": definition.reader.projection.root,
            "key": definition.key_projection.root,
        }
        self.roots = Roots(self.namespace, projected)
        self.lowering = Lowering(self.namespace, definition.program, unruly)

    def run(self) -> Run:
        rules = self.definition.rules
        reads = [reads.reads_value for reads in self.definition.rule_reads]
        everything = [(i, self.normalizer.formula(rule.condition)) for i, rule in enumerate(rules)]
        blind = [(i, formula) for i, formula in everything if not reads[i]]
        on_null = [(i, formula) for i, formula in everything if rules[i].tombstone or not reads[i]]
        functions = [
            function("blind", ("event", "value"), self.body(blind)),
            function("on_null", ("event", "value"), self.body(on_null)),
            function("run", ("event",), self.entry(everything)),
        ]
        self.namespace.values["undecodable"] = self.undecodable
        self.namespace.values["decode"] = self.definition.reader.decode
        load_functions([*self.lowering.functions, *functions], self.namespace)
        return bound(self.namespace, "run")

    def undecodable(self, event: Event) -> tuple[int, ...] | Undecodable:
        """What becomes of an event whose value the generated code could not decode."""
        try:
            self.definition.reader.decode(event.value or b"")
        except DecodeError as error:
            return Undecodable(bound(self.namespace, "blind")(event, None), str(error))
        return self.definition.run(event)

    def body(self, rules: _Rules) -> list[Statement]:
        scope = Scope(self.roots)
        tests: list[Statement] = []
        for index, formula in rules:
            parts = conjuncts(formula)
            maybe = self.lowering.all_maybe(parts, scope)
            hit = either(self.lowering.all_true(parts, scope), constant(index), constant(~index))
            tests.append(if_(maybe, [run(call(attribute(name("hits"), "append"), hit))]))
        finish = either(name("hits"), call("finish", name("hits")), tuple_())
        return [assign("hits", list_()), *scope.statements, *tests, return_(finish)]

    def entry(self, rules: _Rules) -> list[Statement]:
        definition, data = self.definition, name("data")
        decode = assign("value", constant(None))
        if definition.reads.reads_value or definition.setting.strict_values:
            refused = return_(call("undecodable", name("event")))
            decode = attempt([assign("value", call("decode", data))], "error", [refused])
        null = return_(call("on_null", name("event"), constant(None)))
        return [
            assign("data", attribute(name("event"), "value")),
            if_(compare(data, "is", constant(None)), [null]),
            decode,
            *self.body(rules),
        ]
