"""The generated function of a plan: from an event to hits."""

from __future__ import annotations

from collections.abc import Sequence

from ...schemas.event import Event
from ...schemas.json_projection import DecodeError
from .access import Rule
from .activation import Undecodable
from .definition import EVENT_VARIABLES, PLACED, Definition, Run
from .formula import conjuncts
from .hoisting import Roots
from .index import Index
from .lowering import Lowering
from .normal_form import Normalizer
from .pycode import (
    Namespace,
    Statement,
    assign,
    attempt,
    attribute,
    call,
    compare,
    constant,
    either,
    function,
    if_,
    list_,
    name,
    return_,
    tuple_,
)
from .runtime import HELPERS

__all__ = ["generate"]


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
        self.namespace = namespace = Namespace(dict(HELPERS))
        namespace.values["key_root"] = definition.key_root
        projected = {
            "value": definition.reader.projection.root,
            "key": definition.key_projection.root,
        }
        roots = Roots(namespace, projected)
        self.lowering = Lowering(namespace, definition.program, unruly)
        self.index = Index(roots, namespace, self.lowering, unruly, definition.judging)

    def run(self) -> Run:
        rules = self.definition.rules
        everything = [
            Rule(i, conjuncts(self.normalizer.formula(rule.condition)))
            for i, rule in enumerate(rules)
        ]
        reads = [reads.reads_value for reads in self.definition.rule_reads]
        blind = [rule for rule in everything if not reads[rule.index]]
        on_null = [
            rule for rule in everything if rules[rule.index].tombstone or not reads[rule.index]
        ]
        functions = [
            function("blind", ("event", "value"), self.body(blind)),
            function("on_null", ("event", "value"), self.body(on_null)),
            function("run", ("event",), self.entry(everything)),
        ]
        self.namespace.values["undecodable"] = self.undecodable
        self.namespace.values["decode"] = self.definition.reader.fast
        self.namespace.load([*self.lowering.functions, *functions])
        return self.namespace.function("run")

    def undecodable(self, event: Event, error: Exception) -> tuple[int, ...] | Undecodable:
        """What becomes of an event whose value the generated code could not decode."""
        value = self.definition.reader.again(event.value or b"", error)
        if isinstance(value, DecodeError):
            return Undecodable(self.namespace.function("blind")(event, None), str(value))
        return self.definition.run(event)

    def body(self, rules: Sequence[Rule], *, top: bool = False) -> list[Statement]:
        found = self.index.statements(rules, top=top)
        end = "finish_merged" if self.index.merges else "finish"
        finish = either(name("hits"), call(end, name("hits")), tuple_())
        return [assign("hits", list_()), *found, return_(finish)]

    def entry(self, rules: Sequence[Rule]) -> list[Statement]:
        definition, data = self.definition, name("data")
        decode = assign("value", constant(None))
        if definition.reads.reads_value or definition.setting.strict_values:
            refused = return_(call("undecodable", name("event"), name("error")))
            decode = attempt([assign("value", call("decode", data))], "error", [refused])
        null = return_(call("on_null", name("event"), constant(None)))
        return [
            assign("data", attribute(name("event"), "value")),
            if_(compare(data, "is", constant(None)), [null]),
            decode,
            *self.body(rules, top=True),
        ]
