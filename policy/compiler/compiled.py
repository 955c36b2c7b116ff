"""Rules compiled for one topic and stage."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from ...schemas.event import Event
from ...schemas.json_projection import DecodeError, decode_json
from ..cel.values import CelError
from .activation import (
    VALUE,
    Framed,
    UnavailableError,
    Undecodable,
    activation,
    without_value,
)
from .codegen import Generated, generate
from .definition import Definition, RuleInput, Run, Setting
from .describe import RulePlan, describe
from .reads import Reads

__all__ = ["Compiled", "compile_rules"]


class Compiled:
    """What `compile_rules` makes. Immutable; shared by threads.

    `run(event)` gives the indexes of the rules that are true, `~index` for those whose condition is
    an error, in the order of the rules; `()` when all are definitely false. It raises nothing but
    UnavailableError, where a schema for the key cannot be had now, or one that a rule asks about.
    `definition` is the same without generated code, and says what that has to come to.
    """

    __slots__ = ("_generated", "_plainly", "definition", "reads", "run")

    def __init__(self, definition: Definition, generated: Generated) -> None:
        self.definition: Final = definition
        self.reads: Final[Reads] = definition.reads
        self.run: Final[Run] = generated.run
        self._generated = generated
        #: Whether a value is JSON or nothing.
        setting = definition.setting
        self._plainly = setting.framed is None and setting.value_format in ("auto", "json")

    def describe(self) -> tuple[RulePlan, ...]:
        """How each rule is evaluated: looked up, tried on every event, or exactly."""
        return describe(self._generated.rules, self._generated.waits)

    def activation(
        self, event: Event, *, stamp: object = None, only: Collection[str] | None = None
    ) -> dict[str, object] | Undecodable:
        """The variables of the rules, for the exact evaluator and the why-trail.

        `only` names the ones that are wanted; None is every one. Value and key are decoded in full,
        or, where only members that no rule reads keep that from succeeding, as far as the rules
        read them.
        """
        setting = self.definition.setting
        if (
            only is not None
            and event.value is not None
            and self._plainly
            and VALUE.issuperset(only)
        ):
            try:
                value = decode_json(event.value)
            except DecodeError:
                pass  # with its reason, below
            else:
                return {"value": value, "message": value}
        known = activation(
            event,
            stage=setting.stage,
            client=setting.client,
            lists=setting.lists,
            key_format=setting.key_format,
            value_format=setting.value_format,
            stamp=stamp,
            framed=setting.framed,
            only=only,
        )
        if not isinstance(known, Undecodable):
            if isinstance(known.get("key"), CelError) and "key" in self.reads.variables:
                known["key"] = self._key(event, known["key"])
            return known
        if event.value is None:
            return known
        reader = self.definition.reader
        try:
            value = reader.projection.shown(reader.decode(event.value, event.headers))
        except DecodeError:
            return known
        blank = self.activation(without_value(event), stamp=stamp, only=only)
        return (
            blank if isinstance(blank, Undecodable) else {**blank, "value": value, "message": value}
        )

    def _key(self, event: Event, failed: object) -> object:
        try:
            found = self.definition.key(event)
        except UnavailableError:
            return failed
        return failed if isinstance(found, CelError) else found


def compile_rules(
    rules: Sequence[RuleInput],
    *,
    topic: str,
    stage: str,
    value_format: str = "auto",
    key_format: str = "auto",
    lists: Mapping[str, object] | None = None,
    client: Mapping[str, object] | None = None,
    strict_values: bool = False,
    framed: Framed | None = None,
) -> Compiled:
    """Compile the conditions of one plan.

    `framed` reads values that a schema registry has framed; without it they are undecodable.
    """
    setting = Setting(
        topic, stage, value_format, key_format, lists or {}, client or {}, strict_values, framed
    )
    definition = Definition(rules, setting)
    return Compiled(definition, generate(definition))
