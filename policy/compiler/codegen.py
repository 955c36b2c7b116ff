"""The generated function of a plan: from an event to hits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from ...schemas.event import Event
from ...schemas.json_nesting import LONG
from ...schemas.json_projection import DecodeError
from .access import Entry, Rule
from .activation import Undecodable, schema_of
from .definition import EVENT_VARIABLES, PLACED, Definition, Run
from .formula import CALCULATED, conjuncts
from .hoisting import Roots
from .index import Index
from .lowering import Lowering
from .normal_form import Normalizer
from .pycode import (
    Namespace,
    Node,
    Statement,
    assign,
    attempt,
    attribute,
    call,
    compare,
    conjunction,
    constant,
    either,
    element,
    function,
    if_,
    list_,
    name,
    negated,
    return_,
    tuple_,
)
from .runtime import HELPERS

__all__ = ["Generated", "generate"]


@dataclass(frozen=True, slots=True)
class Generated:
    """A function that does what `Definition.run` does, and what it was made from."""

    run: Run
    rules: tuple[Rule, ...]
    waits: Mapping[int, Sequence[Entry] | None]


def generate(definition: Definition) -> Generated:
    """Generated code for the rules of `definition`."""
    return _Generator(definition).generated()


class _Generator:
    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        setting = definition.setting
        variables = EVENT_VARIABLES | {"value"}
        if setting.stage != "produce":
            variables |= PLACED
        #: Variables that may hold what JSON does not have: times, decimals, NaN.
        unruly = {"facts", CALCULATED}
        if definition.reader.unruly:
            unruly.add("value")
        if setting.framed is not None and setting.key_format in ("auto", "avro"):
            unruly.add("key")
        constants = dict(definition.constants)
        if setting.framed is not None:
            variables |= {"schema"}
            del constants["schema"]
        self.normalizer = Normalizer(constants, variables, frozenset({"value", "key"} - unruly))
        self.namespace = namespace = Namespace(dict(HELPERS))
        namespace.values["key_root"] = definition.key_root
        namespace.values["schema_root"] = partial(schema_of, framed=setting.framed)
        projected = {
            "value": definition.reader.projection.root,
            "key": definition.key_projection.root,
        }
        roots = Roots(namespace, projected, self.calculator)
        odd = frozenset(unruly)
        self.lowering = Lowering(namespace, definition.program, odd)
        self.index = Index(roots, namespace, self.lowering, odd, definition.judging)

    def generated(self) -> Generated:
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
        ]
        if self.definition.reader.projection.is_wide:
            # Here too a value may be refused at first, by what nobody reads.
            functions.append(
                function("judged", ("event", "value"), self.body(everything, top=True))
            )
            judged = [return_(call("judged", name("event"), name("value")))]
        else:
            judged = self.body(everything, top=True)
        functions.append(function("run", ("event",), self.entry(judged)))
        self.namespace.values["undecodable"] = self.undecodable
        self.namespace.values["decode"] = self.definition.reader.fast
        self.namespace.load([*self.lowering.functions, *functions])
        return Generated(self.namespace.function("run"), tuple(everything), self.index.waits)

    def calculator(self, text: str) -> object:
        """A function of event and value that gives what an expression comes to."""
        return self.definition.calculator(self.normalizer.calculated[text])

    def undecodable(self, event: Event, error: Exception) -> tuple[int, ...] | Undecodable:
        """What becomes of an event whose value the generated code could not decode."""
        value = self.definition.reader.again(event.value or b"", error)
        if isinstance(value, DecodeError):
            return self.definition.undecodable(self.namespace.function("blind")(event, None), value)
        if not self.definition.reader.projection.is_wide:
            return self.definition.run(event)
        found: tuple[int, ...] = self.namespace.function("judged")(event, value)
        return found

    def body(self, rules: Sequence[Rule], *, top: bool = False) -> list[Statement]:
        found = self.index.statements(rules, top=top)
        end = "finish_merged" if self.index.merges else "finish"
        finish = either(name("hits"), call(end, name("hits")), tuple_())
        return [assign("hits", list_()), *found, return_(finish)]

    def decoded(self, data: Node) -> Node:
        """What is read of the value; anything may be raised."""
        reader = self.definition.reader
        plain = call("decode", data)
        if reader.fast_long is not None:
            long = call(self.namespace.add("decode_long", reader.fast_long), data)
            plain = either(compare(call("len", data), "<", constant(LONG)), plain, long)
        if reader.framed is None:
            return plain
        headers = attribute(name("event"), "headers")
        framed = call(self.namespace.add("framed", reader.framed), data, headers)
        if reader.format == "avro":
            return framed
        # Neither its first byte nor a header can say that the value is framed.
        certain = conjunction([compare(element(data, 0), ">", constant(1)), negated(headers)])
        return either(certain, plain, framed)

    def entry(self, judged: Sequence[Statement]) -> list[Statement]:
        definition, data = self.definition, name("data")
        decode = assign("value", constant(None))
        if definition.reads.reads_value or definition.setting.strict_values:
            refused = return_(call("undecodable", name("event"), name("error")))
            decode = attempt([assign("value", self.decoded(data))], "error", [refused])
        null = return_(call("on_null", name("event"), constant(None)))
        return [
            assign("data", attribute(name("event"), "value")),
            if_(compare(data, "is", constant(None)), [null]),
            decode,
            *judged,
        ]
